"""A log cut into windows: the view equals a plain loop, never crosses a run or a gap, and costs next to nothing."""

import datetime
import pickle
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm import LogWindows, forecast_windows, horizon_labels
from eventlstm.logs.events import event_onsets, is_event
from eventlstm.logs.index import read_index
from eventlstm.logs.steps import find_stretches

GAP = 50  # units of time between two stretches of a run; rows of a stretch are 1 apart
MAX_GAP = 10
quickly = settings(max_examples=60, deadline=None)
stretch_lengths = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=3)


# Windows


@given(runs=stretch_lengths, window_size=st.integers(1, 7), stride=st.integers(1, 5), pad=st.booleans())
@quickly
def test_windows_equal_those_of_a_plain_loop(runs, window_size, stride, pad):
    X, stretch = make_log(runs)
    windows = LogWindows(X, window_size, stride=stride, max_gap=MAX_GAP, pad=pad)
    cut, ends = plain_windows(X.to_numpy(), stretch, window_size, stride, pad)
    np.testing.assert_array_equal(windows[:], cut)
    np.testing.assert_array_equal(windows.ends, ends)
    np.testing.assert_array_equal(windows.starts, np.flatnonzero(np.diff(stretch, prepend=-1)))
    assert windows.shape == cut.shape and len(windows) == len(cut)


def test_a_pickle_holds_the_log_once_and_gives_the_same_windows():
    windows = LogWindows(np.random.default_rng(0).normal(size=(500, 2)), 50, stride=3)
    pickled = pickle.dumps(windows)
    np.testing.assert_array_equal(pickle.loads(pickled)[:], windows[:])
    assert windows.values.nbytes < sys.getsizeof(windows) < len(pickled) * 1.1 < 2 * windows.values.nbytes


@given(runs=stretch_lengths, window_size=st.integers(1, 7), stride=st.integers(1, 5), pad=st.booleans())
@quickly
def test_no_window_crosses_a_run_or_a_gap(runs, window_size, stride, pad):
    X, stretch = make_log(runs)
    X["stretch"] = stretch.astype(float)
    windows = LogWindows(X, window_size, stride=stride, max_gap=MAX_GAP, pad=pad)
    held = windows[:][:, :, -1]  # (n_windows, window_size)
    np.testing.assert_array_equal(held, np.repeat(stretch[windows.ends][:, None], window_size, axis=1))


@given(runs=stretch_lengths, window_size=st.integers(1, 7), stride=st.integers(1, 5), pad=st.booleans())
@quickly
def test_scores_on_rows_are_those_of_the_latest_window_of_the_stretch(runs, window_size, stride, pad):
    X, stretch = make_log(runs)
    windows = LogWindows(X, window_size, stride=stride, max_gap=MAX_GAP, pad=pad)
    expected = np.full(len(X), np.nan)
    for row in range(len(X)):
        before = [k for k, end in enumerate(windows.ends) if end <= row and stretch[end] == stretch[row]]
        if before:
            expected[row] = before[-1]
    np.testing.assert_array_equal(windows.to_rows(np.arange(len(windows))), expected)


@given(runs=stretch_lengths, window_size=st.integers(1, 7))
@quickly
def test_a_padded_window_at_every_row_makes_scores_per_window_and_per_row_the_same(runs, window_size):
    X, _ = make_log(runs)
    windows = LogWindows(X, window_size, max_gap=MAX_GAP)
    scores = np.random.RandomState(0).normal(size=(len(X), 2))
    np.testing.assert_array_equal(windows.to_rows(scores), scores)
    np.testing.assert_array_equal(windows.to_rows(windows[:][:, -1, 0]), X.to_numpy()[:, 0])


@pytest.mark.parametrize("window_size", [1, 3, 40])
@pytest.mark.parametrize("pad", [True, False])
def test_an_item_is_that_of_the_array_of_all_windows(window_size, pad):
    X, _ = make_log([[9, 4], [8]])
    windows = LogWindows(X, window_size, max_gap=MAX_GAP, pad=pad)
    whole = np.asarray(windows)
    mask = np.arange(len(windows)) % 3 == 1
    items = [slice(2, 9), slice(None, None, -2), slice(5, 2), [], mask, mask.tolist(), np.array([], dtype=int)]
    if len(windows):
        items += [0, -1, np.int64(1), [1, -1, 1], np.array([3, 0])]
    for item in items:
        np.testing.assert_array_equal(windows[item], whole[item], err_msg=repr(item))


def test_windows_can_be_looped_over():
    windows = LogWindows(np.arange(5.0)[:, None], 2)
    np.testing.assert_array_equal(np.stack(list(windows)), windows[:])


@pytest.mark.parametrize("item", [5, -6, [0, 5], np.ones(4, dtype=bool)])
def test_a_window_that_is_not_there_is_an_error(item):
    with pytest.raises(IndexError, match=r"out of bounds|did not match"):
        LogWindows(np.zeros((5, 1)), 2)[item]


def test_numpy_takes_windows_for_the_array_they_stand_for():
    windows = LogWindows(np.arange(8.0).reshape(4, 2), 3)
    array = np.asarray(windows, dtype=np.float32)
    assert array.shape == windows.shape == (4, 3, 2) and array.dtype == np.float32
    np.testing.assert_array_equal(array[-1], [[2, 3], [4, 5], [6, 7]])


def test_windows_of_known_stretches_are_those_of_the_log():
    X, _ = make_log([[5, 7], [3]])
    of_log = LogWindows(X, 4, stride=2, max_gap=MAX_GAP)
    of_array = LogWindows.from_stretches(X.to_numpy(), find_stretches(X, MAX_GAP), 4, stride=2)
    np.testing.assert_array_equal(of_array[:], of_log[:])


def test_a_million_rows_cost_less_than_20_mb_over_the_log_and_a_batch_only_itself():
    values = np.zeros((1_000_000, 8), dtype=np.float32)
    times = pd.date_range("2024-01-01", periods=100_000, freq="min")
    X = pd.DataFrame(values, index=pd.MultiIndex.from_product([range(10), times]), copy=False)
    tracemalloc.start()
    try:
        windows = LogWindows(X, 64)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        batch = windows[np.arange(1000, 1256)]
        batch_cost = tracemalloc.get_traced_memory()[1] - kept
    finally:
        tracemalloc.stop()
    assert kept < 20e6 and peak < 22e6
    assert batch_cost < 1.2 * batch.nbytes
    assert np.shares_memory(windows.values, values)


@pytest.mark.parametrize("item", [7, slice(6, 9), [0, 7]])
def test_a_window_asked_for_may_be_written_to(item):
    values = np.arange(20.0).reshape(10, 2)
    windows = LogWindows(values, 3)
    cut = windows[item]
    cut[:] = -1
    assert not np.shares_memory(cut, values) and (values >= 0).all()


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("frame", [True, False])
def test_an_empty_log_has_no_windows(pad, frame):
    index = pd.MultiIndex.from_arrays([[], pd.DatetimeIndex([])])
    X = pd.DataFrame(np.zeros((0, 2)), index=index) if frame else np.zeros((0, 2))
    windows = LogWindows(X, 3, pad=pad)
    assert windows.shape == windows[:].shape == (0, 3, 2)
    assert windows.to_rows([]).shape == (0,)


def test_what_cannot_be_cut_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"window_size=0 and stride=1 must be at least 1"):
        LogWindows(np.zeros((3, 1)), 0)
    with pytest.raises(ValueError, match=r"stride=-1 must be at least 1"):
        LogWindows(np.zeros((3, 1)), 2, stride=-1)
    with pytest.raises(ValueError, match=r"shape \(4,\).*X.reshape\(-1, 1\)"):
        LogWindows(np.zeros(4), 2)
    with pytest.raises(ValueError, match=r"2 scores came for 3 windows"):
        LogWindows(np.zeros((3, 1)), 2).to_rows([0.0, 1.0])


# Labels ahead of an event


@given(
    runs=stretch_lengths,
    horizon=st.one_of(st.integers(0, 12), st.floats(0, 60)),
    inside=st.sampled_from([("positive", 1), ("negative", 0), ("ignore", -1)]),
    data=st.data(),
)
@quickly
def test_labels_ahead_of_events_equal_those_of_a_plain_loop(runs, horizon, inside, data):
    X, _ = make_log(runs)
    y = pd.Series(data.draw(st.lists(st.integers(0, 1), min_size=len(X), max_size=len(X))), index=X.index, name="jam")
    labels = horizon_labels(y, horizon, inside_event=inside[0])
    run, time = (X.index.get_level_values(level).to_numpy() for level in (0, 1))
    begins = [k for k in range(len(y)) if y.iloc[k] and (k == 0 or run[k] != run[k - 1] or not y.iloc[k - 1])]
    clock = np.arange(len(y)) if isinstance(horizon, int) else time
    for row in range(len(y)):
        early = any(run[b] == run[row] and b > row and clock[b] - clock[row] <= horizon for b in begins)
        assert labels.iloc[row] == (inside[1] if y.iloc[row] else early)
    assert labels.index is y.index or labels.index.equals(y.index)
    assert labels.name == "jam" and labels.dtype == np.int64


@pytest.mark.parametrize(
    "horizon", ["2h", "120min", pd.Timedelta("2h"), np.timedelta64(120, "m"), datetime.timedelta(hours=2), 2]
)
def test_a_horizon_in_time_may_be_written_in_any_way(horizon):
    y = pd.Series([0, 0, 0, 0, 1], index=pd.date_range("2024-01-01", periods=5, freq="h"))
    assert horizon_labels(y, horizon).tolist() == [0, 0, 1, 1, 1]


def test_a_horizon_in_time_is_real_time_when_the_clocks_change():
    spring = pd.date_range("2024-03-31 00:00", periods=6, freq="h", tz="Europe/Berlin")  # 02:00 does not exist
    y = pd.Series([0, 0, 0, 0, 0, 1], index=spring)
    assert horizon_labels(y, "4h").tolist() == [0, 1, 1, 1, 1, 1]


def test_a_horizon_counts_time_across_a_gap_and_rows_without_it():
    y = pd.Series([1, 0, 0, 0, 0, 1], index=[0, 1, 2, 12, 13, 14])
    assert horizon_labels(y, 3.0).tolist() == [1, 0, 0, 1, 1, 1]
    assert horizon_labels(y, 3).tolist() == [1, 0, 1, 1, 1, 1]


def test_decimal_times_count_as_they_are_written():
    y = pd.Series([0] * 9 + [1], index=np.arange(10) * 0.1)
    for steps in range(10):
        assert horizon_labels(y, round(steps * 0.1, 1)).sum() == steps + 1


def test_the_rows_before_the_next_run_are_not_those_before_its_event():
    index = pd.MultiIndex.from_product([["a", "b"], range(3)])
    assert horizon_labels(pd.Series([0, 0, 0, 1, 0, 0], index=index), 5).tolist() == [0, 0, 0, 1, 0, 0]


def test_events_at_the_first_and_the_last_row_are_events():
    assert horizon_labels([1, 0, 0, 0, 1], 1).tolist() == [1, 0, 0, 1, 1]
    assert horizon_labels([1, 1, 1], 5, inside_event="ignore").tolist() == [-1, -1, -1]


def test_labels_may_be_of_any_type_that_holds_0_and_1():
    expected = horizon_labels([0, 0, 1], 1)
    for y in ([False, False, True], np.array([0.0, 0.0, 1.0]), pd.Series([0, 0, 1], dtype="boolean")):
        np.testing.assert_array_equal(horizon_labels(y, 1), expected)
    assert horizon_labels([], 2).shape == (0,)


DATES = pd.date_range("2024-01-01", periods=3, freq="h")


@pytest.mark.parametrize(
    ("y", "horizon", "message"),
    [
        ([0, 1, 2], 1, r"y holds \[0 1 2\].*labels 0 \(quiet\) and 1 \(event\)"),
        ([0, 1, np.nan], 1, "y holds .*nan.*labels 0"),
        (["0", "1", "0"], 1, "y holds .*labels 0"),
        (pd.Series([0, None, 1], dtype="boolean"), 1, "y holds .*NA.*labels 0"),
        (np.ma.masked_array([0, 1, 0], mask=[0, 1, 0]), 1, "y holds .*labels 0"),
        ([0, 0, 1], -1, "horizon=-1 is negative or undefined"),
        ([0, 0, 1], np.nan, "horizon=nan is negative or undefined"),
        ([0, 0, 1], "2h", "horizon='2h' is a length of time, but the index holds numbers. Pass a number"),
        (pd.Series([0, 0, 1], index=DATES), 1.5, "horizon=1.5 is not a length of time.*such as '15min'"),
        (pd.Series([0, 0, 1], index=DATES), "30", "horizon='30' is not a length of time.*such as '15min'"),
        (pd.Series([0, 0, 1], index=DATES), "soon", "horizon='soon' is not a length of time.*such as '15min'"),
        (pd.Series([0, 0, 1], index=DATES), "-2h", "horizon='-2h' is negative"),
    ],
)
def test_labels_and_horizons_that_make_no_sense_are_refused(y, horizon, message):
    with pytest.raises(ValueError, match=message):
        horizon_labels(y, horizon)


def test_an_unknown_way_to_label_the_inside_of_an_event_is_refused():
    with pytest.raises(ValueError, match=r"inside_event='maybe' is unknown. Choose one of"):
        horizon_labels([0, 1], 1, inside_event="maybe")


def test_an_event_begins_after_quiet_and_with_its_run():
    event = np.array([1, 1, 0, 1, 1, 1], dtype=bool)
    onsets = event_onsets(event, np.array([0, 0, 0, 0, 1, 1]))
    assert np.flatnonzero(onsets).tolist() == [0, 3, 4]


def test_an_event_is_what_does_not_carry_the_most_frequent_label():
    assert is_event(["ok", "jam", "ok", "leak"]).tolist() == [False, True, False, True]
    assert is_event([0, 0, 0]).tolist() == [False] * 3


# The index


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", "float32", "float64", "Int64", "Float64"])
def test_times_of_any_number_type_are_read_alike(dtype):
    times = pd.Index([0, 1, 2, 100, 101], dtype=dtype)
    assert find_stretches(frame(times), 10).tolist() == [0, 3]
    with pytest.raises(ValueError, match="unsorted"):
        read_index(frame(times[::-1]))


@pytest.mark.parametrize("tz", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_date_times_of_any_unit_and_zone_are_read_alike(tz, unit):
    times = pd.date_range("2024-01-01", periods=6, freq="30s", tz=tz).as_unit(unit).delete([2, 3])
    assert find_stretches(frame(times), "89s").tolist() == [0, 2]
    assert find_stretches(frame(times), "90s").tolist() == [0]
    assert find_stretches(frame(times - times[0]), "89s").tolist() == [0, 2]  # times since the start


@pytest.mark.parametrize("max_gap", ["auto", None, 3, 3.0, np.float32(3)])
def test_a_gap_is_a_step_longer_than_max_gap(max_gap):
    X = frame(pd.Index([0, 1, 2, 5, 6, 16, 17, 28, 29]))
    expected = {"auto": [0, 7], None: [0]}.get(max_gap, [0, 5, 7])
    assert find_stretches(X, max_gap).tolist() == expected


def test_decimal_steps_of_max_gap_are_no_gaps():
    assert find_stretches(frame(pd.Index(np.arange(1000) * 0.1)), 0.1).tolist() == [0]


def test_the_step_from_run_to_run_is_no_measure_of_a_gap():
    times = [0, 1, 500, 501, 1000, 1001, 1500, 1501, 1601]
    index = pd.MultiIndex.from_arrays([list("aabbccddd"), times])
    assert find_stretches(frame(index)).tolist() == [0, 2, 4, 6, 8]


def test_all_levels_but_the_last_name_the_run():
    index = pd.MultiIndex.from_tuples([("x", 1, 0), ("x", 1, 1), ("x", 2, 0), ("y", 2, 0), ("y", 1, 0)])
    assert read_index(frame(index)).runs.tolist() == [0, 0, 1, 2, 3]
    assert find_stretches(frame(index), None).tolist() == [0, 2, 3, 4]


def test_runs_are_known_by_their_rows_and_not_by_the_names_the_index_remembers():
    index = pd.MultiIndex.from_product([["a", "b", "c"], range(2)])
    assert read_index(frame(index)[index.get_level_values(0) != "b"]).runs.tolist() == [0, 0, 1, 1]


def test_a_max_gap_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="max_gap='90s' is a length of time, but the index holds numbers"):
        find_stretches(np.zeros((3, 1)), "90s")
    with pytest.raises(ValueError, match=r"max_gap=90 is not a length of time.*Pass a string such as '15min'"):
        find_stretches(frame(DATES), 90)
    with pytest.raises(ValueError, match="max_gap=-1 is negative"):
        find_stretches(np.zeros((3, 1)), -1)


def test_an_unsorted_log_is_refused_and_sorting_it_is_the_remedy():
    X, _ = make_log([[4], [4]])
    torn = X.iloc[[0, 2, 1, 3, 4, 5, 6, 7]]
    with pytest.raises(ValueError, match=r"unsorted: row 2 .*X = X.sort_index\(\)"):
        read_index(torn)
    read_index(torn.sort_index())


def test_a_run_whose_rows_are_apart_is_refused_and_sorting_is_the_remedy():
    X, _ = make_log([[4], [4]])
    mixed = X.iloc[[0, 4, 1, 5, 2, 6, 3, 7]]
    with pytest.raises(ValueError, match=r"rows of a run are not together.*X = X.sort_index\(\)"):
        read_index(mixed)
    read_index(mixed.sort_index())


def test_duplicated_times_are_refused_and_dropping_them_is_the_remedy():
    X, _ = make_log([[4], [4]])
    double = X.iloc[[0, 1, 1, 2, 3, 4]]
    with pytest.raises(ValueError, match=r"duplicated times: row 2 repeats .*~X.index.duplicated\(keep='last'\)"):
        read_index(double)
    read_index(double[~double.index.duplicated(keep="last")])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (pd.DatetimeIndex(["2024-01-01", None, None]), "2 rows have no time in the index. Give them one, or drop them"),
        (pd.Index([0.0, 1.0, np.nan]), "1 rows have no time"),
        (pd.Index(["x", "y", "z"], name="t"), r"must hold times, but 't' .*X.set_index\(\['machine', 'time'\]\)"),
        (pd.Index([False, True, True]), "must hold times"),
        (pd.MultiIndex.from_arrays([DATES, ["a", "b", "c"]]), "must hold times"),
        (pd.MultiIndex.from_arrays([["a", None, "b"], DATES]), "without the name of their run. Name the run"),
    ],
)
def test_an_index_without_times_or_runs_is_refused(index, message):
    with pytest.raises(ValueError, match=message):
        read_index(frame(index))


def make_log(runs):
    """A log of these lengths of stretches, two sensors wide, and the number of the stretch of each row."""
    index, stretch = [], []
    for run, lengths in enumerate(runs):
        time = 0
        for length in lengths:
            index += [(f"m{run}", time + step) for step in range(length)]
            stretch += [stretch[-1] + 1 if stretch else 0] * length
            time += length + GAP
    values = np.arange(2.0 * len(index)).reshape(-1, 2)
    index = pd.MultiIndex.from_tuples(index, names=["machine", "time"])
    return pd.DataFrame(values, index=index, columns=["speed", "heat"]), np.array(stretch)


def plain_windows(values, stretch, window_size, stride, pad):
    """Windows cut one by one, and the rows at which they end."""
    cut, ends = [], []
    for number in np.unique(stretch):
        rows = np.flatnonzero(stretch == number)
        for end in rows[0 if pad else window_size - 1 :: stride]:
            cut.append([values[max(row, rows[0])] for row in range(end - window_size + 1, end + 1)])
            ends.append(end)
    return np.array(cut).reshape(-1, window_size, values.shape[1]), np.array(ends, dtype=int)


def frame(index):
    """A log of one sensor with this index."""
    return pd.DataFrame({"speed": np.zeros(len(index))}, index=index)


@pytest.mark.parametrize("cut", [lambda X: LogWindows(X, 10**9), lambda X: forecast_windows(X, 10**9)])
def test_windows_that_no_memory_can_hold_are_refused(cut):
    with pytest.raises(ValueError, match="window_size=1000000000 is more than the 300 rows of the log"):
        cut(np.zeros((300, 2)))
