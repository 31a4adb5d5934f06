"""Splitters never tear a run or look ahead."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from eventlstm import EventTimeSplit, RunKFold, RunTimeSplit
from eventlstm.logs.events import event_onsets, is_event
from eventlstm.logs.index import read_index

quickly = settings(max_examples=60, deadline=None)


# Folds of runs


@given(
    runs=st.lists(st.tuples(st.integers(0, 6), st.integers(13, 120)), min_size=2, max_size=12),
    n_splits=st.integers(2, 5),
    shuffle=st.booleans(),
)
@quickly
def test_each_run_is_tested_whole_in_one_fold_and_events_are_spread_evenly(runs, n_splits, shuffle):
    X, y = make_log(runs)
    splitter = RunKFold(n_splits, shuffle=shuffle, random_state=0)
    if sum(n_events > 0 for n_events, _ in runs) < n_splits:
        with pytest.raises(ValueError, match="n_splits"):
            list(splitter.split(X, y))
        return
    folds = list(splitter.split(X, y))
    assert len(folds) == n_splits == splitter.get_n_splits(X, y)
    run = X.index.get_level_values("machine")
    for train, test in folds:
        assert not set(run[train]) & set(run[test])
        assert sorted([*train, *test]) == list(range(len(X)))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(X)))
    n_events = [event_onsets(y.to_numpy()[test] == 1, read_index(X.iloc[test]).runs).sum() for _, test in folds]
    assert min(n_events) >= 1
    assert max(n_events) - min(n_events) <= max(n for n, _ in runs)


@given(n_rows=st.lists(st.integers(1, 40), min_size=3, max_size=12))
@quickly
def test_without_labels_folds_are_alike_in_rows(n_rows):
    X, _ = make_log([(0, n) for n in n_rows])
    sizes = [len(test) for _, test in RunKFold(3).split(X)]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= max(n_rows)


def test_labels_of_any_kind_and_number_are_split():
    X, y = make_log([(2, 20)] * 4)
    expected = [test.tolist() for _, test in RunKFold(2).split(X, y)]
    y_text = y.map({0: "ok", 1: "jam"})
    y_many = y_text.mask((y == 1) & (X.index.get_level_values("machine") == "m1"), "leak")
    for labels in (y_text, y_many, y.to_numpy(), y.tolist(), y.astype(bool)):
        assert [test.tolist() for _, test in RunKFold(2).split(X, labels)] == expected


def test_shuffling_deals_like_runs_out_anew_and_a_seed_repeats_it():
    X, y = make_log([(1, 20)] * 12)
    first, again, other, plain = (
        [test.tolist() for _, test in RunKFold(3, shuffle=shuffle, random_state=seed).split(X, y)]
        for shuffle, seed in ((True, 0), (True, 0), (True, 1), (False, None))
    )
    assert first == again
    assert first != other and first != plain


def test_the_global_seed_is_left_alone():
    X, y = make_log([(1, 20)] * 4)
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    list(RunKFold(2, shuffle=True, random_state=0).split(X, y))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("runs", "n_splits", "message"),
    [
        ([(3, 30)], 2, r"holds 1 runs, fewer than n_splits=2.*RunTimeSplit.*X.set_index\(\['machine', 'time'\]\)"),
        ([(1, 20)] * 3, 4, "holds 3 runs, fewer than n_splits=4. Lower n_splits"),
        ([(1, 20)] * 2 + [(0, 20)] * 3, 4, "2 runs have events.*a fold would hold none. Lower n_splits to at most 2"),
        ([(1, 20)] + [(0, 20)] * 3, 2, "1 runs have events.*a fold would hold none.*use RunTimeSplit"),
        ([(0, 20)] * 3, 2, "0 runs have events.*use RunTimeSplit"),
        ([(1, 20)] * 3, 1, "n_splits=1 leaves nothing to train on. Take at least 2"),
    ],
)
def test_folds_that_cannot_hold_a_run_and_an_event_are_refused(runs, n_splits, message):
    X, y = make_log(runs)
    with pytest.raises(ValueError, match=message):
        next(RunKFold(n_splits).split(X, y))


@pytest.mark.parametrize("splitter", [RunKFold(2), RunTimeSplit(2)])
def test_labels_of_another_length_than_the_rows_are_refused(splitter):
    X, y = make_log([(1, 20)] * 4)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[80, 79\]"):
        next(splitter.split(X, y[:-1]))


class Witness(LogisticRegression):
    """A classifier that remembers the runs of every log it was fitted on."""

    seen: list = []

    def fit(self, X, y):
        self.seen.append(X.index.get_level_values("machine").value_counts().to_dict())
        return super().fit(X, y)


def test_runs_stay_whole_in_a_nested_search():
    X, y = make_log([(2, 20)] * 6)
    Witness.seen.clear()
    search = GridSearchCV(Witness(), {"C": [0.1, 1.0]}, cv=RunKFold(2), scoring="average_precision")
    scores = cross_val_score(clone(search), X, y, cv=RunKFold(3), scoring="average_precision")
    assert scores.shape == (3,) and (scores > 0.9).all()
    assert len(Witness.seen) == 3 * (2 * 2 + 1)
    assert all(set(rows.values()) == {20} for rows in Witness.seen)
    assert sorted({len(rows) for rows in Witness.seen}) == [2, 4]


def test_scores_of_every_row_come_from_a_fit_without_its_run():
    X, y = make_log([(2, 20)] * 4)
    proba = cross_val_predict(LogisticRegression(), X, y, cv=RunKFold(4), method="predict_proba")
    for machine in X.index.unique("machine"):
        own = X.index.get_level_values("machine") == machine
        alone = LogisticRegression().fit(X[~own], y[~own]).predict_proba(X[own])
        np.testing.assert_allclose(proba[own], alone, rtol=1e-6)


@pytest.mark.parametrize(
    "text", ["RunKFold(n_splits=3, shuffle=True, random_state=7)", "RunTimeSplit(n_splits=3, gap='12h')"]
)
def test_a_splitter_is_written_as_it_is_made(text):
    splitter = eval(text)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=splitter)
    assert repr(splitter) == text
    assert text in repr(search) and text in repr(clone(search))


# Folds in time


@given(
    times=st.lists(
        st.lists(st.integers(0, 60), min_size=4, max_size=30, unique=True).map(sorted), min_size=1, max_size=3
    ),
    n_splits=st.integers(1, 3),
    gap=st.one_of(st.integers(0, 8), st.floats(0, 8)),
)
@quickly
def test_training_rows_end_more_than_the_gap_before_the_test_rows_of_all_runs(times, n_splits, gap):
    index = pd.MultiIndex.from_tuples([(f"m{run}", time) for run, clock in enumerate(times) for time in clock])
    X = pd.DataFrame({"speed": np.zeros(len(index))}, index=index)
    clock = index.get_level_values(1).to_numpy()
    try:
        folds = list(RunTimeSplit(n_splits, gap=gap).split(X))
    except ValueError as error:
        assert "nothing to train or test on" in str(error) or "points in time" in str(error)
        return
    assert len(folds) == n_splits
    for train, test in folds:
        assert clock[train].max() < clock[test].min() - gap
        np.testing.assert_array_equal(train, np.flatnonzero(clock < clock[test].min() - gap))
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(clock >= clock[tested].min()))
    assert len(set(tested)) == len(tested)
    for (_, test), (_, later) in pairwise(folds):
        assert clock[test].max() < clock[later].min()


@pytest.mark.parametrize("tz", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("gap", ["7min", pd.Timedelta("7min"), np.timedelta64(7, "m")])
def test_a_gap_in_time_leaves_out_the_rows_within_it(tz, gap):
    times = pd.date_range("2024-03-30 22:00", periods=600, freq="min", tz=tz)  # past a change of clocks
    X = pd.DataFrame({"speed": np.zeros(600)}, index=times)
    for train, test in RunTimeSplit(5, gap=gap).split(X):
        assert len(test) == 100
        assert times[test[0]] - times[train[-1]] == pd.Timedelta("8min")


@pytest.mark.parametrize("gap", [0, 0.0, np.int64(0), "0s", pd.Timedelta(0)])
def test_no_gap_may_be_written_in_any_way(gap):
    X = pd.DataFrame({"speed": np.zeros(9)}, index=pd.date_range("2024-01-01", periods=9))
    assert [len(train) for train, _ in RunTimeSplit(2, gap=gap).split(X)] == [3, 6]


def test_a_decimal_gap_counts_as_it_is_written():
    X = pd.DataFrame({"speed": np.zeros(100)}, index=np.arange(100) * 0.1)
    for train, test in RunTimeSplit(9, gap=0.3).split(X):
        assert test[0] - train[-1] == 4


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64", "float32", "float64"])
def test_every_late_row_is_tested_whatever_the_type_of_the_times(dtype):
    times = np.arange(119, 128) if dtype == "int8" else np.arange(247, 256)
    times = times * (2.0**17 if dtype.startswith("float") else 1)
    X = pd.DataFrame({"speed": np.zeros(9)}, index=pd.Index(times, dtype=dtype))
    assert [test.tolist() for _, test in RunTimeSplit(2).split(X)] == [[3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(
    ("y", "parameters", "message"),
    [
        ("000000011", {"n_splits": 2}, "Fold 0 trains on rows without an event. Lower n_splits=2, or use RunKFold"),
        ("110000000", {"n_splits": 2}, "Fold 0 tests on rows without an event"),
        ("110010000", {"n_splits": 2}, "Fold 1 tests on rows without an event"),
        ("110010010", {"n_splits": 2, "gap": 3}, "Fold 0 has nothing to train or test on. Lower gap=3 or n_splits"),
        ("110010010", {"n_splits": 9}, "n_splits=9 does not fit 9 points in time"),
        ("110010010", {"n_splits": 0}, "n_splits=0 does not fit 9 points in time"),
        ("110010010", {"n_splits": 2, "gap": -1}, "gap=-1 is negative"),
        ("110010010", {"n_splits": 2, "gap": "1h"}, "gap='1h' is a length of time, but the index holds numbers"),
    ],
)
def test_folds_in_time_that_cannot_be_are_refused(y, parameters, message):
    with pytest.raises(ValueError, match=message):
        list(RunTimeSplit(**parameters).split(np.zeros((9, 1)), [int(label) for label in y]))


def test_a_number_is_no_gap_between_dates():
    X = pd.DataFrame({"speed": np.zeros(9)}, index=pd.date_range("2024-01-01", periods=9))
    with pytest.raises(ValueError, match=r"gap=2 is not a length of time.*Pass a string such as '15min'"):
        next(RunTimeSplit(2, gap=2).split(X))


def make_log(runs):
    """A log of runs with these numbers of events, each a row, and of rows."""
    tuples = [(f"m{run}", time) for run, (_, n_rows) in enumerate(runs) for time in range(n_rows)]
    index = pd.MultiIndex.from_tuples(tuples, names=["machine", "time"])
    label = np.concatenate([np.isin(np.arange(n_rows), 2 * np.arange(n_events) + 1) for n_events, n_rows in runs])
    assert not label.any() or is_event(label).sum() == label.sum()
    y = pd.Series(label.astype(int), index=index, name="failure")
    noise = np.random.RandomState(0).normal(size=len(index))
    return pd.DataFrame({"speed": 8.0 * y + noise}, index=index), y


def test_runs_without_events_are_spread_over_the_folds_too():
    index = pd.MultiIndex.from_product([range(30), range(10)], names=["machine", "time"])
    y = pd.Series(0, index=index)
    for run in range(5):
        y[run, 5] = 1
    X = pd.DataFrame({"sensor": 0.0}, index=index)
    assert [len(test) for _, test in RunKFold(5).split(X, y)] == [60] * 5


def test_an_event_that_lasts_into_the_test_part_is_not_trained_on():
    index = pd.MultiIndex.from_product([["a", "b"], range(30)], names=["machine", "time"])
    y = pd.Series(0, index=index)
    for run, begin, end in [("a", 8, 12), ("b", 3, 5), ("b", 20, 22)]:  # the first lasts over the border at 10
        y.loc[[(run, time) for time in range(begin, end)]] = 1
    X = pd.DataFrame({"sensor": 0.0}, index=index)
    train, test = next(RunTimeSplit(2).split(X, y))
    times = index[train]
    assert ("a", 7) in times and ("a", 8) not in times and ("a", 9) not in times
    assert ("b", 9) in times
    assert ("a", 10) in index[test]


# Folds between events


def events_at(runs):
    """A log with events from a time up to another, for each run."""
    index = pd.MultiIndex.from_product([range(len(runs)), range(60)], names=["machine", "time"])
    y = pd.Series(0, index=index)
    for run, spans in enumerate(runs):
        for begin, length in spans:
            y.loc[[(run, time) for time in range(begin, min(begin + length, 60))]] = 1
    return pd.DataFrame({"sensor": 0.0}, index=index), y


spans = st.lists(st.tuples(st.integers(0, 59), st.integers(1, 4)), max_size=3)


@given(runs=st.lists(spans, min_size=1, max_size=3), n_splits=st.integers(1, 4), gap=st.integers(0, 5))
@quickly
def test_folds_between_events_cut_none_and_each_has_one_to_train_and_to_test(runs, n_splits, gap):
    X, y = events_at(runs)
    try:
        folds = list(EventTimeSplit(n_splits, gap=gap).split(X, y))
    except ValueError as error:
        assert "events apart in time" in str(error) or "no event to train on" in str(error)
        return
    clock = X.index.get_level_values("time").to_numpy()
    number = np.where(y == 1, event_onsets(y.to_numpy() == 1, read_index(X).runs).cumsum(), 0)
    assert len(folds) == n_splits
    for train, test in folds:
        assert clock[train].max() < clock[test].min() - gap
        for rows in (train, test):
            own = set(number[rows]) - {0}
            assert own
            assert np.isin(number, list(own)).sum() == np.isin(number[rows], list(own)).sum()
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(clock >= clock[tested].min()))


@pytest.mark.parametrize("freq", [None, "h", "ns"])
def test_events_are_shared_out_evenly_in_any_unit_of_time(freq):
    X, y = events_at([[(3 + 6 * k, 2) for k in range(9)]])
    if freq:
        X = y.to_frame().set_axis(pd.date_range("2024-01-01", periods=60, freq=freq))
    n_events = [(np.diff(y.to_numpy()[test], prepend=0) == 1).sum() for _, test in EventTimeSplit(2).split(X, y)]
    assert n_events == [3, 3]


def test_events_that_crowd_in_time_still_leave_one_for_each_fold():
    X, y = events_at([[(5, 2)], [(20, 2), (21, 9)], [(40, 1), (43, 1), (45, 1), (47, 1), (49, 1)]])
    for _, test in EventTimeSplit(5).split(X, y):
        assert y.iloc[test].sum() >= 1


@pytest.mark.parametrize(
    ("runs", "parameters", "message"),
    [
        ([[(5, 2)], [(6, 3)]], {"n_splits": 1}, "n_splits=1 needs 2 events apart in time.*y holds 1"),
        ([[]], {"n_splits": 1}, "n_splits=1 needs 2 events apart in time.*y holds 0"),
        ([[(5, 2), (20, 2)]], {"n_splits": 0}, "n_splits=0 needs 2 events"),
        ([[(5, 2), (20, 2)]], {"n_splits": 1, "gap": 20}, "gap=20 leaves fold 0 no event to train on"),
        ([[(5, 2), (20, 2)]], {"n_splits": 1, "gap": "1h"}, "gap='1h' is a length of time"),
    ],
)
def test_too_few_events_for_the_folds_are_refused(runs, parameters, message):
    with pytest.raises(ValueError, match=message):
        list(EventTimeSplit(**parameters).split(*events_at(runs)))


def test_folds_between_events_serve_in_a_search():
    X, y = events_at([[(3 + 6 * k, 2) for k in range(9)]])
    X = X + y.to_numpy()[:, None]
    splitter = EventTimeSplit(n_splits=3, gap=1)
    scores = cross_val_score(LogisticRegression(), X, y, cv=splitter, scoring="average_precision")
    assert scores.tolist() == [1.0] * 3
    assert repr(splitter) == "EventTimeSplit(n_splits=3, gap=1)" and splitter.get_n_splits() == 3


# The rule for refitting
