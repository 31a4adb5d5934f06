"""Temporary files go with the next one that looks where their process was killed, and never while one is alive."""

import os
import signal
import subprocess
import sys

import pytest

from eventlstm.logs.temporary_files import PREFIX, open_temporary, remove_leftovers

HOLD = (
    "import sys, pathlib\nfrom eventlstm.logs.temporary_files import open_temporary\n"
    "with open_temporary(pathlib.Path(sys.argv[1])) as file:\n"
    "    file.close()\n    print(file.name, flush=True)\n    sys.stdin.read()\n"
)


@pytest.fixture
def held(tmp_path):
    """A process that has a temporary file in a folder, which it has written and closed; and the file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    path = process.stdout.readline().strip()
    assert path
    yield process, tmp_path / os.path.basename(path)
    process.kill()
    process.communicate()


def test_a_file_stays_while_its_process_is_alive_and_goes_when_that_was_killed(held):
    process, path = held
    remove_leftovers(path.parent)
    assert path.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    remove_leftovers(path.parent)
    assert not path.exists()


def test_files_of_other_hosts_and_of_others_stay(tmp_path):
    names = [".eventlstm-01234567-abc.tmp", "mine.tmp", f"{PREFIX}abc.txt"]
    for name in [*names, f"{PREFIX}abc.tmp"]:
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_file_is_gone_at_the_end_unless_it_was_moved(tmp_path):
    with open_temporary(tmp_path) as file:
        file.write(b"x")
    assert list(tmp_path.iterdir()) == []
    with open_temporary(tmp_path) as file:
        file.write(b"y")
        file.close()
        os.replace(file.name, tmp_path / "kept")
        remove_leftovers(tmp_path)
    assert (tmp_path / "kept").read_bytes() == b"y"
