"""What was killed goes on where it stopped: the results are those of one run, and nothing else stays."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import eventlstm as el
from eventlstm.cli.parser import main
from tests.serving.models import fitted, make_log

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*rows have fewer than window_size", "ignore:.*interval", "ignore:.*few"
)
N_LOGS, LABEL = 8, ["--label", "failure"]


def write_log(path, seed):
    log = make_log([[60] * 60], seed=seed).assign(failure=0)
    log.iloc[30:40, log.columns.get_loc("failure")] = 1
    log.reset_index().to_csv(path, index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, logs in two folders, and the report of them that one run has made."""
    folder = tmp_path_factory.mktemp("fleet")
    el.save(fitted("threshold around"), folder / "model")
    for number in range(N_LOGS):
        (folder / "logs" / f"hall{number % 2}").mkdir(parents=True, exist_ok=True)
        write_log(folder / "logs" / f"hall{number % 2}" / f"m{number:02d}.csv", number)
    (folder / "logs" / "broken.csv").write_text("machine,time\n")
    report(folder, folder / "whole")
    return folder


def command_of(folder, out, *options):
    return [str(part) for part in ("report", folder / "model", folder / "logs", "-o", out, *LABEL, *options)]


def report(folder, out, *options):
    assert main(command_of(folder, out, *options)) == 0


def pages_of(out):
    """The bytes of the overview and of all pages."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.html")}


def times_of(out):
    return {path.stem: path.stat().st_mtime_ns for path in (out / "pages").rglob("*.html")}


def changed(before, after):
    return sorted(name for name in after if after[name] != before.get(name))


def leftovers(out):
    return [path for path in out.rglob("*") if path.name.startswith(".eventlstm-")]


def kill_when(is_time, command, seconds):
    """Begin a command in a process of its own, which tells what is done every so many seconds, and kill it."""
    code = f"import eventlstm.fleets.outcomes as told\ntold.SECONDS_BETWEEN = {seconds}\n"
    code += "import sys\nfrom eventlstm.cli import main\nmain(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.DEVNULL)
    while not is_time() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_report_that_was_killed_goes_on_and_is_as_of_one_run(folder, tmp_path):
    out = tmp_path / "report"
    kill_when((out / "reports.csv").exists, command_of(folder, out), 0)
    done = pd.read_csv(out / "reports.csv")["name"].tolist()
    before = times_of(out)
    assert 0 < len(done) <= N_LOGS and not (out / "index.html").exists()
    assert leftovers(out)  # the model at least, which its workers read
    report(folder, out)
    kept = {name for name, when in times_of(out).items() if before.get(name) == when}
    assert {os.path.splitext(os.path.basename(name))[0] for name in done} - {"broken"} <= kept
    assert pages_of(out) == pages_of(folder / "whole") and not leftovers(out)


def test_only_what_has_changed_is_reported_on_anew(folder, tmp_path):
    out, logs = tmp_path / "report", folder / "logs"
    report(folder, out)
    before = times_of(out)
    report(folder, out)
    assert changed(before, times_of(out)) == []
    text = (logs / "hall1" / "m03.csv").read_bytes()
    try:
        write_log(logs / "hall1" / "m03.csv", 99)
        (out / "pages" / "hall0" / "m04.html").unlink()
        report(folder, out)
        assert changed(before, times_of(out)) == ["m03", "m04"]
        assert pages_of(out)["pages/hall1/m03.html"] != pages_of(folder / "whole")["pages/hall1/m03.html"]
    finally:
        (logs / "hall1" / "m03.csv").write_bytes(text)
    before = times_of(out)
    report(folder, out, "--threshold", "0.3")
    assert len(changed(before, times_of(out))) == N_LOGS
    report(folder, out)
    assert pages_of(out) == pages_of(folder / "whole")


def test_the_table_of_reports_tells_what_the_overview_does(folder):
    table = pd.read_csv(folder / "whole" / "reports.csv").set_index("name")
    assert len(table) == N_LOGS + 1 and table["error"].notna().sum() == 1
    sound = table.drop(index="broken.csv")
    assert (sound["rows"] == 61).all() and (sound["events"] == 1).all() and sound["duty"].between(0, 1).all()
    assert all(json.loads(told) == [] for told in sound["doubts"])


def test_pages_of_another_model_are_not_taken_for_those_of_this_one(folder, tmp_path):
    """A run with another model was killed after it had replaced pages, but before it had told so."""
    out = tmp_path / "report"
    report(folder, out)
    other = tmp_path / "other"
    el.save(fitted("forecasts step by step"), other)
    before = times_of(out)
    command = command_of(folder, out)
    command[1] = str(other)
    kill_when(lambda: changed(before, times_of(out)), command, 1_000)
    report(folder, out)
    assert pages_of(out) == pages_of(folder / "whole") and not leftovers(out)
