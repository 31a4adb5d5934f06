"""Labels and tables of events say the same, and no event crosses the border of a run."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm.logs.events import find_events, to_events, to_labels

FLAGS = st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=4)


def log_index(lengths, *, with_clock=True, n_levels=2):
    """The index of runs of these lengths, each a minute a row."""
    times = [
        pd.date_range("2024-01-01", periods=n, freq="min", tz="UTC") if with_clock else np.arange(n) for n in lengths
    ]
    names = [tuple([f"plant {number}", "pump"][: n_levels - 1]) for number in range(len(lengths))]
    rows = [(*name, time) for name, run_times in zip(names, times, strict=True) for time in run_times]
    return pd.MultiIndex.from_tuples(rows)


@settings(max_examples=40, deadline=None)
@given(FLAGS, st.booleans(), st.sampled_from([2, 3]))
def test_labels_made_of_events_are_the_labels_the_events_were_made_of(runs, with_clock, n_levels):
    index = log_index([len(run) for run in runs], with_clock=with_clock, n_levels=n_levels)
    y = pd.Series(np.concatenate(runs).astype(int), index=index)
    pd.testing.assert_series_equal(to_labels(to_events(y), y.index), y, check_names=False)


@settings(max_examples=40, deadline=None)
@given(FLAGS)
def test_events_of_a_log_are_those_of_its_runs_one_by_one(runs):
    flags = np.concatenate(runs)
    starts = np.cumsum([0, *map(len, runs)])[:-1]
    found = list(zip(*find_events(flags, starts), strict=True))
    assert found == [
        (start + first, start + last)
        for start, run in zip(starts, runs, strict=True)
        for first, last in plain_loop(run)
    ]


def plain_loop(flags):
    """The first and last row of each run of flags, told apart row by row."""
    events = []
    for row, flag in enumerate(flags):
        if flag and row and flags[row - 1]:
            events[-1] = (events[-1][0], row)
        elif flag:
            events.append((row, row))
    return events


def test_a_gap_in_time_ends_an_event_only_when_asked():
    y = pd.Series(1, index=pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 00:01", "2024-01-01 09:00"]))
    assert len(to_events(y)) == 1
    events = to_events(y, max_gap="1h")
    assert events["start"].tolist() == [y.index[0], y.index[2]] and events["end"].tolist() == [y.index[1], y.index[2]]


def test_the_peak_is_the_first_highest_score_that_is_known():
    score = [9.0, np.nan, 2.0, 3.0, 3.0, 9.0, np.nan]
    events = to_events([0, 1, 1, 1, 1, 0, 1], score)
    assert events["peak"].tolist() == [3, 6]
    np.testing.assert_array_equal(events["peak_score"], [3.0, np.nan])


def test_runs_of_several_levels_are_told_by_tuples():
    y = pd.Series([1, 1], index=log_index([1, 1], n_levels=3))
    assert to_events(y)["run"].tolist() == [("plant 0", "pump"), ("plant 1", "pump")]


@pytest.mark.parametrize("index", [pd.RangeIndex(3), log_index([3]), pd.date_range("2024", periods=3)])
def test_a_log_without_events_has_an_empty_table_with_the_columns_and_types_of_a_full_one(index):
    none, all_rows = (to_events(pd.Series(flag, index=index), np.ones(3)) for flag in (0, 1))
    assert len(none) == 0
    pd.testing.assert_series_equal(none.dtypes, all_rows.dtypes)


def test_the_times_of_events_need_not_be_those_of_rows():
    index = pd.date_range("2024-01-01", periods=6, freq="min")
    repairs = pd.DataFrame(
        {"start": ["2024-01-01 00:00:30", "2023-01-01"], "end": ["2024-01-01 00:02:30", "2023-01-02"]}
    )
    assert to_labels(repairs, index).tolist() == [0, 1, 1, 0, 0, 0]


def test_events_that_overlap_mark_their_rows_once():
    events = pd.DataFrame({"start": [0, 1, 4], "end": [2, 3, 9]})
    assert to_labels(events, pd.RangeIndex(6)).tolist() == [1, 1, 1, 1, 1, 1]


def test_an_array_is_one_run_and_takes_the_index_of_its_scores():
    score = pd.Series([0.2, 0.9], index=log_index([1, 1]))
    assert to_events([1, 1])[["run", "start", "end"]].to_numpy().tolist() == [[0, 0, 1]]
    assert to_events([1, 1], score)["run"].tolist() == ["plant 0", "plant 1"]


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([1, -1, 1], None, "where 0 and 1 are wanted"),
        ([0.0, np.nan], None, "where 0 and 1 are wanted"),
        ([[0], [1]], None, "one label per row"),
        ([0, 1], [0.1], "one score per row"),
        (pd.Series([0, 1]), pd.Series([0.1, 0.2], index=[4, 5]), "Align it"),
    ],
)
def test_what_is_no_label_or_no_score_of_these_rows_is_refused(y, score, message):
    with pytest.raises(ValueError, match=message):
        to_events(y, score)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"run": ["plant 7"], "start": [0], "end": [1]}, "Leave out the events of other runs"),
        ({"start": [0], "end": [1]}, r"no column \['run'\]"),
        ({"run": ["plant 0"], "start": [2], "end": [1]}, "not before its start"),
        ({"run": ["plant 0"], "start": [0.0], "end": [np.nan]}, "not before its start"),
    ],
)
def test_events_that_cannot_be_placed_are_refused(events, message):
    with pytest.raises(ValueError, match=message):
        to_labels(pd.DataFrame(events), log_index([4], with_clock=False))


def test_events_without_the_time_zone_of_the_log_are_refused():
    events = pd.DataFrame({"run": ["plant 0"], "start": ["2024-01-01"], "end": ["2024-01-02"]})
    with pytest.raises(ValueError, match="tz_localize"):
        to_labels(events, log_index([3]))
