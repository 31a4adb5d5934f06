"""Lines of pipes and of files that grow: each whole, once, in order, whatever happens to the file."""

import json
import os
import random

import pytest

from eventlstm.watching.lines import MAX_LINE, GrowingFile, InputLines


def drain(source, most=7):
    """All lines that are at hand."""
    lines = []
    while found := source.read(most, 0.0):
        lines += found
    return lines


def append(path, text):
    with open(path, "ab") as file:
        file.write(text)


@pytest.fixture
def follow():
    """A growing file, from its start or from where another source is, as if by a file of state; closed at the end."""
    opened = []

    def open_from(path, source=None):
        position = None if source is None else json.loads(json.dumps(source.position))
        opened.append(GrowingFile(path, position))
        return opened[-1]

    yield open_from
    for source in opened:
        source.close()


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def test_a_line_of_a_pipe_waits_for_its_end_and_the_last_for_that_of_the_pipe(pipe):
    reader, writer = pipe
    source = InputLines(reader)
    assert source.read(9, 0.0) == []
    os.write(writer, b"a\nb\nc")
    assert drain(source) == [b"a", b"b"] and not source.ended
    os.write(writer, b"c\n\nd")
    assert drain(source) == [b"cc", b""]
    os.close(writer)
    assert drain(source) == [b"d"] and source.ended and source.read(9, 0.0) == []


def test_no_more_lines_come_at_once_than_are_asked_for(pipe):
    os.write(pipe[1], b"a\nb\nc\n")
    source = InputLines(pipe[0])
    assert [source.read(2, 0.0), source.read(2, 0.0), source.read(2, 0.0)] == [[b"a", b"b"], [b"c"], []]
    os.close(pipe[1])


def test_a_line_without_end_is_cut_so_that_memory_is_bounded(tmp_path, follow):
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 * MAX_LINE) + b"\nrow\n")
    lines = drain(follow(path))
    assert lines[-1] == b"row" and max(map(len, lines)) < 1.1 * MAX_LINE


def test_a_file_may_come_later_and_grows_by_parts_of_lines(tmp_path, follow):
    source = follow(tmp_path / "log")
    assert drain(source) == [] and source.position is None
    for text, lines in ((b"a\nb", [b"a"]), (b"", []), (b"b\n", [b"bb"]), (b"c\n", [b"c"])):
        append(tmp_path / "log", text)
        assert drain(source) == lines


def test_a_renamed_file_is_read_to_its_end_before_the_new_one_is(tmp_path, follow):
    path, old = tmp_path / "log", tmp_path / "log.1"
    append(path, b"a\n")
    source = follow(path)
    assert drain(source) == [b"a"]
    path.rename(old)
    append(old, b"b\n")
    assert drain(source) == [b"b"]
    path.touch()  # a writer may still write to the old one
    append(old, b"c\nno end")
    assert drain(source) == [b"c"]
    append(path, b"d\n")
    assert drain(source) == [b"no end", b"d"]


@pytest.mark.parametrize("new", [b"", b"x\n", b"x\ny\nz\nand longer than before\n"])
def test_a_truncated_file_is_read_from_its_start(tmp_path, follow, new):
    path = tmp_path / "log"
    append(path, b"a\nb\nhalf")
    source = follow(path)
    assert drain(source) == [b"a", b"b"]
    path.write_bytes(new)  # the same file, emptied and written to
    assert drain(source) == new.split(b"\n")[:-1]
    append(path, b"last\n")
    assert drain(source) == [b"last"]


def test_half_a_line_that_is_taken_back_is_forgotten(tmp_path, follow):
    path = tmp_path / "log"
    append(path, b"a\nhalf")
    source = follow(path)
    assert drain(source) == [b"a"]
    os.truncate(path, 2)
    append(path, b"b\n")
    assert drain(source) == [b"b"]


def test_reading_goes_on_where_a_position_was_kept(tmp_path, follow):
    path = tmp_path / "log"
    append(path, b"a\nb\nc\nhalf")
    source = follow(path)
    assert source.read(2, 0.0) == [b"a", b"b"]
    source = follow(path, source)
    assert not source.is_lost and drain(source) == [b"c"]
    append(path, b" and half\n")
    assert drain(follow(path, source)) == [b"half and half"]


def test_files_rotated_while_nobody_read_are_read_in_their_order(tmp_path, follow):
    path = tmp_path / "log"
    append(path, b"a\nb\n")
    source = follow(path)
    assert source.read(1, 0.0) == [b"a"]
    for number, text in ((2, b"c\n"), (1, b"d\n")):
        path.rename(tmp_path / f"log.{number}")
        append(path, text)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + (3 - number) * 10**9))  # clocks of files may be coarse
    assert drain(follow(path, source)) == [b"b", b"c", b"d"]


def test_a_copy_made_before_a_truncation_is_read_to_its_end(tmp_path, follow):
    path = tmp_path / "log"
    append(path, b"a\nb\n")
    source = follow(path)
    assert source.read(1, 0.0) == [b"a"]
    (tmp_path / "log.1").write_bytes(path.read_bytes())
    path.write_bytes(b"c\n")
    assert drain(follow(path, source)) == [b"b", b"c"]


def test_a_file_that_holds_nothing_of_before_is_read_from_its_start_and_that_is_said(tmp_path, follow):
    path = tmp_path / "log"
    append(path, b"a\n")
    source = follow(path)
    drain(source)
    path.write_bytes(b"other\nrows\n")
    source = follow(path, source)
    assert source.is_lost and drain(source) == [b"other", b"rows"]


@pytest.mark.parametrize("seed", range(20))
def test_no_line_is_lost_or_doubled_whatever_is_cut_rotated_and_resumed(tmp_path, follow, seed):
    draw, path = random.Random(seed), tmp_path / "log"
    path.touch()
    text = b"".join(b"line %d %s\n" % (k, b"x" * draw.randrange(40)) for k in range(300))
    source, read, done, n_rotated = follow(path), [], 0, 0
    while done < len(text):
        size = draw.randrange(1, 600)
        append(path, text[done : done + size])
        done += size
        action = draw.choice(["read", "read", "nothing", "rotate", "resume"])
        if action == "rotate" and text[:done].endswith(b"\n"):  # writers rotate between lines
            path.rename(tmp_path / f"log.{n_rotated}")
            os.utime(tmp_path / f"log.{n_rotated}", ns=(0, 10**9 * n_rotated))
            n_rotated += 1
        elif action == "resume" and source.position is not None:
            source = follow(path, source)
            assert not source.is_lost
        elif action == "read":
            read += source.read(draw.randrange(1, 50), 0.0)
    read += drain(source)
    assert read == text.split(b"\n")[:-1]
