"""A file that is written is whole or absent, takes the place of the right one, and is probed before any work."""

import errno
import multiprocessing
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eventlstm.logs.whole_files import check_outputs, open_whole

FORK = multiprocessing.get_context("fork")
ROOT = Path(__file__).parents[2]
N_ROUNDS = 20


def write(path, content=b"new"):
    with open_whole(path) as file:
        file.write(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path):
    """A file with something in it."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    return path


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027, 0o002, 0o000])
def test_a_new_file_has_the_mode_that_the_umask_leaves(umask, tmp_path):
    before = os.umask(umask)
    try:
        write(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o666, 0o755, 0o620])
def test_a_file_that_is_written_anew_keeps_its_mode_and_its_owner(mode, old):
    old.chmod(mode)
    if os.geteuid() == 0:
        os.chown(old, 1234, 4321)
    before = old.stat()
    write(old)
    after = old.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert old.read_bytes() == b"new"


def test_nobody_else_may_read_what_takes_the_place_of_a_private_file(old):
    old.chmod(0o600)
    with open_whole(old):
        (beside,) = (path for path in old.parent.iterdir() if path != old)
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600


LINKS = {
    "in the folder": lambda folder: ("target", folder / "target"),
    "absolute": lambda folder: (str(folder / "target"), folder / "target"),
    "into another folder": lambda folder: ("other/target", folder / "other" / "target"),
    "out of its folder": lambda folder: (f"../{folder.name}/target", folder / "target"),
    "through a linked folder": lambda folder: ("linked/target", folder / "other" / "target"),
    "to a link": lambda folder: ("second", folder / "other" / "target"),
}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("kind", LINKS)
def test_a_link_is_written_through_and_stays_a_link(kind, there, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "linked").symlink_to("other")
    (tmp_path / "second").symlink_to("other/target")
    text, target = LINKS[kind](tmp_path)
    (tmp_path / "out").symlink_to(text)
    if there:
        target.write_bytes(b"old")
    check_outputs([tmp_path / "out"])
    write(tmp_path / "out")
    assert os.readlink(tmp_path / "out") == text
    assert target.read_bytes() == b"new" and not target.is_symlink()


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit])
def test_whatever_ends_the_writing_leaves_the_old_file_and_nothing_beside_it(error, old):
    with pytest.raises(error, match=r"^$"), open_whole(old) as file:
        file.write(b"half")
        file.flush()
        raise error
    assert old.read_bytes() == b"old" and names(old.parent) == ["out"]


@pytest.mark.parametrize("name", ["out.part", "out.new", "out.tmp", ".out", "out~", "out.part.npz"])
def test_files_of_the_users_with_such_names_are_left_alone(name, old):
    mine = old.with_name(name)
    mine.write_bytes(b"mine")
    write(old)
    assert mine.read_bytes() == b"mine" and names(old.parent) == sorted(["out", name])


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_outputs([pipe])  # and gives a reader nothing
    write(pipe)
    assert os.read(reader, 9) == b"new" and os.read(reader, 9) == b""
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_stays_a_device(device, tmp_path):
    (tmp_path / "link").symlink_to(device)
    for path in (Path(device), tmp_path / "link"):
        check_outputs([path])
        write(path)
        assert stat.S_ISCHR(path.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/{pid}/fd/{}", "link"])
def test_an_open_file_of_the_process_goes_on_from_where_it_is(name, old, tmp_path):
    with old.open("ab") as file:
        path = Path(name.format(file.fileno(), pid=os.getpid()))
        if name == "link":
            path = tmp_path / "link"
            path.symlink_to(f"/dev/fd/{file.fileno()}")
        check_outputs([path])
        write(path)
        write(path, b"er")
    assert old.read_bytes() == b"oldnewer"


@pytest.mark.parametrize("to", ["a pipe", "a file"])
def test_standard_output_gets_all_in_the_order_of_printing(to, tmp_path):
    program = (
        "from eventlstm.logs.whole_files import open_whole\nprint('before')\n"
        "with open_whole('/dev/stdout') as file: file.write(b'table\\n')\nprint('after')"
    )
    with (tmp_path / "printed").open("wb") as printed:
        stream = subprocess.PIPE if to == "a pipe" else printed
        run = subprocess.run([sys.executable, "-c", program], stdout=stream, cwd=ROOT, check=True)
    assert (run.stdout if to == "a pipe" else (tmp_path / "printed").read_bytes()) == b"before\ntable\nafter\n"


def blocked(folder, kind):
    """A path that cannot be written, and how a message says so."""
    (folder / "file").write_bytes(b"")
    (folder / "loop").symlink_to("loop")
    (folder / "lost").symlink_to("nowhere/file")
    (folder / "of folder").symlink_to(".")
    return {
        "a folder that is not there": (folder / "nowhere" / "out", "does not exist. Make it"),
        "a folder": (folder, "is a folder. Pass a file"),
        "a link to a folder": (folder / "of folder", "is a folder. Pass a file"),
        "a link into a folder that is not there": (folder / "lost", "does not exist. Make it"),
        "a link to itself": (folder / "loop", "cannot be written .*links"),
        "a file in a file": (folder / "file" / "out", "cannot be written .*Not a directory"),
        "too long a name": (folder / ("x" * 256), "cannot be written .*File name too long"),
        "too long a path": (folder / ("y/" * 3000), "cannot be written .*File name too long"),
        "a folder that takes no files": (Path("/proc/out"), "cannot be written"),
        "a stream that is not open": (Path("/dev/fd/987"), "cannot be written"),
    }[kind]


BLOCKED = (
    *("a folder that is not there", "a folder", "a link to a folder", "a link into a folder that is not there"),
    *("a link to itself", "a file in a file", "too long a name", "too long a path", "a folder that takes no files"),
    "a stream that is not open",
)


@pytest.mark.parametrize("kind", BLOCKED)
def test_what_cannot_be_written_is_refused_before_in_one_short_line(kind, tmp_path):
    path, message = blocked(tmp_path, kind)
    before = names(tmp_path)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        check_outputs([path])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert names(tmp_path) == before


@pytest.mark.parametrize("kind", BLOCKED)
def test_what_cannot_be_written_is_an_error_of_its_own_name(kind, tmp_path):
    path, _ = blocked(tmp_path, kind)
    with pytest.raises(OSError, match="Errno") as caught:
        write(path)
    assert caught.value.filename == str(path)


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="cannot be written"):
            check_outputs([tmp_path / "socket"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_is_refused(what, old):
    path = old if what == "file" else old.parent
    path.chmod(0o444 if what == "file" else 0o555)
    for act in (write, lambda path: check_outputs([path])):
        with pytest.raises(PermissionError, match="Permission denied"):
            act(old)
    path.chmod(0o755)
    assert old.read_bytes() == b"old"


def probe_on_a_full_disk(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        check_outputs([path])
    except OSError as error:
        os._exit(7 if "cannot be written (File too large)" in str(error) else 8)
    os._exit(0)


def test_a_disk_that_takes_names_but_no_bytes_is_found_out_before(tmp_path):
    child = FORK.Process(target=probe_on_a_full_disk, args=(tmp_path / "out",))
    child.start()
    child.join()
    assert child.exitcode == 7 and names(tmp_path) == []


def test_a_full_disk_is_an_error_that_names_the_file():
    with pytest.raises(OSError, match="No space left") as caught:
        write("/dev/full")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")


def test_probing_leaves_no_trace(old, tmp_path):
    before = old.stat()
    check_outputs([old, tmp_path / "new"], [tmp_path / "not there"])
    assert names(tmp_path) == ["out"]
    assert (old.stat().st_mtime_ns, old.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


SAME = {
    "its name": lambda path: path,
    "a detour": lambda path: path.parent / ".." / path.parent.name / path.name,
    "a link": lambda path: linked(path, Path.symlink_to),
    "a hard link": lambda path: linked(path, Path.hardlink_to),
    "a linked folder": lambda path: linked(path.parent, Path.symlink_to) / path.name,
    "from here": lambda path: Path(os.path.relpath(path)),
}


def linked(path, link):
    other = path.with_name("other name")
    link(other, path)
    return other


@pytest.mark.parametrize("name", SAME)
def test_an_output_that_is_an_input_or_another_output_is_refused_whatever_its_name(name, old):
    other = SAME[name](old)
    with pytest.raises(ValueError, match="is also an input, and would be replaced"):
        check_outputs([other], [old])
    with pytest.raises(ValueError, match="two outputs have the same name"):
        check_outputs([old, other])
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("name", [name for name in SAME if name != "a hard link"])
def test_two_outputs_are_the_same_before_they_are_there(name, tmp_path):
    new = tmp_path / "folder" / "new"
    new.parent.mkdir()
    with pytest.raises(ValueError, match="two outputs have the same name"):
        check_outputs([new, SAME[name](new)])


def test_devices_may_be_shared():
    check_outputs([Path("/dev/null"), Path("/dev/null")], [Path("/dev/null")])


def write_often(path, content):
    for _ in range(N_ROUNDS):
        write(path, content)


def test_many_processes_on_one_file_leave_a_whole_one_of_one_of_them(tmp_path):
    path, contents = tmp_path / "out", [bytes([k]) * 100_000 for k in range(6)]
    children = [FORK.Process(target=write_often, args=(path, content)) for content in contents]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        assert not path.exists() or path.read_bytes() in contents
    assert [child.exitcode for child in children] == [0] * len(children)
    assert path.read_bytes() in contents and names(tmp_path) == ["out"]


def write_slowly(path):
    with open_whole(path) as file:
        file.write(b"half")
        file.flush()
        time.sleep(60)


def test_what_a_killed_process_leaves_beside_is_in_nobodys_way(old):
    for _ in range(2):
        child = FORK.Process(target=write_slowly, args=(old,))
        n_before = len(names(old.parent))
        child.start()
        while len(names(old.parent)) == n_before:
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert old.read_bytes() == b"old"
    write(old)
    assert old.read_bytes() == b"new"
