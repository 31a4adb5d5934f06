"""Events from a file, as intervals of time, and the labels that they give to the rows of a log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .columns import (
    check_present,
    enumerate_names,
    name_faults,
    quote,
    read_columns,
    read_names,
    refuse,
    refuse_missing,
)
from .shared import warn
from .times import Clock, parse_times, to_instants

BOUNDS = ["start", "end"]


def label_by_events(index: pd.Index, path: Path, runs: list[str], clock: Clock) -> pd.Series:
    """Return 1 for the rows of a sorted index that an event covers and 0 for all others."""
    events = EventTable(path, runs, index.names[-1], clock)
    y = events.label(index)
    events.check()
    return y


class EventTable:
    """The events of a file, found in the index of a log, or in those of its pieces one after the other.

    Parameters
    ----------
    path : Path
        The file, see `read_log`.
    runs : list of str
        Columns that name the run of an event, none where the log is a single run.
    time : str
        How the log calls its time.
    clock : Clock
        How the log writes it.

    Raises
    ------
    ValueError
        If the file cannot be read so, or an event ends before it starts.
    """

    def __init__(self, path: Path, runs: list[str], time: str, clock: Clock) -> None:
        self.path, self.starts, self.ends = path, np.empty(0), np.empty(0)
        with name_faults(path):
            check_present(read_names(path), [*runs, *BOUNDS])
            table = read_columns(path, [*runs, *BOUNDS], text=runs)
            for column in runs:
                refuse_missing(table[column])
            if not table.empty:
                self.starts, self.ends = (_parse_bounds(table[name], time, clock) for name in BOUNDS)
            refuse(table["end"], self.ends < self.starts, "a time not before the start", "Correct or swap the two.")
        self.run = _to_texts(table[runs]) if runs else [()] * len(table)
        self.n_rows = np.zeros(len(table), dtype=np.intp)  # of the log, that each event holds
        self.known: dict[tuple[str, ...], None] = {}  # runs of the log

    def label(self, index: pd.Index) -> pd.Series:
        """Return 1 for the rows of a sorted index that an event covers and 0 for all others."""
        y, instants = np.zeros(len(index), dtype=np.int64), to_instants(index.get_level_values(-1))
        rows_of_run = _find_runs(index)
        self.known.update(dict.fromkeys(rows_of_run))
        for event, (run, start, end) in enumerate(zip(self.run, self.starts, self.ends, strict=True)):
            rows = rows_of_run.get(run, slice(0, 0))
            first = rows.start + int(np.searchsorted(instants[rows], start, side="left"))
            stop = rows.start + int(np.searchsorted(instants[rows], end, side="right"))
            y[first:stop] = 1
            self.n_rows[event] += stop - first
        return pd.Series(y, index, name="event")

    def check(self) -> None:
        """Refuse events of runs that no index has had, and warn of those that hold no row."""
        with name_faults(self.path):
            for row, run in enumerate(self.run):
                if run not in self.known:
                    known = enumerate_names([", ".join(name) for name in self.known])
                    fault = f"names the run {quote(', '.join(run))}, but the log has {known}"
                    raise ValueError(f"Data row {row + 1} {fault}. Correct or remove it.")
        empty = np.flatnonzero(self.n_rows == 0)
        if len(empty):
            found = f"{self.path}: {len(empty)} of {len(self.run)} events hold no row of the log, the first is data row"
            warn(f"{found} {empty[0] + 1}. Check times and unit.")


def _parse_bounds(column: pd.Series, name: str, clock: Clock) -> np.ndarray:
    bounds, own = parse_times(column, clock)
    if own.kind != clock.kind:
        fault = f"holds {own.kind}, but {name!r} of the log holds {clock.kind}"
        raise ValueError(f"Column {column.name!r} {fault}. Write both alike.")
    return to_instants(bounds)


def _find_runs(index: pd.Index) -> dict[tuple[str, ...], slice]:
    """Return the rows of each run by the texts that name it."""
    if index.nlevels == 1:
        return {(): slice(0, len(index))}
    owners = index.droplevel(-1)
    starts = np.flatnonzero(~owners.duplicated()).tolist()
    names = _to_texts(owners[starts].to_frame())
    return dict(zip(names, map(slice, starts, [*starts[1:], len(index)]), strict=True))


def _to_texts(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(runs.astype(str).itertuples(index=False, name=None))
