"""Logs from and tables into a real PostgreSQL server: types, secrets, and a writer that is killed."""

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eventlstm.cli.parser import main
from eventlstm.datasets import make_sensor_log
from eventlstm.logs.database_tables import check_tables, write_tables
from eventlstm.logs.files import read_log

from .postgres import PASSWORD, USER, running_server
from .test_database_tables import EVIL, make_scores, stored

PARTS = ("s3cr", "w0rd")  # of the password, in any way it may be written
EVERYTHING = "SELECT * FROM scores"


@pytest.fixture(scope="module")
def port():
    pytest.importorskip("psycopg")
    pytest.importorskip("sqlalchemy")
    with running_server() as port:
        yield port


@pytest.fixture
def url(port, monkeypatch):
    """The URL of an empty database, whose password is in the environment."""
    monkeypatch.setenv("PLANT_PASSWORD", PASSWORD)
    address = f"postgresql://{USER}:${{PLANT_PASSWORD}}@127.0.0.1:{port}/postgres"
    execute(address, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return address


def execute(url, *statements):
    import psycopg

    address = url.replace("postgresql://", "").split("@")[1]
    host, port = address.split("/")[0].split(":")
    with psycopg.connect(host=host, port=port, user=USER, password=PASSWORD, dbname="postgres") as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def test_types_arrive_as_floats_text_and_utc(url, monkeypatch):
    monkeypatch.setenv("PGTZ", "Europe/Berlin")  # of the session, which is not the log's
    execute(
        url,
        "CREATE TABLE log (t timestamptz, machine uuid, exact numeric(12, 3), whole numeric(20), small smallint, "
        "big bigint, single real, truth boolean, code oid, never text, day date)",
        "INSERT INTO log VALUES ('2024-03-31T01:30:00+01:00', '00000000-0000-0000-0000-00000000000a', 1.125, 3, NULL, "
        "9007199254740993, 0.5, TRUE, 4294967295, NULL, '2024-01-01'), "
        "('2024-03-31T03:30:00+02:00', '00000000-0000-0000-0000-00000000000a', NULL, 'NaN', 7, 1, NULL, NULL, 0, NULL, "
        "NULL)",
    )
    X = read_log(url, time="t", run="machine", query="SELECT * FROM log", drop=["day"]).X
    assert X.index.get_level_values("t").equals(
        pd.DatetimeIndex(["2024-03-31 00:30", "2024-03-31 01:30"], tz="UTC", name="t")
    )
    assert X.index.get_level_values("machine").unique().tolist() == ["00000000-0000-0000-0000-00000000000a"]
    expected = {
        "exact": [1.125, np.nan], "whole": [3, np.nan], "small": [np.nan, 7], "big": [2.0**53, 1],
        "single": [0.5, np.nan], "truth": [1, np.nan], "code": [2.0**32 - 1, 0], "never": [np.nan, np.nan],
    }  # fmt: skip
    pd.testing.assert_frame_equal(X.reset_index(drop=True), pd.DataFrame(expected, dtype=float))
    dates = read_log(url, time="day", query="SELECT day, small FROM log WHERE day IS NOT NULL").X
    assert dates.index.equals(pd.DatetimeIndex(["2024-01-01"]))


def test_labels_that_are_large_or_decimal_keep_their_last_digit(url):
    query = "SELECT 1 AS t, 2.5 AS a, 9007199254740993::numeric AS label UNION ALL SELECT 2, 3, 0"
    assert read_log(url, time="t", label="label", query=query).y.tolist() == [2**53 + 1, 0]


def test_a_long_result_in_parts_and_signs_of_percent_arrive(url):
    halves = "SELECT n AS t, CASE WHEN n > 60000 THEN n / 2.0 END AS a FROM generate_series(1, 120001) AS n"
    query = f"{halves} WHERE '%(a)s' LIKE '%' AND ':b' <> '?'"
    X = read_log(url, time="t", query=query).X
    assert len(X) == 120001 and X["a"].isna().sum() == 60000 and X["a"].iloc[-1] == 60000.5


CHANGES = {
    "DELETE FROM scores RETURNING *": "syntax error",  # where a SELECT must stand
    "WITH gone AS (DELETE FROM scores RETURNING *) SELECT * FROM gone": "data-modifying",
    "SELECT nextval('counter') AS time, 1 AS a": "read-only transaction",
}


@pytest.mark.parametrize("query", CHANGES)
def test_a_query_changes_nothing(url, query):
    write_tables(url, [stored(make_scores())])
    execute(url, "CREATE SEQUENCE counter")
    with pytest.raises(ValueError, match=CHANGES[query]):
        read_log(url, time="time", query=query)
    assert len(read_log(url, time="time", run="pump", query=EVERYTHING).X) == 12


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_what_is_written_again_is_there_once(url, zone):
    scores = make_scores(EVIL, pd.date_range("2024-03-31", periods=6, freq="h", tz=zone, name="time"))
    check_tables(url, [stored(scores)])
    for name in ("scores", "public.scores", "a;b%s", "scores"):
        write_tables(url, [stored(scores, name)])
    back = read_log(url, time="time", run="pump", query=EVERYTHING).X
    times = scores if zone is None else scores.tz_convert("UTC", level="time")
    pd.testing.assert_frame_equal(back, times.sort_index().astype(float), check_index_type=False)


def test_a_failure_leaves_all_tables_as_they_were(url):
    write_tables(url, [stored(make_scores())])
    twice = pd.concat([make_scores(seed=1), make_scores(["A"])])
    with pytest.raises(ValueError, match=r"@127.*The database says: duplicate key"):
        write_tables(url, [stored(make_scores(), "first"), stored(twice)])
    back = read_log(url, time="time", run="pump", query=EVERYTHING).X
    pd.testing.assert_frame_equal(back, make_scores().astype(float), check_index_type=False)
    with pytest.raises(ValueError, match='relation "first" does not exist'):
        read_log(url, time="time", query="SELECT * FROM first")


WRITE = """
import sys
from tests.logs.test_database_tables import make_scores, stored
from eventlstm.logs.database_tables import write_tables
write_tables(sys.argv[1], [stored(make_scores(seed=9))])
"""
STALL = (
    "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN IF NEW.pump = 'B' THEN PERFORM pg_sleep(600); END IF; RETURN NEW; END $$",
    "CREATE TRIGGER stall BEFORE INSERT ON scores FOR EACH ROW EXECUTE FUNCTION stall()",
)
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def test_a_writer_killed_half_way_loses_no_row_and_leaves_none_twice(url):
    write_tables(url, [stored(make_scores())])
    execute(url, *STALL)
    root = Path(__file__).parents[2]
    writer = subprocess.Popen([sys.executable, "-c", WRITE, url], cwd=root)
    try:
        wait_until(lambda: execute(url, SLEEPING) == [(1,)])
    finally:
        writer.kill()
        writer.wait()
    execute(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    wait_until(lambda: execute(url, SLEEPING) == [(0,)])
    back = read_log(url, time="time", run="pump", query=EVERYTHING).X
    pd.testing.assert_frame_equal(back, make_scores().astype(float), check_index_type=False)
    execute(url, "DROP TRIGGER stall ON scores")
    write_tables(url, [stored(make_scores(seed=9))])
    back = read_log(url, time="time", run="pump", query=EVERYTHING).X
    pd.testing.assert_frame_equal(back, make_scores(seed=9).astype(float), check_index_type=False)


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def folder(url, tmp_path, monkeypatch):
    """A folder to work in, and a labelled log in the database."""
    import sqlalchemy

    monkeypatch.chdir(tmp_path)
    X, y = make_sensor_log(n_machines=3, n_days=3, failures_per_machine=1, random_state=0)
    engine = sqlalchemy.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:").replace("${PLANT_PASSWORD}", "")
    )
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with engine.begin() as connection:
        X.assign(failure=y).reset_index().to_sql("readings", connection, index=False)
    engine.dispose()
    return tmp_path


ALL = ["--query", "SELECT * FROM readings"]
FIT = ["--time", "time", "--run", "machine", "--label", "failure", "--model", "boosting", "--threshold", "0.5"]


def test_a_log_of_a_server_is_learnt_scored_and_its_alarms_are_read_back(folder, url, port, capfd, monkeypatch):
    assert main(["fit", url, *ALL, *FIT, "-o", "model"]) == 0
    for address in (url, url.replace("${PLANT_PASSWORD}", "")):  # once with the password of PGPASSWORD alone
        score = ["score", "model", address, *ALL, "--label", "failure", "-o", address]
        assert main([*score, "--table", "scores", "--alarms-table", "alarms"]) == 0
    assert main(["score", "model", url, *ALL, "-o", "scores.csv"]) == 0
    assert main(["report", "model", url, *ALL, "--label", "failure", "--no-baselines"]) == 0
    scores = read_log(url, time="time", run="machine", query=EVERYTHING).X
    by_file = read_log("scores.csv", time="time", run="machine").X
    pd.testing.assert_frame_equal(scores, by_file, check_index_type=False)
    alarms = execute(url, 'SELECT machine, start, "end", peak_score FROM alarms ORDER BY machine, start')
    flags = by_file["alarm"].groupby("machine")
    begins = [(m, time) for m, own in flags for time in own.index[(own == 1) & (own.shift(fill_value=0) == 0)]]
    assert [(machine, pd.Timestamp(start)) for machine, start, *_ in alarms] == [(m, t) for (m, (_, t)) in begins]
    assert len(alarms) >= 3
    expect_no_secret(folder, url, *capfd.readouterr())


def test_what_fails_tells_no_secret_either(folder, url, capfd, monkeypatch):
    wrong = url.replace("${PLANT_PASSWORD}", "wr0ng-s3cr")
    assert main(["fit", wrong, *ALL, *FIT, "-o", "model"]) == 2
    assert main(["fit", url, "--query", "SELECT * FROM nothing", *FIT, "-o", "model"]) == 2
    assert main(["fit", url, *ALL, *FIT, "-o", "model"]) == 0
    execute(url, "CREATE TABLE other (a int)")
    for arguments in (["--table", "other"], [], ["--table", "no.schema.of.this.name"]):
        assert main(["score", "model", url, *ALL, "-o", url, *arguments]) == 2
    with pytest.raises(SystemExit):
        main(["fit", url, *ALL, *FIT, "-o", "model", wrong])
    out, err = capfd.readouterr()
    assert "password authentication failed" in err and "has no column 'machine'" in err and "--table NAME" in err
    assert all(len(line) < 400 for line in err.splitlines() if line.startswith("eventlstm"))
    expect_no_secret(folder, url, out, err)


def expect_no_secret(folder, url, *texts):
    """Fail where a part of the password is in a text, a file, an archive or the database."""
    contents = [text.encode() for text in texts]
    for path in folder.iterdir():
        contents.append(path.read_bytes())
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
    for (table,) in execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        contents.append(str(execute(url, f'SELECT * FROM "{table}"')).encode())
    for content in contents:
        assert not any(part.encode() in content for part in PARTS)
