"""A log whose machines take turns, laid out run by run in a file that is gone when it has been read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..logs.shared import IntArray

Labelled = tuple[pd.DataFrame, pd.Series | None]
UNORDERED = "The rows of a run are not in the order of time, or the times are not of one kind."


class Turns:
    """Which runs a log has and how many rows of each, from pieces in which their rows take turns.

    Of a piece, only the index is looked at. The times of each run must rise.
    """

    def __init__(self) -> None:
        self.runs: pd.Index | None = None  # of the log, as they come
        self.n_rows = np.zeros(0, dtype=np.int64)  # of each
        self.last: list[Any] = []  # time of the last row of each

    def sort(self, index: pd.Index) -> tuple[IntArray, IntArray]:
        """Return the rows of the next piece in the order of their runs, and the run of each, (n_rows,) both."""
        runs, times = index.droplevel(-1), index.get_level_values(-1)
        own = runs.unique()
        known = own[:0] if self.runs is None else self.runs
        self.runs = known.append(own.difference(known, sort=False))
        self.n_rows = np.append(self.n_rows, np.zeros(len(self.runs) - len(self.n_rows), dtype=np.int64))
        self.last += [None] * (len(self.runs) - len(self.last))
        number = self.runs.get_indexer(runs)
        order = np.argsort(number, kind="stable")
        number, times = number[order], times[order]
        if not ((np.diff(number) > 0) | (times[1:] > times[:-1])).all():
            raise ValueError(UNORDERED)
        for begin, stop in _spans(number):
            run = number[begin]
            if self.last[run] is not None and not self.last[run] < times[begin]:
                raise ValueError(UNORDERED)
            self.last[run] = times[stop - 1]
            self.n_rows[run] += stop - begin
        return order, number

    def places(self) -> tuple[IntArray, IntArray]:
        """Return the runs in order, and the first row of each in the log that is laid out, (n_runs,) both."""
        assert self.runs is not None
        order = np.asarray(self.runs.argsort(), dtype=np.int64)
        first = np.empty_like(self.n_rows)
        first[order] = np.cumsum(self.n_rows[order]) - self.n_rows[order]
        return order, first


def lay_out(look: Callable[[], Iterator[Labelled]], read: Callable[[], Iterator[Labelled]], n_rows: int) -> Any:
    """Yield a log whose machines take turns as pieces of `n_rows` rows in the order of run and time.

    Parameters
    ----------
    look : callable
        Returns the pieces of the log in the order of the file, of which only the index is asked for.
    read : callable
        Returns the same pieces with their sensors and labels.
    n_rows : int
        Rows of a piece, the last one shorter.

    Yields
    ------
    tuple of DataFrame and Series or None
        As `read` yields them.

    Raises
    ------
    ValueError
        If the times of a run do not rise.
    """
    turns, again = Turns(), Turns()
    for frame, _ in look():
        turns.sort(frame.index)
    order, first = turns.places()
    with tempfile.TemporaryFile() as file:
        layout = None
        for frame, labels in read():
            rows, run = again.sort(frame.index)
            layout = layout or Layout(frame, labels)
            records = layout.pack(frame, labels)[rows]
            for begin, stop in _spans(run):
                own = run[begin]
                file.seek((first[own] + again.n_rows[own] - (stop - begin)) * records.itemsize)
                file.write(records[begin:stop].tobytes())
        assert layout is not None and turns.runs is not None
        file.seek(0)
        starts, total = first[order], int(turns.n_rows.sum())
        for begin in range(0, total, n_rows):
            count = min(n_rows, total - begin)
            own = order[np.searchsorted(starts, np.arange(begin, begin + count), side="right") - 1]
            content = file.read(count * layout.kind.itemsize)
            yield layout.unpack(np.frombuffer(content, layout.kind), turns.runs.take(own))


class Layout:
    """How rows lie in a file: time, label and sensors, of the kinds that the first piece has."""

    def __init__(self, frame: pd.DataFrame, labels: pd.Series | None) -> None:
        self.columns, self.dtypes, self.names = frame.columns, frame.dtypes, frame.index.names
        self.times = frame.index.get_level_values(-1)[:0]
        widest = np.result_type(*frame.dtypes, np.float32)
        values = [("values", widest, (frame.shape[1],))] if frame.shape[1] else []
        self.kind = np.dtype([("time", np.int64), ("label", np.int32), *values])
        self.label = None if labels is None else labels.name
        self.classes: dict[Any, int] = {}

    def pack(self, frame: pd.DataFrame, labels: pd.Series | None) -> np.ndarray:
        """Return the rows of a piece as records, (n_rows,)."""
        times = frame.index.get_level_values(-1)
        if times.dtype != self.times.dtype or not (frame.dtypes == self.dtypes).all():
            raise ValueError(UNORDERED)
        records = np.empty(len(frame), self.kind)
        records["time"] = times.asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy().view(np.int64)
        if frame.shape[1]:
            records["values"] = frame.to_numpy()
        records["label"] = 0
        if labels is not None:
            codes, found = pd.factorize(labels)
            if (codes < 0).any():
                raise ValueError("A label is missing.")
            known = np.array([self.classes.setdefault(value, len(self.classes)) for value in found], dtype=np.int32)
            records["label"] = known[codes]
        return records

    def unpack(self, records: np.ndarray, runs: pd.Index) -> Labelled:
        """Return records as a frame and its labels; `runs` tells the run of each."""
        number, times = np.ascontiguousarray(records["time"]), self.times
        if isinstance(times, pd.DatetimeIndex):
            own: pd.Index = pd.DatetimeIndex(number.view(f"M8[{times.unit}]"))
            own = own if times.tz is None else own.tz_localize("UTC").tz_convert(times.tz)
        else:
            own = pd.Index(number.view(times.dtype))
        levels = [runs.get_level_values(level) for level in range(runs.nlevels)]
        index = pd.MultiIndex.from_arrays([*levels, own], names=self.names)
        values = records["values"].copy() if len(self.columns) else np.empty((len(records), 0))
        frame = pd.DataFrame(values, index, self.columns, copy=False)
        frame = frame if (frame.dtypes == self.dtypes).all() else frame.astype(self.dtypes)
        if not self.classes:
            return frame, None
        labels = np.empty(len(self.classes), dtype=object)
        labels[:] = list(self.classes)
        told = pd.Series(labels[records["label"]], name=self.label).infer_objects()
        return frame, told


def _spans(number: IntArray) -> Iterator[tuple[int, int]]:
    """Yield where rows of one run begin and end, of rows in the order of their runs."""
    first = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
    yield from zip(first, [*first[1:], len(number)], strict=True)
