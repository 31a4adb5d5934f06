"""Files that are whole or absent: written beside their place under a random name, and moved there when complete.

A link is written through to the file it names, which keeps its mode and its owner; what is no plain file, such as a
pipe, a device or a stream of this process, is written to directly.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, ENXIO
from pathlib import Path
from typing import BinaryIO

from .temporary_files import PRIVATE, open_temporary

# A full disk may take the name of a new file, but not a block of it.
PROBE = bytes(4096)
BY_UMASK = 0o666
MAX_LINKS = 40  # as Linux follows
MAX_NAME_LENGTH = 120  # of a path in a message of one line


@contextmanager
def open_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write, which takes its place when the block ends, and leaves the old one when it fails.

    Parameters
    ----------
    path : str or path-like
        The file. Its folder must exist.

    Yields
    ------
    BinaryIO
        What to write to.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from eventlstm.logs.whole_files import open_whole
    >>> with TemporaryDirectory() as folder:
    ...     with open_whole(Path(folder, "scores.csv")) as file:
    ...         _ = file.write(b"score,alarm")
    ...     [made.name for made in Path(folder).iterdir()]
    ['scores.csv']
    """
    try:
        with _replace(Path(os.path.realpath(path))) if _is_replaceable(path) else _open_through(path) as file:
            yield file
    except OSError as error:  # it names the file beside, or none
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Find out before any work whether all files can be written, by writing beside them.

    Parameters
    ----------
    outputs : sequence of Path
        Files to write.
    inputs : sequence of Path, default=()
        Files that are read before.

    Raises
    ------
    ValueError
        If an output is an input or another output, under whatever name, or a folder, or if its folder is not there.
    OSError
        If it cannot be written for another reason, such as permissions, the length of its name, or a full disk.
    """
    for k, path in enumerate(outputs):
        if any(_is_same(path, given) for given in inputs):
            raise ValueError(f"the output {_shown(path)} is also an input, and would be replaced. Name another file.")
        if any(_is_same(path, other) for other in outputs[:k]):
            raise ValueError(f"two outputs have the same name, {_shown(path)}. Name a file for each of them.")
        if os.path.isdir(path):
            raise ValueError(f"the output {_shown(path)} is a folder. Pass a file in a folder that exists.")
        try:
            _probe(path)
        except OSError as error:
            reason = f"the output {_shown(path)} cannot be written ({error.strerror})."
            raise type(error)(f"{reason} Name a file that can be, in a folder that takes new files.") from None


def _probe(path: Path) -> None:
    """Do what writing a file needs, and leave no trace."""
    if not _is_replaceable(path):
        descriptor = _own_descriptor(path)
        if descriptor is not None:
            os.write(descriptor, b"")
        elif stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(ENXIO, os.strerror(ENXIO))  # as opening it says
        elif not os.access(path, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        return
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        shown = _shown(target.parent)
        raise ValueError(
            f"the folder {shown} of the output does not exist. Make it, or pass one in a folder that exists."
        )
    with open_temporary(target.parent, _mode(_find_old(target))) as file:
        file.write(PROBE)
        sync(file)


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, which may not be there yet; devices, such as /dev/null, are shared."""
    try:
        found = os.stat(one), os.stat(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
    return os.path.samestat(*found) and not stat.S_ISCHR(found[0].st_mode)


def _is_replaceable(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to a plain file, or to nothing yet."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(mode) and _own_descriptor(path) is None


def _own_descriptor(path: str | os.PathLike[str]) -> int | None:
    """Return which open file of this process a path such as /dev/stdout leads to; None for all others."""
    place, own = Path(path), os.path.realpath("/dev/fd")
    for _ in range(MAX_LINKS):
        if place.name.isdecimal() and os.path.realpath(place.parent) == own:
            return int(place.name)
        if not place.is_symlink():
            return None
        place = place.parent / place.readlink()
    return None


@contextmanager
def _open_through(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open what is no plain file; a stream of this process goes on from where it is."""
    descriptor = _own_descriptor(path)
    if descriptor is not None:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # what was printed before comes before
            stream.flush()
    with open(path if descriptor is None else os.dup(descriptor), "wb") as file:
        yield file


@contextmanager
def _replace(target: Path) -> Iterator[BinaryIO]:
    """Open a file beside `target`, which takes its place at the end."""
    old = _find_old(target)
    with open_temporary(target.parent, _mode(old)) as file:
        yield file
        sync(file)
        file.close()
        if old is not None:
            _take_over(file.name, old)
        os.replace(file.name, target)


def _find_old(target: Path) -> os.stat_result | None:
    """Return what is known of the file to be replaced, which must not be read-only."""
    if not target.exists():
        return None
    if not os.access(target, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES))
    return target.stat()


def _mode(old: os.stat_result | None) -> int:
    return BY_UMASK if old is None else PRIVATE


def _take_over(path: str, old: os.stat_result) -> None:
    """Give a file the owner and the mode of the one that it replaces."""
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(path, old.st_uid, old.st_gid)
    os.chmod(path, stat.S_IMODE(old.st_mode))


def sync(file: BinaryIO) -> None:
    """Wait until what was written to a file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _shown(path: Path) -> str:
    """Return a path in quotes, its head and its end where it is long."""
    text, half = str(path), MAX_NAME_LENGTH // 2
    return repr(text if len(text) <= MAX_NAME_LENGTH else f"{text[:half]}...{text[-half:]}")
