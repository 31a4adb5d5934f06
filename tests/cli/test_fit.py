"""The command line, run in this process on small files."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.alarms.model_scores import policy_of, threshold_of
from eventlstm.alarms.policy_choice import suit_policy
from eventlstm.cli.parser import main

QUICK = ["--max-epochs", "2", "--members", "2", "--folds", "2"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A labelled log, a model fitted on it, and what the fit printed."""
    folder = tmp_path_factory.mktemp("files")
    log = el.datasets.make_sensor_log(n_machines=3, n_days=3, failures_per_machine=1, random_state=0)
    log.X.assign(failure=log.y).reset_index().to_csv(folder / "log.csv", index=False)
    command = ["fit", folder / "log.csv", "--time", "time", "--run", "machine", "--label", "failure", *QUICK]
    assert run(command, "-o", folder / "model") == 0
    return folder


def run(command, *more):
    return main([str(word) for word in (*command, *more)])


def test_fit_prints_all_measures_beside_the_baselines(files, capsys):
    command = ["fit", files / "log.csv", "--time", "time", "--run", "machine", "--label", "failure", *QUICK]
    assert run(command, "-o", files / "again") == 0
    printed = capsys.readouterr().out
    for word in ("average precision", "mcc", "f1", "recall", "precision", "prevalence"):
        assert word in printed
    for model in ("blend", "LSTM", "forest", "boosting", "logistic regression", "gradient boosting"):
        assert re.search(rf"^{model} +\d\.\d{{3}} ", printed, re.MULTILINE), printed
    assert re.search(
        r"^The blend reaches an average precision of .* few events leave between .* lead over ", printed, re.MULTILINE
    ), printed
    assert (files / "again").read_bytes() == (files / "model").read_bytes(), "same log, same seed, same file"
    assert list(el.load(files / "again").estimator_[-1].named_estimators_) == [
        "relative",
        "whitened",
        "forest",
        "boosting",
    ]


def test_scores_are_those_of_the_loaded_model_and_alarms_those_of_its_threshold(files, capsys):
    assert run(["score", files / "model", files / "log.csv", "--label", "failure", "-o", files / "scores.csv"]) == 0
    scores = pd.read_csv(files / "scores.csv", parse_dates=["time"], index_col=["machine", "time"])
    model = el.load(files / "model")
    log = el.read_log(files / "log.csv", time="time", run="machine", label="failure")
    assert scores.index.equals(log.X.index)
    np.testing.assert_allclose(scores["score"], model.predict_proba(log.X)[:, 1], rtol=1e-12)
    flags = policy_of(model).flag(scores["score"])
    assert policy_of(model).threshold == threshold_of(model) and (scores["alarm"] == flags).all()
    printed = capsys.readouterr().out
    assert re.search(r"average precision.*\n *blend ", printed) and re.search(r"blend +\d of 3 ", printed)
    learnt, held_out = printed.splitlines()[1:3]
    assert learnt == "100 % of these rows were learnt from: expect worse on new ones."
    assert re.match(r"Held out when it was fitted: average precision 0\.\d\d, .* \d of 3 events found, ", held_out)


def test_the_report_on_the_log_of_the_fit_opens_with_that(files, tmp_path, capsys):
    command = ["report", files / "model", files / "log.csv", "--label", "failure", "--no-baselines"]
    assert run(command, "-o", tmp_path / "page.html") == 0
    assert re.match(
        r"Event: 1 .*\n100 % of these rows were learnt from: .* Held out when .*\. The model", capsys.readouterr().out
    )


def test_rules_and_limits_are_those_asked_for_and_stay_with_the_model(files, tmp_path, capsys):
    command = ["fit", files / "log.csv", "--time", "time", "--run", "machine", "--label", "failure", *QUICK]
    asked = ["--merge-gap", "30min", "--min-duration", "2", "--cost", "50", "1", "--no-baselines", "--model", "lstm"]
    assert run(command, *asked, "-o", tmp_path / "model") == 0
    assert "after at least 2 rows, and for 30min after, as asked." in capsys.readouterr().out
    policy = policy_of(el.load(tmp_path / "model"))
    assert (policy.merge_gap, policy.min_duration) == ("30min", 2)


def test_rules_suit_the_events_where_nothing_is_asked_and_nothing_is_measured(files, tmp_path, capsys):
    command = ["fit", files / "log.csv", "--time", "time", "--run", "machine", "--label", "failure", *QUICK]
    assert run(command, "--threshold", "0.3", "--model", "lstm", "-o", tmp_path / "model") == 0
    assert "to suit the events (--merge-gap)." in capsys.readouterr().out
    model = el.load(tmp_path / "model")
    log = el.read_log(files / "log.csv", time="time", run="machine", label="failure")
    assert policy_of(model).merge_gap == suit_policy(log.y).merge_gap < 15 and policy_of(model).threshold == 0.3
    assert not hasattr(model, "held_out_")


def test_networks_alone_are_fitted_when_they_are_asked_for(files, capsys):
    command = ["fit", files / "log.csv", "--time", "time", "--run", "machine", "--label", "failure", *QUICK]
    assert run(command, "--model", "lstm", "--members", "1", "--no-baselines", "-o", files / "lstm") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^LSTM +\d\.\d{3} ", printed, re.MULTILINE) and "blend" not in printed, printed
    model = el.load(files / "lstm")
    assert isinstance(model.estimator_[-1], el.EventClassifier) and len(model.estimator_[-1].estimators_) == 1
    assert run(["score", files / "lstm", files / "log.csv", "--label", "failure", "-o", files / "alone.csv"]) == 0
    assert "LSTM" in capsys.readouterr().out


def test_a_log_with_missing_values_is_scored_whole_as_if_the_last_values_had_stayed(files):
    table = pd.read_csv(files / "log.csv")
    table.loc[5:20, "pressure_bar"] = np.nan
    table.drop(columns="failure").to_csv(files / "holes.csv", index=False)
    table.ffill().drop(columns="failure").to_csv(files / "filled.csv", index=False)
    for name in ("holes", "filled"):
        assert run(["score", files / "model", files / f"{name}.csv", "-o", files / f"{name}_scores.csv"]) == 0
    assert pd.read_csv(files / "holes_scores.csv")["score"].between(0, 1).all()
    assert (files / "holes_scores.csv").read_bytes() == (files / "filled_scores.csv").read_bytes()


def test_failures_may_come_as_intervals_and_one_machine_is_split_in_time(files, capsys):
    log = el.read_log(files / "log.csv", time="time", run="machine", label="failure")
    one = log.X.loc["pump-01"]
    one.reset_index().to_csv(files / "one.csv", index=False)
    begins = one.index[[60, 150, 240, 330]]
    pd.DataFrame({"start": begins, "end": begins + pd.Timedelta("1h")}).to_csv(files / "events.csv", index=False)
    command = ["fit", files / "one.csv", "--time", "time", "--events", files / "events.csv", *QUICK, "--no-baselines"]
    assert run(command, "--horizon", "2h", "-o", files / "one") == 0
    assert "Measured on later times held out" in capsys.readouterr().out


@pytest.mark.filterwarnings("default")
def test_labels_are_read_in_score_as_they_were_in_fit(files, capsys):
    table = pd.read_csv(files / "log.csv").assign(state=lambda log: np.where(log["failure"] == 1, "bad", "ok"))
    table.drop(columns="failure").to_csv(files / "words.csv", index=False)
    words = ["fit", files / "words.csv", "--time", "time", "--run", "machine", "--label", "state", "--horizon", "2h"]
    assert run(words, *QUICK, "--threshold", "0.2", "-o", files / "words") == 0
    assert "with the threshold 0.2000 as given" in capsys.readouterr().out
    mostly_bad = table[(table["failure"] == 1) | (table.index % 20 == 0)].drop(columns="failure")
    mostly_bad.to_csv(files / "bad.csv", index=False)
    assert run(["score", files / "words", files / "bad.csv", "--label", "state", "-o", files / "bad_scores"]) == 0
    printed = capsys.readouterr()
    assert float(printed.out.split("prevalence)")[1].split()[0]) > 0.5  # "bad" stays the event
    for warning in printed.err.strip().splitlines():
        assert re.match("eventlstm score: warning: .*(unbroken rows of history|(has|have) a row every)", warning)
    quiet = table[table["failure"] == 0].drop(columns="failure")
    quiet.to_csv(files / "quiet.csv", index=False)
    assert run(["score", files / "words", files / "quiet.csv", "--label", "state", "-o", files / "quiet_scores"]) == 0


FIT = ["fit", "log.csv", "--time", "time", "--label", "failure", "-o", "out"]
BAD_INPUTS = {
    "there is no such file": (
        ["fit", "nothing.csv", "--time", "time", "--label", "failure", "-o", "out"],
        "nothing.csv",
    ),
    "no labels": (["fit", "log.csv", "--time", "time", "-o", "out"], "--label COLUMN or --events FILE"),
    "both kinds of labels": ([*FIT, "--events", "log.csv"], "either --label COLUMN or --events FILE"),
    "a misspelt column": ([*FIT[:3], "tme", *FIT[4:]], "Did you mean 'time'"),
    "times of several machines mixed": (FIT, "column of the run"),
    "a span that is no time": ([*FIT, "--run", "machine", "--merge-gap", "soon"], "merge_gap='soon'"),
    "a span below zero": ([*FIT, "--run", "machine", "--min-duration=-2h"], "min_duration='-2h'"),
    "a recall over one": ([*FIT, "--run", "machine", "--min-recall", "1.5"], "min_recall=1.5 is out of range"),
    "a budget below zero": (
        [*FIT, "--run", "machine", "--max-false-alarms-per-day", "-1"],
        "max_false_alarms_per_day=-1.0 is out of range",
    ),
    "a cost below zero": ([*FIT, "--run", "machine", "--cost", "5", "-1"], "cost=[5.0, -1.0] came"),
    "a limit that no alarm keeps": (
        [*FIT, "--run", "machine", "--min-duration", "90", "--min-recall", "1"],
        "No threshold keeps min_recall=1.0: the best is 0",
    ),
    "a threshold and a limit": ([*FIT, "--run", "machine", "--threshold", "0.5", "--min-recall", "1"], "not both"),
    "a label of many classes": (
        [*FIT[:5], "valve_percent", *FIT[6:], "--run", "machine", "--drop", "failure"],
        "two are",
    ),
    "an output folder that is not there": ([*FIT[:-1], "no/out"], "does not exist"),
    "a horizon that is no time": ([*FIT, "--run", "machine", "--horizon", "soon", *QUICK], "15min"),
    "more folds than can hold an event": ([*FIT, "--run", "machine", "--folds", "1"], "at least 2"),
    "a window of no rows": ([*FIT, "--run", "machine", "--window-size", "0"], "window_size"),
    "a view of the blend without a network": ([*FIT, "--run", "machine", "--members", "1"], "--model lstm"),
    "a device that is not there": ([*FIT, "--run", "machine", "--device", "abacus"], "abacus"),
    "an output that is the log": ([*FIT[:-1], "log.csv"], "is also an input"),
    "scores over the model": (["score", "model", "log.csv", "-o", "model"], "is also an input"),
    "scores by another name than CSV": (["score", "model", "log.csv", "-o", "out.parquet"], "out.csv"),
    "a model that is no model": (["score", "log.csv", "log.csv", "-o", "out"], "log.csv"),
    "a log without the sensors": (["score", "model", "scarce.csv", "-o", "out"], "pressure_bar"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_told_in_one_line_with_exit_code_2_and_nothing_is_written(files, case, capsys, monkeypatch):
    command, hint = BAD_INPUTS[case]
    monkeypatch.chdir(files)
    pd.read_csv("log.csv").drop(columns="pressure_bar").to_csv("scarce.csv", index=False)
    assert main(command) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"eventlstm {command[0]}: ")
    assert hint in lines[0]
    assert not (files / "out").exists()


def test_a_model_that_is_no_detector_is_refused_in_one_line(files, tmp_path, capsys):
    log = el.read_log(files / "log.csv", time="time", run="machine", label="failure")
    small = el.EventClassifier(el.LSTMClassifier(hidden_size=2, max_epochs=1), n_estimators=1)
    words = log.y.map({0: "ok", 1: "FAULT"})
    for k, model in enumerate([small, small.fit(log.X, words), StandardScaler().fit(log.X)]):
        el.save(model, tmp_path / f"{k}")
        assert run(["score", tmp_path / f"{k}", files / "log.csv", "-o", tmp_path / "scores"]) == 2
        assert "Make one with `eventlstm fit`" in capsys.readouterr().err
    assert not (tmp_path / "scores").exists()


def test_a_failed_score_leaves_the_old_scores(files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "kept.csv").write_text("old")
    pd.read_csv("log.csv").drop(columns="pressure_bar").to_csv("scarce.csv", index=False)
    assert main(["score", "model", "scarce.csv", "-o", "kept.csv"]) == 2
    assert (files / "kept.csv").read_text() == "old"


@pytest.mark.slow
def test_the_demo_beats_the_logistic_regression_and_keeps_what_it_made(tmp_path, capsys):
    assert run(["demo", "--keep", tmp_path / "kept"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^The blend reaches .* ahead of .*logistic regression", printed, re.MULTILINE), printed
    kept = tmp_path / "kept"
    page = (kept / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("gradient boosting", "logistic regression", "pump-01"))
    command = ["score", kept / "model.eventlstm", kept / "log.csv", "--label", "failure", "-o", kept / "scores.csv"]
    assert run(command) == 0


def test_a_command_calls_no_log_torn(tmp_path, capsys):
    log = el.datasets.make_sensor_log(n_machines=3, n_days=3, failures_per_machine=1, random_state=0)
    kept = np.random.default_rng(0).random(len(log.X)) > 0.3
    log.X.assign(failure=log.y)[kept].reset_index().to_csv(tmp_path / "log.csv", index=False)
    command = ["fit", tmp_path / "log.csv", "--time", "time", "--run", "machine", "--label", "failure", *QUICK]
    assert run(command, "--model", "lstm", "--threshold", "0.5", "-o", tmp_path / "model") == 0
    assert "splitter" not in capsys.readouterr().err
