"""The scores of a watch: a CSV that grows by whole lines, and goes on from where a state was written."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..logs.spreadsheets import as_text_cell
from ..serving.streaming_detector import Update
from .outputs import SCORE_COLUMNS

BY_UMASK = 0o666
LAST_BLOCK = 1 << 16  # bytes at the end of a file in which the end of its last whole line is looked for


class ScoreFile:
    """A CSV of run, time, score and alarm, as `eventlstm score` writes it, to which rows are appended.

    Parameters
    ----------
    path : Path
        The file. One that holds scores is gone on with.
    names : sequence of str
        Columns of the run, then of the time.
    length : int or None, default=None
        Bytes that a state knows of: what was written after them is cut off, to be written again. None keeps all whole
        lines.
    raw : bool, default=False
        Whether names of runs that a spreadsheet would take for formulas are left as they are.

    Raises
    ------
    ValueError
        If the file is shorter than `length`, or holds something else.
    """

    def __init__(self, path: Path, names: Sequence[str], length: int | None = None, *, raw: bool = False) -> None:
        self.path, self._raw = path, raw
        head = _to_csv([[*map(self._safe, names), *SCORE_COLUMNS]])
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, BY_UMASK), "r+b")
        try:
            self._check_head(head)
            self._cut(_end_of_lines(self._file) if length is None else length)
        except ValueError:
            self._file.close()
            raise
        if not self._file.tell():
            self._file.write(head)

    def write(self, rows: Iterable[Update]) -> None:
        """Append rows, which others can read at once."""
        self._file.write(_to_csv(map(self._cells, rows)))
        self._file.flush()

    def sync(self) -> int:
        """Wait until all is on the disk, and return how many bytes there are."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cells(self, row: Update) -> list[Any]:
        run = () if row.run is None else row.run if isinstance(row.run, tuple) else (row.run,)
        score = "" if row.score != row.score else repr(float(row.score))
        return [*map(self._safe, run), str(row.time), score, int(row.alarm in ("opened", "on"))]

    def _safe(self, text: Any) -> Any:
        return text if self._raw else as_text_cell(text)

    def _check_head(self, head: bytes) -> None:
        found = self._file.read(len(head))
        if found != head[: len(found)] or (len(found) < len(head) and b"\n" in found):
            raise ValueError(f"{self.path} holds something else than scores of this model. Name another file.")

    def _cut(self, length: int) -> None:
        size = self._file.seek(0, os.SEEK_END)
        if size < length:
            raise ValueError(
                f"{self.path} has {size} bytes, fewer than the {length} that the state knows of. Name the file that "
                "was written with it, or remove the state to begin anew."
            )
        self._file.truncate(length)
        self._file.seek(length)


def _end_of_lines(file: Any) -> int:
    """Return how many bytes a file has up to the end of its last whole line."""
    size = file.seek(0, os.SEEK_END)
    begin = max(size - LAST_BLOCK, 0)
    file.seek(begin)
    return begin + int(file.read().rfind(b"\n")) + 1


def _to_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
