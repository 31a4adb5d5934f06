"""``eventlstm detect`` on small files: what is learnt, what is found, written, measured and refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.cli.parser import main

ROOT = Path(__file__).parents[2]
QUICK = ["--max-epochs", "2", "--members", "1", "--window-size", "16", "--no-baselines"]
FAULT = slice(1000, 1020)  # rows of pump B
HALF = "2024-01-05T03:00"  # row 594 of each pump


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A log of two pumps with a fault of one sensor late in the second, and what detect made of it."""
    folder = tmp_path_factory.mktemp("files")
    pumps_log().to_csv(folder / "log.csv", index=False)
    command = detect(folder / "log.csv", "--normal-until", HALF, "-o", folder / "alarms.csv")
    assert run(*command, "--scores", folder / "scores.csv", "--save", folder / "model") == 0
    return folder


def pumps_log():
    rng = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=1200, freq="10min")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["pump", "time"])
    phase = np.tile(np.arange(1200) / 12, 2)
    log = pd.DataFrame({name: np.sin(phase + k) for k, name in enumerate(["flow", "heat", "sound"])}, index=index)
    log += 0.1 * rng.normal(size=log.shape)
    fault = np.zeros(2400, dtype=int)
    fault[1200:][FAULT] = 1
    return log.assign(heat=log["heat"] + 4.0 * fault, fault=fault).reset_index()


def detect(log, *more, label=False):
    columns = ["--time", "time", "--run", "pump", *(("--label", "fault") if label else ("--drop", "fault"))]
    return ["detect", log, *columns, *QUICK, *more]


def run(*command):
    return main([str(word) for word in command])


def read_scores(path):
    return pd.read_csv(path, parse_dates=["time"], index_col=["pump", "time"])


def test_a_fault_is_the_highest_alarm_and_names_its_sensor(files, capsys):
    assert run(*detect(files / "log.csv", "--normal-until", HALF)) == 0
    printed = capsys.readouterr().out
    alarms = pd.read_csv(files / "alarms.csv", parse_dates=["start", "end", "peak"])
    assert list(alarms) == ["pump", "start", "end", "peak", "peak_score", "sensors"]
    highest = alarms.loc[alarms["peak_score"].idxmax()]
    begin = pd.Timestamp("2024-01-01") + FAULT.start * pd.Timedelta("10min")
    assert highest["pump"] == "B" and highest["sensors"].startswith("heat, ")
    assert pd.Timedelta(0) <= highest["start"] - begin < pd.Timedelta("1h")
    first_row = re.search(r"peak score +top sensors\n(.*)\n", printed).group(1)
    assert re.match(rf" +B {highest['start']} {highest['end']} .* heat, ", first_row), printed
    assert "Learnt from: 1190 rows, 8.26 days of machines." in printed
    assert re.search(r"Threshold: a score above [\d.]+, set for at most 1 false alarm a day of each machine", printed)
    share = r"under alarm \d\.\d% of the time"
    assert re.search(
        rf"Alarms: \d+ in 16.7 days of machines \(.* a day\), {share}; \d+ of them in the 8.4 days", printed
    )


def test_score_gives_what_detect_gave(files, capsys):
    assert run("score", files / "model", files / "log.csv", "--label", "fault", "-o", files / "again.csv") == 0
    assert (files / "again.csv").read_bytes() == (files / "scores.csv").read_bytes()
    assert re.search(r"detector +1 of 1 +1.00 \[0.03, 1.00\]", capsys.readouterr().out)


def test_score_on_the_log_of_detect_names_the_rows_that_were_learnt(files, tmp_path, capsys):
    assert run(*detect(files / "log.csv", "--normal-until", HALF, "--save", tmp_path / "model", label=True)) == 0
    capsys.readouterr()
    command = ["score", tmp_path / "model", files / "log.csv", "--label", "fault", "-o", tmp_path / "scores.csv"]
    assert run(*command) == 0
    learnt, held_out = capsys.readouterr().out.splitlines()[1:3]
    share = int(re.match(r"(\d+) % of these rows were learnt from: expect worse on new ones\.", learnt).group(1))
    assert share == pytest.approx(100 * 595 / 1200, abs=6)
    assert re.match(r"Held out when it was fitted: 1 of 1 events found, [\d.]+ false alarms a day\.", held_out)
    new = pumps_log().query(f"time > '{HALF}'")
    new.to_csv(tmp_path / "new.csv", index=False)
    assert run("score", files / "model", tmp_path / "new.csv", "--label", "fault", "-o", tmp_path / "new") == 0
    assert "learnt" not in capsys.readouterr().out


@pytest.mark.parametrize("span", ["30min", "3", "0", "1h", "90s"])
def test_the_rules_asked_for_are_said_saved_and_counted_by_the_threshold(files, tmp_path, capsys, span):
    command = detect(files / "log.csv", "--normal-until", HALF, "--merge-gap", span, "--save", tmp_path / "model")
    assert run(*command, "--max-false-alarms-per-day", "3") == 0
    said = {"30min": "and for 30min after", "3": "and for 3 rows after", "0": "above the threshold."}
    assert said.get(span, f"and for {span} after") in capsys.readouterr().out
    model = el.load(tmp_path / "model")
    assert str(model.alarm_policy_.merge_gap) == span and model[-1].threshold.merge_gap == model.alarm_policy_.merge_gap


def test_scores_are_high_where_abnormal_and_alarms_those_of_the_policy(files):
    scores, alarms = read_scores(files / "scores.csv"), pd.read_csv(files / "alarms.csv")
    assert scores.index.equals(pumps_log().set_index(["pump", "time"]).index)
    assert scores.loc["B", "score"].to_numpy()[FAULT].mean() > 5 * scores["score"].median()
    assert len(el.to_events(scores["alarm"])) == len(alarms)
    model = el.load(files / "model")[-1]
    above = scores["score"] > model.threshold_
    assert (scores["alarm"][above] == 1).all() and model.threshold.merge_gap == el.AlarmPolicy().merge_gap


def test_the_alarms_written_serve_as_events(files, capsys):
    command = detect(files / "log.csv", "--events", files / "alarms.csv", "--fit-share", "0.495")
    assert run(*command) == 0
    assert re.search(r"detector +(\d+) of \1 +1.00 ", capsys.readouterr().out)


@pytest.mark.parametrize("choice", ["share", "file"])
def test_the_same_rows_are_learnt_however_they_are_named(files, choice, tmp_path):
    log = pumps_log()
    log[log["time"] <= HALF].drop(columns="fault").to_csv(tmp_path / "quiet.csv", index=False)
    named = {"share": ["--fit-share", str(595 / 1200)], "file": ["--fit-on", tmp_path / "quiet.csv"]}[choice]
    assert run(*detect(files / "log.csv", *named, "--scores", tmp_path / "scores.csv")) == 0
    assert (tmp_path / "scores.csv").read_bytes() == (files / "scores.csv").read_bytes()


def test_the_quiet_time_is_read_in_the_time_zone_of_the_log_or_its_own(files, tmp_path):
    log = pumps_log()
    log.assign(time=log["time"].dt.tz_localize("UTC")).to_csv(tmp_path / "utc.csv", index=False)
    for until in (HALF, "2024-01-05T05:00+02:00"):
        assert run(*detect(tmp_path / "utc.csv", "--normal-until", until, "--scores", tmp_path / "scores.csv")) == 0
        scores = read_scores(tmp_path / "scores.csv")
        np.testing.assert_array_equal(scores["score"], read_scores(files / "scores.csv")["score"])


@pytest.mark.filterwarnings("default")
def test_a_log_without_alarms_gives_an_empty_table(files, tmp_path, capsys):
    early = pumps_log().query("time < '2024-01-06'")
    early.to_csv(tmp_path / "early.csv", index=False)
    budget = ["--max-false-alarms-per-day", "0.0001"]
    assert run(*detect(tmp_path / "early.csv", "--fit-share", "0.6", *budget, "-o", tmp_path / "none.csv")) == 0
    assert (tmp_path / "none.csv").read_text() == "pump,start,end,peak,peak_score,sensors\n"
    assert "Alarms: 0 in 10 days of machines (0 a day)" in capsys.readouterr().out


def test_alarms_are_measured_beside_baselines_and_chance_on_rows_not_learnt_from(files, capsys):
    command = [word for word in detect(files / "log.csv", "--fit-share", "0.5", label=True) if word != "--no-baselines"]
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "Measured on the 1200 rows that were not learnt from:" in printed
    for name in ("detector", "one-step difference", "ridge regression, 8 rows"):
        rate = r"[\d.]+ \[[\d.]+, [\d.]+\]"
        assert re.search(rf"^{name} +\d of 1 +{rate} +{rate} +[\d.]+% +(\d+ min|0 s) +0$", printed, re.MULTILINE), (
            printed
        )
    assert re.search(r"As many alarms at random times would find 0\.\d\d of the events", printed)


def test_a_log_of_one_run_and_one_sensor_speaks_of_days(files, tmp_path, capsys):
    pumps_log().query("pump == 'B'")[["time", "heat", "fault"]].to_csv(tmp_path / "one.csv", index=False)
    command = ["detect", tmp_path / "one.csv", "--time", "time", "--label", "fault", "--fit-share", "0.5", *QUICK[:-1]]
    assert run(*command, "--max-false-alarms-per-day", "4") == 0
    printed = capsys.readouterr().out
    assert "1200 rows, 8.33 days; 1 sensor (heat); runs: 1.\nLearnt from: 600 rows, 4.17 days.\n" in printed
    assert "at most 4 false alarms a day, by the 0.833 days held out" in printed
    assert re.search(r"^one-step difference +1 of 1", printed, re.MULTILINE), printed


def test_rows_of_events_are_not_learnt_and_measures_on_learnt_rows_say_so(files, capsys):
    assert run(*detect(files / "log.csv", label=True)) == 0
    printed = capsys.readouterr().out
    assert "Learnt from: 2400 rows, 16.7 days of machines; 20 of these rows are of events and left out." in printed
    assert "Measured on rows that were learnt from, but for the events" in printed
    assert "all rows are learnt from" not in printed


def test_without_labels_it_says_what_learning_all_rows_means(files, capsys):
    assert run(*detect(files / "log.csv")) == 0
    assert "What is abnormal among them counts as normal" in capsys.readouterr().out


def test_rows_without_an_event_are_not_measured(files, capsys, tmp_path):
    pumps_log().assign(fault=0).to_csv(tmp_path / "quiet.csv", index=False)
    assert run(*detect(tmp_path / "quiet.csv", "--fit-share", "0.5", label=True)) == 0
    assert "Not measured: the rows hold no event" in capsys.readouterr().out


def test_alarms_that_began_before_the_event_are_told_and_count_within_the_horizon(files, capsys, tmp_path):
    late = pumps_log()
    late["fault"] = late["fault"].shift(15, fill_value=0)
    late.to_csv(tmp_path / "late.csv", index=False)
    command = detect(tmp_path / "late.csv", "--fit-share", "0.5", label=True)
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "detector       0 of 1" in printed and "Of the events missed, 1 began under an alarm" in printed
    assert run(*command, "--horizon", "3h") == 0
    printed = capsys.readouterr().out
    assert "detector       1 of 1" in printed and "Of the events missed" not in printed


@pytest.mark.filterwarnings("default")
def test_too_few_days_for_the_budget_are_told(files, capsys):
    command = detect(files / "log.csv", "--normal-until", HALF, "--max-false-alarms-per-day", "0.01")
    assert run(*command) == 0
    printed = capsys.readouterr()
    assert "too little to know, so that it is a guess" in printed.out
    (warning,) = printed.err.strip().splitlines()
    assert warning.startswith("eventlstm detect: warning: ") and "Hold out" in warning


def test_missing_values_are_filled_from_before_and_sensors_without_news_are_named(files, capsys, tmp_path):
    log = pumps_log()
    log.loc[1500:1600, "heat"] = np.nan
    log.to_csv(tmp_path / "holes.csv", index=False)
    log.ffill().to_csv(tmp_path / "filled.csv", index=False)
    for name in ("holes", "filled"):
        assert run("score", files / "model", tmp_path / f"{name}.csv", "-o", tmp_path / f"{name}_scores.csv") == 0
    assert (tmp_path / "holes_scores.csv").read_bytes() == (tmp_path / "filled_scores.csv").read_bytes()
    log.assign(sound=1.0, flow=log["flow"].where(log.index % 4 == 0)).to_csv(tmp_path / "poor.csv", index=False)
    capsys.readouterr()
    assert run(*detect(tmp_path / "poor.csv", "--fit-share", "0.5", "--save", tmp_path / "model")) == 0
    assert "Note: flow is missing on 75% of the rows.\nNote: sound never changes.\n" in capsys.readouterr().out
    assert list(el.load(tmp_path / "model").feature_names_in_) == ["flow", "heat"], "still sensors tell nothing"


@pytest.mark.filterwarnings("default")
def test_times_may_be_numbers_and_runs_of_several_columns(files, capsys, tmp_path):
    log = pumps_log()
    log["time"] = np.tile(np.arange(1200), 2)
    log.assign(hall=7).to_csv(tmp_path / "cycles.csv", index=False)
    command = detect(tmp_path / "cycles.csv", "--run", "hall", "--normal-until", "594", "-o", tmp_path / "alarms.csv")
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "set for 1 of 1000 quiet rows (the times are numbers, so that days are not known)" in printed
    assert "Learnt from: 1190 rows.\n" in printed
    rate = r"\([\d.]+ in 1,000 rows\)"
    assert re.search(
        rf"Alarms: \d+ in 2400 rows {rate}, .*; \d+ of them in the 1210 rows that were not learnt from {rate}\.",
        printed,
    )
    alarms = pd.read_csv(tmp_path / "alarms.csv")
    assert list(alarms)[:3] == ["pump", "hall", "start"]
    highest = alarms.loc[alarms["peak_score"].idxmax()]
    assert FAULT.start <= highest["start"] < FAULT.stop


DETECT = ["detect", "log.csv", "--time", "time", "--run", "pump", "--drop", "fault", "-o", "out"]
BAD_INPUTS = {
    "there is no such file": (["detect", "nothing.csv", "--time", "time", "-o", "out"], "nothing.csv"),
    "no such quiet file": ([*DETECT, "--fit-on", "nothing.csv"], "nothing.csv"),
    "a quiet file without the sensors": ([*DETECT, "--fit-on", "scarce.csv"], "heat"),
    "both kinds of labels": ([*DETECT[:6], "--label", "fault", "--events", "log.csv"], "Pass one of them"),
    "a quiet time before the log": ([*DETECT, "--normal-until", "2023-01-01"], "the log begins at 2024-01-01"),
    "a quiet time that is none": ([*DETECT, "--normal-until", "soon"], "2024-05-31T13:00"),
    "a quiet time in words": ([*DETECT, "--normal-until", "now"], "'now' is not a date-time"),
    "a quiet time too far away": ([*DETECT, "--normal-until", "9999-12-31"], "'9999-12-31' is not a date-time"),
    "a quiet time that may be of two months": ([*DETECT, "--normal-until", "03.02.2024"], "is not a date-time"),
    "a quiet time in digits too few": ([*DETECT, "--normal-until", "2024"], "'2024' is not a date-time"),
    "a quiet time of another zone": ([*DETECT, "--normal-until", "2024-01-05T03:00Z"], "without a time zone"),
    "a share of nothing": ([*DETECT, "--fit-share", "0"], "over 0 and at most 1"),
    "a share that leaves too few rows": ([*DETECT, "--fit-share", "0.0001"], "quiet rows"),
    "an output folder that is not there": ([*DETECT[:-1], "no/out"], "does not exist"),
    "an output that is the log": ([*DETECT[:-1], "log.csv"], "is also an input"),
    "an output that is the quiet log": ([*DETECT, "--fit-on", "scarce.csv", "--save", "scarce.csv"], "also an input"),
    "two outputs of one name": ([*DETECT, "--scores", "out"], "two outputs have the same name"),
    "alarms by another name than CSV": ([*DETECT[:-1], "out.parquet"], "out.csv"),
    "a budget of nothing": ([*DETECT, *QUICK, "--max-false-alarms-per-day", "0"], "max_false_alarms_per_day"),
    "a log that stands still": (["detect", "still.csv", "--time", "time", "-o", "out"], "no sensor of the log ever"),
    "a window of no rows": ([*DETECT, "--window-size", "0"], "window_size"),
    "a device that is not there": ([*DETECT, "--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_told_in_one_line_with_exit_code_2_and_nothing_is_written(files, case, capsys, monkeypatch):
    command, hint = BAD_INPUTS[case]
    monkeypatch.chdir(files)
    pd.read_csv("log.csv").drop(columns="heat").to_csv("scarce.csv", index=False)
    pd.DataFrame({"time": range(99), "heat": 1.0}).to_csv("still.csv", index=False)
    assert main(command) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("eventlstm detect: ") and hint in lines[0]
    assert not (files / "out").exists()


def test_two_ways_to_name_the_quiet_rows_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["detect", "log.csv", "--time", "time", "--fit-share", "0.5", "--normal-until", "2024-01-01"])
    assert "not allowed with argument --fit-share" in capsys.readouterr().err


@pytest.mark.slow
def test_nobody_who_reads_ends_the_printing_and_not_the_writing(files, tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "eventlstm.cli"]
    writing = detect(files / "log.csv", "--normal-until", HALF, "-o", tmp_path / "alarms.csv")
    through = ["score", files / "model", files / "log.csv", "-o", "/dev/stdout"]
    for arguments in (writing, through):
        reader, writer = os.pipe()
        os.close(reader)
        run = subprocess.run(
            [*command, *map(str, arguments)], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert (run.returncode, run.stderr) == (141, b"")
    assert (tmp_path / "alarms.csv").read_bytes() == (files / "alarms.csv").read_bytes()


def test_names_that_begin_formulas_are_told_as_text_unless_raw(files, tmp_path):
    log = pumps_log()
    log.assign(pump=log["pump"].map({"A": "=A1", "B": "@B"})).to_csv(tmp_path / "log.csv", index=False)
    for raw in ([], ["--raw"]):
        paths = [tmp_path / "alarms.csv", tmp_path / "scores.csv"]
        command = detect(tmp_path / "log.csv", "--normal-until", HALF, "-o", paths[0], "--scores", paths[1], *raw)
        assert run(*command) == 0
        pumps = [set(pd.read_csv(path)["pump"]) for path in paths]
        assert "@B" in pumps[0] if raw else "'@B" in pumps[0]
        assert pumps[1] == ({"=A1", "@B"} if raw else {"'=A1", "'@B"})


def test_the_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = capsys.readouterr().out
    for command in ("demo", "fit", "score", "detect"):
        assert re.search(rf"^    {command} +\w", printed, re.MULTILINE), printed
        assert f"\n  eventlstm {command}" in printed


@pytest.mark.filterwarnings("default")
def test_a_log_of_minutes_is_told_in_minutes_and_alarms_by_the_hour_in_every_line(tmp_path, capsys):
    log = pumps_log().query("pump == 'B'").assign(time=pd.date_range("2024-01-01", periods=1200, freq="s"))
    log.drop(columns="pump").to_csv(tmp_path / "short.csv", index=False)
    command = [
        "detect",
        tmp_path / "short.csv",
        "--time",
        "time",
        "--label",
        "fault",
        "--fit-share",
        "0.5",
        *QUICK[:-1],
    ]
    assert run(*command, "--save", tmp_path / "model") == 0
    printed = capsys.readouterr()
    assert "1200 rows, 20 minutes;" in printed.out and "by the 2 minutes held out" in printed.out
    assert "at most 1 false alarm a day (0.042 an hour)" in printed.out
    assert re.search(
        r"Alarms: \d+ in 20 minutes \([\d.]+ an hour\), under alarm .* 10 minutes .* an hour\)", printed.out
    )
    assert re.search(r"false alarms an hour +quiet time under alarm", printed.out)
    assert printed.out.count("day") == 1 and "2 minutes of quiet rows hold" in printed.err
    assert run("score", tmp_path / "model", tmp_path / "short.csv", "--label", "fault", "-o", tmp_path / "s.csv") == 0
    printed = capsys.readouterr().out
    assert "in 20 minutes (" in printed and "false alarms an hour" in printed and "day" not in printed


@pytest.mark.filterwarnings("default")
def test_on_a_log_that_drifts_the_summary_says_that_the_alarm_does_not_end(tmp_path, capsys):
    log = pumps_log().query("pump == 'A'").drop(columns=["pump", "fault"])
    drifting = log.assign(heat=log["heat"] + np.linspace(-4, 16, len(log)).clip(0))
    drifting.to_csv(tmp_path / "drift.csv", index=False)
    command = ["detect", tmp_path / "drift.csv", "--time", "time", "--fit-share", "0.2", *QUICK]
    assert run(*command, "--save", tmp_path / "model") == 0
    assert run("score", tmp_path / "model", tmp_path / "drift.csv", "-o", tmp_path / "s.csv") == 0
    for printed in capsys.readouterr().out.split("Wrote "):
        if "Alarms:" in printed:
            assert re.search(r"Alarms: \d+ in 8.33 days \(.* a day\), under alarm [4-9]\d\.\d% of the time", printed)
            assert "Note: The alarm does not end: on from 2024-01-0" in printed and "of the time is under" in printed
