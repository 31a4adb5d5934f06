"""Lines of text as they come: from standard input, or from a file that grows, is rotated and truncated.

A source offers `read(most, timeout)`, which returns up to so many lines, none where none came in time; `ended`; and
`position`, which says after which line to go on, None where it cannot.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

BLOCK = 1 << 16  # bytes read at once, as many as a pipe holds
MAX_LINE = 1 << 20  # bytes kept while the end of a line is waited for
TAIL = 512  # bytes before a position that tell whether a file is still the one that was read
POLL_SECONDS = 0.1  # between two looks at a file that has not grown


class LineSource(Protocol):
    """Where lines come from."""

    ended: bool

    @property
    def position(self) -> dict[str, Any] | None:
        """What finds the place after the lines that were returned, None where nothing does."""

    def read(self, most: int, timeout: float) -> list[bytes]:
        """Return up to `most` lines that are at hand, waiting for the first no longer than `timeout` seconds."""

    def accept(self) -> None:
        """Take note that all lines that were returned are kept, so that nobody need send them again."""

    def close(self) -> None:
        """Let go of the source."""


class LineBuffer:
    """Bytes cut into lines; what stands after the last end of a line waits for its end."""

    def __init__(self) -> None:
        self.pending = b""
        self.n_taken = 0  # bytes of all lines that were taken
        self.tail = b""  # the last of them
        self.rest: list[bytes] = []  # the last line of what was read before, which had no end

    def add(self, block: bytes) -> None:
        """Take what was read."""
        self.pending += block

    def take(self, most: int) -> list[bytes]:
        """Return up to so many whole lines."""
        if self.rest:
            lines, self.rest = self.rest, []
            return lines
        if len(self.pending) > MAX_LINE and b"\n" not in self.pending:
            return self.take_rest()  # no row is so long: it will be told as broken, and what follows of it too
        *lines, rest = self.pending.split(b"\n", most)
        taken = len(self.pending) - len(rest)
        self.n_taken += taken
        self.tail = (self.tail + self.pending[max(taken - TAIL, 0) : taken])[-TAIL:]
        self.pending = rest
        return lines

    def take_rest(self) -> list[bytes]:
        """Return the last line of a source that ends without the end of a line."""
        rest, self.pending = self.pending, b""
        self.n_taken += len(rest)
        self.tail = (self.tail + rest)[-TAIL:]
        return [rest] if rest else []


class InputLines:
    """The lines of an open descriptor, standard input unless told otherwise, until its writers close it."""

    position = None  # what came through a pipe cannot be read again

    def __init__(self, descriptor: int = 0) -> None:
        self.descriptor = descriptor
        self.buffer = LineBuffer()
        self.ended = False
        self._is_drained = False

    def read(self, most: int, timeout: float) -> list[bytes]:
        """Return up to `most` lines that are at hand, waiting for the first no longer than `timeout` seconds."""
        until = time.monotonic() + timeout
        lines = self.buffer.take(most)
        while not lines and not self.ended:
            if not self._fill(max(until - time.monotonic(), 0.0)):
                break
            lines = self.buffer.take_rest() if self.ended else self.buffer.take(most)
        return lines

    def _fill(self, timeout: float) -> bool:
        """Read what is there, and return whether anything was, or the end."""
        with suppress(OSError):  # not everything that can be read can be waited for
            if not select.select([self.descriptor], [], [], timeout)[0]:
                return False
        block = os.read(self.descriptor, BLOCK)
        self.ended = not block
        self.buffer.add(block)
        return True

    def accept(self) -> None:
        """Nobody sends a line of a pipe again."""

    def close(self) -> None:
        """Leave the descriptor to whoever opened it."""


class GrowingFile:
    """The lines of a file as they are appended, as ``tail -F`` follows it.

    A file that was renamed is read to its end before the new one of its name is; one that was truncated, or written
    anew, is read from its start.

    Parameters
    ----------
    path : Path
        The file; it may come later.
    position : dict, optional
        A `position` of before. The file that it is of is found by the bytes before it, under its name or that of a
        rotated copy beside it (``log.csv.1``); where none is, `is_lost` is true, and `path` is read from its start.
    """

    ended = False

    def __init__(self, path: Path, position: dict[str, Any] | None = None) -> None:
        self.path = path
        self.is_lost = False
        self._file: Any = None
        self._buffer = LineBuffer()
        self._is_at_end = False
        if position is not None:
            self._resume(position)

    @property
    def position(self) -> dict[str, Any] | None:
        """The length of what was returned as lines, and what tells the file."""
        if self._file is None:
            return None
        buffer, inode = self._buffer, os.fstat(self._file.fileno()).st_ino
        return {"inode": inode, "offset": buffer.n_taken, "length": len(buffer.tail), "tail": _digest(buffer.tail)}

    def read(self, most: int, timeout: float) -> list[bytes]:
        """Return up to `most` lines that are at hand, waiting for the first no longer than `timeout` seconds."""
        until = time.monotonic() + timeout
        lines = self._take(most)
        while not lines and time.monotonic() < until:
            time.sleep(min(max(until - time.monotonic(), 0.0), POLL_SECONDS))
            lines = self._take(most)
        return lines

    def _take(self, most: int) -> list[bytes]:
        """Return up to so many lines, none where neither the file that is open nor one after it has any."""
        lines = [] if self._file is None else self._buffer.take(most)
        while not lines and (self._fill() or self._move_on()):
            lines = self._buffer.take(most)
        return lines

    def accept(self) -> None:
        """Lines stay in the file."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _fill(self) -> bool:
        """Read a block, and return whether there was one."""
        if self._file is None:
            return False
        if self._is_at_end:
            self._go_back_if_written_anew()
        block = self._file.read(BLOCK)
        self._is_at_end = len(block) < BLOCK
        self._buffer.add(block)
        return bool(block)

    def _go_back_if_written_anew(self) -> None:
        """Go back to the start of a file that no longer holds what was read, or to the last line if it holds that."""
        buffer = self._buffer
        known = (buffer.tail + buffer.pending)[-TAIL:]
        if _holds(self._file, buffer.n_taken + len(buffer.pending), known):
            return
        is_same = _holds(self._file, buffer.n_taken, buffer.tail)
        self._start(self._file, *((buffer.n_taken, buffer.tail) if is_same else (0, b"")))

    def _move_on(self) -> bool:
        """Go to the file after the one that is open, once that is read to its end, and return whether there is one."""
        path = self._find_next()
        if path is None:
            return False
        if self._fill():  # written to until the next one was there
            return True
        rest = b"" if self._file is None else self._buffer.pending
        self.close()
        self._start(FileIO(path), 0)
        if rest:  # the last line of a file may end without the end of a line
            self._buffer.rest = [rest]
        return True

    def _find_next(self) -> Path | None:
        """Return the file to read after the one that is open: one rotated since, or the new one of the name."""
        try:
            new = self.path.stat()
        except FileNotFoundError:
            return None
        if self._file is None:
            return self.path
        now = os.fstat(self._file.fileno())
        if os.path.samestat(now, new) or not new.st_size:  # a writer may still write to the one before an empty file
            return None
        return next(iter(self._rotated_after(now)), self.path)

    def _rotated_after(self, before: os.stat_result) -> list[Path]:
        """Return the files rotated since a file was written last, the oldest first."""
        found = [(path, path.stat()) for path in self._siblings()]
        newer = [(stat.st_mtime_ns, path) for path, stat in found if stat.st_mtime_ns > before.st_mtime_ns]
        return [path for _, path in sorted(newer) if not os.path.samestat(path.stat(), before)]

    def _siblings(self) -> list[Path]:
        """Return the rotated copies beside the file: log.csv.1, log.csv-20240531."""
        name = re.compile(re.escape(self.path.name) + r"[.-]\d+")
        return [path for path in self.path.parent.iterdir() if name.fullmatch(path.name) and path.is_file()]

    def _resume(self, position: dict[str, Any]) -> None:
        """Open the file that a position is of, there."""
        offset, length, digest = position["offset"], position["length"], position["tail"]
        paths = [path for path in (self.path, *self._siblings()) if path.exists()]
        paths.sort(key=lambda path: path.stat().st_ino != position["inode"])  # stable, those of the name first
        for path in paths:
            file = FileIO(path)
            tail = _read_before(file, offset, length)
            if len(tail) == length and _digest(tail) == digest:
                self._start(file, offset, tail)
                return
            file.close()
        self.is_lost = True

    def _start(self, file: Any, offset: int, tail: bytes = b"") -> None:
        """Read an open file from a place on, before which it holds `tail`."""
        file.seek(offset)
        self._file, self._buffer, self._is_at_end = file, LineBuffer(), False
        self._buffer.n_taken, self._buffer.tail = offset, tail


def _read_before(file: Any, offset: int, length: int) -> bytes:
    file.seek(offset - length)
    read: bytes = file.read(length)
    return read


def _holds(file: Any, offset: int, known: bytes) -> bool:
    """Return whether a file holds some bytes before a place, and leave it there."""
    is_there = _read_before(file, offset, len(known)) == known
    file.seek(offset)
    return is_there


def _digest(tail: bytes) -> str:
    return hashlib.sha256(tail).hexdigest()
