"""The files of the command line: probed before any work, told of where one fails, and no formulas in a spreadsheet."""

import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.cli.alarm_text import tabulate_alarms
from eventlstm.cli.outputs import ALARM_COLUMNS, SCORE_COLUMNS, check_outputs, write_files, write_table
from eventlstm.cli.parser import main
from eventlstm.logs.spreadsheets import as_text

FORK = multiprocessing.get_context("fork")
N_ROUNDS = 20
FORMULAS = ("=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=", "+", "--1", "+1+1", "＝1", "-1e", "-inf")
HARMLESS = ("A", "'=1", "1", "-1", "+2", "-07", "-1.5e-3", "+.5", "a=1", "pump-01", "", " x", "é", "None")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_begins_a_formula_gets_an_apostrophe_wherever_it_stands(text):
    index = pd.MultiIndex.from_product([["ok", text], [1, 2]], names=[text, "time"])
    for kind in ("str", "object", "category"):
        table = pd.DataFrame({"score": -1.5, text: pd.Series([text, "ok"] * 2, dtype=kind).array}, index=index)
        told = as_text(table)
        assert list(told) == ["score", f"'{text}"] and list(told.index.names) == [f"'{text}", "time"]
        assert list(told[f"'{text}"]) == [f"'{text}", "ok"] * 2
        assert list(told.index) == [("ok", 1), ("ok", 2), (f"'{text}", 1), (f"'{text}", 2)]
        assert (told["score"] == -1.5).all()


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_and_numbers_are_left_as_they_are(text):
    index = pd.MultiIndex.from_product([[text, "b"], [-1, 2]], names=["run", "time"])
    table = pd.DataFrame({"score": [-1.0, np.nan, np.inf, 2], "sensors": [text, None, "b", "c"]}, index=index)
    pd.testing.assert_frame_equal(as_text(table), table)


def test_numbers_and_times_are_never_texts(tmp_path):
    times = pd.date_range("2024-01-01", periods=3, freq="12h", tz="Europe/Berlin", name="time")
    index = pd.MultiIndex.from_arrays([[-3, -2, -1], times], names=["run", "time"])
    table = pd.DataFrame({"score": [-0.1, -2e-9, 3.0], "peak": times, "flag": [True, False, True]}, index=index)
    for indexed in (table, table.droplevel("run"), table.iloc[:0]):
        write_table(indexed, tmp_path / "told.csv", index=True)
        assert (tmp_path / "told.csv").read_text(encoding="utf-8") == indexed.to_csv()


def test_names_stay_as_they_are_where_they_are_wanted_raw(tmp_path):
    table = pd.DataFrame({"=run": [text for text in FORMULAS if text.isprintable()], "score": 0.5})
    write_table(table, tmp_path / "raw.csv", index=False, raw=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "raw.csv"), table, check_dtype=False)
    write_table(table, tmp_path / "told.csv", index=False)
    assert (tmp_path / "told.csv").read_text(encoding="utf-8").startswith("'=run,score\n'=1+1,0.5\n")


def test_scores_that_need_nothing_are_read_again_as_they_were(tmp_path):
    index = pd.MultiIndex.from_product([["A", "-07", "-x"[1:]], pd.date_range("2024", periods=4, freq="h")])
    scores = pd.DataFrame({"score": np.linspace(-1, 1, 12), "alarm": 0}, index=index.set_names(["pump", "time"]))
    write_table(scores, tmp_path / "scores.csv", index=True)
    X = el.read_log(tmp_path / "scores.csv", time="time", run="pump").X
    pd.testing.assert_series_equal(X["score"], scores["score"].sort_index(), check_index=False)


NAMES = {
    "s.csv.gz": "s.csv",
    "S.CSV.GZ": "S.CSV",
    "s.gz": "s.csv",
    "s.parquet": "s.csv",
    "pump.1.pq": "pump.1.csv",
    "s.xlsx": "s.csv",
    "s.csv.zip": "s.csv",
    "s.tar.bz2": "s.csv",
    "s.csv.csv.xz": "s.csv.csv",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_table_under_another_name_than_csv_is_refused_with_the_right_one(name, tmp_path):
    with pytest.raises(ValueError, match=rf"the scores are written as CSV\. Name the output {NAMES[name]}\.$"):
        check_outputs({"scores": tmp_path / name}, [])
    check_outputs({"scores": tmp_path / NAMES[name], "alarms": tmp_path / "any", "others": None}, [tmp_path / "m.gz"])


CLASHES = {
    "a run of detect as a score": ["detect", "no.csv", "--time", "t", "--run", "score"],
    "a run of detect as an alarm's end": ["detect", "no.csv", "--time", "t", "--run", "end"],
    "a run of detect as sensors": ["detect", "no.csv", "--time", "t", "--run", "hall", "--run", "sensors"],
    "a run of detect as a peak": ["detect", "no.csv", "--time", "t", "--run", "peak", "--scores", "s"],
    "a time of detect as a score": ["detect", "no.csv", "--time", "score"],
    "a run of fit as an alarm": ["fit", "no.csv", "--time", "t", "--run", "alarm", "--label", "y", "-o", "m"],
    "a time of fit as a score": ["fit", "no.csv", "--time", "score", "--label", "y", "-o", "m"],
    "a run of score as a score": ["score", "model", "no.csv", "--run", "score", "-o", "s"],
    "a time of score as an alarm": ["score", "model", "no.csv", "--time", "alarm", "-o", "s"],
}


@pytest.mark.parametrize("case", CLASHES)
def test_a_column_called_as_one_of_the_outputs_is_refused_before_any_work(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    el.save(StandardScaler(), "model")
    assert main(CLASHES[case]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is called as one of the tables that are written" in line and len(line) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_columns_that_are_written_are_those_that_are_refused():
    score = pd.Series([0.0, 2.0, 0.0], name="score")
    alarms = el.AlarmPolicy(threshold=1.0).to_events(score, pd.DataFrame({"heat": score}))
    assert tuple(tabulate_alarms(alarms, ["hall"])) == ("hall", *ALARM_COLUMNS)
    assert set(SCORE_COLUMNS) == {"score", "alarm"}


@pytest.mark.parametrize("threshold", ["nan", "inf", "-inf", "2", "-1", "0", "1", "1e400", "1.0000001"])
def test_a_threshold_that_is_no_probability_is_refused_before_any_work(threshold, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["fit", "no.csv", "--time", "t", "--label", "y", "-o", "model", f"--threshold={threshold}"]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no probability to alarm at. Pass a number above 0 and below 1." in line


def test_a_report_alarms_at_a_finite_score(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for threshold in ("nan", "inf"):
        assert main(["report", "no", "no.csv", "--threshold", threshold]) == 2
        assert "is no score to alarm at" in capsys.readouterr().err


PROBED = {
    "scores": ["score", "no", "no.csv", "-o", "nowhere/s"],
    "a model of fit": ["fit", "no.csv", "--time", "t", "--label", "y", "-o", "nowhere/m"],
    "alarms": ["detect", "no.csv", "--time", "t", "-o", "nowhere/a"],
    "scores of detect": ["detect", "no.csv", "--time", "t", "-o", "a", "--scores", "nowhere/s"],
    "a model of detect": ["detect", "no.csv", "--time", "t", "-o", "a", "--save", "nowhere/m"],
    "a page": ["report", "no", "no.csv", "-o", "nowhere/r"],
    "a folder of the demo": ["demo", "--keep", "file"],
    "a page of the demo": ["demo", "--keep", "kept"],
}


@pytest.mark.parametrize("case", PROBED)
def test_every_output_is_probed_before_the_log_is_read(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("kept/report.html").mkdir(parents=True)
    assert main(PROBED[case]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert any(word in line for word in ("does not exist. Make it", "file: File exists", "is a folder")), line
    assert printed.out == "" and not Path("a").exists()


def fail(error, _):
    raise error


FAILURES = (OSError(28, "No space left on device"), ValueError("too large"), MemoryError("no room"), OSError("gone"))


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_where_one_of_several_outputs_fails_those_written_are_named(failure, capsys):
    done = []
    with pytest.raises(OSError, match=r"^c could not be written \(.+\)\. Written before it: a, b\.$"):
        write_files(
            (Path("a"), done.append),
            (None, partial(fail, ValueError())),
            (Path("b"), done.append),
            (Path("c"), partial(fail, failure)),
            (Path("d"), done.append),
        )
    assert done == [Path("a"), Path("b")] and capsys.readouterr().out == "Wrote a, b.\n"


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(), BrokenPipeError()], ids=repr)
def test_what_ends_a_command_between_two_outputs_leaves_a_word_of_the_first(end, capsys):
    with pytest.raises(type(end)):
        write_files((Path("a"), lambda _: None), (Path("b"), partial(fail, end)))
    assert capsys.readouterr().out == "Wrote a.\n"


def save_often(path, mean):
    model = StandardScaler().fit(np.full((10_000, 1), mean))
    for _ in range(N_ROUNDS):
        el.save(model, path)


def test_two_processes_that_save_to_one_file_leave_a_whole_model_of_one_of_them(tmp_path):
    path = tmp_path / "model"
    children = [FORK.Process(target=save_often, args=(path, mean)) for mean in (1.0, 2.0)]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        assert not path.exists() or el.load(path).mean_[0] in (1.0, 2.0)
    assert [child.exitcode for child in children] == [0, 0]
    assert el.load(path).mean_[0] in (1.0, 2.0) and [each.name for each in tmp_path.iterdir()] == ["model"]
