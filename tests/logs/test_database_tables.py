"""Tables written into databases: all or none, rows of the same keys replaced, and whatever names hold, nothing else."""

import sqlite3

import numpy as np
import pandas as pd
import pytest

from eventlstm.logs.database_tables import check_tables, write_tables
from eventlstm.logs.files import read_log
from eventlstm.logs.stored_table import StoredTable

EVIL = ("'; DROP TABLE scores; --", 'a"b', "%s", "%(v0)s", ":v0", "$1", "?", "\\", "é")
TIMES = pd.date_range("2024-01-01", periods=6, freq="10min", name="time")


@pytest.fixture(params=["sqlite", "duckdb"])
def url(request, tmp_path):
    pytest.importorskip({"sqlite": "sqlalchemy"}.get(request.param, request.param))
    return f"{request.param}:///{tmp_path}/plant.db"


def make_scores(runs=("A", "B"), times=TIMES, seed=0, run="pump"):
    index = pd.MultiIndex.from_product([runs, times], names=[run, "time"])
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"score": rng.normal(size=len(index)), "alarm": rng.integers(2, size=len(index))}, index)


def stored(scores, name="scores"):
    return StoredTable(name, scores.reset_index(), list(scores.index.names))


def read_back(url, table="scores", run="pump"):
    return read_log(url, time="time", run=run, query=f'SELECT * FROM "{table}"').X


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_what_is_written_is_read_back(url, zone):
    scores = make_scores(times=TIMES.tz_localize(zone))
    check_tables(url, [stored(scores)])
    write_tables(url, [stored(scores)])
    times = scores if zone is None else scores.tz_convert("UTC", level="time")
    pd.testing.assert_frame_equal(read_back(url), times.astype(float), check_index_type=False)


@pytest.mark.parametrize("times", [[0.1, 0.2, 1e9], [1, 2, 3]])
@pytest.mark.parametrize("runs", [["A", "B"], [1, 2], [0.5, 7.25]])
def test_times_and_runs_may_be_numbers(url, times, runs):
    scores = make_scores(runs, times)
    for _ in range(2):
        write_tables(url, [stored(scores)])
    pd.testing.assert_frame_equal(read_back(url), scores.astype(float), check_index_type=False)


def test_a_single_run_needs_no_column_of_it(url):
    scores = make_scores().loc["A"]
    for _ in range(2):
        write_tables(url, [stored(scores)])
    back = read_log(url, time="time", query="SELECT * FROM scores").X
    pd.testing.assert_frame_equal(back, scores.astype(float), check_index_type=False, check_freq=False)


def test_a_second_run_replaces_its_rows_and_no_others(url):
    first, other, again = make_scores(), make_scores(["C"], seed=1), make_scores(["B"], TIMES[2:], seed=2)
    for scores in (first, other, again):
        write_tables(url, [stored(scores)])
    expected = pd.concat([first, other]).astype(float)
    expected.loc[again.index] = again
    pd.testing.assert_frame_equal(read_back(url), expected, check_index_type=False)


def test_one_time_in_several_zones_is_one_row(url):
    for zone in ("UTC", "Europe/Berlin", "America/New_York"):
        write_tables(url, [stored(make_scores(times=TIMES.tz_localize("UTC").tz_convert(zone)))])
    assert len(read_back(url)) == 2 * len(TIMES)


def test_alarms_of_before_within_the_span_of_a_log_are_replaced(url):
    def alarms(starts, run="A"):
        rows = pd.DataFrame({"pump": run, "start": TIMES[starts], "end": TIMES[-1], "peak_score": 1.0, "sensors": "x"})
        spans = pd.DataFrame({"pump": [run], "first": TIMES[1], "last": TIMES[4]})
        return StoredTable("alarms", rows, ["pump", "start"], spans)

    for table in (alarms([0, 2, 3, 5]), alarms([2], "B"), alarms([1, 3]), alarms([1, 3])):
        kept = table if table.rows["pump"][0] == "B" or len(table.rows) < 4 else table._replace(spans=None)
        write_tables(url, [kept])
    back = read_log(url, time="start", run="pump", query="SELECT pump, start, peak_score FROM alarms").X
    assert list(back.index) == [("A", TIMES[k]) for k in (0, 1, 3, 5)] + [("B", TIMES[2])]
    write_tables(url, [alarms([])])
    back = read_log(url, time="start", run="pump", query="SELECT pump, start, peak_score FROM alarms").X
    assert list(back.index) == [("A", TIMES[k]) for k in (0, 5)] + [("B", TIMES[2])]


def test_a_failure_leaves_all_tables_as_they_were(url):
    scores = make_scores()
    twice = pd.concat([make_scores(seed=3), make_scores(["A"], TIMES[:1])])
    for before in (None, scores):
        if before is not None:
            write_tables(url, [stored(before)])
        with pytest.raises(ValueError, match=r"(?i)plant\.db: .*(unique|duplicate)"):
            write_tables(url, [stored(make_scores(seed=4), "first"), stored(twice)])
        if before is None:
            with pytest.raises(ValueError, match=r"(?i)(no such table|does not exist).*scores|scores.*does not exist"):
                read_back(url)
        else:
            pd.testing.assert_frame_equal(read_back(url), scores.astype(float), check_index_type=False)
        with pytest.raises(ValueError, match=r"(?i)(no such table|does not exist).*first|first.*does not exist"):
            read_back(url, "first")


def test_a_table_of_other_columns_is_refused_before_any_work(url):
    scores = make_scores()
    write_tables(url, [stored(scores)])
    other = stored(scores.rename(columns={"score": "anomaly"}))
    for refuse in (check_tables, write_tables):
        with pytest.raises(ValueError, match="table 'scores' has no column 'anomaly'; it has 'pump', 'time', 'score',"):
            refuse(url, [other])
    write_tables(url, [stored(scores[["alarm"]])])  # more columns than are written do no harm, where they may be empty


def test_sql_in_names_does_no_harm(url):
    pumps, columns = make_scores(EVIL), [f"{text} of a pump" for text in EVIL]
    for _ in range(2):
        write_tables(url, [stored(pumps)])
        for column, table in zip(columns, EVIL, strict=True):
            write_tables(url, [stored(make_scores(EVIL[:2], run=column), f"t{table.replace('.', '')}")])
    expected = pumps.sort_index().astype(float)
    pd.testing.assert_frame_equal(read_back(url), expected, check_index_type=False)
    for column, table in zip(columns, EVIL, strict=True):
        name = f"t{table}".replace('"', '""')
        assert len(read_back(url, name, run=column)) == 2 * len(TIMES)


def test_runs_that_are_numbers_fit_a_table_where_they_are_text(url):
    write_tables(url, [stored(make_scores(["A", "7"]))])
    again = make_scores([7], seed=1)
    write_tables(url, [stored(again)])
    back = read_back(url)
    assert len(back) == 2 * len(TIMES)
    np.testing.assert_array_equal(back.loc["7"], again.astype(float))


def test_a_table_made_by_a_user_takes_the_rows(tmp_path):
    pytest.importorskip("sqlalchemy")
    with sqlite3.connect(tmp_path / "plant.db") as opened:
        opened.execute(
            "CREATE TABLE scores (id INTEGER PRIMARY KEY, pump TEXT, time DATETIME, score REAL, alarm BOOLEAN)"
        )
    opened.close()
    url = f"sqlite:///{tmp_path}/plant.db"
    for _ in range(2):
        write_tables(url, [stored(make_scores())])
    assert len(read_back(url)) == 2 * len(TIMES)


def test_a_database_that_cannot_be_made_is_refused_before_any_work(url):
    lost = url.replace("plant.db", "no/plant.db")
    with pytest.raises(ValueError, match=r"the folder .* does not exist"):
        check_tables(lost, [stored(make_scores())])


def test_a_database_in_memory_is_no_place_for_a_table():
    with pytest.raises(ValueError, match="duckdb:// is in memory, and gone at the end"):
        check_tables("duckdb://", [stored(make_scores())])


def test_a_file_that_is_no_database_is_refused(url, tmp_path):
    (tmp_path / "plant.db").write_text("time,score\n" * 100)
    with pytest.raises(ValueError, match=r"plant\.db: .*(not a database|not a valid DuckDB)"):
        check_tables(url, [stored(make_scores())])
