"""A long log read from its file piece by piece: Parquet by row groups, CSV by chunks, parsed as `read_log` does."""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import DtypeWarning, ParserWarning

from ..logs.columns import CSV_SUFFIXES, GZIP_SUFFIX, PARQUET_SUFFIXES, parse_runs, parse_sensors
from ..logs.event_files import EventTable
from ..logs.times import Clock, parse_times, refuse_beyond
from .laid_out import Labelled, lay_out
from .log_columns import LogColumns

# What a cell takes at least, in bytes: a figure and a comma; and how many times shorter gzip makes a log at most.
CELL_SIZE, GZIP_FACTOR = 2, 20
BUFFER_SIZE = 2**20  # of each column of a Parquet file, which else is read a whole row group at a time


class NotInPiecesError(Exception):
    """A log is too short to be read in pieces, or not in order, or only the whole of it says how to read it."""


def read_pieces(path: Path, columns: LogColumns, n_rows: int) -> Iterator[pd.DataFrame]:
    """Yield a log that is in the order of run and time as frames of `n_rows` rows, the last one shorter.

    Raises
    ------
    NotInPiecesError
        If the log has no more rows than that, or cannot be read so: `read_log` then says what is wrong, or sorts it.
    """
    for frame, _ in read_labelled_pieces(path, columns, n_rows):
        yield frame


def read_labelled_pieces(
    path: Path, columns: LogColumns, n_rows: int, label: str | None = None, events: Path | None = None
) -> Iterator[Labelled]:
    """Yield what `read_pieces` does, each with its labels, None where neither `label` nor `events` tells any.

    Those of a column are as they stand there, those of a file of events as `read_log` has them.

    Raises
    ------
    ValueError
        If the file of events cannot be read, or names runs that the log has not.
    """
    reader = PieceReader(columns)
    pieces = _read_in_order(path, reader, n_rows, label)
    if events is None:
        yield from pieces
        return
    table = None
    for frame, _ in pieces:
        assert reader.clock is not None
        table = table or EventTable(events, list(columns.runs), columns.time, reader.clock)
        yield frame, table.label(frame.index)
    if table is not None:
        table.check()


def _read_in_order(path: Path, reader: PieceReader, n_rows: int, label: str | None) -> Iterator[Labelled]:
    """Yield the pieces of a log in the order of run and time, laid out anew where its runs take turns."""
    bare = PieceReader(reader.columns._replace(sensors=()))
    try:
        pieces, last = _parse(path, reader, n_rows, label), None
        first = next(pieces)
        if reader.columns.runs and not first[0].index.is_monotonic_increasing:
            pieces = lay_out(
                lambda: _parse(path, bare, n_rows, None), lambda: _parse(path, reader, n_rows, label), n_rows
            )
            first = next(pieces)
        for frame, labels in chain([first], pieces):
            if not frame.index.is_monotonic_increasing or not frame.index.is_unique:
                raise NotInPiecesError("The rows are not in order.")
            if last is not None and not last < frame.index[0]:
                raise NotInPiecesError("The pieces are not in order.")
            last = frame.index[-1]
            yield frame, labels
    except (ValueError, TypeError, KeyError, OSError, EOFError, ParserWarning) as error:
        raise NotInPiecesError(str(error)) from error


def _parse(path: Path, reader: PieceReader, n_rows: int, label: str | None) -> Iterator[Labelled]:
    """Yield the pieces of a log in the order of the file."""
    for table in _read_tables(path, reader.columns, n_rows, label):
        labels = None if label is None else table.pop(label)
        yield reader.parse(table), labels


def count_rows(path: Path) -> int:
    """Return how many rows a table in a file has: of a CSV file its lines, the first left out."""
    if path.name.lower().endswith(PARQUET_SUFFIXES):
        import pyarrow.parquet

        return int(pyarrow.parquet.read_metadata(path).num_rows)
    opened: Any = gzip.open if path.suffix.lower() == GZIP_SUFFIX else open
    with opened(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BUFFER_SIZE), b"")) - 1


class PieceReader:
    """Parses the pieces of a file alike: the first one tells how times and runs are written."""

    def __init__(self, columns: LogColumns) -> None:
        self.columns = columns
        self.clock: Clock | None = None
        self.kinds: list[str] | None = None

    def parse(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the sensors of a piece with its index."""
        time, runs = self.columns.time, self.columns.runs
        times, clock = parse_times(table.pop(time), self.clock)
        refuse_beyond(times)
        own = [parse_runs(table.pop(name)) for name in runs]
        kinds = [run.dtype.kind for run in own]
        if self.clock is None or self.kinds is None:
            self.clock, self.kinds = clock, kinds
        if (clock.is_datetime, clock.zone, kinds) != (self.clock.is_datetime, self.clock.zone, self.kinds):
            raise ValueError("Times or runs are written in several ways.")
        index = pd.MultiIndex.from_arrays([*own, times], names=[*runs, time]) if runs else times
        sensors = list(table.columns) if self.columns.sensors is None else list(self.columns.sensors)
        return parse_sensors(table, sensors).set_axis(index)


def _read_tables(path: Path, columns: LogColumns, n_rows: int, label: str | None) -> Iterator[pd.DataFrame]:
    labels = [] if label is None else [label]
    wanted = None if columns.sensors is None else [columns.time, *columns.runs, *columns.sensors, *labels]
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return _read_parquet(path, wanted, n_rows)
    if name.endswith(CSV_SUFFIXES):
        return _read_csv(path, wanted, columns.runs, n_rows)
    raise NotInPiecesError("The file is of another kind.")


def _read_parquet(path: Path, wanted: list[str] | None, n_rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet

    # pre_buffer would keep every row group that was read
    with pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER_SIZE, pre_buffer=False) as file:
        if file.metadata.num_rows <= n_rows or not set(wanted or ()) <= set(file.schema_arrow.names):
            raise NotInPiecesError("The log is short.")
        for batch in file.iter_batches(batch_size=n_rows, columns=wanted):
            table = batch.to_pandas(ignore_metadata=True, date_as_object=False)
            named = {name: kind.categories.dtype for name, kind in table.dtypes.items() if kind == "category"}
            yield table.astype(named)
            pyarrow.default_memory_pool().release_unused()  # Arrow else keeps what a piece has taken


def _read_csv(path: Path, wanted: list[str] | None, runs: tuple[str, ...], n_rows: int) -> Iterator[pd.DataFrame]:
    is_checked, is_packed = False, path.suffix.lower() == GZIP_SUFFIX
    largest = path.stat().st_size * (GZIP_FACTOR if is_packed else 1)
    if largest < CELL_SIZE * n_rows * len(wanted or [1]):
        raise NotInPiecesError("The log is short.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)  # cells beyond the header would be cut off
        warnings.simplefilter("ignore", DtypeWarning)
        with pd.read_csv(path, index_col=False, dtype=dict.fromkeys(runs, "str"), chunksize=n_rows) as chunks:
            for number, table in enumerate(chunks):
                if not number and len(table) < n_rows:
                    raise NotInPiecesError("The log is short.")
                if not is_checked and table.iloc[:, -1].isna().any():  # as is the end of a row cut short
                    _refuse_short_rows(path, table.shape[1])
                    is_checked = True
                table = table.set_axis(pd.RangeIndex(len(table)))
                yield table.drop(columns=[name for name in table.columns if wanted and name not in wanted])


def _refuse_short_rows(path: Path, n_columns: int) -> None:
    opened: Any = gzip.open if path.suffix.lower() == GZIP_SUFFIX else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        if any(0 < len(row) < n_columns for row in csv.reader(file)):
            raise NotInPiecesError("A row was cut short.")
