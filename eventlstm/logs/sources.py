"""Where the table of a log comes from: a file, several files of like columns, or a query.

A source reads the names of its columns, then those asked for, and says in messages what it is and in which file of
several a row is.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from .columns import (
    CSV_SUFFIXES,
    NAMELESS,
    PARQUET_SUFFIXES,
    name_faults,
    quote,
    read_columns,
    read_names,
    refuse_repeated,
)
from .urls import is_duckdb, is_url, show

FILE = "file"  # what names the file that a row is from, if asked for as a column
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)
HIDDEN = (".", "_")  # before the names of what others keep in folders of tables, as Spark does
ROW = re.compile(r"(?:(?<=^D)|(?<=(?:at|in) d))ata rows? (\d+)(?:, \d+)*")


class Source:
    """A file, and what sources have in common."""

    holder = "file"  # what the columns are in
    runs: tuple[str, ...] = ()  # the columns of the run where nobody names any
    knows_file = True  # whether it can say which file a row is from

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def named(self) -> AbstractContextManager[None]:
        """Put the name of the source before whatever is wrong in it, on one line."""
        return name_faults(self)

    @cached_property
    def _names(self) -> list[str]:
        return read_names(self.path)

    def read_names(self) -> list[str]:
        """Return the names of the columns."""
        with self.named():
            return self._names

    def read_columns(self, columns: list[str], text: list[str]) -> pd.DataFrame:
        """Return these columns in any order; those of `text` come as text from CSV."""
        with self.named():
            stored = [name for name in columns if name != FILE or name in self._names]
            table = read_columns(self.path, stored, text=[name for name in text if name in stored])
            return table if len(stored) == len(columns) else table.assign(**{FILE: _stem(self.path)})


class Files(Source):
    """Several files of the same columns, one after the other."""

    holder = "files"
    runs = (FILE,)

    def __init__(self, pattern: str, paths: list[Path]) -> None:
        self.pattern, self.files, self.ends = pattern, [Source(path) for path in paths], np.zeros(1, dtype=np.intp)

    def __str__(self) -> str:
        return self.pattern

    def read_names(self) -> list[str]:
        """Return the names of the columns, which must be those of all files."""
        names = {file: [name for name in file.read_names() if not name.startswith(NAMELESS)] for file in self.files}
        usual = Counter(frozenset(own) for own in names.values()).most_common(1)[0][0]
        like = next(file for file in self.files if usual == set(names[file]))
        for file, own in names.items():
            if usual != set(own):
                raise ValueError(
                    f"{file}: {_tell_difference(usual, set(own), like)} Files of one log have like columns."
                )
        return names[like]

    def read_columns(self, columns: list[str], text: list[str]) -> pd.DataFrame:
        """Return these columns of all files."""
        stems = _name_runs([file.path for file in self.files])
        parts = []
        for file, stem in zip(self.files, stems, strict=True):
            part = file.read_columns(columns, text)
            is_stem = FILE in columns and FILE not in file.read_names()
            parts.append(part.assign(**{FILE: stem}) if is_stem else part)
        self.ends = np.cumsum([len(part) for part in parts])
        return pd.concat(parts, ignore_index=True)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the name of the file before whatever is wrong in it, and count rows from its beginning."""
        try:
            yield
        except ValueError as error:
            text = " ".join(str(error).split())
            found = ROW.search(text)
            if found is None:
                raise ValueError(f"{self}: {text}") from error
            row = int(found[1]) - 1
            k = int(np.searchsorted(self.ends, row, side="right"))
            here = row - int(self.ends[k - 1] if k else 0)
            text = f"{text[: found.start()]}ata row {here + 1}{text[found.end() :]}"
            raise ValueError(f"{self.files[k]}: {text}") from error


class Query(Source):
    """What a query finds."""

    holder = "result"
    knows_file = False

    def __init__(self, shown: str, fetch: Callable[[], pd.DataFrame]) -> None:
        self.shown, self.fetch = shown, fetch

    def __str__(self) -> str:
        return self.shown

    @cached_property
    def table(self) -> pd.DataFrame:
        """The result, asked for once."""
        return self.fetch()

    def read_names(self) -> list[str]:
        """Return the names of the columns."""
        with self.named():
            names = list(map(str, self.table.columns))
            refuse_repeated(names, "is there twice. Rename one in the query: SELECT ... AS ...")
            return names

    def read_columns(self, columns: list[str], text: list[str]) -> pd.DataFrame:
        """Return these columns; text only where the database says so."""
        return self.table[[name for name in self.table.columns if name in columns]]


def open_source(path: str | os.PathLike[str], query: str | None = None, text: Sequence[str] = ()) -> Source:
    """Return the source that a path, a pattern or a URL means, not yet read; `text` are columns that name runs."""
    if is_url(path):
        return _open_query(str(path), query)
    files = find_files(path)
    if query is not None:
        from .duck import fetch_from_files

        return Query(str(path), lambda: fetch_from_files(files, query, text))
    return Source(Path(path)) if files == [Path(path)] else Files(str(path), files)


def _open_query(url: str, query: str | None) -> Source:
    if query is None or not query.strip():
        raise ValueError(f"{show(url)}: A database needs a query. Pass query='SELECT ...' (--query).")
    if is_duckdb(url):
        from .duck import fetch
    else:
        from .sql import fetch
    return Query(show(url), lambda: fetch(url, query))


def find_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files that a path means: itself, those in a folder, or those that match a pattern such as ``*.csv``.

    Raises
    ------
    FileNotFoundError
        If a folder or a pattern has no CSV or Parquet file.
    """
    place = Path(path)
    if place.is_dir():
        found = [file for file in place.iterdir() if file.name.lower().endswith(SUFFIXES)]
    elif glob.has_magic(str(path)) and not place.exists():
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
    else:
        return [place]
    files = sorted(file for file in found if file.is_file() and not file.name.startswith(HIDDEN))
    if not files:
        raise FileNotFoundError(f"{path}: There is no CSV or Parquet file here (the current folder is {Path.cwd()}).")
    return files


def _name_runs(paths: Sequence[Path]) -> list[str]:
    """Return what the runs of files are called: by their stems, with folders where stems are the same."""
    stems = [_stem(path) for path in paths]
    if len(set(stems)) < len(stems):
        top = Path(os.path.commonpath([path.parent for path in paths]))
        stems = [(path.relative_to(top).parent / _stem(path)).as_posix() for path in paths]
    for k, stem in enumerate(stems):
        if stem in stems[:k]:
            raise ValueError(f"{paths[stems.index(stem)]} and {paths[k]} are both the run {quote(stem)}. Rename one.")
    return stems


def _stem(path: Path) -> str:
    """Return the name of a file without what says its kind."""
    name = path.name
    while name.lower().endswith(SUFFIXES) and Path(name).stem != name:
        name = Path(name).stem
    return name


def _tell_difference(usual: frozenset[str], own: set[str], like: Source) -> str:
    missing, more = sorted(usual - own), sorted(own - usual)
    said = f"There is no column {quote(missing[0])}" if missing else f"Column {quote(more[0])} is one too many"
    return f"{said}; {like} has {len(usual)} columns, this file {len(own)}."
