"""A report that is made piece by piece has the alarms, events and sensors of the whole log, in bounded memory."""

import json
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.cli.parser import main, make_parser
from eventlstm.cli.report_long import report_long_log
from eventlstm.cli.report_page import read_one, write_page
from eventlstm.fleets.report_in_pieces import report_in_pieces
from eventlstm.fleets.thinner import Thinner

from ..pipelines.loading import load_script

THRESHOLD = 0.06


@pytest.fixture(scope="module")
def made():
    """A model and a log of four machines, with gaps in time."""
    log = el.datasets.make_sensor_log(n_machines=4, n_days=20, failures_per_machine=2, random_state=0)
    X = log.X.groupby("machine").ffill().bfill()
    network = el.LSTMClassifier(hidden_size=4, max_epochs=3)
    return el.EventClassifier(network, n_estimators=1, random_state=0).fit(X, log.y), X, log.y


def pieces_of(X, y, n_rows=1_000):
    def read():
        for k in range(0, len(X), n_rows):
            yield X.iloc[k : k + n_rows], None if y is None else (y.iloc[k : k + n_rows] == 1).to_numpy()

    return read


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return el.report(*made, path, threshold=THRESHOLD, baselines=False, n_resamples=20)


def alike(told, wanted):
    """Whether two numbers, or nestings of them, are the same up to the rounding of float32."""
    if isinstance(wanted, dict):
        return told.keys() == wanted.keys() and all(alike(told[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return len(told) == len(wanted) and all(alike(*pair) for pair in zip(told, wanted, strict=True))
    if isinstance(wanted, float):
        return told == pytest.approx(wanted, rel=1e-5, abs=1e-6, nan_ok=True)
    return json.dumps(told, default=str) == json.dumps(wanted, default=str)


@pytest.mark.parametrize("n_rows", [700, 5_000])
def test_of_a_log_that_is_kept_whole_all_numbers_are_the_same(made, whole, tmp_path, n_rows):
    model, X, y = made
    read = pieces_of(X, y, n_rows)
    told = report_in_pieces(model, read, tmp_path / "r.html", threshold=THRESHOLD, n_resamples=20)
    for key in whole.keys() - {"notes"}:
        assert alike(told[key], whole[key]), key


def test_of_a_log_that_is_thinned_out_alarms_and_events_are_the_same(made, whole, tmp_path):
    model, X, y = made
    read = pieces_of(X, y)
    told = report_in_pieces(model, read, tmp_path / "r.html", threshold=THRESHOLD, n_resamples=20, most_rows=3_000)
    warned = next(text for text in told["warnings"] if "read in pieces" in text)
    kept, n_rows = (
        int(number.replace(",", "")) for number in re.search(r"and ([\d,]+) of its ([\d,]+) rows", warned).groups()
    )
    assert kept < 0.4 * n_rows == 0.4 * len(X)
    for key in ("n_found", "threshold", "has_dates", "verdict"):
        assert told[key] == whole[key]
    for name in ("event_recall", "false_alarm_rate"):
        assert alike(told["measures"][name], whole["measures"][name])
    for name in ("event_precision", "average_precision", "alarm_duty"):
        assert told["measures"][name][0] == pytest.approx(whole["measures"][name][0], rel=0.02)
    assert np.isnan(told["models"][0]["vus_pr"])  # neighbours of a sample are others
    for key in ("n_rows", "n_runs", "n_events", "event_rows"):
        assert told["card"][key] == whole["card"][key]
    exact = ("name", "n_missing", "min", "max", "longest_unchanged", "n_stuck_runs")
    for one, other in zip(told["card"]["sensors"], whole["card"]["sensors"], strict=True):
        assert alike([one[key] for key in exact], [other[key] for key in exact])
    assert [event["start"] for event in told["events"]] == [event["start"] for event in whole["events"]]
    assert [event["sensors"][:1] for event in told["events"]] == [event["sensors"][:1] for event in whole["events"]]


def test_a_log_without_labels_is_reported_on_in_pieces(made, tmp_path):
    model, X, _ = made
    told = report_in_pieces(model, pieces_of(X, None), tmp_path / "r.html", threshold=THRESHOLD, most_rows=3_000)
    whole = el.report(model, X, None, tmp_path / "w.html", threshold=THRESHOLD, baselines=False)
    assert told["card"]["n_rows"] == whole["card"]["n_rows"] == len(X)
    assert told["verdict"] == whole["verdict"]


def test_the_command_reports_on_a_long_log_in_pieces_and_says_so(made, tmp_path, monkeypatch, capsys):
    model, X, y = made
    el.save(model, tmp_path / "model")
    log, page = tmp_path / "log.parquet", tmp_path / "r.html"
    X.assign(failure=y).reset_index().to_parquet(log)
    command = ["report", str(tmp_path / "model"), str(log), "--label", "failure", "-o", str(page)]
    command += ["--threshold", str(THRESHOLD), "--no-baselines"]
    assert main(command) == 0
    before = capsys.readouterr().out.splitlines()[-3:]
    monkeypatch.setattr("eventlstm.cli.report_long.MOST_ROWS", 1_000)
    monkeypatch.setattr("eventlstm.cli.report_long.PIECE_ROWS", 1_000)
    assert main(command) == 0
    told = capsys.readouterr().out
    assert before[0].split(":")[0].split(",")[0] in told
    assert "Wrote" in told and page.stat().st_size > 10_000


@pytest.mark.parametrize("horizon", ["0", "7", "6h"])
@pytest.mark.parametrize("told_by", ["label", "events"])
def test_the_command_has_the_numbers_of_the_whole_log(made, tmp_path, monkeypatch, told_by, horizon):
    """Machines that take turns, events of a file, and a horizon of the model."""
    model, X, y = made
    model.horizon_ = horizon
    log, events = tmp_path / "log.parquet", tmp_path / "events.csv"
    X.assign(failure=y).reset_index().sort_values(["time", "machine"]).to_parquet(log, index=False)
    el.to_events(y).rename(columns={"run": "machine"}).to_csv(events, index=False)
    command = ["report", str(tmp_path / "model"), str(log), "--threshold", str(THRESHOLD), "--no-baselines"]
    command += ["--label", "failure"] if told_by == "label" else ["--events", str(events)]
    options = make_parser().parse_args(command)
    (options.log,) = options.log
    whole = write_page(model, read_one(model, options, log, None), None, options, tmp_path / "w.html", "log")
    monkeypatch.setattr("eventlstm.cli.report_long.MOST_ROWS", 1_000)
    monkeypatch.setattr("eventlstm.cli.report_long.PIECE_ROWS", 900)
    told = report_long_log(model, options, tmp_path / "p.html", "log")
    del model.horizon_
    assert told is not None and whole["card"]["event_rows"] > (0 if horizon == "0" else y.sum())
    for key in whole.keys() - {"notes"}:
        assert alike(told[key], whole[key]), key


@pytest.mark.parametrize("contradiction", [["--label", "failure", "--events", "e.csv"], ["--event", "1"]])
def test_contradictions_are_left_to_those_who_read_the_whole_log(made, tmp_path, monkeypatch, contradiction):
    model, X, y = made
    X.assign(failure=y).reset_index().to_parquet(tmp_path / "log.parquet")
    options = make_parser().parse_args(["report", "model", str(tmp_path / "log.parquet"), *contradiction])
    (options.log,) = options.log
    monkeypatch.setattr("eventlstm.cli.report_long.MOST_ROWS", 1_000)
    assert report_long_log(model, options, tmp_path / "p.html", "log") is None


def test_what_is_kept_does_not_grow_with_the_log():
    rng, kept = np.random.default_rng(0), []
    from eventlstm.alarms.alarm_policy import AlarmPolicy, rules_of
    from eventlstm.fleets.carried import Pieces

    for n_pieces in (10, 80):
        tracemalloc.start()
        thinner, seen = Thinner(rules_of(AlarmPolicy(threshold=0.0), True), 3.0, most_rows=2_000), Pieces()
        for k in range(n_pieces):
            index = pd.date_range("2024-01-01", periods=1_000, freq="min") + pd.Timedelta(k * 1_000, "min")
            frame = pd.DataFrame(rng.normal(size=(1_000, 3)), index=index)
            thinner.add(frame, seen.read(frame), rng.normal(size=1_000), np.zeros(1_000, dtype=bool))
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(thinner.finish(frame, True).X) <= 2_600
    assert kept[1] < 3 * kept[0]


@pytest.mark.slow
def test_the_script_of_long_logs_runs(capsys):
    load_script("long_log").main(["--rows", "150000", "--compared", "100000"])
    told = capsys.readouterr().out
    assert "score: " in told and "report: " in told and "scores of the first 100000 rows: the same bits" in told
