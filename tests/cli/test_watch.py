"""A watch scores and alarms as the batch does, whatever the source, the cuts into chunks, kills and broken lines."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

import eventlstm as el
from eventlstm.alarms.model_scores import policy_of
from eventlstm.cli import watch as watch_module
from eventlstm.cli.parser import main

from .watching import (
    PATIENCE,
    expect_alarms,
    expect_scores,
    lines_of,
    make_watched,
    n_lines,
    run,
    run_meanwhile,
    run_on_stdin,
    wait_until,
)

FORK = multiprocessing.get_context("fork")
N_KILLS = 4
pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_watched(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize("form", ["csv", "json"])
def test_scores_and_alarms_of_a_pipe_are_those_of_the_batch(made, tmp_path, capsys, form):
    folder, score, events = made
    text = (folder / "rows.csv").read_bytes()
    if form == "json":
        text = pd.read_csv(folder / "rows.csv").to_json(orient="records", lines=True, double_precision=15).encode()
    assert run_on_stdin(text, folder / "model", "-", "--scores", tmp_path / "scores.csv") == 0
    expect_scores(tmp_path / "scores.csv", score)
    out, err = capsys.readouterr()
    assert err == "" and len(events) > 3
    expect_alarms(lines_of(out), events)
    assert all(set(line["sensors"]) <= set(pd.read_csv(folder / "rows.csv").columns) for line in lines_of(out))


def test_the_scores_file_is_that_of_the_score_command_in_another_order(made, tmp_path, capsys):
    folder, *_ = made
    text = (folder / "rows.csv").read_bytes()
    assert run_on_stdin(text, folder / "model", "-", "--no-sensors", "--scores", tmp_path / "watched.csv") == 0
    assert main(["score", str(folder / "model"), str(folder / "past.csv"), "-o", str(tmp_path / "batch.csv")]) == 0
    watched, batch = ((tmp_path / name).read_text().splitlines() for name in ("watched.csv", "batch.csv"))
    assert watched[0] == batch[0] and [line.split(",")[:2] for line in sorted(watched)] == [
        line.split(",")[:2] for line in sorted(batch)
    ]
    alarms = [dict(line.rsplit(",", 2)[::2] for line in lines[1:]) for lines in (watched, batch)]
    assert alarms[0] == alarms[1]
    assert not any("sensors" in line for line in map(json.loads, capsys.readouterr().out.splitlines()[:-3]))


def test_a_file_that_grows_is_followed_until_a_signal_which_ends_it_with_0_and_a_state(made, tmp_path, capsys):
    folder, score, events = made
    path, scores, state = (tmp_path / name for name in ("log.csv", "scores.csv", "state"))
    lines = (folder / "rows.csv").read_bytes().splitlines(keepends=True)

    def write_some():
        path.write_bytes(b"".join(lines[:100]) + b"pump-01,20")
        wait_until(lambda: n_lines(scores) == 100)
        with open(path, "r+b") as file:
            file.truncate(len(b"".join(lines[:100])))
            file.seek(0, os.SEEK_END)
            file.write(b"".join(lines[100:200]))
        path.rename(tmp_path / "log.csv.1")
        path.write_bytes(b"".join(lines[:1] + lines[200:300]))  # each file has its header
        wait_until(lambda: n_lines(scores) == 300)

    def write_rest():
        with open(path, "ab") as file:
            file.write(b"".join(lines[300:]))
        wait_until(lambda: n_lines(scores) == len(lines))

    for act in (write_some, write_rest):
        assert run_meanwhile(act, folder / "model", path, "--scores", scores, "--state", state) == 0
    expect_scores(scores, score)
    expect_alarms(lines_of(capsys.readouterr().out), events)


def watch_in_child(folder, path, scores, state, out, every=50):
    """A watch in a process of its own, which begins where this one is: no import, no wait."""

    def go():
        torch.set_num_threads(1)
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        sys.stdout = os.fdopen(1, "w")
        code = run(folder / "model", path, "--scores", scores, "--state", state, "--every", every, "--no-sensors")
        sys.stdout.flush()
        os._exit(code)

    child = FORK.Process(target=go)
    child.start()
    return child


@pytest.mark.parametrize("seed", [0, 1])
def test_no_row_is_lost_or_scored_twice_over_kills_at_any_moment(made, tmp_path, seed):
    folder, score, events = made
    path, scores, state, out = (tmp_path / name for name in ("log.csv", "scores.csv", "state", "out"))
    draw, lines = random.Random(seed), (folder / "rows.csv").read_bytes().splitlines(keepends=True)
    path.touch()
    for k in range(N_KILLS + 1):
        with open(path, "ab") as file:
            file.write(b"".join(lines[k * len(lines) // (N_KILLS + 1) : (k + 1) * len(lines) // (N_KILLS + 1)]))
        before, child = n_lines(scores), watch_in_child(folder, path, scores, state, out)
        if k < N_KILLS:
            wait_until(lambda before=before: n_lines(scores) != before)
            time.sleep(draw.random() / 10)
            child.kill()
        else:
            wait_until(lambda: n_lines(scores) == len(lines))
            child.terminate()
        child.join()
    assert child.exitcode == 0
    expect_scores(scores, score)
    expect_alarms(lines_of(out.read_text()), events)


def test_a_kill_before_the_first_state_has_rows_leaves_none_to_be_scored_twice(made, tmp_path):
    folder, score, events = made
    scores, state, out = (tmp_path / name for name in ("scores.csv", "state", "out"))
    n_rows = len(score)
    for end in ("kill", "terminate"):
        child = watch_in_child(folder, folder / "rows.csv", scores, state, out, every=2 * n_rows)
        wait_until(lambda: n_lines(scores) == 1 + n_rows)
        if end == "kill":
            assert state.exists()
            child.kill()
            child.join()
            scores.write_bytes(scores.read_bytes()[:-9])
        else:
            child.terminate()
            child.join()
    expect_scores(scores, score)
    expect_alarms(lines_of(out.read_text()), events)


def test_lines_of_a_pipe_that_no_state_holds_are_passed_again_after_a_kill(made, tmp_path, capsys):
    folder, score, events = made
    head, *lines = (folder / "rows.csv").read_bytes().splitlines(keepends=True)
    words = [folder / "model", "-", "--scores", tmp_path / "scores.csv", "--state", tmp_path / "state"]
    assert run_on_stdin(head + b"".join(lines[:500]), *words) == 0
    kept = (tmp_path / "state").read_bytes()
    assert run_on_stdin(head + b"".join(lines[500:700]), *words) == 0
    journal = b"after 501\n" + head + b"".join(lines[500:700])  # as a kill before the end would leave both
    (tmp_path / "state").write_bytes(kept)
    (tmp_path / "state.rows").write_bytes(journal)
    assert run_on_stdin(head + b"".join(lines[690:]), *words) == 0  # some come again
    expect_scores(tmp_path / "scores.csv", score)
    out, err = capsys.readouterr()
    expect_alarms(lines_of(out), events)
    assert "10 lines were left out" in err


def test_broken_lines_are_counted_and_end_nothing(made, tmp_path, capsys):
    folder, *_ = made
    lines = (folder / "rows.csv").read_bytes().splitlines(keepends=True)
    broken = [
        b"\n",
        b"half a line\n",
        lines[5],
        lines[7].replace(b"pump", b"\xff"),
        b"pump-01,2999-13-01" + b",1" * 8 + b"\n",
    ]
    missing = lines[11].replace(b"2024-", b"2034-").rsplit(b",", 1)[0] + b",\n"  # which this model fills with nothing
    text = b"".join([*lines[:20], *broken, lines[20], missing, *lines[21:]])
    assert run_on_stdin(text, folder / "model", "-", "--scores", tmp_path / "scores.csv") == 0
    err = capsys.readouterr().err.splitlines()
    assert len(err) <= 2 and err[-1].startswith("eventlstm watch: ") and "left out" in err[-1]
    assert n_lines(tmp_path / "scores.csv") == len(lines), err


def test_late_rows_end_a_watch_that_wants_none(made, capsys):
    folder, *_ = made
    lines = (folder / "rows.csv").read_bytes().splitlines(keepends=True)
    assert run_on_stdin(b"".join([*lines[:9], lines[3]]), folder / "model", "-", "--late", "raise") == 2
    assert "A row of pump-03 at 2024-01-01 00:00:00 came after one that is" in capsys.readouterr().err


def test_machines_that_fall_silent_are_told_and_that_they_are_back(made, tmp_path, capsys, monkeypatch):
    folder, *_ = made
    head, *lines = (folder / "rows.csv").read_bytes().splitlines(keepends=True)
    path, scores = tmp_path / "log.csv", tmp_path / "scores.csv"
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.02)
    path.write_bytes(head + b"".join(lines[:3]))

    def act():
        wait_until(lambda: n_lines(scores) == 4)
        time.sleep(0.6)
        with open(path, "ab") as file:
            file.write(lines[4])
        wait_until(lambda: n_lines(scores) == 5)
        time.sleep(0.1)

    words = ["--scores", scores, "--quiet-after", "300ms", "-v"]
    assert run_meanwhile(act, folder / "model", path, *words) == 0
    out, err = capsys.readouterr()
    told = [(line["kind"], line["machine"]) for line in lines_of(out) if line["kind"] in ("silent", "back")]
    machine = lines[4].split(b",")[0].decode()
    assert sorted(told[:3]) == [("silent", f"pump-0{k}") for k in (1, 2, 3)] and told[3:4] == [("back", machine)]
    assert "ready after" in err and "4 rows" in err


def test_similar_past_events_are_named_where_a_labelled_log_is_given(made, capsys):
    folder, *_ = made
    text = (folder / "rows.csv").read_bytes()
    words = ["--no-sensors", "--past", folder / "past.csv", "--label", "failure"]
    assert run_on_stdin(text, folder / "model", "-", *words) == 0
    for line in lines_of(capsys.readouterr().out):
        distances = [event["distance"] for event in line["similar"]]
        assert len(distances) == 3 and distances == sorted(distances)
        assert {event["machine"] for event in line["similar"]} <= {"pump-01", "pump-02", "pump-03"}


def test_rules_of_the_options_take_the_place_of_those_of_the_model(made, capsys):
    folder, score, _ = made
    text = (folder / "rows.csv").read_bytes()
    threshold = float(score.quantile(0.8))
    words = ["--no-sensors", "--threshold", threshold, "--merge-gap", "1h", "--min-duration", 2]
    assert run_on_stdin(text, folder / "model", "-", *words) == 0
    policy = policy_of(el.load(folder / "model"))
    policy.set_params(threshold=threshold, merge_gap="1h", min_duration=2)
    expect_alarms(lines_of(capsys.readouterr().out), policy.to_events(score))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-", "--threshold", "nan"], "--threshold nan is no score"),
        (["-", "--quiet-after", "10"], "--quiet-after '10' is no length of time"),
        (["-", "--past", "past.csv"], "pass --label COLUMN"),
        (["mqtt://user:secret@host"], "'host' is no address of a topic"),
        (["ftp://user:secret@host/x"], "'host/x' is no address of a topic"),
        (["-", "--alarms", "file.json"], "'file.json' is no address of a topic"),
        (["-", "--scores", "past.csv"], "holds something else than scores"),
        (["-", "--every", "0"], "--every 0"),
        (["-", "--state", "nowhere/state"], "does not exist"),
        (["-", "--state", "model"], "is also an input"),
        (["rows.csv", "--scores", "rows.csv"], "is also an input"),
    ],
)
def test_wrong_options_are_told_in_a_line(made, capsys, monkeypatch, words, message):
    folder, *_ = made
    monkeypatch.chdir(folder)
    assert run("model", *words) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and "secret" not in err


def test_a_state_needs_the_scores_that_were_written_with_it(made, tmp_path, capsys):
    folder, *_ = made
    text = b"".join((folder / "rows.csv").read_bytes().splitlines(keepends=True)[:50])
    words = [folder / "model", "-", "--scores", tmp_path / "scores.csv", "--state", tmp_path / "state"]
    assert run_on_stdin(text, *words) == 0
    (tmp_path / "scores.csv").write_bytes(b"")
    assert run_on_stdin(text, *words) == 2
    assert "fewer than the" in capsys.readouterr().err


def test_whole_lines_alone_are_kept_of_scores_without_a_state(made, tmp_path, capsys):
    folder, *_ = made
    lines = (folder / "rows.csv").read_bytes().splitlines(keepends=True)
    scores = tmp_path / "scores.csv"
    assert run_on_stdin(b"".join(lines[:30]), folder / "model", "-", "--scores", scores) == 0
    whole = scores.read_bytes()
    scores.write_bytes(whole + b"pump-01,20")
    assert run_on_stdin(b"".join(lines[:1] + lines[30:40]), folder / "model", "-", "--scores", scores) == 0
    assert scores.read_bytes().startswith(whole) and n_lines(scores) == 40


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_with_0_and_the_state_kept(made, tmp_path, number):
    folder, *_ = made
    command = [sys.executable, "-m", "eventlstm.cli", "watch", folder / "model", "-", "--state", tmp_path / "state"]
    root = Path(__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "-v"], cwd=root, **pipes) as process:
        assert b"ready" in process.stderr.readline()
        process.stdin.write(b"".join((folder / "rows.csv").read_bytes().splitlines(keepends=True)[:9]))
        process.stdin.flush()
        wait_until(lambda: n_lines(tmp_path / "state.rows") == 10)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "state").exists()
    assert (tmp_path / "state.rows").read_bytes() == b"after 9\n"


@pytest.mark.slow
def test_a_watch_whose_reader_has_gone_ends_quietly(made):
    folder, *_ = made
    command = f"cat rows.csv - | {sys.executable} -m eventlstm.cli watch model - | head -n 1"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    run = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (run.returncode, run.stderr, run.stdout.count(b"\n")) == (141, b"", 1)
