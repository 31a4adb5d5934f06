"""A threshold under limits keeps them, and none that does is better."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier

from eventlstm import choose_threshold

quickly = settings(max_examples=25, deadline=None)
rows_of_a_run = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=12)
logs = st.lists(rows_of_a_run, min_size=1, max_size=3).filter(
    lambda runs: len({label for run in runs for label, _ in run}) == 2
)


def make_log(runs, step="1h"):
    """Labels and scores of runs, an hour a row."""
    index = pd.MultiIndex.from_tuples(
        [(run, time) for run, rows in enumerate(runs) for time in range(len(rows))], names=["machine", "time"]
    )
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(index.get_level_values(1) * pd.Timedelta(step))
    index = pd.MultiIndex.from_arrays([index.get_level_values(0), times], names=index.names)
    y, score = zip(*(row for rows in runs for row in rows), strict=True)
    return pd.Series(y, index=index), pd.Series(score, index=index, dtype=float)


def recall(y, flags):
    return np.mean(flags[y == 1])


def precision(y, flags):
    return np.mean(y[np.asarray(flags, dtype=bool)] == 1)


def f1(y, flags):
    return 2 * (flags & (y == 1)).sum() / (flags.sum() + (y == 1).sum())


def count(y, flags):
    """False alarms and missed events, row by row."""
    n_false, missed = 0, 0
    for _, run in y.groupby(level=0, sort=False):
        label, flag = run.tolist(), flags[run.index].tolist()
        found = None
        for row in range(len(label)):
            if label[row] and (row == 0 or not label[row - 1]):
                found = False
            begins = flag[row] and (row == 0 or not flag[row - 1])
            found = found or bool(begins) if label[row] else found
            n_false += begins and not label[row]
            if label[row] and (row == len(label) - 1 or not label[row + 1]):
                missed += not found
    return n_false, missed


def most_false_alarms(y, score, threshold):
    return max(count(y, score >= higher)[0] for higher in {threshold, *score[score >= threshold]})


@given(runs=logs, limit=st.sampled_from([0.0, 2.0, 4.0, 8.0, 24.0]))
@quickly
def test_no_threshold_within_the_false_alarms_allowed_has_more_recall(runs, limit):
    y, score = make_log(runs)
    quiet_days = (y == 0).sum() / 24
    allowed = [t for t in score.unique() if most_false_alarms(y, score, t) <= limit * quiet_days]
    if not allowed:
        with pytest.raises(ValueError, match=r"No threshold keeps max_false_alarms_per_day=.*the best is"):
            choose_threshold(y, score, objective="recall", max_false_alarms_per_day=limit)
        return
    chosen = choose_threshold(y, score, objective="recall", max_false_alarms_per_day=limit)
    assert most_false_alarms(y, score, score[score > chosen].min()) <= limit * quiet_days
    assert recall(y, score > chosen) == max(recall(y, score >= t) for t in allowed)
    higher = score.unique()[score.unique() > score[score > chosen].min()]
    assert all(recall(y, score >= t) < recall(y, score > chosen) for t in higher)


@given(runs=logs, limit=st.sampled_from([0.3, 0.5, 0.75, 1.0]))
@quickly
def test_a_limit_on_precision_or_recall_is_kept_and_the_other_made_largest(runs, limit):
    y, score = make_log(runs)
    for wanted, kept, measure, of_limit in (
        ("recall", "min_precision", recall, precision),
        ("precision", "min_recall", precision, recall),
        ("f1", "min_precision", f1, precision),
    ):
        allowed = [t for t in score.unique() if of_limit(y, score >= t) >= limit]
        if not allowed:
            with pytest.raises(ValueError, match=f"No threshold keeps {kept}={limit}: the best is"):
                choose_threshold(y, score, objective=wanted, **{kept: limit})
            continue
        chosen = choose_threshold(y, score, objective=wanted, **{kept: limit})
        assert of_limit(y, score > chosen) >= limit
        assert measure(y, score > chosen) == pytest.approx(max(measure(y, score >= t) for t in allowed))


@given(runs=logs, cost=st.sampled_from([(100, 1), (1, 1), (1, 100), (3.5, 2), (0, 1)]))
@quickly
def test_no_threshold_costs_less(runs, cost):
    y, score = make_log(runs)

    def total(threshold):
        return cost[0] * count(y, score >= threshold)[1] + cost[1] * most_false_alarms(y, score, threshold)

    chosen = choose_threshold(y, score, cost=cost)
    assert total(score[score > chosen].min()) == pytest.approx(min(total(t) for t in score.unique()))
    arrays = choose_threshold(y.to_numpy(), score.to_numpy(), cost=cost) if len(runs) == 1 else chosen
    assert arrays == chosen


@given(runs=logs)
@quickly
def test_limits_that_all_keep_change_nothing(runs):
    y, score = make_log(runs)
    loose = {"max_false_alarms_per_day": 1e9, "min_precision": 0.0, "min_recall": 0.0}
    assume((y == 0).any())
    for objective in ("mcc", "f1", "recall", "precision"):
        free = choose_threshold(y, score, objective=objective)
        assert choose_threshold(y, score, objective=objective, **loose) == free


def test_recall_needs_no_more_rows_flagged_than_find_the_events():
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9], objective="recall") == pytest.approx(0.4)


def test_an_alarm_that_swallows_others_does_not_make_them_right():
    y = pd.Series([0, 1, 0, 0, 0, 0], index=pd.date_range("2024-01-01", periods=6, freq="4h"))
    score = pd.Series([0.2, 0.1, 0.9, 0.3, 0.8, 0.25], index=y.index)
    # at .25 one alarm lasts from the third row on, at .8 there are two, in 20 quiet hours
    assert choose_threshold(y, score, objective="recall", max_false_alarms_per_day=3) == np.nextafter(0.1, 0)
    with pytest.raises(ValueError, match=r"No threshold keeps max_false_alarms_per_day=1: the best is 1\.2"):
        choose_threshold(y, score, max_false_alarms_per_day=1)


def test_time_that_was_not_observed_counts_for_no_day():
    times = pd.date_range("2024-01-01", periods=24, freq="h")
    whole = pd.Series(0, index=times)
    whole.iloc[-1] = 1
    score = pd.Series(np.linspace(0, 1, 24), index=times).where(whole.index != times[3], 5.0)
    torn = whole.set_axis(times[:12].append(times[12:] + pd.Timedelta("30D")))
    for y in (whole, torn):
        chosen = choose_threshold(y, score.to_numpy(), objective="recall", max_false_alarms_per_day=1.1)
        assert chosen > 0.9
        with pytest.raises(ValueError, match=r"the best is 1\.04"):
            choose_threshold(y, score.to_numpy(), max_false_alarms_per_day=1)


def test_the_index_of_scores_serves_where_labels_have_none():
    y, score = make_log([[(0, 1), (1, 5), (0, 2), (0, 6), (1, 5)], [(0, 4), (1, 3), (0, 0)]])
    limits = {"objective": "f1", "max_false_alarms_per_day": 12}
    assert choose_threshold(y.to_numpy(), score, **limits) == choose_threshold(y, score.to_numpy(), **limits)


def test_the_threshold_serves_in_scikit_learns_classifier():
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.1).astype(int)
    X = rng.normal(size=(400, 2)) + 1.5 * y[:, None]
    model = LogisticRegression().fit(X, y)
    proba = model.predict_proba(X)[:, 1]
    threshold = choose_threshold(y, proba, objective="recall", min_precision=0.6)
    alarming = FixedThresholdClassifier(FrozenEstimator(model), threshold=threshold).fit(X, y)
    np.testing.assert_array_equal(alarming.predict(X), proba >= threshold)
    assert precision(y, alarming.predict(X)) >= 0.6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_false_alarms_per_day": 1}, "counts days, but the index of y_true holds no date-times"),
        ({"max_false_alarms_per_day": -1}, "max_false_alarms_per_day=-1 is out of range. Pass a number from 0 to inf"),
        ({"min_precision": 1.5}, "min_precision=1.5 is out of range. Pass a number from 0 to 1"),
        ({"min_recall": float("nan")}, "min_recall=nan is out of range"),
        ({"min_precision": 0.9, "min_recall": 0.9}, "No threshold keeps min_recall=0.9 and the limits before it"),
        ({"cost": 5}, "cost=5 came. Pass what a missed event and a false alarm cost"),
        ({"cost": (1, -1)}, r"cost=\(1, -1\) came"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold([0, 1, 0, 1, 0], [0.1, 0.9, 0.8, 0.3, 0.2], **parameters)
