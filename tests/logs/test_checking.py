"""What is refused or warned of before a log is learnt from: lost or other indexes, torn runs, missing values."""

import numpy as np
import pandas as pd
import pytest

from eventlstm import EventClassifier, LSTMClassifier
from eventlstm.logs.checking import check_log_values, refuse_lost_index, refuse_other_index
from eventlstm.logs.rows import Rows
from eventlstm.recurrent.checking import check_windows

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


def test_an_infinite_value_and_a_column_of_text_are_named():
    X = pd.DataFrame({"speed": np.zeros(6), "heat": np.zeros(6)}, index=MACHINES)
    X.iloc[2, 0] = np.inf
    with pytest.raises(ValueError, match=r"contains infinity: 1 such values, the first in column 'speed' at row 2"):
        check_log_values(EventClassifier(), X, reset=True)
    X["pump"] = "p1"
    with pytest.raises(ValueError, match=r"Column 'pump' of X is of type str.*X.set_index\(\['machine', 'time'\]\)"):
        check_log_values(EventClassifier(), X, reset=True)
