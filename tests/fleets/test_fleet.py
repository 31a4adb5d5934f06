"""Many logs: one result each, failures as rows, work that goes on where it stopped, the same bytes from any workers."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

import eventlstm as el
from eventlstm.alarms.model_scores import make_policy, score_rows
from eventlstm.cli.parser import main
from tests.serving.models import FIT, LABELS, classifier, fitted, make_log, network

pytestmark = pytest.mark.filterwarnings("ignore:.*rows have fewer than window_size")
N_LOGS, BROKEN = 40, "pump-07"
POLICY = el.AlarmPolicy(threshold=0.2, merge_gap=2)


def read_scores(path):
    """The scores in a file, as `score_rows` gives them."""
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    return read(path)


def contents(folder):
    """The bytes of all results below a folder, by name."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "outcomes.csv")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def model():
    return fitted("forest of windows")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Forty logs in two halls, every third Parquet, one of them broken."""
    folder = tmp_path_factory.mktemp("logs")
    for number in range(N_LOGS):
        hall, name = folder / f"hall{number % 2}", f"pump-{number:02d}"
        hall.mkdir(exist_ok=True)
        log = make_log([[1] * (20 + number)], seed=number).rename(index={"m0": name}, level=0).reset_index()
        if name == BROKEN:
            (hall / f"{name}.csv").write_text("machine,time\n")
        elif number % 3:
            log.to_csv(hall / f"{name}.csv", index=False)
        else:
            log.to_parquet(hall / f"{name}.parquet", index=False)
    (folder / "readme.txt").write_text("no log")
    return folder


@pytest.fixture(scope="module")
def scored(files, model, tmp_path_factory):
    """The outcomes of these logs, and the folder of their results."""
    out = tmp_path_factory.mktemp("scores")
    return el.score_logs(model, files, out, policy=POLICY), out


def test_each_log_has_one_result_and_one_that_fails_is_a_row_that_says_why(files, scored):
    outcomes, out = scored
    assert len(outcomes) == N_LOGS and outcomes["name"].is_unique
    failed = outcomes[outcomes["error"] != ""]
    assert failed["name"].tolist() == [f"hall1/{BROKEN}.csv"]
    assert "There is no column 'heat'" in failed["error"].item() and pd.isna(failed["rows"].item())
    wanted = {path.relative_to(files).as_posix() for path in files.rglob("pump-*") if BROKEN not in path.name}
    results = {
        f"{os.path.splitext(name)[0]}.{what}{os.path.splitext(name)[1]}"
        for name in wanted
        for what in ("scores", "alarms")
    }
    assert set(contents(out)) == results


def test_scores_and_alarms_are_those_of_the_model(files, model, scored):
    outcomes, out = scored
    for name in ("hall0/pump-06.parquet", "hall0/pump-08.csv"):
        stem, suffix = os.path.splitext(name)
        log = el.read_log(files / name, time="time", run="machine").X
        expected = pd.Series(score_rows(model, log), index=log.index)
        scores = read_scores(out / f"{stem}.scores{suffix}")
        np.testing.assert_allclose(scores["score"], expected, rtol=1e-12)
        assert scores["alarm"].tolist() == POLICY.flag(expected).tolist()
        alarms, events = read_scores(out / f"{stem}.alarms{suffix}"), POLICY.to_events(expected)
        assert list(alarms.columns) == ["machine", "start", "end", "peak", "peak_score"]
        assert pd.to_datetime(alarms["start"]).tolist() == events["start"].tolist()
        row = outcomes.set_index("name").loc[name]
        assert (row["rows"], row["runs"], row["alarms"]) == (len(log), 1, len(events))


def test_the_table_of_outcomes_is_in_the_folder(scored):
    outcomes, out = scored
    told = pd.read_csv(out / "outcomes.csv", keep_default_na=False)
    assert told["name"].tolist() == outcomes["name"].tolist() and told["error"].tolist() == outcomes["error"].tolist()
    assert outcomes["alarms"].sum() > 0


WORKERS = [
    pytest.param({"backend": "loky", "n_jobs": 2}, marks=pytest.mark.slow),  # whose processes import all anew
    {"backend": "threading", "n_jobs": 3},
]


@pytest.mark.parametrize("workers", WORKERS)
def test_the_bytes_are_the_same_from_any_workers(files, model, scored, tmp_path, workers):
    with parallel_config(**workers):
        outcomes = el.score_logs(model, files / "*" / "pump-*", tmp_path, policy=POLICY)
    kept = ["name", "rows", "runs", "alarms", "error", "key"]
    pd.testing.assert_frame_equal(outcomes[kept], scored[0][kept])
    assert contents(tmp_path) == contents(scored[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what Dask brings
def test_the_bytes_are_the_same_from_a_cluster_a_worker_of_which_is_killed(files, model, scored, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        parallel_config("dask"),
    ):
        pids = [worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()]
        killer = threading.Timer(0.5, os.kill, (pids[0], signal.SIGKILL))
        killer.start()
        outcomes = el.score_logs(model, files, tmp_path, policy=POLICY)
        killer.join()
    assert outcomes["key"].tolist() == scored[0]["key"].tolist() and contents(tmp_path) == contents(scored[1])


def test_work_goes_on_where_it_was_interrupted(model, tmp_path):
    logs = {f"m{k}": make_log([[1] * 20], seed=k) for k in range(6)}

    def until_interrupted():
        yield from list(logs.items())[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        el.score_logs(model, until_interrupted(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("m*")}
    assert len(before) >= 2
    outcomes = el.score_logs(model, logs, tmp_path)
    assert outcomes["name"].tolist() == list(logs) and (outcomes["error"] == "").all()
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(list(tmp_path.glob("m*"))) == 12


def test_what_has_changed_is_scored_anew_and_nothing_else(tmp_path):
    model = fitted("forest of windows")
    logs = {name: make_log([[1] * 20], seed=seed) for seed, name in enumerate(("kept", "changed", "lost"))}
    el.score_logs(model, logs, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.scores.csv")}
    logs["changed"].iloc[3, 0] += 1
    (tmp_path / "lost.alarms.csv").unlink()
    el.score_logs(model, logs, tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.scores.csv")}
    assert [name for name in before if after[name] != before[name]] == ["changed.scores.csv", "lost.scores.csv"]
    other = classifier(network()).fit(FIT, LABELS)
    el.score_logs(other, logs, tmp_path)
    expected = score_rows(other, logs["kept"])
    np.testing.assert_allclose(pd.read_csv(tmp_path / "kept.scores.csv")["score"], expected)


def test_a_log_that_failed_is_tried_again(model, tmp_path):
    (tmp_path / "log.csv").write_text("machine,time\n")
    assert el.score_logs(model, tmp_path / "log.csv", tmp_path / "out")["error"].item() != ""
    make_log([[1] * 20]).reset_index().to_csv(tmp_path / "log.csv", index=False)
    assert el.score_logs(model, tmp_path / "log.csv", tmp_path / "out")["error"].item() == ""


def test_a_corrupt_an_empty_and_a_foreign_file_are_rows_that_say_why(model, tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "corrupt.parquet").write_bytes(b"PAR1" + bytes(range(256)))
    (tmp_path / "foreign.csv").write_text("place,price\n1,2\n")
    make_log([[1] * 20]).reset_index().to_csv(tmp_path / "good.csv", index=False)
    errors = el.score_logs(model, tmp_path, tmp_path / "out").set_index("name")["error"]
    assert "damaged or of another kind" in errors["corrupt.parquet"] and errors["good.csv"] == ""
    assert "The file is empty" in errors["empty.csv"] and "There is no column 'time'" in errors["foreign.csv"]


def test_a_cluster_without_dask_is_refused_with_the_way_to_install_it(files, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    el.save(model, tmp_path / "model")
    command = ["score", str(tmp_path / "model"), str(files), "-o", str(tmp_path / "out"), "--cluster", "tcp://x:1"]
    assert main(command) == 2
    assert "pip install 'eventlstm[dask]'" in capsys.readouterr().err


def test_results_among_the_logs_are_no_logs(model, tmp_path):
    make_log([[1] * 20]).reset_index().to_csv(tmp_path / "log.csv", index=False)
    for _ in range(2):
        assert el.score_logs(model, tmp_path, tmp_path / "out")["name"].tolist() == ["log.csv"]


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ([("../up", FIT)], "relative paths without"),
        ([("a", FIT), ("a", FIT)], "Two logs have results of one name, 'a'"),
        ([FIT], "logs holds a DataFrame where a path, or a pair"),
        ("nowhere/*.csv", "No log is at nowhere"),
    ],
)
def test_logs_that_are_none_are_refused(model, tmp_path, logs, message):
    with pytest.raises(ValueError, match=message):
        el.score_logs(model, logs, tmp_path)


def test_a_file_of_outcomes_that_is_something_else_stays(model, tmp_path):
    (tmp_path / "outcomes.csv").write_text("mine\n1\n")
    with pytest.raises(ValueError, match=r"outcomes.csv is no table of outcomes"):
        el.score_logs(model, {"a": FIT}, tmp_path)
    assert (tmp_path / "outcomes.csv").read_text() == "mine\n1\n"


def test_rules_and_threshold_are_those_of_the_model(tmp_path):
    model = fitted("threshold around")
    el.score_logs(model, {"a": FIT}, tmp_path, kind="parquet")
    scores = pd.read_parquet(tmp_path / "a.scores.parquet").set_index(["machine", "time"])
    assert scores["alarm"].tolist() == make_policy(model).flag(scores["score"]).tolist()


def test_the_command_scores_many_logs_and_tells_how_many_failed(files, model, scored, tmp_path, capsys):
    el.save(model, tmp_path / "model")
    begin = time.time()
    command = ["score", str(tmp_path / "model"), str(files / "**" / "pump-*"), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert f"1 of 40 logs failed:\n  hall1/{BROKEN}.csv: " in told and "Wrote the scores of 39 logs" in told
    assert set(contents(tmp_path / "out")) == set(contents(scored[1])) and time.time() - begin < 60
    broken = str(files / "hall1" / f"{BROKEN}.csv")
    command = ["score", str(tmp_path / "model"), broken, str(files / "readme.txt"), "-o", str(tmp_path / "none")]
    assert main(command) == 2
    assert "all of 2 logs failed. The first, " in capsys.readouterr().err


def test_labels_of_many_logs_are_refused(files, model, tmp_path, capsys):
    el.save(model, tmp_path / "model")
    command = ["score", str(tmp_path / "model"), str(files), "-o", str(tmp_path), "--label", "heat"]
    assert main(command) == 2
    assert "measure many logs with `eventlstm report`" in capsys.readouterr().err
