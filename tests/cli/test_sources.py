"""Commands over folders, queries, long tables and databases: the same as over one file of the same rows."""

import shutil
import sqlite3

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.cli.parser import main
from eventlstm.logs.files import read_log

FIT = ["--time", "time", "--label", "failure", "--model", "boosting", "--threshold", "0.5"]
DETECT = [
    "--time",
    "time",
    "--run",
    "machine",
    "--members",
    "1",
    "--max-epochs",
    "1",
    "--max-false-alarms-per-day",
    "5",
]
QUERY = ["--query", "SELECT * FROM readings"]
RUN = ["--run", "machine"]


@pytest.fixture(scope="module")
def table():
    X, y = el.datasets.make_sensor_log(n_machines=3, n_days=2, failures_per_machine=1, random_state=0)
    return X.iloc[:, :3].assign(failure=y).reset_index()


@pytest.fixture(scope="module")
def made(table, tmp_path_factory):
    """A folder with one log as a file, a fleet of files, and databases; with models of the file and of the fleet."""
    duckdb, _ = pytest.importorskip("duckdb"), pytest.importorskip("sqlalchemy")
    folder = tmp_path_factory.mktemp("made")
    table.to_csv(folder / "log.csv", index=False)
    (folder / "fleet").mkdir()
    for machine, rows in table.groupby("machine"):
        rows.drop(columns="machine").to_csv(folder / "fleet" / f"{machine}.csv", index=False)
    with sqlite3.connect(folder / "plant.db") as opened:
        table.to_sql("readings", opened, index=False)
    opened.close()
    with duckdb.connect(str(folder / "plant.duckdb")) as opened:
        opened.register("made", table)
        opened.execute("CREATE TABLE readings AS SELECT * FROM made")
    for log, name in (([folder / "log.csv", *RUN], "model"), ([folder / "fleet"], "fleet_model")):
        assert main(["fit", *map(str, log), *FIT, "-o", str(folder / name)]) == 0
    assert main(["score", str(folder / "model"), str(folder / "log.csv"), "-o", str(folder / "scores.csv")]) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of the folder, which is the current one."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SOURCES = {
    "folder": ["fleet"],
    "pattern": ["fleet/*.csv"],
    "query over files": ["log.csv", "--query", "SELECT * FROM log", *RUN],
    "sqlite": ["sqlite:///plant.db", *QUERY, *RUN],
    "duckdb": ["duckdb:///plant.duckdb", *QUERY, *RUN],
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_model_of_any_source_is_that_of_the_file(folder, case, capsys):
    assert main(["fit", *SOURCES[case], *FIT, "-o", "other"]) == 0
    again = [part for part in SOURCES[case] if part not in RUN]
    assert main(["score", "other", *again, "--label", "failure", "-o", "other.csv"]) == 0
    scores, others = (pd.read_csv(f"{name}.csv") for name in ("scores", "other"))
    np.testing.assert_array_equal(scores[["score", "alarm"]], others[["score", "alarm"]])
    np.testing.assert_array_equal(scores.iloc[:, 0], others.iloc[:, 0])
    assert not capsys.readouterr().err


@pytest.mark.parametrize("case", ["folder", "sqlite"])
def test_a_report_takes_any_source(folder, case):
    model, again = "fleet_model" if case == "folder" else "model", SOURCES[case]
    log = [part for part in again if part not in RUN]
    assert main(["report", model, *log, "--label", "failure", "--no-baselines", "-o", "report.html"]) == 0
    assert f"{model} on {'fleet' if case == 'folder' else 'plant.db'}" in (folder / "report.html").read_text()


def test_a_file_of_a_fleet_is_scored_alone_under_its_name(folder):
    for log in ("fleet", "fleet/pump-02.csv"):
        assert main(["score", "fleet_model", log, "-o", f"{log[:5]}{len(log)}.csv"]) == 0
    whole, alone = pd.read_csv("fleet5.csv"), pd.read_csv("fleet17.csv")
    pd.testing.assert_frame_equal(alone, whole[whole["file"] == "pump-02"].reset_index(drop=True))


@pytest.mark.parametrize("url", ["sqlite:///out.db", "duckdb:///out.db", "sqlite:///plant.db"])
def test_scores_and_alarms_go_into_tables_once_however_often(folder, url, capsys):
    for _ in range(2):
        command = ["score", "model", "log.csv", "-o", url, "--table", "scores", "--alarms-table", "alarms"]
        assert main(command) == 0
    assert f"rows of alarms to {url}." in capsys.readouterr().out
    stored = read_log(url, time="time", run="machine", query="SELECT * FROM scores").X
    by_file = read_log("scores.csv", time="time", run="machine").X
    pd.testing.assert_frame_equal(stored, by_file, check_index_type=False)
    alarms = read_log(url, time="start", run="machine", query="SELECT machine, start, peak_score FROM alarms").X
    flags = by_file["alarm"].groupby("machine")
    begins = [row for _, own in flags for row in own.index[(own == 1) & (own.shift(fill_value=0) == 0)]]
    assert list(alarms.index) == begins and len(begins) >= 3


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_detect_writes_alarms_and_scores_into_tables_and_its_model_scores_them_again(folder, kind):
    url = f"{kind}:///out.db"
    files = ["-o", "alarms.csv", "--scores", "scores.csv"]
    tables = ["-o", url, "--alarms-table", "alarms", "--scores", url, "--scores-table", "scores", "--save", "model"]
    for outputs in (files, tables):
        assert main(["detect", "log.csv", *DETECT, "--drop", "failure", *outputs]) == 0
    alarms = pd.read_csv("alarms.csv", parse_dates=["start", "end", "peak"])
    for again in (False, True):
        if again:
            score = ["score", "model", "log.csv", "-o", url, "--table", "scores", "--alarms-table", "alarms"]
            assert main(score) == 0
        names = ", ".join(f'"{name}"' for name in alarms if name != "sensors")
        times = '"start" AS "time"'
        stored = read_log(url, time="time", run="machine", query=f"SELECT {times}, machine, peak_score FROM alarms").X
        assert len(stored) == len(alarms) > 0 and "peak_score" in names
        np.testing.assert_allclose(stored["peak_score"], alarms.sort_values(["machine", "start"])["peak_score"])
        scores = read_log(url, time="time", run="machine", query="SELECT * FROM scores").X
        by_file = read_log("scores.csv", time="time", run="machine").X
        pd.testing.assert_frame_equal(scores, by_file, check_index_type=False)


def test_fit_on_and_train_take_a_query_of_their_own(folder):
    quiet = ["--fit-on", "sqlite:///plant.db", "--fit-on-query", "SELECT * FROM readings WHERE failure = 0"]
    assert main(["detect", "log.csv", *DETECT, "--drop", "failure", *quiet, "--save", "quiet"]) == 0
    train = ["--train", "duckdb:///plant.duckdb", "--train-query", "SELECT * FROM readings WHERE machine <> 'pump-01'"]
    command = ["report", "model", "sqlite:///plant.db", *QUERY, "--label", "failure", *train, "-o", "page.html"]
    assert main(command) == 0
    assert "model on plant.db" in (folder / "page.html").read_text()


@pytest.fixture
def long_table(folder, table):
    """The same log as a long table, its first sensor read at each row, the others at every third."""
    names = list(table.columns[2:5])
    long = table.melt(["machine", "time"], [*names, "failure"], var_name="tag", value_name="reading")
    place = long.groupby(["machine", "tag"]).cumcount()
    kept = long[(place % 3 == 0) | long["tag"].isin([names[0], "failure"])]
    kept.to_csv("long.csv", index=False)
    return names


LONG = ["--layout", "long", "--sensor", "tag", "--value", "reading"]


def test_a_long_table_is_read_again_as_in_fit(folder, long_table, capsys):
    assert main(["fit", "long.csv", *LONG, *RUN, *FIT, "--max-age", "1h", "--ages", "-o", "model"]) == 0
    out = capsys.readouterr().out
    assert "A row every 0 days 00:10:00; " in out and "% of the values are carried forward" in out
    model = el.load("model")
    layout = {"sensor": "tag", "value": "reading", "max_age": "1h", "ages": True, "step": "0 days 00:10:00"}
    assert model.long_layout_ == layout
    assert list(model.feature_names_in_) == [*sorted(long_table), *(f"{name}_age" for name in sorted(long_table))]
    assert main(["score", "model", "long.csv", "-o", "scores.csv"]) == 0
    assert main(["report", "model", "long.csv", "--label", "failure", "--no-baselines", "-o", "page.html"]) == 0
    log = read_log(
        "long.csv", time="time", run="machine", layout="long", sensor="tag", value="reading", step="10min", max_age="1h"
    )
    assert len(pd.read_csv("scores.csv")) == len(log.X)
    page = (folder / "page.html").read_text()
    assert "Values carried forward" in page and "%, most of " in page


def test_a_long_table_is_searched_for_alarms(long_table):
    arguments = [*LONG, *DETECT, "--drop", "failure", "--fit-on", "long.csv"]
    assert main(["detect", "long.csv", *arguments, "-o", "alarms.csv", "--save", "model"]) == 0
    assert main(["score", "model", "long.csv", "-o", "scores.csv"]) == 0


REFUSED = {
    "url without a table": (["-o", "sqlite:///out.db"], "sqlite:///out.db is a database. Name the table in it too"),
    "table without a url": (
        ["-o", "out.csv", "--table", "scores"],
        "--table scores names a table, but the output is no",
    ),
    "alarms alone": (["-o", "sqlite:///o.db", "--alarms-table", "a"], "Name the table in it too: --table NAME"),
    "one table": (
        ["-o", "sqlite:///o.db", "--table", "a", "--alarms-table", "a"],
        "two outputs have the same table, a",
    ),
    "other columns": (["-o", "sqlite:///plant.db", "--table", "readings"], "table 'readings' has no column 'file'"),
    "no folder": (["-o", "sqlite:///no/o.db", "--table", "a"], "/no' of the output does not exist"),
    "a file of the input": (["-o", "fleet/pump-01.csv"], "the output 'fleet/pump-01.csv' is also an input"),
    "layout": (["-o", "out.csv", "--step", "10s"], "step='10s' is for long tables"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(folder, case, capsys):
    arguments, message = REFUSED[case]
    before = sorted(folder.iterdir())
    assert main(["score", "fleet_model", "fleet", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and len(line) < 300
    assert sorted(folder.iterdir()) == before


URL = "postgresql://ann:s3cr/t@host/plant?passfile=s3cr"
MISPLACED = {
    "argument": ["fit", "log.csv", "-o", "model", "--time", "t", URL],
    "log": ["fit", URL, "-o", "model", "--time", "t", "--label", "y"],
    "model": ["score", URL, "log.csv", "-o", "scores.csv"],
    "model to write": ["fit", "log.csv", "-o", URL, "--time", "time", "--label", "failure"],
    "events": ["fit", "log.csv", "-o", "other", "--time", "time", *RUN, "--drop", "failure", "--events", URL],
    "page": ["report", "model", "log.csv", "-o", URL],
    "alarms": ["detect", "log.csv", "--time", "time", "-o", URL],
}


@pytest.mark.parametrize("case", MISPLACED)
def test_a_password_of_a_url_is_not_repeated_wherever_it_stands(folder, case, capsys):
    try:
        code = main(MISPLACED[case])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert code == 2 and ("postgresql://***@host" in err or case == "events") and "s3cr" not in out + err
