"""Many logs by name: files that paths, folders and patterns lead to, or frames that come with a name."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from ..logs.columns import CSV_SUFFIXES, PARQUET_SUFFIXES

SUFFIXES = (".csv.gz", *CSV_SUFFIXES, *PARQUET_SUFFIXES)  # the longer one first


class NamedLog(NamedTuple):
    """A log, and what its results are called after."""

    name: str
    source: Path | pd.DataFrame

    @property
    def stem(self) -> str:
        """The name without what says the kind of a file."""
        return _without_suffix(self.name)

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file."""
        return self.name.lower().endswith(PARQUET_SUFFIXES) and isinstance(self.source, Path)

    def stamp(self) -> str:
        """Return what changes with the rows: of a file its size and when it was written, of a frame its content."""
        if isinstance(self.source, Path):
            found = self.source.stat()
            return f"{found.st_size} {found.st_mtime_ns}"
        rows = pd.util.hash_pandas_object(self.source).to_numpy()
        names = repr((list(self.source.columns), list(self.source.index.names)))
        return hashlib.sha256(rows.tobytes() + names.encode()).hexdigest()


def find_logs(logs: Any, out: Path) -> list[NamedLog] | Iterator[NamedLog]:
    """Return the logs in files, or of pairs one after the other; two of one name are refused.

    Files in the folder `out` are no logs but results.
    """
    return list(_refuse_doubles(_find_files(logs, out))) if _are_paths(logs) else _refuse_doubles(_read_pairs(logs))


def _refuse_doubles(logs: Iterable[NamedLog]) -> Iterator[NamedLog]:
    known: set[str] = set()
    for log in logs:
        if log.stem in known:
            raise ValueError(
                f"Two logs have results of one name, {log.stem!r}. Pass a folder or a pattern, which names files by "
                "the folders that they are in, or rename one."
            )
        known.add(log.stem)
        yield log


def is_many(logs: Any) -> bool:
    """Return whether paths lead to several logs: more than one, a folder or a pattern."""
    paths = [logs] if isinstance(logs, str | os.PathLike) else list(logs)
    return len(paths) != 1 or os.path.isdir(paths[0]) or _is_pattern(paths[0])


def _are_paths(logs: Any) -> bool:
    if isinstance(logs, str | os.PathLike):
        return True
    return isinstance(logs, list | tuple) and all(isinstance(log, str | os.PathLike) for log in logs)


def _read_pairs(logs: Any) -> Iterator[NamedLog]:
    pairs: Iterable[Any] = logs.items() if isinstance(logs, Mapping) else logs
    for pair in pairs:
        is_pair = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[1], pd.DataFrame)
        if not is_pair or not _is_safe(str(pair[0])):
            raise ValueError(
                f"logs holds a {type(pair).__name__} where a path, or a pair of a name and a DataFrame, is wanted. "
                "Names are relative paths without '..', such as 'hall/pump-01'."
            )
        yield NamedLog(str(pair[0]), pair[1])


def _is_safe(name: str) -> bool:
    """Return whether a name stays within the folder of results."""
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]


def _find_files(logs: Any, out: Path) -> list[NamedLog]:
    """Return the files that paths lead to, in the order of their names."""
    paths = [logs] if isinstance(logs, str | os.PathLike) else list(logs)
    found = {log.source: log for path in paths for log in _expand(path, out.resolve())}
    if not found:
        raise ValueError(
            f"No log is at {', '.join(str(path) for path in paths) or 'no path'}. Pass files or a pattern."
        )
    return sorted(found.values(), key=lambda log: log.name)


def _expand(path: str | os.PathLike[str], out: Path) -> list[NamedLog]:
    """Return the files of a path, called by the folders below the part of it that is fixed."""
    if os.path.isdir(path):
        root = Path(path)
        found = [file for file in root.rglob("*") if file.name.lower().endswith(SUFFIXES)]
    elif _is_pattern(path):
        root = _fixed_part(path)
        found = [Path(name) for name in glob.glob(os.fspath(path), recursive=True)]
    else:
        return [NamedLog(Path(path).name, Path(path).absolute())]
    files = [file for file in found if file.is_file() and out not in file.resolve().parents]
    return [NamedLog(file.relative_to(root).as_posix(), file.absolute()) for file in files]


def _is_pattern(path: str | os.PathLike[str]) -> bool:
    return glob.has_magic(os.fspath(path)) and not os.path.exists(path)


def _fixed_part(path: str | os.PathLike[str]) -> Path:
    parts = Path(path).parts
    n_fixed = next(k for k, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:n_fixed])


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]
