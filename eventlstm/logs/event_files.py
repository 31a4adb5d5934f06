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
    y = pd.Series(0, index, name="event", dtype="int64")
    with name_faults(path):
        check_present(read_names(path), [*runs, *BOUNDS])
        table = read_columns(path, [*runs, *BOUNDS], text=runs)
        covered = [] if table.empty else _find_rows(index, table, runs, clock)
    for rows in covered:
        y.iloc[rows] = 1
    empty = [row for row, rows in enumerate(covered) if rows.start == rows.stop]
    if empty:
        found = f"{path}: {len(empty)} of {len(covered)} events hold no row of the log, the first is data row"
        warn(f"{found} {empty[0] + 1}. Check times and unit.")
    return y


def _find_rows(index: pd.Index, table: pd.DataFrame, runs: list[str], clock: Clock) -> list[slice]:
    """Return the rows that each event covers, by binary search in the times of its run."""
    times = index.get_level_values(-1)
    starts, ends = (_parse_bounds(table[name], times.name, clock) for name in BOUNDS)
    refuse(table["end"], ends < starts, "a time not before the start", "Correct or swap the two.")
    instants, covered = to_instants(times), []
    for rows, start, end in zip(_find_runs(index, table, runs), starts, ends, strict=True):
        first = rows.start + int(np.searchsorted(instants[rows], start, side="left"))
        stop = rows.start + int(np.searchsorted(instants[rows], end, side="right"))
        covered.append(slice(first, stop))
    return covered


def _parse_bounds(column: pd.Series, name: str, clock: Clock) -> np.ndarray:
    bounds, own = parse_times(column, clock)
    if own.kind != clock.kind:
        fault = f"holds {own.kind}, but {name!r} of the log holds {clock.kind}"
        raise ValueError(f"Column {column.name!r} {fault}. Write both alike.")
    return to_instants(bounds)


def _find_runs(index: pd.Index, table: pd.DataFrame, runs: list[str]) -> list[slice]:
    """Return the rows of the run that each event names."""
    if not runs:
        return [slice(0, len(index))] * len(table)
    owners = index.droplevel(-1)
    starts = np.flatnonzero(~owners.duplicated()).tolist()
    names = _to_texts(owners[starts].to_frame())
    rows_of_run = dict(zip(names, map(slice, starts, [*starts[1:], len(index)]), strict=True))
    for column in runs:
        refuse_missing(table[column])
    asked = _to_texts(table[runs])
    for row, name in enumerate(asked):
        if name not in rows_of_run:
            known = enumerate_names([", ".join(run) for run in names])
            fault = f"names the run {quote(', '.join(name))}, but the log has {known}"
            raise ValueError(f"Data row {row + 1} {fault}. Correct or remove it.")
    return [rows_of_run[name] for name in asked]


def _to_texts(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(runs.astype(str).itertuples(index=False, name=None))
