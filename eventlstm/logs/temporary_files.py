"""Files of a passing name: gone at the end, and where their process was killed, gone with the next one that looks.

A file is held by a lock, which ends with the process that took it, however that ends. A folder may be shared by several
hosts, and not every file system tells one host of the locks of another: so each removes but the files of its own name.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

# Nobody else may read what is to take the place of a file that they perhaps must not read.
PRIVATE = 0o600
PREFIX = f".eventlstm-{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}-"


@contextmanager
def open_temporary(folder: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """Open a new file in a folder to write; it is held, also where it has been closed, and gone at the end.

    Parameters
    ----------
    folder : Path
        Where it is made.
    mode : int, default=0o600
        Who may read and write it, as far as the umask lets them.

    Yields
    ------
    BinaryIO
        The file, whose ``name`` is its path. It may be moved meanwhile, and then stays.

    Raises
    ------
    OSError
        If no file can be made there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from eventlstm.logs.temporary_files import open_temporary, remove_leftovers
    >>> with TemporaryDirectory() as folder:
    ...     with open_temporary(Path(folder)) as file:
    ...         remove_leftovers(Path(folder))
    ...         Path(file.name).exists()
    ...     Path(file.name).exists()
    True
    False
    """
    path, lock = _make_new(folder, mode)
    try:
        with open(path, "wb") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder that processes of this host have left and none holds."""
    for path in folder.glob(f"{PREFIX}*.tmp"):
        with suppress(OSError):  # it is held or gone, or locks are not known here
            _remove_unheld(path)


def _make_new(folder: Path, mode: int) -> tuple[Path, int | None]:
    """Make a file, and return its path and a descriptor that holds it: none on Windows, where being open is enough."""
    while True:
        path = folder / f"{PREFIX}{uuid.uuid4().hex}.tmp"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if sys.platform == "win32":
            os.close(lock)
            return path, None
        with suppress(OSError):  # where locks are not known, nobody can remove it either
            flock(lock, LOCK_EX)
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)  # another process has removed it before it was locked


def _remove_unheld(path: Path) -> None:
    if sys.platform == "win32":
        path.unlink()
    else:
        with open(path, "r+b") as file:
            flock(file, LOCK_EX | LOCK_NB)
            path.unlink()
