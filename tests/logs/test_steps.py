"""A step belongs to its run: runs of other rates, and rates that change in a run, are cut at their own gaps."""

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.logs.index import read_index
from eventlstm.logs.steps import cut_stretches, find_stretches, longest_steps, usual_steps


def runs(*times):
    """A log of a run for each of some times."""
    names = np.repeat(np.arange(len(times)), [len(own) for own in times])
    return pd.DataFrame({"speed": 0.0}, index=pd.MultiIndex.from_arrays([names, np.concatenate(times)]))


def clock(*steps):
    return np.append(0, np.cumsum(steps))


RATES = {
    "a second and a minute": (np.arange(600), np.arange(300) * 60),
    "a second, a minute and an hour": (np.arange(600), np.arange(300) * 60, np.arange(100) * 3600),
    "a rare slow machine": (np.arange(5000), np.arange(12) * 600),
    "a slow machine of three rows": (np.arange(400), np.arange(3) * 60),
    "milliseconds and days": (np.arange(500) * 0.001, np.arange(50) * 86_400.0),
    "idle and bursts": (clock(*([60] * 30 + [1] * 200) * 4), np.arange(400)),
    "rates in turn in one run": (clock(*[1] * 500, *[30] * 100, *[1] * 500),),
    "a slow hour a day": (clock(*([60] * 1380 + [600] * 60) * 3),),
}


@pytest.mark.parametrize("name", RATES)
def test_a_run_is_not_cut_by_the_rate_of_another_or_its_own(name):
    log = runs(*RATES[name])
    assert len(find_stretches(log)) == len(RATES[name])


@pytest.mark.parametrize("name", RATES)
def test_gaps_are_found_in_each_run_at_its_own_rate(name):
    torn = []
    for times in RATES[name]:
        step = np.diff(times).max()
        torn.append(np.concatenate([times, times[-1] + 100 * step + times - times[0]]))
    assert len(find_stretches(runs(*torn))) == 2 * len(torn)


def test_a_regular_log_is_cut_after_ten_times_its_step():
    times = np.delete(np.arange(100) * 2, slice(50, 59))  # a step of 20
    assert find_stretches(runs(times)).tolist() == [0]
    assert find_stretches(runs(np.delete(np.arange(100) * 2, slice(50, 60)))).tolist() == [0, 50]


@pytest.mark.parametrize("every", [2, 3, 5, 10, 50])
def test_isolated_gaps_are_no_rate_however_many(every):
    steps = np.where(np.arange(300) % every == every - 1, 1000, 1)
    assert len(find_stretches(runs(clock(*steps)))) == 1 + (steps == 1000).sum()


def test_the_usual_step_is_that_of_each_run():
    log = runs(np.arange(10), np.arange(10) * 60, [5])
    assert usual_steps(read_index(log)).tolist() == [1.0, 60.0, 30.5]  # the last by all steps
    assert usual_steps(read_index(runs([3], [4]))).tolist() == [0.0, 0.0]


def test_a_number_is_the_longest_step_of_all_runs():
    rows = read_index(runs(*RATES["a second and a minute"]))
    assert longest_steps(rows, 59).tolist() == [59.0, 59.0]
    assert len(cut_stretches(rows, longest_steps(rows, 59))) == 1 + 300
    assert longest_steps(rows, None).tolist() == [np.inf, np.inf]


def two_rates():
    """A machine that writes each second, and one that writes each minute."""
    parts = {
        "fast": pd.date_range("2024-01-01", periods=600, freq="1s"),
        "slow": pd.date_range("2024-01-01", periods=300, freq="1min"),
    }
    index = pd.MultiIndex.from_tuples([(m, t) for m, own in parts.items() for t in own], names=["machine", "time"])
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(900, 2)), index=index, columns=["a", "b"])
    return X, pd.Series((np.arange(900) % 60 < 6).astype(int), index=index)


def test_a_slow_machine_is_watched_by_the_clock_beside_a_fast_one():
    _, y = two_rates()
    flags = pd.Series((np.arange(900) % 60 == 30).astype(int), index=y.index)
    quiet_days = (600 * 0.9 + 300 * 0.9 * 60) / 86_400
    assert el.metrics.false_alarm_rate(y, flags) == pytest.approx(15 / quiet_days, rel=0.01)
    slow = el.metrics.false_alarm_rate(y.loc[["slow"]], flags.loc[["slow"]])
    assert slow == pytest.approx(5 / (300 * 0.9 * 60 / 86_400), rel=0.01)


def test_a_value_of_a_slow_machine_is_filled_by_its_last_beside_a_fast_one():
    X, _ = two_rates()
    holes = X.copy()
    holes.iloc[[605, 700, 890]] = np.nan
    filled = el.ForwardFill().fit_transform(holes)
    np.testing.assert_array_equal(filled.iloc[[605, 700, 890]], X.iloc[[604, 699, 889]])


def test_scores_of_a_slow_machine_are_the_same_beside_a_fast_one_and_alone():
    X, y = two_rates()
    network = el.LSTMClassifier(hidden_size=2, max_epochs=1, min_steps=1)
    model = el.EventClassifier(network, window_size=8, n_estimators=1, random_state=0).fit(X, y)
    together = pd.DataFrame(model.predict_proba(X), index=X.index)
    for machine in ("fast", "slow"):
        np.testing.assert_allclose(model.predict_proba(X.loc[[machine]]), together.loc[[machine]], atol=1e-6)


def test_a_budget_of_alarms_a_day_counts_the_days_of_each_machine():
    X, _ = two_rates()
    score = pd.Series(np.random.default_rng(1).gumbel(size=900), index=X.index)
    with pytest.warns(UserWarning, match="5.17 hours of quiet rows"):
        el.thresholds.AutoThreshold(1.0).fit(score)  # 10 minutes and 5 hours
