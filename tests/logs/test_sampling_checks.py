"""A log is called torn only where that explains it best, and one sampled otherwise than in fit is told of."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

import eventlstm as el
from eventlstm import RunKFold, RunTimeSplit
from eventlstm.logs.index import read_index
from eventlstm.logs.sampling_checks import warn_if_torn
from eventlstm.logs.steps import find_stretches

N_ROWS = 600  # of each run; the first part of RunTimeSplit must still be long
each_window_size = pytest.mark.parametrize("window_size", [16, 48])


@each_window_size
@pytest.mark.parametrize("n_splits", [2, 3, 5, 10])
@pytest.mark.parametrize("clock", ["10min", 1, 0.1])
def test_a_shuffling_splitter_is_warned_of(n_splits, window_size, clock):
    X = make_log(clock)
    for train, _ in KFold(n_splits, shuffle=True, random_state=0).split(X):
        with pytest.warns(UserWarning, match="use RunKFold, which keeps runs whole"):
            warn(X.iloc[train], window_size)


@each_window_size
@pytest.mark.parametrize("splitter", [RunKFold(2), RunKFold(4, shuffle=True, random_state=0), RunTimeSplit(3)])
@pytest.mark.parametrize("clock", ["10min", 1, 0.1])
def test_splitters_that_keep_runs_whole_are_not_warned_of(splitter, window_size, clock):
    X = make_log(clock)
    for train, test in splitter.split(X):
        expect_silence(X.iloc[train], window_size)
        expect_silence(X.iloc[test], window_size)


@each_window_size
def test_a_few_lost_rows_are_not_warned_of(window_size):
    X = make_log("10min")
    expect_silence(X[np.random.RandomState(0).uniform(size=len(X)) > 0.02], window_size)


@each_window_size
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_clock_that_jitters_is_not_warned_of(window_size, share):
    rng = np.random.RandomState(0)
    late = rng.binomial(1, share, N_ROWS) * rng.randint(1, 10, N_ROWS)
    times = pd.date_range("2024-01-01", periods=N_ROWS, freq="10min") + pd.to_timedelta(late, unit="s")
    expect_silence(pd.DataFrame({"speed": 0.0}, index=times), window_size)


@pytest.mark.parametrize("distribution", ["exponential", "uniform"])
def test_a_clock_without_a_regular_step_is_not_warned_of(distribution):
    rng = np.random.RandomState(0)
    times = {"exponential": rng.exponential(size=1000), "uniform": rng.uniform(0.5, 2.5, 1000)}[distribution].cumsum()
    expect_silence(pd.DataFrame({"speed": 0.0}, index=times), 48)


def test_runs_shorter_than_the_window_are_warned_of():
    index = pd.MultiIndex.from_product([range(20), range(10)])
    X = pd.DataFrame({"speed": 0.0}, index=index)
    with pytest.warns(UserWarning, match=r"100% of the rows have fewer than window_size=11 .* lower window_size"):
        warn(X, 11)
    expect_silence(X, 5)


def test_a_log_of_single_rows_is_only_torn_when_history_is_asked_for():
    X = np.zeros((1, 1))
    expect_silence(X, 1)
    with pytest.warns(UserWarning, match="lower window_size"):
        warn(X, 2)


SKIPPING = {
    "a second of twenty": np.arange(2000) * 20 // 19,
    "a second of seven": np.arange(2000) * 7 // 6,
    "two of fifteen": np.sort(
        np.concatenate([np.arange(0, 3000, 15) + k for k in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14)])
    ),
    "an hour a day at half the rate": np.concatenate(
        [np.append(np.arange(1380), np.arange(1380, 1440, 2)) + 1440 * d for d in range(4)]
    ),
    "leap rows of a counter": np.flatnonzero(np.arange(3000) % 24 != 23),
}


@pytest.mark.parametrize("name", SKIPPING)
def test_rows_that_a_clock_skips_evenly_are_not_called_torn(name):
    expect_silence(pd.DataFrame({"speed": 0.0}, index=SKIPPING[name]), 32)


def tiny() -> el.AnomalyDetector:
    network = el.LSTMForecaster(hidden_size=2, max_epochs=1, min_steps=1)
    return el.AnomalyDetector(network, window_size=8, n_estimators=1, threshold=3.0, random_state=0)


def noise(times):
    return pd.DataFrame({"speed": np.random.default_rng(0).normal(size=len(times))}, index=times)


def every(freq, n_rows=200):
    return pd.date_range("2024-01-01", periods=n_rows, freq=freq)


@pytest.mark.parametrize(
    ("learnt", "scored", "told"),
    [
        (every("10min"), every("2h"), r"The log has a row every 02:00:00, but fit saw one every 00:10:00"),
        (every("1min"), every("5s"), r"every 00:00:05, but fit saw one every 00:01:00"),
        (every("1D"), every("7D"), r"every 7 days 00:00:00, but fit saw one every 1 days 00:00:00"),
        (pd.Index(np.arange(200) * 0.5), pd.Index(np.arange(200) * 4.0), r"every 4, but fit saw one every 0.5"),
        (every("1s") - every("1s")[0], every("5s") - every("5s")[0], r"every 00:00:05, but fit saw one every 00:00:01"),
    ],
)
def test_a_log_sampled_otherwise_than_in_fit_is_told_with_both_steps(learnt, scored, told):
    detector = tiny().fit(noise(learnt))
    with pytest.warns(UserWarning, match=told):
        score = detector.anomaly_score(noise(scored))
    assert np.isfinite(score).all()


@pytest.mark.parametrize("scored", [every("10min"), every("15min"), every("6min"), every("10min", 2)])
def test_a_log_sampled_about_as_in_fit_is_scored_in_silence(scored):
    detector = tiny().fit(noise(every("10min")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "100% of the rows have fewer than window_size")
        detector.anomaly_score(noise(scored))


def make_log(clock):
    """Four runs with rows 10 minutes, a whole or a decimal number apart."""
    if isinstance(clock, str):
        times = pd.date_range("2024-01-01", periods=N_ROWS, freq=clock)
    else:
        times = np.arange(N_ROWS) * clock
    return pd.DataFrame({"speed": 0.0}, index=pd.MultiIndex.from_product([range(4), times]))


def warn(X, window_size):
    warn_if_torn(read_index(X), find_stretches(X), window_size)


def expect_silence(X, window_size):
    """Fail on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn(X, window_size)
