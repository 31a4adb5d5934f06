"""Rules suit the length of the events, and a threshold is chosen for the alarms that they make."""

import numpy as np
import pandas as pd
import pytest

from eventlstm import AlarmPolicy, choose_threshold
from eventlstm.alarms.alarm_policy import MERGE_ROWS
from eventlstm.alarms.policy_choice import suit_policy
from eventlstm.metrics import event_recall_score, false_alarm_rate
from eventlstm.metrics.matching import read_match


def make_log(length, quiet, n_events=40, seed=0, step="1min", height=4.0, tail=0):
    """Labels, and noise that is higher in events, by more or less."""
    rng = np.random.default_rng(seed)
    parts = [[0] * int(rng.integers(quiet // 2, quiet * 3 // 2)) + [1] * length for _ in range(n_events)]
    y = np.array([*np.concatenate(parts), *[0] * quiet])
    last = np.flatnonzero(np.diff(y, append=0) == -1)
    score = rng.normal(size=len(y)) + height * y * np.repeat(
        rng.uniform(0.5, 1.5, n_events + 1), [*map(len, parts), quiet]
    )
    for row in last:
        score[row + 1 : row + 1 + tail] += height * np.linspace(1, 0, tail)[: len(y) - row - 1]
    index = pd.date_range("2024-01-01", periods=len(y), freq=step)
    return pd.Series(y, index), pd.Series(score, index)


@pytest.mark.parametrize(
    ("length", "quiet", "merge_gap"),
    [(6, 400, 1), (3, 400, 0), (1, 50, 0), (20, 400, 5), (36, 400, 9), (60, 400, 15), (200, 1000, 15), (200, 8, 2)],
)
def test_an_alarm_outlasts_its_last_row_by_no_more_than_events_allow(length, quiet, merge_gap):
    assert suit_policy(make_log(length, quiet)[0]).merge_gap == merge_gap


def test_without_events_rules_are_the_default():
    assert suit_policy(np.zeros(50, dtype=int)).merge_gap == MERGE_ROWS == AlarmPolicy().merge_gap


def test_events_of_other_runs_are_not_close():
    index = pd.MultiIndex.from_product([range(10), range(300)])
    y = pd.Series(np.tile([*[1] * 100, *[0] * 100, *[1] * 100], 10), index)
    assert suit_policy(y).merge_gap == MERGE_ROWS


@pytest.mark.parametrize("tail", [0, 4])
@pytest.mark.parametrize(
    ("length", "quiet", "step"),
    [(6, 40, "200ms"), (6, 400, "1h"), (3, 60, "1min"), (12, 90, "1s"), (40, 300, "1min"), (200, 900, "10min")],
)
def test_events_that_rows_rank_above_all_quiet_rows_are_found_on_new_rows(length, quiet, step, tail):
    y, score = make_log(length, quiet, step=step, tail=tail, n_events=20)
    policy = suit_policy(y)
    policy.set_params(threshold=choose_threshold(y, score, objective="f1", policy=policy))
    new, its_score = make_log(length, quiet, step=step, seed=1, tail=tail, n_events=20)
    matched = read_match(new, policy.flag(its_score), 0, 0, "onset", None)
    first, last = matched.events.measured.true_events
    quietest = its_score[new == 0].max()
    ranked = np.array([its_score.iloc[a : b + 1].max() > quietest for a, b in zip(first, last, strict=True)])
    assert (matched.found_at >= 0)[ranked].sum() >= 0.8 * ranked.sum()
    assert matched.n_false_alarms <= matched.recall * len(first)


def flags_at(policy, threshold, score):
    return policy.set_params(threshold=float(threshold)).flag(score)


POLICIES = {
    "rows": AlarmPolicy(merge_gap=2),
    "time": AlarmPolicy(merge_gap="5min", min_duration="1min"),
    "two of three": AlarmPolicy(k=2, n=3, merge_gap=1),
    "smoothed": AlarmPolicy(smoothing=3, merge_gap=0),
    "level": AlarmPolicy(off=0.5, merge_gap=0),
    "cooldown": AlarmPolicy(merge_gap=1, cooldown=4),
}


@pytest.mark.parametrize("rules", POLICIES)
@pytest.mark.parametrize(
    "limit", [{"max_false_alarms_per_day": 40.0}, {"min_recall": 0.7}, {"min_precision": 0.6}], ids=str
)
def test_limits_hold_for_the_alarms_of_the_policy(rules, limit):
    y, score = make_log(8, 40, n_events=6, height=3.0)
    policy = POLICIES[rules]
    flags = flags_at(policy, choose_threshold(y, score, objective="f1", policy=policy, **limit), score)
    matched = read_match(y, flags, 0, 0, "onset", None)
    reached = {
        "max_false_alarms_per_day": -false_alarm_rate(y, flags),
        "min_recall": event_recall_score(y, flags),
        "min_precision": matched.precision(corrected=False),
    }
    ((name, wanted),) = limit.items()
    assert reached[name] >= (-wanted if name.startswith("max") else wanted)


@pytest.mark.parametrize("cost", [(1.0, 0.0), (1.0, 1.0), (100.0, 1.0), (1.0, 100.0), (0.0, 1.0)])
def test_no_threshold_makes_alarms_that_cost_less(cost):
    y, score = make_log(5, 30, n_events=8, height=2.0)
    policy = AlarmPolicy(merge_gap=1)

    def price(threshold):
        matched = read_match(y, flags_at(policy, threshold, score), 0, 0, "onset", None)
        return cost[0] * (matched.found_at < 0).sum() + cost[1] * matched.n_false_alarms

    chosen = price(choose_threshold(y, score, cost=cost, policy=policy))
    rising = [price(level) for level in np.sort(score)[::-1][:60]]
    assert chosen <= min(rising) + 1e-9


def test_more_alarms_are_not_made_fewer_by_melting_into_one():
    y, score = make_log(6, 40, n_events=10, height=1.0)
    chosen = choose_threshold(
        y, score, max_false_alarms_per_day=20.0, objective="recall", policy=AlarmPolicy(merge_gap=1)
    )
    assert (score > chosen).mean() < 0.5


def test_days_are_asked_of_date_times_only():
    with pytest.raises(ValueError, match="counts days, but the index of y_true holds no date-times"):
        choose_threshold([0, 1, 0], [0.1, 0.9, 0.2], max_false_alarms_per_day=1, policy=AlarmPolicy())


def test_limits_that_no_alarm_keeps_are_told_with_the_best():
    y, score = make_log(6, 40)  # an alarm that outlasts an event and the quiet time after it is of no other
    with pytest.raises(ValueError, match=r"No threshold keeps min_recall=1: the best is 0\.\d+\. Loosen the limits"):
        choose_threshold(y, score, min_recall=1, policy=AlarmPolicy(merge_gap=40))
