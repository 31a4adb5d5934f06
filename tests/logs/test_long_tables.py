"""Long tables become logs: as DuckDB's ASOF JOIN does, never from the future, another run, or older than asked."""

import numpy as np
import pandas as pd
import pytest

from eventlstm.logs.files import read_log
from eventlstm.logs.long_tables import CARRIED

RATES = {"fast": 10, "slow": 60, "rare": 45}  # seconds from reading to reading, more or less
BEGIN = pd.Timestamp("2024-01-01T00:00:03")
ALONE = {"run": "machine", "layout": "long"}


def make_readings(seed=0, zone=None):
    """Three sensors of two machines that are read at times of their own."""
    rng = np.random.default_rng(seed)
    parts = []
    for machine, late in (("B", 0), ("A", 7)):
        for sensor, seconds in RATES.items():
            steps = rng.integers(seconds * 500, seconds * 1500, size=1200 // seconds)
            times = BEGIN + pd.to_timedelta(late * 1000 + np.cumsum(steps), unit="ms")
            values = rng.normal(size=len(times)).round(6)
            parts.append(pd.DataFrame({"time": times, "machine": machine, "sensor": sensor, "value": values}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(time=table["time"].dt.tz_localize(zone))


ASOF = """
WITH spans AS (
  SELECT machine, epoch_us(min(time)) // {step} AS first, epoch_us(max(time)) // {step} AS last
  FROM readings GROUP BY machine
),
ticks AS (SELECT machine, unnest(range(first + 1, last + 1)) AS tick FROM spans),
grid AS (SELECT machine, make_timestamp(tick * {step}) AS time FROM ticks)
SELECT grid.machine, grid.time, value, epoch_us(grid.time) - epoch_us(r.time) AS age
FROM grid ASOF LEFT JOIN (SELECT * FROM readings WHERE sensor = '{sensor}') AS r
  ON grid.machine = r.machine AND grid.time >= r.time
ORDER BY grid.machine, grid.time
"""


@pytest.mark.parametrize("step", ["10s", "2.5s", "7s", "90s"])
@pytest.mark.parametrize("max_age", [None, "30s"])
def test_values_and_ages_are_those_of_the_asof_join_of_duckdb(tmp_path, step, max_age):
    duckdb = pytest.importorskip("duckdb")
    table = make_readings()
    log = read_long(tmp_path, table, step=step, max_age=max_age, ages=True, **ALONE)
    asked = int(pd.Timedelta(step).total_seconds() * 10**6)
    expected = {}
    with duckdb.connect() as opened:
        opened.register("readings", table)
        for sensor in sorted(RATES):
            joined = opened.sql(ASOF.format(step=asked, sensor=sensor)).df().astype({"age": float})
            joined = joined.set_index(["machine", "time"])
            old = joined["age"] > (np.inf if max_age is None else pd.Timedelta(max_age).total_seconds() * 10**6)
            expected[sensor] = joined["value"].mask(old)
            expected[f"{sensor}_age"] = (joined["age"] / 10**6).mask(old)
    expected = pd.DataFrame(expected)
    expected = expected[expected[list(RATES)].notna().any(axis=1)]
    assert len(expected) > 20
    pd.testing.assert_frame_equal(log.X[list(expected)], expected, check_index_type=False)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_time_zone_moves_no_row(tmp_path, zone):
    pytest.importorskip("pyarrow")
    naive = read_long(tmp_path, make_readings(), step="10s", **ALONE).X
    make_readings(zone="UTC").assign(time=lambda t: t["time"].dt.tz_convert(zone)).to_parquet(tmp_path / "log.parquet")
    zoned = read_log(tmp_path / "log.parquet", time="time", step="10s", **ALONE).X
    assert str(zoned.index.levels[-1].tz) == zone
    pd.testing.assert_frame_equal(zoned.tz_convert("UTC", level="time").tz_localize(None, level="time"), naive)


def test_rows_in_any_order_and_values_in_fractions_of_numbers_give_the_same(tmp_path):
    table = make_readings()
    numbers = table.assign(time=(table["time"] - pd.Timestamp("2024-01-01")).dt.total_seconds())
    by_date = read_long(tmp_path, table, step="10s", **ALONE).X
    by_number = read_long(tmp_path, numbers.sample(frac=1, random_state=0), step=10, **ALONE).X
    np.testing.assert_array_equal(by_number, by_date)
    assert by_number.index.get_level_values("time")[0] == 20 - 10 * (by_date.index[0][1].second == 10)


def test_no_value_comes_from_the_future_or_another_run(tmp_path):
    rows = "t,m,sensor,value\n0,A,a,1\n4,A,b,2\n9,A,a,3\n0,B,b,5\n9,B,b,6\n"
    log = read_log(write(tmp_path, rows), time="t", run="m", layout="long", step=3, ages=True)
    assert log.X["a"].tolist() == pytest.approx([1, 1, 1, 3] + [np.nan] * 4, nan_ok=True)
    assert log.X["b"].tolist() == pytest.approx([np.nan, np.nan, 2, 2, 5, 5, 5, 6], nan_ok=True)
    assert log.X["a_age"].tolist() == pytest.approx([0, 3, 6, 0] + [np.nan] * 4, nan_ok=True)
    assert log.X["b_age"].tolist() == pytest.approx([np.nan, np.nan, 2, 5, 0, 3, 6, 0], nan_ok=True)
    assert log.X.attrs[CARRIED] == {"a": 2 / 8, "b": 3 / 8}


def test_a_prefix_of_the_readings_gives_a_prefix_of_the_rows(tmp_path):
    table = make_readings().query("machine == 'A'").sort_values("time")
    whole = read_long(tmp_path, table, step="5s", layout="long", drop=[], run="machine").X
    for n_readings in (30, 100):
        part = read_long(tmp_path, table[:n_readings], step="5s", layout="long", run="machine").X
        pd.testing.assert_frame_equal(part, whole[: len(part)], check_like=True)


def test_a_value_may_be_as_old_as_max_age_and_rows_without_any_are_a_gap(tmp_path):
    path = write(tmp_path, "t,sensor,value\n0,a,1\n1,b,2\n10,a,3\n")
    X = read_log(path, time="t", layout="long", step=1, max_age=2).X
    assert X.index.tolist() == [0, 1, 2, 3, 10]
    assert X["a"].tolist() == pytest.approx([1, 1, 1, np.nan, 3], nan_ok=True)
    assert X["b"].tolist() == pytest.approx([np.nan, 2, 2, 2, np.nan], nan_ok=True)


def test_a_missing_value_says_that_nothing_is_known_until_the_next(tmp_path):
    path = write(tmp_path, "t,sensor,value\n0,a,1\n2,a,\n4,a,3\n0,b,0\n")
    X = read_log(path, time="t", layout="long", step=1).X
    assert X["a"].tolist() == pytest.approx([1, 1, np.nan, np.nan, 3], nan_ok=True)


def test_the_step_is_learnt_from_the_fastest_sensor(tmp_path):
    rows = [(t, "slow", t) for t in range(0, 100, 20)] + [(t, "fast", t) for t in (0, 4, 8, 12, 60, 64, 68)]
    path = write(tmp_path, "t,sensor,value\n" + "".join(f"{t},{name},{value}\n" for t, name, value in rows))
    X = read_log(path, time="t", layout="long").X
    assert X.index.tolist() == list(range(0, 81, 4))
    assert X["slow"].tolist() == [t // 20 * 20 for t in X.index]


def test_labels_may_be_a_sensor_and_events_label_the_rows(tmp_path):
    rows = "t,sensor,value\n0,a,1\n9,a,2\n0,trip,0\n3,trip,1\n5,trip,0\n"
    log = read_log(write(tmp_path, rows), time="t", layout="long", step=1, label="trip", max_age=4)
    assert list(log.X) == ["a"] and log.y.name == "trip" and log.y.dtype == "int64"
    assert log.y[log.y == 1].index.tolist() == [3, 4]
    events = write(tmp_path, "start,end\n3,4.5\n", "events.csv")
    by_events = read_log(tmp_path / "log.csv", time="t", layout="long", step=1, drop="trip", max_age=4, events=events)
    pd.testing.assert_frame_equal(by_events.X, log.X)
    assert by_events.y.tolist() == log.y.tolist()


def test_columns_sensors_and_runs_may_have_any_name(tmp_path):
    path = write(tmp_path, "when,site,unit,tag,reading\n0,N,1,07,1\n1,N,1,08,2\n0,S,2,07,3\n1,S,2,08,4\n")
    arguments = {"time": "when", "run": ["site", "unit"], "layout": "long", "sensor": "tag", "value": "reading"}
    X = read_log(path, **arguments, step=1, sensors=["08", "07"]).X
    assert list(X) == ["08", "07"] and list(X.index.names) == ["site", "unit", "when"]
    assert X.loc[("S", 2, 1)].tolist() == [4, 3]


def test_a_file_may_hold_a_run_or_a_sensor(tmp_path):
    for name in ("a", "b"):
        write(tmp_path, "t,sensor,value\n0,x,1\n1,x,2\n", f"{name}.csv")
    X = read_log(tmp_path, time="t", layout="long", step=1).X
    assert list(X.index) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)] and list(X) == ["x"]
    by_sensor = read_log(tmp_path, time="t", layout="long", sensor="file", step=1, drop=[]).X
    assert list(by_sensor) == ["a", "b"] and list(by_sensor.index) == [0, 1]


@pytest.mark.parametrize(("duplicates", "value"), [("first", 2), ("mean", 3)])
def test_readings_that_share_run_time_and_sensor_are_merged_if_asked(tmp_path, duplicates, value):
    path = write(tmp_path, "t,sensor,value\n0,a,2\n0,a,4\n0,b,2\n1,b,2\n")
    with pytest.raises(ValueError, match="Data row 2 repeats the 'sensor' and 't' of an earlier row"):
        read_log(path, time="t", layout="long", step=1)
    with pytest.warns(UserWarning, match="1 rows share"):
        assert read_log(path, time="t", layout="long", step=1, duplicates=duplicates).X["a"][0] == value


def test_a_run_shorter_than_a_step_is_warned_of(tmp_path):
    path = write(tmp_path, "t,m,sensor,value\n1,A,a,2\n2,A,a,4\n1,B,a,2\n7,B,a,2\n")
    with pytest.warns(UserWarning, match="1 of 2 runs are shorter than a step"):
        X = read_log(path, time="t", run="m", layout="long", step=5).X
    assert list(X.index) == [("B", 5)]


ROWS = "t,m,sensor,value\n0,A,a,1\n1,A,a,2\n0,A,b,1\n1,A,b,x\n2,A,b,3\n3,A,b,3\n"
DATES = "t,m,sensor,value\n2024-01-01T00:00,A,a,1\n2024-01-02T00:00,A,a,2\n"
GOOD = ROWS.replace("x", "2")
FAULTS = {
    "layout": (GOOD, {"layout": "tall"}, "layout='tall' is unknown"),
    "step of a wide log": (GOOD, {"layout": "wide", "step": 1}, "step=1 is for long tables"),
    "no sensor": (GOOD, {"sensor": "tag"}, "no column 'tag'; the file has 't', 'm', 'sensor', 'value'"),
    "a word": (ROWS, {}, "'value' holds 'x' in data row 4, where a number was wanted"),
    "step": (GOOD, {"step": "10s"}, "step='10s' is not a number, in the unit of the times, above 0"),
    "no step": (GOOD, {"step": 0}, "step=0 is not a number"),
    "back": (GOOD, {"step": -1}, "step=-1 is not a number"),
    "step without a unit": (DATES, {"step": "10"}, "step='10' is not a length of time such as '10s', above 0"),
    "step that is a number": (DATES, {"step": 10}, "step=10 is not a length of time"),
    "age": (DATES, {"max_age": "old"}, "max_age='old' is not a length of time"),
    "too many": (DATES, {"step": "10us"}, "The step makes 8.64e[+]09 rows of 1 sensors, which is too many"),
    "one reading each": (GOOD.split("1,A,a")[0], {}, "No sensor has two readings in a run"),
    "unknown sensor": (GOOD, {"sensors": ["c"]}, "no column 'c'; the long table has 'a', 'b'"),
    "unknown label": (GOOD, {"label": "c"}, "no column 'c'; the long table has 'a', 'b'"),
    "dropped": (GOOD, {"drop": ["a", "b"]}, "No sensor is left"),
    "late label": (GOOD.replace("0,A,b,1\n", ""), {"label": "b"}, "'b', named as the label, has no value at or before"),
    "half a label": (GOOD.replace("1,A,b,2", "1,A,b,.5"), {"label": "b"}, r"'b' holds '0\.5' .* a whole number"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_a_long_table_is_told_on_one_line(tmp_path, case):
    content, arguments, message = FAULTS[case]
    with pytest.raises(ValueError, match=message) as caught:
        read_log(write(tmp_path, content), **{"time": "t", "run": "m", "layout": "long", **arguments})
    assert "\n" not in str(caught.value)


def read_long(folder, table, **arguments):
    return read_log(write(folder, table.to_csv(index=False)), time="time", **arguments)


def write(folder, content, name="log.csv"):
    path = folder / name
    path.write_text(content)
    return path
