"""What is refused or warned of before a log is learnt from: lost or other indexes, torn runs, missing values."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from eventlstm import EventClassifier, LSTMClassifier, RunKFold, RunTimeSplit
from eventlstm.logs.checking import check_log_values, refuse_lost_index, refuse_other_index, warn_if_torn
from eventlstm.logs.index import find_stretches, read_index
from eventlstm.logs.rows import Rows
from eventlstm.recurrent.checking import check_windows

N_ROWS = 600  # of each run; the first part of RunTimeSplit must still be long
each_window_size = pytest.mark.parametrize("window_size", [16, 48])


# Torn logs


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


# Indexes


MACHINES = pd.MultiIndex.from_product([["a", "b"], pd.date_range("2024-01-01", periods=3)], names=["machine", "time"])
DATES = pd.date_range("2024-01-01", periods=6, name="time")


@pytest.mark.parametrize("index", [MACHINES, DATES, pd.RangeIndex(6)])
def test_labels_with_the_index_of_the_rows_or_without_any_are_taken(index):
    X = pd.DataFrame({"speed": 0.0}, index=index)
    refuse_other_index(X, pd.Series(0, index=index))
    refuse_other_index(X, np.zeros(6))
    refuse_other_index(X.to_numpy(), np.zeros(6))


@pytest.mark.parametrize("index", [MACHINES, DATES, pd.RangeIndex(6)])
def test_labels_in_another_order_are_refused_and_the_remedy_aligns_them(index):
    X = pd.DataFrame({"speed": 0.0}, index=index)
    y = pd.Series(range(6), index=index)
    with pytest.raises(ValueError, match=r"y is in another order than X. Align it: y = y.loc\[X.index\]"):
        refuse_other_index(X, y[::-1])
    pd.testing.assert_series_equal(y[::-1].loc[X.index], y, check_freq=False)


@pytest.mark.parametrize("index", [MACHINES, DATES, pd.RangeIndex(6)])
@pytest.mark.parametrize(
    "other", [MACHINES, DATES, DATES.tz_localize("UTC"), DATES + pd.Timedelta("1h"), list("abcdef")]
)
def test_labels_of_other_rows_are_refused(index, other):
    if index is other:
        return
    with pytest.raises(ValueError, match=r"y has other rows than X|X has lost the index"):
        refuse_other_index(pd.DataFrame({"speed": 0.0}, index=index), pd.Series(0, index=other))


@pytest.mark.parametrize("index", [MACHINES, DATES])
def test_a_step_that_dropped_the_index_is_told_how_to_keep_it(index):
    lost = [np.zeros((6, 1)), pd.DataFrame({"speed": np.zeros(6)})]
    for X in lost:
        with pytest.raises(
            ValueError, match=r"lost the index.*y has the levels .*'time'.*set_output\(transform='pandas'\)"
        ):
            refuse_other_index(X, pd.Series(0, index=index))
        with pytest.raises(
            ValueError, match=r"lost the index.*fit saw the levels .*'time'.*set_output\(transform='pandas'\)"
        ):
            refuse_lost_index(X, list(index.names))
        refuse_lost_index(X, None)
    refuse_lost_index(pd.DataFrame({"speed": 0.0}, index=index), list(index.names))


# Rows held out


def test_whole_runs_with_events_are_held_out():
    rng = np.random.RandomState(0)
    starts = np.arange(0, 200, 10)
    runs = np.arange(20)
    event = np.isin(np.arange(200) // 10, [3, 7, 11, 15]) & (np.arange(200) % 10 > 6)
    rows = Rows(np.arange(200.0)[:, None], starts, runs, event.astype(int), np.arange(200.0))
    for seed in range(10):
        train, held_out = rows.hold_out(0.25, event, np.random.RandomState(seed))
        for part in (train, held_out):
            numbers = part.values[:, 0].reshape(-1, 10)
            assert (numbers == numbers[:, :1] + np.arange(10)).all() and (numbers[:, 0] % 10 == 0).all()
            np.testing.assert_array_equal(part.starts, np.arange(0, len(part.values), 10))
            np.testing.assert_array_equal(part.labels, event[part.values[:, 0].astype(int)])
            np.testing.assert_array_equal(part.weight, part.values[:, 0])
        assert held_out.labels.sum() == 3 and train.labels.sum() == 9
        assert sorted([*train.values[:, 0], *held_out.values[:, 0]]) == list(range(200))
        assert rows.hold_out(0.01, event, rng)[1].labels.sum() == 3  # one stretch at least
    with pytest.raises(ValueError, match=r"only 1 run has events. Set early_stopping=False"):
        rows.hold_out(0.25, np.arange(200) == 5, rng)


def test_the_stretches_of_a_run_are_held_out_together():
    starts = np.arange(0, 120, 10)
    runs = np.repeat(np.arange(4), 3)  # two gaps in each run
    rows = Rows(np.arange(120.0)[:, None], starts, runs, np.arange(120), None)
    event = np.arange(120) % 30 == 25
    for seed in range(10):
        train, held_out = rows.hold_out(0.25, event, np.random.RandomState(seed))
        assert not set(train.runs) & set(held_out.runs)
        assert len(set(held_out.runs)) == 1
        np.testing.assert_array_equal(held_out.labels // 30, np.repeat(held_out.runs, 10))


# Values


def test_a_missing_value_is_named_with_its_place_and_a_remedy():
    X = pd.DataFrame({"speed": np.zeros(6), "heat": np.zeros(6)}, index=MACHINES)
    X.iloc[4, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"contains NaN: 1 such values, the first in column 'heat' at row 4 \(\('b', .*ForwardFill"
    ):
        check_log_values(EventClassifier(), X, reset=True)


def test_columns_in_another_order_than_in_fit_are_refused_with_a_remedy():
    X = pd.DataFrame({"speed": np.zeros(6), "heat": np.ones(6)}, index=MACHINES)
    model = EventClassifier()
    assert check_log_values(model, X, reset=True).dtype == np.float64
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*X\[model.feature_names_in_\]"):
        check_log_values(model, X[["heat", "speed"]], reset=False)
    np.testing.assert_array_equal(
        check_log_values(model, X[["heat", "speed"]][model.feature_names_in_], reset=False), X
    )


def test_windows_flat_or_not_are_the_same_windows():
    X = np.arange(24.0).reshape(2, 4, 3)
    (whole, _), _ = check_windows(LSTMClassifier(), X, reset=True, dtype=np.float32)
    (flat, _), _ = check_windows(LSTMClassifier(n_channels=3), X.reshape(2, -1), reset=True, dtype=np.float32)
    np.testing.assert_array_equal(whole, X)
    np.testing.assert_array_equal(flat, X)
    assert whole.flags.writeable and not np.shares_memory(whole, X)
    with pytest.raises(ValueError, match="X has 12 features a row, which n_channels=5 does not divide"):
        check_windows(LSTMClassifier(n_channels=5), X.reshape(2, -1), reset=True, dtype=np.float32)


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


def test_an_infinite_value_and_a_column_of_text_are_named():
    X = pd.DataFrame({"speed": np.zeros(6), "heat": np.zeros(6)}, index=MACHINES)
    X.iloc[2, 0] = np.inf
    with pytest.raises(ValueError, match=r"contains infinity: 1 such values, the first in column 'speed' at row 2"):
        check_log_values(EventClassifier(), X, reset=True)
    X["pump"] = "p1"
    with pytest.raises(ValueError, match=r"Column 'pump' of X is of type str.*X.set_index\(\['machine', 'time'\]\)"):
        check_log_values(EventClassifier(), X, reset=True)
