"""Logs read from files: what is written comes back, whatever the format and the order, and faults are named."""

import gzip
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from eventlstm.logs.files import read_log

TIMES = {
    "whole": np.arange(40),
    "fractions": np.arange(40) / 4,
    "dates": pd.date_range("2024-01-01", periods=40, freq="10min"),
    "zoned": pd.date_range("2024-01-01", periods=40, freq="250ms", tz="UTC"),
}
RUNS = {
    "none": [],
    "text": [["B", "A"]],
    "numbers": [[10, 9]],
    "leading_zeros": [["07", "7"]],
    "two": [["B", "A"], [2, 1]],
}
every_time = pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
every_run = pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)


@every_time
@every_run
def test_a_table_comes_back_sorted_by_run_and_time(tmp_path, times, runs):
    table, names = make_table(times, runs)
    log = read_csv(tmp_path, table.sample(frac=1, random_state=0), run=names)
    keys = [*names, "time"]
    expected = table.sort_values(keys).set_index(keys)
    pd.testing.assert_frame_equal(log.X, expected[["speed", "heat"]])
    pd.testing.assert_series_equal(log.y, expected["label"])


@every_time
@every_run
def test_a_log_written_to_csv_gives_the_same_log_again(tmp_path, times, runs):
    table, names = make_table(times, runs)
    log = read_csv(tmp_path, table, run=names)
    again = read_csv(tmp_path, log.X.assign(label=log.y).reset_index(), run=names)
    assert_same(log, again)


@every_run
def test_the_order_of_the_rows_does_not_matter(tmp_path, runs):
    table, names = make_table(TIMES["dates"], runs)
    shuffled = table.sample(frac=1, random_state=0)
    assert_same(read_csv(tmp_path, table, run=names), read_csv(tmp_path, shuffled, run=names))


@every_time
@every_run
def test_csv_and_gzipped_csv_and_parquet_give_the_same_log(tmp_path, times, runs):
    pytest.importorskip("pyarrow")
    table, names = make_table(times, runs)
    table.to_csv(tmp_path / "log.csv", index=False)
    table.to_csv(tmp_path / "log.csv.gz", index=False)
    (tmp_path / "log.gz").write_bytes(gzip.compress((tmp_path / "log.csv").read_bytes()))
    table.to_parquet(tmp_path / "log.parquet")
    table.astype(dict.fromkeys(names, "category")).to_parquet(tmp_path / "LOG.PQ")
    first, *others = (read_log(path, time="time", run=names, label="label") for path in tmp_path.iterdir())
    for other in others:
        assert_same(first, other)


@every_time
@every_run
def test_an_index_written_to_parquet_counts_as_columns(tmp_path, times, runs):
    pytest.importorskip("pyarrow")
    table, names = make_table(times, runs)
    log = read_csv(tmp_path, table, run=names)
    log.X.to_parquet(tmp_path / "log.parquet")
    again = read_log(tmp_path / "log.parquet", time="time", run=names)
    assert again.y is None
    pd.testing.assert_frame_equal(log.X, again.X)


def test_sensors_come_in_the_order_asked_for(tmp_path):
    table, _ = make_table(TIMES["whole"], [])
    everything = read_csv(tmp_path, table)
    assert list(everything.X) == ["speed", "heat"]
    chosen = read_csv(tmp_path, table, sensors=["heat", "speed"])
    pd.testing.assert_frame_equal(chosen.X, everything.X[["heat", "speed"]])


def test_dropping_a_column_is_choosing_all_others(tmp_path):
    table = make_table(TIMES["whole"], [])[0].assign(remark="text is ignored as well")
    dropped = read_csv(tmp_path, table, drop=["speed", "remark"])
    assert_same(dropped, read_csv(tmp_path, table, sensors=["heat"]))


def test_a_single_name_may_stand_without_a_list(tmp_path):
    table, _ = make_table(TIMES["whole"], RUNS["text"])
    one = read_csv(tmp_path, table, run="run0", sensors="heat", drop="speed")
    assert_same(one, read_csv(tmp_path, table, run=["run0"], sensors=["heat"], drop=["speed"]))


def test_the_row_numbers_that_pandas_writes_are_no_sensor(tmp_path):
    table, _ = make_table(TIMES["whole"], [])
    expected = read_csv(tmp_path, table)
    table.to_csv(tmp_path / "numbered.csv")
    assert_same(expected, read_log(tmp_path / "numbered.csv", time="time", label="label"))


def test_sensors_are_floats_and_missing_values_stay_missing(tmp_path):
    path = write(tmp_path, "t,whole,truth,number,empty\n1,3,True,2.5,\n2,4,,,\n")
    X = read_log(path, time="t").X
    expected = {"whole": [3, 4], "truth": [1, None], "number": [2.5, None], "empty": [None, None]}
    pd.testing.assert_frame_equal(X, pd.DataFrame(expected, pd.Index([1, 2], name="t"), dtype="float64"))


def test_parquet_keeps_single_precision_and_reads_numbers_in_any_type(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"t": [1, 2], "single": np.float32([0.1, 0.2])})
    table = table.assign(text=["1", "2.5"], truth=[True, None], small=np.int8([1, 2]), half=np.float16([1, 2]))
    table.to_parquet(tmp_path / "log.parquet")
    X = read_log(tmp_path / "log.parquet", time="t").X
    assert [name for name in X if X[name].dtype == "float64"] == ["text", "truth", "small", "half"]
    assert X["single"].dtype == "float32"
    assert X["text"].tolist() == [1, 2.5]


@pytest.mark.parametrize(
    ("written", "classes"),
    [
        (["0", "1"], [0, 1]),
        (["0.0", "1.0"], [0, 1]),
        (["False", "True"], [0, 1]),
        (["7", "3"], [7, 3]),
        (["calm", "stall"], ["calm", "stall"]),
    ],
)
def test_labels_are_whole_numbers_or_words(tmp_path, written, classes):
    path = write(tmp_path, f"t,a,label\n1,0,{written[0]}\n2,0,{written[1]}\n")
    y = read_log(path, time="t", label="label").y
    assert y.tolist() == classes
    assert y.dtype == ("int64" if isinstance(classes[0], int) else "str")


@pytest.mark.parametrize(
    "written",
    [
        ["2024-05-31T23:00:00", "2024-06-01T00:00:00"],
        ["2024-05-31 23:00", "2024-06-01 00:00:00.000"],
        ["2024-05-31 23:00:00", "2024-06-01"],
        ["2024/05/31 23:00", "2024/06/01 00:00"],
        ["31.05.2024 23:00", "01.06.2024 00:00"],
        ["05/31/2024 23:00", "06/01/2024 00:00"],
    ],
)
def test_all_ways_to_write_a_time_give_the_same_times(tmp_path, written):
    path = write(tmp_path, f"t,a\n{written[0]},1\n{written[1]},2\n")
    index = read_log(path, time="t").X.index
    assert index.equals(pd.DatetimeIndex(["2024-05-31 23:00", "2024-06-01 00:00"]))


def test_a_day_that_only_a_later_row_makes_certain_is_read_with_its_help(tmp_path):
    path = write(tmp_path, "t,a\n03/04/2024,1\n13/04/2024,2\n")
    index = read_log(path, time="t").X.index
    assert index.equals(pd.DatetimeIndex(["2024-04-03", "2024-04-13"]))


def test_times_over_a_change_to_summer_time_become_utc(tmp_path):
    path = write(tmp_path, "t,a\n2024-03-31T01:30:00+01:00,1\n2024-03-31T03:30:00+02:00,2\n")
    index = read_log(path, time="t").X.index
    assert index.equals(pd.DatetimeIndex(["2024-03-31 00:30", "2024-03-31 01:30"], tz="UTC"))


@every_time
@every_run
def test_events_and_a_column_of_labels_agree(tmp_path, times, runs):
    table, names = make_table(times, runs)
    by_column = read_csv(tmp_path, table, run=names)
    events = find_events(by_column.y, names)
    by_events = read_csv(tmp_path, table.drop(columns="label"), label=None, run=names, events=events)
    pd.testing.assert_frame_equal(by_events.X, by_column.X)
    pd.testing.assert_series_equal(by_events.y, by_column.y, check_names=False)


@every_time
@every_run
def test_events_label_the_rows_that_a_plain_loop_labels(tmp_path, times, runs):
    table, names = make_table(times, runs)
    events = draw_events(table, names)
    log = read_csv(tmp_path, table, label=None, run=names, drop="label", events=events)
    expected = pd.Series(0, log.X.index, name="event")
    for event in events.to_dict("records"):
        inside = expected.index.get_level_values("time")
        inside = (inside >= event["start"]) & (inside <= event["end"])
        for name in names:
            inside &= expected.index.get_level_values(name) == event[name]
        expected[inside] = 1
    assert 0 < expected.mean() < 1
    pd.testing.assert_series_equal(log.y, expected)


def test_events_from_parquet_and_csv_agree(tmp_path):
    pytest.importorskip("pyarrow")
    table, names = make_table(TIMES["dates"], RUNS["two"])
    events = draw_events(table, names)
    events.to_parquet(tmp_path / "events.pq")
    path = write(tmp_path, table.to_csv(index=False))
    stored = read_log(path, time="time", run=names, drop="label", events=tmp_path / "events.pq")
    assert_same(stored, read_csv(tmp_path, table, label=None, run=names, drop="label", events=events))


def test_a_file_without_an_event_labels_all_rows_0(tmp_path):
    table, _ = make_table(TIMES["dates"], [])
    none = pd.DataFrame(columns=["start", "end"])
    assert not read_csv(tmp_path, table, label=None, drop="label", events=none).y.any()


def test_events_may_stand_in_another_time_zone_and_never_end(tmp_path):
    table, _ = make_table(TIMES["dates"].tz_localize("UTC"), [])
    events = pd.DataFrame({"start": ["2024-01-01T02:00:00+01:00"], "end": ["9999-12-31T00:00:00+00:00"]})
    y = read_csv(tmp_path, table, label=None, drop="label", events=events).y
    assert y.equals((y.index >= pd.Timestamp("2024-01-01T01:00", tz="UTC")) * pd.Series(1, y.index))


def test_an_event_without_a_row_is_warned_of_at_the_line_that_asked(tmp_path):
    path = write(tmp_path, "t,a\n1,0\n2,0\n")
    events = write(tmp_path, "start,end\n1,1\n1.2,1.8\n9,9\n", "events.csv")
    with pytest.warns(UserWarning, match=r"events\.csv: 2 of 3 events hold no row.* data row 2\.") as caught:
        log = read_log(path, time="t", events=events)
    assert log.y.tolist() == [1, 0]
    assert caught[0].filename == __file__


FAULTS = {
    "no_bytes": ("", {}, "The file is empty"),
    "blank_lines": ("\n\n", {}, "The file is empty"),
    "no_rows": ("t,a\n", {}, "no row of data"),
    "semicolons": ("t;a\n1;2\n", {}, r"no column 't'; the file has 't;a'\. Separate cells with commas"),
    "a_row_too_long": ("t,a\n1,2\n2,3,4\n", {}, "damaged.*Expected 2 fields in line 3, saw 3"),
    "all_rows_too_long": ("t,a\n1,2,3\n", {}, "damaged.*does not match"),
    "no_such_column": ("t,speed\n1,2\n", {"sensors": ["sped"]}, r"'sped'; .*Did you mean 'speed'\?"),
    "nothing_like_it": ("t,speed\n1,2\n", {"run": "motor"}, r"'motor'; the file has 't', 'speed'\. Name one"),
    "twice_there": ("t,a,a\n1,2,3\n", {}, r"Column 'a' is there twice\. Rename"),
    "twice_asked": ("t,a,b\n1,2,3\n", {"label": "a", "sensors": ["a"]}, r"'a' is asked for twice\. Name it once"),
    "time_and_run": ("t,a\n1,2\n", {"run": "t"}, "'t' is asked for twice"),
    "used_and_dropped": ("t,a,b\n1,2,3\n", {"label": "a", "drop": ["a"]}, "'a' is asked for twice"),
    "nothing_left": ("t,a\n1,2\n", {"drop": ["a"]}, "No column is left for a sensor"),
    "label_and_events": ("t,a\n1,2\n", {"label": "a", "events": "e.csv"}, r"both given\. Pass one"),
    "no_time": ("t,a\n1,2\n,3\n", {}, "'t' holds 'nan' in data row 2, where a value was wanted"),
    "infinite_time": ("t,a\n1,2\ninf,3\n", {}, "'t' holds 'inf' in data row 2, where a finite"),
    "truth_as_time": ("t,a\nTrue,2\nFalse,3\n", {}, "'t' holds 'True' in data row 1, where a number or a date"),
    "word_after_numbers": ("t,a\n1,2\n2,3\nx,4\n", {}, "'t' holds 'x' in data row 3, where a number, as in"),
    "word_after_dates": ("t,a\n2024-01-01,2\nx,3\n", {}, "'t' holds 'x' in data row 2, where a date-time was"),
    "number_after_dates": ("t,a\n2024-01-01,2\n2025,3\n", {}, "'t' holds '2025' in data row 2"),
    "words_as_time": ("t,a\nsoon,2\nlater,3\n", {}, "'t' holds 'soon' in data row 1, where a date-time was"),
    "no_such_day": ("t,a\n31.05.2024,2\n31.06.2024,3\n", {}, r"'31\.06\.2024' in data row 2"),
    "day_or_month": ("t,a\n05/05/2024,2\n03/04/2024,3\n", {}, "'03/04/2024' in data row 2.* which is the month"),
    "zone_lost": ("t,a\n2024-01-01T00Z,2\n2024-01-01T01,3\n", {}, "row 2, where a date-time with time zone"),
    "zone_found": ("t,a\n2024-01-01,2\n2024-01-01T01Z,3\n", {}, "row 2, where a date-time without time zone"),
    "no_run": ("t,r,a\n1,A,2\n2,,3\n", {"run": "r"}, "'r' holds 'nan' in data row 2.* words such as NA"),
    "no_label": ("t,l,a\n1,0,2\n2,,3\n", {"label": "l"}, "'l' holds 'nan' in data row 2.*Fill in"),
    "half_a_label": ("t,l,a\n1,0,2\n2,0.5,3\n", {"label": "l"}, r"'l' holds '0\.5' in data row 2.*whole number"),
    "stray_word": ("t,a\n1,2\n2,bad\n3,4\n", {}, r"'a' holds 'bad' in data row 2.*Clean .* drop 'a'"),
    "stray_line_break": ('t,a\n1,2\n2,"b\nc"\n3,4\n', {}, r"'a' holds 'b\\nc' in data row 2"),
    "words": ("t,a,b,c\n1,x,2,z\n", {}, r"not numbers: 'a', 'c'\. .* drop 'a', 'c'"),
    "infinite": ("t,a,b\n1,2,2\n2,3,-inf\n", {}, "'b' holds '-inf' in data row 2, where a finite number.*empty"),
    "same_time": ("t,a\n3,2\n1,2\n3,2\n3,2\n", {}, r"Data row 3 repeats the 't' of .*\(t=3\); such rows: 2\..*run"),
    "same_run_and_time": (
        "t,r,a\n3,A,2\n3,B,2\n3,A,2\n",
        {"run": "r"},
        r"Data row 3 repeats the 'r' and 't' of an earlier row \(r=A, t=3\); such rows: 1\. Remove or average them\.$",
    ),
    "not_text": (b"t,a\n1,\xff\n", {}, "not UTF-8 text .*Save it as UTF-8"),
}


@pytest.mark.parametrize(("content", "arguments", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_log_is_named_on_one_line(tmp_path, content, arguments, message):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        read_log(path, time="t", **arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith((f"{path}: ", "label="))


EVENT_FAULTS = {
    "no_such_column": ("r,start,stop\nA,1,2\n", "no column 'end'; the file has 'r', 'start', 'stop'"),
    "no_run_column": ("start,end\n1,2\n", "no column 'r'"),
    "unknown_run": ("r,start,end\nA,1,2\nC,1,2\n", "Data row 2 names the run 'C', but the log has 'A', 'B'"),
    "no_run": ("r,start,end\n,1,2\n", "'r' holds 'nan' in data row 1"),
    "never_ends": ("r,start,end\nA,1,\n", "'end' holds 'nan' in data row 1"),
    "ends_first": ("r,start,end\nA,1,2\nA,2,1\n", "'end' holds '1' in data row 2, where a time not before the"),
    "dates": ("r,start,end\nA,2024-01-01,2024-01-02\n", "'start' holds date-times.* but 't' of .* numbers"),
}


@pytest.mark.parametrize(("content", "message"), EVENT_FAULTS.values(), ids=EVENT_FAULTS)
def test_a_fault_in_the_events_is_named_on_one_line(tmp_path, content, message):
    log = write(tmp_path, "t,r,a\n1,A,0\n1,B,0\n")
    events = write(tmp_path, content, "events.csv")
    with pytest.raises(ValueError, match=message) as caught:
        read_log(log, time="t", run="r", events=events)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{events}: ")


def test_events_without_a_time_zone_do_not_fit_a_log_with_one(tmp_path):
    log = write(tmp_path, "t,a\n2024-01-01T00:00Z,1\n")
    events = write(tmp_path, "start,end\n2024-01-01,2024-01-02\n", "events.csv")
    with pytest.raises(ValueError, match=r"date-times without a time zone, but 't' of the log holds .* with a"):
        read_log(log, time="t", events=events)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"{name}: There is no such file"):
        read_log(tmp_path / name, time="t")


def test_missing_events_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"events\.csv: There is no such file"):
        read_log(write(tmp_path, "t,a\n1,2\n"), time="t", events=tmp_path / "events.csv")


def test_a_folder_is_no_table_of_events(tmp_path):
    with pytest.raises(ValueError, match="This is a folder"):
        read_log(write(tmp_path, "t,a\n1,2\n"), time="t", events=tmp_path)


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path):
    with pytest.raises(ValueError, match=r"neither CSV nor Parquet.*\.csv, \.gz, \.parquet, \.pq"):
        read_log(write(tmp_path, "t,a\n1,2\n", "log.xlsx"), time="t")


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_part_of_a_gzipped_file_is_refused(tmp_path, share):
    whole = gzip.compress(make_table(TIMES["fractions"], [])[0].to_csv(index=False).encode())
    path = write(tmp_path, whole[: int(share * len(whole))], "log.csv.gz")
    with pytest.raises(ValueError, match="damaged or of another kind: Compressed file ended"):
        read_log(path, time="time")


def test_plain_text_called_gzipped_is_refused(tmp_path):
    with pytest.raises(ValueError, match="damaged or of another kind: Not a gzipped file"):
        read_log(write(tmp_path, "t,a\n1,2\n", "log.csv.gz"), time="t")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_part_of_a_parquet_file_is_refused(tmp_path, share):
    pytest.importorskip("pyarrow")
    make_table(TIMES["dates"], [])[0].to_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    path = write(tmp_path, whole[: int(share * len(whole))], "log.parquet")
    with pytest.raises(ValueError, match="damaged or of another kind: Parquet") as caught:
        read_log(path, time="time")
    assert "\n" not in str(caught.value)


def test_columns_of_no_number_in_parquet_are_listed(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"t": [1, 2], "day": pd.to_datetime(["2024", "2025"]), "list": [[1], [2]]})
    table.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(ValueError, match="not numbers: 'day', 'list'"):
        read_log(tmp_path / "log.parquet", time="t")


def test_without_pyarrow_parquet_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # as Python marks a module that cannot be had
    with pytest.raises(ImportError, match=r'pip install "eventlstm\[parquet\]"'):
        read_log(write(tmp_path, b"", "log.parquet"), time="t")


def test_long_lists_of_names_are_cut(tmp_path):
    names = ",".join(f"s{i}" for i in range(30))
    with pytest.raises(ValueError, match=r"'s8', 's9' and 20 more\. Name one that it has"):
        read_log(write(tmp_path, names + "\n"), time="t")


def test_a_stray_word_far_down_a_long_file_is_found_without_a_warning(tmp_path):
    n_rows = 600_000  # more than one of the pieces in which pandas reads, each with kinds of its own
    rows = "".join(f"{row},7\n" for row in range(n_rows))
    path = write(tmp_path, f"t,a\n{rows}{n_rows},bad\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=f"'a' holds 'bad' in data row {n_rows + 1}"):
            read_log(path, time="t")


# Clocks that run back


TICKS = pd.date_range("2024-10-27", periods=120, freq="1min")
CLOCKS = {
    "an hour set back": TICKS[:60].append(TICKS[30:] + pd.Timedelta("3s")),
    "an hour set back, to the second": TICKS[:60].append(TICKS[30:]),
    "a clock without a battery": TICKS[:60].append(TICKS[:60] - pd.Timedelta("9000D")),
    "tests from zero": np.tile(np.arange(40) / 4, 3) + np.repeat([0, 0.1, 0.2], 40),
    "tests from zero, to the tick": np.tile(np.arange(40), 3),
    "cycles of ten rows": np.tile(np.arange(10), 12),
    "two machines, one after the other": np.concatenate([np.arange(60), np.arange(30, 90) + 0.5]),
    "newest first, and set back": TICKS[:60].append(TICKS[30:] + pd.Timedelta("3s"))[::-1],
    "one row late": np.insert(np.arange(100), 70, 3) + np.arange(101) / 1000,
}


@pytest.mark.parametrize("duplicates", ["error", "first", "mean"])
@pytest.mark.parametrize("times", CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_runs_back_is_refused_and_the_rows_are_named(tmp_path, times, duplicates):
    table = pd.DataFrame({"time": times, "a": np.arange(len(times))})
    with pytest.raises(ValueError, match=r"runs (back|on) at data rows? \d+.*run \(--run\)") as caught:
        read_csv(tmp_path, table, label=None, duplicates=duplicates)
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 300
    row = np.flatnonzero(np.diff(table["time"]) < np.zeros(1, np.diff(table["time"]).dtype))
    if len(row) < len(table) / 2:
        assert f"data row{'s' * (len(row) > 1)} {row[0] + 2}" in str(caught.value)
    assert ("offset from UTC" in str(caught.value)) == isinstance(times, pd.DatetimeIndex)


def test_naming_the_run_or_the_time_zone_mends_a_clock_that_runs_back(tmp_path):
    tests = pd.DataFrame({"test": np.repeat([1, 2, 3], 40), "time": np.tile(np.arange(40), 3), "a": np.arange(120)})
    assert read_csv(tmp_path, tests, label=None, run="test").X["a"].tolist() == list(range(120))
    local = pd.date_range("2024-10-27 00:00", periods=240, freq="1min", tz="Europe/Berlin")
    zoned = pd.DataFrame({"time": local.map(lambda time: time.isoformat()), "a": np.arange(240)})
    assert read_csv(tmp_path, zoned, label=None).X["a"].tolist() == list(range(240))


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_no_order_or_in_the_reverse_are_sorted(tmp_path, seed):
    table = pd.DataFrame({"time": TICKS, "a": np.arange(120)})
    for order in (np.random.RandomState(seed).permutation(120), np.arange(120)[::-1]):
        assert read_csv(tmp_path, table.iloc[order], label=None).X["a"].tolist() == list(range(120))


# Rows that share run and time


def test_the_first_or_the_mean_of_rows_that_share_a_time_is_taken_with_a_note(tmp_path):
    path = write(tmp_path, "t,a,b,f\n1,2,1,0\n1,4,,0\n2,5,3,1\n2,8,5,1\n3,1,1,0\n")
    for duplicates, expected in {"first": [[2, 1], [5, 3], [1, 1]], "mean": [[3, 1], [6.5, 4], [1, 1]]}.items():
        with pytest.warns(UserWarning, match=r"log\.csv: 2 rows share run and time with .* (kept|averaged)"):
            log = read_log(path, time="t", label="f", duplicates=duplicates)
        assert log.X.to_numpy().tolist() == expected and log.y.tolist() == [0, 1, 0]
        assert log.X.index.equals(log.y.index) and log.X.index.equals(pd.Index([1, 2, 3], name="t"))


def test_rows_that_share_a_time_in_another_run_are_none_that_repeat(tmp_path):
    path = write(tmp_path, "r,t,a\nB,1,2\nA,1,4\nB,1,6\nA,2,8\n")
    with pytest.warns(UserWarning, match="1 rows share"):
        X = read_log(path, time="t", run="r", duplicates="mean").X
    assert X["a"].to_dict() == {("A", 1): 4.0, ("A", 2): 8.0, ("B", 1): 4.0}


@pytest.mark.parametrize("duplicates", ["first", "mean"])
def test_exports_that_overlap_are_one_log(tmp_path, duplicates):
    table = make_table(TIMES["dates"], RUNS["two"])[0].sort_values("time")
    overlapping = pd.concat([table[:100], table[60:]])
    arguments = {"run": ["run0", "run1"], "duplicates": duplicates}
    assert_same(read_csv(tmp_path, overlapping, **arguments), read_csv(tmp_path, table, **arguments))


def test_a_mean_of_rows_with_different_labels_is_refused(tmp_path):
    path = write(tmp_path, "t,a,f\n1,2,0\n1,4,1\n2,5,1\n")
    with pytest.raises(ValueError, match=r"Rows that share run and time \(1\) have different labels; such rows: 1"):
        read_log(path, time="t", label="f", duplicates="mean")
    with pytest.raises(ValueError, match="duplicates='last' is unknown"):
        read_log(path, time="t", label="f", duplicates="last")


# Rows cut short, and other damage


SHORT = {
    "the last": ("t,r,a,b\n1,B,1,2\n2,B,1\n", 2, 3),
    "one between": ("t,r,a,b\n1,B,1,2\n2,B\n3,B,1,2\n", 2, 2),
    "without the end of the line": ("t,r,a,b\n1,B,1,2\n2,B,1", 2, 3),
    "behind blank lines": ("\nt,r,a,b\n\n1,B,1,2\n  \n\n2,B,1\n", 2, 3),
    "behind cells of two lines": ('t,r,a,b\n1,"B\nC",1,2\n2,B,1\n', 2, 3),
    "among empty cells": ("t,r,a,b\n1,B,1,\n2,B,,\n3,B,1\n4,B,1,\n", 3, 3),
    "every one": ("t,r,a,b\n1,B,1\n2,B,1\n", 1, 3),
    "of Windows": ("t,r,a,b\r\n1,B,1,2\r\n2,B,1\r\n", 2, 3),
}


@pytest.mark.parametrize(("content", "row", "cells"), SHORT.values(), ids=SHORT)
@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_a_row_cut_short_is_refused(tmp_path, content, row, cells, name):
    path = write(tmp_path, gzip.compress(content.encode()) if name.endswith("gz") else content, name)
    with pytest.raises(ValueError, match=f"Data row {row} has {cells} cells, the header 4: it was cut short"):
        read_log(path, time="t", run="r")


def test_empty_cells_at_the_end_of_a_row_are_missing_values(tmp_path):
    path = write(tmp_path, "t,a,b\n1,1,2\n2,1,\n3,,\n\n")
    assert read_log(path, time="t").X["b"].isna().tolist() == [False, True, True]


BEYOND = ["1e300", "-1e300", "18446744073709551615", "18446744073709551616", "-9223372036854775809"]


@pytest.mark.parametrize("label", [*BEYOND, "9007199254740993.0", "1e19", "inf", "9223372036854775808"])
def test_a_label_too_large_to_be_told_from_its_neighbours_is_refused(tmp_path, label):
    path = write(tmp_path, f"t,a,f\n1,2,0\n2,3,{label}\n")
    with pytest.raises(ValueError, match=r"'f' holds '.*' in data row 2, where a whole number up to \d+ or"):
        read_log(path, time="t", label="f")


@pytest.mark.parametrize("label", [2**63 - 1, -(2**63) + 1, 2**53 + 1, 1706742000000])
def test_a_large_label_is_read_to_its_last_digit(tmp_path, label):
    assert read_log(write(tmp_path, f"t,a,f\n1,2,{label}\n2,3,0\n"), time="t", label="f").y.tolist() == [label, 0]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Zeit;T", "Zeit"),
        ("Zeit;T", "time"),
        ("Zeit\tT", "Zeit"),
        ("Zeit|T", "T"),
        ('"Zeit";"T, in C"', "Zeit"),
        ("Zeit; T; p", "p"),
        ("Zeit;T,in;C", "C"),
    ],
)
def test_cells_that_are_not_separated_by_commas_are_named_as_such(tmp_path, header, name):
    with pytest.raises(ValueError, match=r"Separate cells with commas, not with '(;|\\t|\|)'\.$"):
        read_log(write(tmp_path, f"{header}\n1;2\n"), time=name)


LONG = "9x" * 10**6
LONG_CELLS = {
    "sensor": f"t,r,f,a\n1,A,0,1\n2,A,0,2\n3,A,0,{LONG}\n",
    "time": f"t,r,f,a\n1,A,0,1\n{LONG},A,0,2\n",
    "date": f"t,r,f,a\n2024-01-01,A,0,1\n{LONG},A,0,2\n",
    "run": f"t,r,f,a\n1,{LONG},0,1\n1,{LONG},0,2\n",
    "name": f"t,r,f,{LONG[: 10**5]}\n1,A,0,x\n",
    "unknown column": f"time,r,f,{LONG[: 10**5]}\n1,A,0,x\n",
    "one column": f"{LONG[: 10**5]}\n1\n",
}


@pytest.mark.parametrize("content", LONG_CELLS.values(), ids=LONG_CELLS)
def test_a_cell_of_megabytes_makes_no_message_of_megabytes(tmp_path, content):
    with pytest.raises(ValueError, match=r"log\.csv: ") as caught:
        read_log(write(tmp_path, content), time="t", run="r", label="f")
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 300


def make_table(times, runs):
    """A table with a column ``time``, columns ``run0``, ... two sensors and labels; and the names of the runs."""
    names = [f"run{i}" for i in range(len(runs))]
    keys = pd.MultiIndex.from_product([*runs, times], names=[*names, "time"]).to_frame(index=False)
    rng = np.random.default_rng(0)
    sensors = rng.normal(size=(len(keys), 2)).round(6)
    sensors[3, 1] = np.nan
    return keys.assign(speed=sensors[:, 0], heat=sensors[:, 1], label=rng.integers(2, size=len(keys))), names


def find_events(y, names):
    """The stretches of ones as a table of their runs, starts and ends."""
    table = y.reset_index()
    kind = table[[*names, y.name]]
    table["stretch"] = (kind != kind.shift()).any(axis=1).cumsum()
    ones = table[table[y.name] == 1]
    found = ones.groupby([*names, "stretch"])["time"].agg(start="min", end="max")
    return found.reset_index().drop(columns="stretch")


def draw_events(table, names, n_events=5):
    """Intervals between two times of a run that overlap now and then."""
    rng = np.random.default_rng(1)
    rows = table.sample(n_events, random_state=1)
    times = table["time"].drop_duplicates().sort_values(ignore_index=True)
    starts = times.searchsorted(rows["time"])
    ends = np.minimum(starts + rng.integers(8, size=n_events), len(times) - 1)
    return rows[names].assign(start=times[starts].array, end=times[ends].array)


def write(folder, content, name="log.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_csv(folder, table, events=None, label="label", **arguments):
    """The log that a table gives by way of a CSV file."""
    path = write(folder, table.to_csv(index=False), "table.csv")
    if events is not None:
        events = write(folder, events.to_csv(index=False), "events.csv")
    return read_log(path, time="time", label=label, events=events, **arguments)


def assert_same(first, second):
    pd.testing.assert_frame_equal(first.X, second.X)
    pd.testing.assert_series_equal(first.y, second.y)
