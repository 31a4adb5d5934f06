"""Where logs come from: several files as one, with a run for each, and queries over files and embedded databases."""

import gzip
import sqlite3
import sys
from datetime import UTC
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eventlstm.logs.files import read_log

PUMPS = ("B", "A", "C")
TIMES = pd.date_range("2024-01-01", periods=20, freq="10min", tz="UTC")


def make_log():
    keys = pd.MultiIndex.from_product([PUMPS, TIMES], names=["pump", "time"]).to_frame(index=False)
    rng = np.random.default_rng(0)
    return keys.assign(speed=rng.normal(size=len(keys)).round(6), heat=np.arange(len(keys)), label=keys["pump"].eq("A"))


@pytest.fixture
def fleet(tmp_path):
    """A folder of files, one for each pump, and the log of all of them."""
    pytest.importorskip("pyarrow")
    table = make_log()
    for pump, rows in table.groupby("pump"):
        rows.to_csv(tmp_path / f"{pump}.csv", index=False)
        (tmp_path / "stored").mkdir(exist_ok=True)
        rows.to_parquet(tmp_path / "stored" / f"{pump}.parquet")
    table.to_csv(tmp_path / "all.txt", index=False)
    table.to_csv(tmp_path / "all.csv.gz", index=False)
    whole = read_log(tmp_path / "all.csv.gz", time="time", run="pump", label="label")
    (tmp_path / "all.csv.gz").unlink()
    return tmp_path, whole


@pytest.mark.parametrize("pattern", ["", "*.csv", "[ABC].csv", "stored", "stored/*", "**/?.parquet"])
def test_files_with_a_column_of_the_run_are_one_log(fleet, pattern):
    folder, whole = fleet
    for path in (folder / pattern, str(folder / pattern)):
        assert_same(read_log(path, time="time", run="pump", label="label"), whole)


@pytest.mark.parametrize("pattern", ["", "stored/*.parquet"])
@pytest.mark.parametrize("run", [None, "file", ["file"]])
def test_a_file_is_a_run_of_its_name_unless_a_column_says_so(fleet, pattern, run):
    folder, whole = fleet
    log = read_log(folder / pattern, time="time", run=run, label="label", drop=["pump"])
    assert list(log.X.index.names) == ["file", "time"]
    pd.testing.assert_frame_equal(log.X.rename_axis(["pump", "time"]), whole.X)


def test_the_name_of_a_single_file_is_its_run_where_asked_for(fleet):
    folder, whole = fleet
    log = read_log(folder / "A.csv", time="time", run="file", label="label", drop=["pump"])
    pd.testing.assert_frame_equal(log.X.rename_axis(["pump", "time"]), whole.X.loc[["A"]])


def test_several_files_may_be_one_run(tmp_path):
    for month in (2, 1):
        write(tmp_path, f"t,a\n{month},1\n{month + 0.5},2\n", f"2024-0{month}.csv")
    X = read_log(tmp_path, time="t", run=[]).X
    assert X["a"].to_dict() == {1.0: 1, 1.5: 2, 2.0: 1, 2.5: 2}
    by_query = read_log(tmp_path, time="t", query="SELECT * FROM log").X
    pd.testing.assert_frame_equal(by_query, X)


def test_files_of_the_same_name_are_told_by_their_folders(tmp_path):
    for folder in ("north", "south"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "t,a\n1,2\n", "pump.csv")
    assert list(read_log(tmp_path / "*" / "*.csv", time="t").X.index) == [("north/pump", 1), ("south/pump", 1)]
    (tmp_path / "north" / "pump.csv.gz").write_bytes(gzip.compress(b"t,a\n1,2\n"))
    with pytest.raises(ValueError, match=r"pump\.csv and .*pump\.csv\.gz are both the run 'pump'"):
        read_log(tmp_path / "north", time="t")


def test_hidden_files_and_other_kinds_in_a_folder_are_passed_over(tmp_path):
    write(tmp_path, "t,a\n1,2\n", "a.csv")
    for name in ("_SUCCESS", ".b.csv", "_c.csv", "notes.txt"):
        write(tmp_path, "nothing", name)
    assert list(read_log(tmp_path, time="t").X.index) == [("a", 1)]


def test_a_file_with_a_pattern_for_a_name_is_that_file(tmp_path):
    for name in ("log[1].csv", "log1.csv"):
        write(tmp_path, f"t,a\n1,{len(name)}\n", name)
    assert read_log(tmp_path / "log[1].csv", time="t").X["a"].tolist() == [10]
    assert read_log(tmp_path / "log[1].csv", time="t", query="FROM log").X["a"].tolist() == [10]


@pytest.mark.parametrize("odd", ["a", "b", "c"])
def test_the_file_that_differs_in_its_columns_is_named(tmp_path, odd):
    for name in "abc":
        write(tmp_path, "t,speed,heat\n1,2,3\n" if name != odd else "t,speed,head\n1,2,3\n", f"{name}.csv")
    with pytest.raises(ValueError, match=rf"^\S*{odd}\.csv: There is no column 'heat'; .* Files of one log") as caught:
        read_log(tmp_path, time="t")
    assert "\n" not in str(caught.value)
    write(tmp_path, "t,speed,heat,more\n1,2,3,4\n", f"{odd}.csv")
    with pytest.raises(ValueError, match=rf"{odd}\.csv: Column 'more' is one too many"):
        read_log(tmp_path, time="t")


def test_the_order_of_columns_may_differ(tmp_path):
    write(tmp_path, "t,a,b\n1,2,3\n", "one.csv")
    write(tmp_path, "b,t,a\n6,4,5\n", "two.csv")
    assert read_log(tmp_path, time="t").X.to_numpy().tolist() == [[2, 3], [5, 6]]


FAULTS = {
    "a stray word": ("t,a\n1,2\n2,3\n3,x\n", r"b\.csv: Column 'a' holds 'x' in data row 3,"),
    "a row cut short": ("t,a\n1,2\n2\n", r"b\.csv: Data row 2 has 1 cells"),
    "a time twice": ("t,a\n1,2\n1,3\n", r"b\.csv: Data row 2 repeats"),
    "a time that is none": ("t,a\n1,2\nx,3\n", r"b\.csv: Column 't' holds 'x' in data row 2,"),
    "a clock set back": (
        "t,a\n" + "".join(f"{t},1\n" for t in [*range(50), *range(30, 90)]),
        r"b\.csv: Column 't' runs back at data row 51 ",
    ),
    "no column": ("", r"b\.csv: The file is empty"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_in_one_of_several_files_is_told_with_its_name_and_row(tmp_path, case):
    content, message = FAULTS[case]
    for name in "acd":
        write(tmp_path, "t,a\n1,2\n2,3\n3,4\n4,5\n", f"{name}.csv")
    write(tmp_path, content, "b.csv")
    with pytest.raises(ValueError, match=message) as caught:
        read_log(tmp_path, time="t")
    assert "\n" not in str(caught.value)


def test_a_column_that_no_file_has_is_told_with_the_pattern(fleet):
    with pytest.raises(ValueError, match=r"\*\.csv: There is no column 'pumps'; the files have .*mean 'pump'"):
        read_log(fleet[0] / "*.csv", time="time", run="pumps")


@pytest.mark.parametrize("pattern", ["*.parquet", "**/*.csv", ""])
def test_a_pattern_without_a_file_is_named(tmp_path, pattern):
    with pytest.raises(FileNotFoundError, match="There is no CSV or Parquet file here"):
        read_log(tmp_path / pattern, time="t")


# Queries


@pytest.mark.parametrize("pattern", ["*.csv", "stored", "A.csv"])
def test_a_query_over_files_is_the_log_of_its_result(fleet, pattern):
    pytest.importorskip("duckdb")
    folder, whole = fleet
    query = "SELECT time, pump, speed, heat, label FROM log WHERE pump = 'A' AND heat % 2 = 0"
    log = read_log(folder / pattern, time="time", run="pump", label="label", query=query)
    kept = (whole.X["heat"] % 2 == 0) & (whole.X.index.get_level_values("pump") == "A")
    pd.testing.assert_frame_equal(log.X, whole.X[kept])
    assert log.y.tolist() == [1] * int(kept.sum())


def test_a_run_of_a_csv_file_keeps_its_zero_in_a_query_too(tmp_path):
    pytest.importorskip("duckdb")
    path = write(tmp_path, "t,it's a run,a\n1,07,2\n1,7,3\n", "log.csv")
    X = read_log(path, time="t", run="it's a run", query="SELECT * FROM log WHERE \"it's a run\" <> '8'").X
    assert list(X.index) == [("07", 1), ("7", 1)] and X["a"].tolist() == [2, 3]


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_database_gives_the_log_that_files_give(fleet, kind):
    folder, whole = fleet
    url = store(folder, kind, make_log())
    log = read_log(url, time="time", run="pump", label="label", query="SELECT * FROM log ORDER BY heat DESC")
    assert_same(log, whole)


def test_a_relative_url_begins_at_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(tmp_path, "duckdb", make_log())
    store(tmp_path, "sqlite", make_log())
    for url in ("duckdb:///log.duckdb", "sqlite:///log.sqlite"):
        assert len(read_log(url, time="time", run="pump", query="SELECT * FROM log", drop=["label"]).X) == 60


def test_what_a_query_changes_is_not_kept(tmp_path):
    url = store(tmp_path, "sqlite", make_log())
    with pytest.raises(ValueError, match="returns no table"):
        read_log(url, time="time", query="DELETE FROM log")
    assert len(read_log(url, time="time", run="pump", query="SELECT * FROM log", drop=["label"]).X) == 60
    with pytest.raises(ValueError, match=r"DuckDB says: .*read-only"):
        read_log(store(tmp_path, "duckdb", make_log()), time="time", query="DELETE FROM log")


DUCK_TYPES = """
SELECT 1::UTINYINT AS u8, 18446744073709551615::UBIGINT AS u64, 1.25::DECIMAL(9, 2) AS price, 7::HUGEINT AS huge,
  NULL::INTEGER AS gone, TRUE AS truth, 5::UINTEGER AS u32, 0.5::FLOAT AS single, NULL AS never,
  TIMESTAMPTZ '2024-03-31 03:30:00+02:00' AS time, uuid() AS machine
UNION ALL BY NAME SELECT NULL AS u8, 3 AS gone, FALSE AS truth, NULL AS u32, 2.0 AS single,
  TIMESTAMPTZ '2024-03-31 01:59:00+01:00' AS time, uuid() AS machine
"""


def test_types_of_duckdb_arrive_as_floats_and_utc():
    pytest.importorskip("duckdb")
    X = read_log("duckdb://", time="time", query=DUCK_TYPES, drop=["machine"]).X
    assert X.index.equals(pd.DatetimeIndex(["2024-03-31 00:59", "2024-03-31 01:30"], tz="UTC"))
    expected = {
        "u8": [np.nan, 1], "u64": [np.nan, 2.0**64], "price": [np.nan, 1.25], "huge": [np.nan, 7], "gone": [3, np.nan],
        "truth": [0, 1], "u32": [np.nan, 5], "single": [2, 0.5], "never": [np.nan, np.nan],
    }  # fmt: skip
    pd.testing.assert_frame_equal(X, pd.DataFrame(expected, X.index), check_dtype=False)
    assert all(kind in ("float32", "float64") for kind in X.dtypes)


def test_unsigned_times_that_fall_are_sorted_not_wrapped():
    pytest.importorskip("duckdb")
    query = "SELECT (100 - range)::UBIGINT AS t, range::DOUBLE AS a FROM range(50)"
    X = read_log("duckdb://", time="t", query=query).X
    assert X.index.dtype == "int64" and X["a"].tolist() == list(range(50))[::-1]


def test_decimals_and_nulls_in_text_of_sqlite_arrive(tmp_path):
    with sqlite3.connect(tmp_path / "log.sqlite") as opened:
        opened.execute("CREATE TABLE log (t TEXT, machine TEXT, a REAL, b INTEGER)")
        rows = [("2024-01-01T00:00:00+01:00", "07", None, 2), ("2024-01-01T00:00:00Z", "7", 1.5, None)]
        opened.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)
    opened.close()
    X = read_log(f"sqlite:///{tmp_path}/log.sqlite", time="t", run="machine", query="SELECT * FROM log").X
    assert X.index.get_level_values("machine").tolist() == ["07", "7"]
    assert X.index.get_level_values("t").tz == UTC
    pd.testing.assert_frame_equal(
        X.reset_index(drop=True), pd.DataFrame({"a": [None, 1.5], "b": [2, None]}, dtype=float)
    )


def test_objects_of_drivers_become_plain():
    from eventlstm.logs.plain_types import plain_columns

    table = pd.DataFrame(
        {
            "whole": [Decimal(2**53 + 1), Decimal("3.00")],
            "part": [Decimal("0.5"), None],
            "odd": [Decimal("NaN"), Decimal(1)],
            "truth": [True, None],
            "text": ["x", None],
            "none": [None, None],
        },
        dtype=object,
    )
    plain = plain_columns(table)
    assert plain["whole"].tolist() == [2**53 + 1, 3] and plain["whole"].dtype == "int64"
    assert plain["text"].isna().tolist() == [False, True] and plain["text"].dtype == "str"
    for name, expected in {
        "part": [0.5, np.nan],
        "odd": [np.nan, 1],
        "truth": [1, np.nan],
        "none": [np.nan] * 2,
    }.items():
        np.testing.assert_array_equal(plain[name], expected)


QUERY_FAULTS = {
    "no query": ("duckdb:///x.db", None, r"^duckdb:///x\.db: A database needs a query\. Pass query="),
    "no query of a server": ("postgresql://u:pw@h/d", None, r"^postgresql://\*\*\*@h/d: A database needs a query"),
    "wrong sql": ("duckdb://", "SELEC 1", "^duckdb://: DuckDB says: .*syntax error"),
    "wrong sql of sqlite": ("sqlite://", "SELEC 1", "^sqlite://: The database says: .*syntax error"),
    "no row": ("duckdb://", "SELECT 1 AS t, 2 AS a WHERE FALSE", "The result has no row of data"),
    "no row of sqlite": ("sqlite://", "SELECT 1 AS t, 2 AS a WHERE 0", "The result has no row of data"),
    "no column": ("duckdb://", "SELECT 1 AS time, 2 AS a", "no column 't'; the result has 'time', 'a'"),
    "twice": ("sqlite://", "SELECT 1 AS t, 2 AS a, 3 AS a", "'a' is there twice. Rename one in the query"),
    "no file of a run": ("duckdb://", "SELECT 1 AS t, 2 AS a", "no column 'file'"),
    "another kind": ("oracles://u:pw@h/d", "SELECT 1", "no database of the kind 'oracles'"),
}


@pytest.mark.parametrize("case", QUERY_FAULTS)
def test_a_fault_of_a_query_is_told_on_one_line_without_the_password(case):
    pytest.importorskip("duckdb")
    pytest.importorskip("sqlalchemy")
    url, query, message = QUERY_FAULTS[case]
    with pytest.raises(ValueError, match=message) as caught:
        read_log(url, time="t", query=query, run="file" if "file" in case else None)
    assert "\n" not in str(caught.value) and "pw" not in str(caught.value)


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_database_that_is_not_there_is_named_and_not_made(tmp_path, kind):
    with pytest.raises(FileNotFoundError, match="There is no such database file"):
        read_log(f"{kind}:///{tmp_path}/no.db", time="t", query="SELECT 1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "extra", "url"), [("duckdb", "duckdb", "duckdb://"), ("sqlalchemy", "sql", "sqlite://")]
)
def test_without_its_package_a_query_names_the_extra(monkeypatch, module, extra, url):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'pip install "eventlstm\[{extra}\]"'):
        read_log(url, time="t", query="SELECT 1")


# Secrets

SECRET = "s3cr/t:w0rd"
SECRET_URLS = {
    "plain": "postgresql://ann:s3cr%2Ft%3Aw0rd@127.0.0.1:1/plant",
    "slash and colon": f"postgresql://ann:{SECRET}@127.0.0.1:1/plant",
    "port": f"postgresql://ann:{SECRET}:x@127.0.0.1:y/plant",
    "two at": f"postgresql://ann:@{SECRET}@127.0.0.1:1/plant",
    "no host": f"postgresql://ann:{SECRET}",
    "variable": "postgresql://ann:${PLANT_PASSWORD}@127.0.0.1:1/plant",
    "option": f"postgresql://127.0.0.1:1/plant?password={SECRET}",
    "option of a kind": f"postgresql://127.0.0.1:1/plant?passwrd={SECRET}",
    "kind": f"no-such-kind://ann:{SECRET}@127.0.0.1:1/plant",
    "driver": f"mysql+no_such_driver://ann:{SECRET}@127.0.0.1:1/plant",
}


@pytest.mark.parametrize("case", SECRET_URLS)
def test_a_password_is_in_no_message(case, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setenv("PLANT_PASSWORD", SECRET)
    for url in (SECRET_URLS[case], Path(SECRET_URLS[case])):
        for query in ("SELECT 1", None):
            with pytest.raises((ValueError, ImportError), match=r".") as caught:
                read_log(url, time="t", query=query)
            told = str(caught.value)
            assert "\n" not in told and not any(part in told for part in ("s3cr", "w0rd"))


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(ValueError, match="environment variable 'NO_SUCH_PASSWORD', which is not set"):
        read_log("postgresql://ann:${NO_SUCH_PASSWORD}@127.0.0.1:1/plant", time="t", query="SELECT 1")


def store(folder, kind, table):
    """The URL of a database that holds a table."""
    path = folder / f"log.{kind}"
    if kind == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        with duckdb.connect(str(path)) as opened:
            opened.register("stored", table)
            opened.execute("CREATE OR REPLACE TABLE log AS SELECT * FROM stored")
    else:
        pytest.importorskip("sqlalchemy")
        with sqlite3.connect(path) as opened:
            table.assign(time=table["time"].map(pd.Timestamp.isoformat)).to_sql("log", opened, index=False)
        opened.close()
    return f"{kind}:///{path}"


def write(folder, content, name):
    path = folder / name
    path.write_text(content)
    return path


def assert_same(first, second):
    pd.testing.assert_frame_equal(first.X, second.X)
    pd.testing.assert_series_equal(first.y, second.y)
