"""Lines that no source would send again, kept in a file until a state holds what they brought about.

Its first line says how many lines there were before the second.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

HEAD = b"after "
PRIVATE = 0o600


class RowJournal:
    """Lines read since the last state was written.

    What is added survives the end of the process, not that of the machine: nothing waits for the disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE), "a+b")

    def replay(self, n_known: int) -> list[bytes]:
        """Return the lines after the first `n_known` that there have been; the last is left out where it is cut."""
        self._file.seek(0)
        head, *lines = self._file.read().split(b"\n")
        if not head.startswith(HEAD):
            return []
        return lines[max(n_known - int(head[len(HEAD) :]), 0) : -1]

    def start(self, n_known: int) -> None:
        """Begin anew once a state holds so many lines."""
        self._file.truncate(0)
        self._write(HEAD + b"%d\n" % n_known)

    def add(self, lines: Sequence[bytes]) -> None:
        """Keep lines."""
        self._write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, text: bytes) -> None:
        self._file.write(text)
        self._file.flush()
