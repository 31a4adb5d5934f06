"""Sensors that tell too little: without values, without a change, on one run or from some time on.

A sensor is ``(n_rows,)``, NaN where it has no value. What is usual for it is learnt from the log itself, so that
settings, switches and counters, which stand still by design, are not among the notes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from .shared import BoolArray, FloatArray, IntArray
from .steps import find_stretches

# Share of the rows of a log, or of a run, from which on a sensor without values is reported.
MOSTLY = 0.5
# A sensor is lost, or stuck, when it is so until the end of a run for so many times what is usual for it (values are
# missing by chance, but stand still by design), for a tenth of the run and for ten rows, as a log ends anywhere.
TIMES_LOST, TIMES_STUCK, SHARE_OF_RUN, FEWEST_ROWS = 3, 10, 0.1, 10
MOST_RUNS_NAMED = 3


class Spells(NamedTuple):
    """For how many rows a sensor is without value, or without change, in each run."""

    n_rows: IntArray  # (n_runs,) rows of each run
    last: IntArray  # (n_runs,) rows until the end of the run
    longest_before: IntArray  # (n_runs,) rows, the last spell left out
    longest: IntArray  # (n_runs,) rows


def describe_doubtful_sensors(X: pd.DataFrame) -> list[str]:
    """Say which sensors of a log have no values or never change, in all of it, on a run, or from some time on.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_sensors)
        A log, NaN where a value is missing; its index says run and time.

    Returns
    -------
    list of str
        A sentence for each kind of doubt about each such sensor.
    """
    starts = find_stretches(X, max_gap=None)  # of runs
    values = X.to_numpy(dtype=np.float64)
    return [
        f"{name} {doubt}"
        for name, column in zip(X.columns, values.T, strict=True)
        for doubt in _describe_doubts(column, starts, X.index)
    ]


def _describe_doubts(column: FloatArray, starts: IntArray, index: pd.Index) -> list[str]:
    """Return what is wrong with a sensor, nothing if it is sound."""
    missing = np.isnan(column)
    known = column[~missing]
    if not len(known):
        return ["holds no value at all."]
    if (known == known[0]).all():
        return ["never changes."]
    lost = _lost_from(missing, starts)
    stuck = _stuck_from(column, missing, starts)
    doubts = [_tell(lost, "holds no value", starts, index), _tell(stuck, "does not change", starts, index)]
    scarce = _scarce_on(missing, starts) & (lost < 0)
    if missing.mean() > MOSTLY and not (lost >= 0).any():
        doubts.append(f"is missing on {missing.mean():.0%} of the rows.")
    elif scarce.any() and scarce.mean() <= MOSTLY:
        doubts.append(f"is missing on most rows of {_enumerate_runs(scarce, starts, index)}.")
    return [doubt for doubt in doubts if doubt]


def _lost_from(missing: BoolArray, starts: IntArray) -> IntArray:
    """Return from which row on a sensor has no value until the end of each run; -1 where it has to the end."""
    spells = _spells(missing, _changes(missing), starts)
    return np.where(spells.last == spells.n_rows, starts, _from_row(spells, starts, TIMES_LOST))


def _stuck_from(column: FloatArray, missing: BoolArray, starts: IntArray) -> IntArray:
    """Return from which row on a sensor keeps its value until the end of each run; -1 where it does not."""
    rows = np.flatnonzero(~missing)
    own, first = np.unique(np.searchsorted(starts, rows, side="right") - 1, return_index=True)  # runs with any value
    spells = _spells(np.ones(len(rows), dtype=bool), _changes(column[rows]), first)
    found = _from_row(spells, first, TIMES_STUCK)
    stuck = np.full(len(starts), -1)
    # a run is so from its first row on, whether or not the sensor has a value there
    stuck[own] = np.where(found < 0, -1, np.where(found == first, starts[own], rows[found]))
    return stuck


def _changes(values: np.ndarray) -> BoolArray:
    return np.append(True, values[1:] != values[:-1])


def _spells(counts: BoolArray, begins: BoolArray, starts: IntArray) -> Spells:
    """Return the lengths of the spells that begin at some rows and at each run; those that do not count are 0."""
    begins = begins.copy()
    begins[starts] = True
    first = np.flatnonzero(begins)
    length = np.diff(np.append(first, len(begins))) * counts[first]
    of_run = np.searchsorted(first, starts)
    final = np.append(of_run[1:], len(first)) - 1
    before = length.copy()
    before[final] = 0
    n_rows = np.diff(np.append(starts, len(begins)))
    return Spells(n_rows, length[final], np.maximum.reduceat(before, of_run), np.maximum.reduceat(length, of_run))


def _from_row(spells: Spells, starts: IntArray, times: int) -> IntArray:
    """Return the row at which the last spell of each run begins where it is far longer than usual, else -1.

    Usual is the longest spell before it, and that of the run in the middle of the other runs that have changes.
    """
    usual = np.maximum(spells.longest_before, _middle_of_others(spells))
    is_long = (spells.last > times * usual) & (spells.last > SHARE_OF_RUN * spells.n_rows) & (spells.last > FEWEST_ROWS)
    return np.where(is_long, starts + spells.n_rows - spells.last, -1)


def _middle_of_others(spells: Spells) -> FloatArray:
    """Return the median of the longest spells of the other runs that are no single spell; infinite if all others are.

    A run that is alone has none to be compared with, and gets 0.
    """
    if len(spells.last) == 1:
        return np.zeros(1)
    changes = spells.longest < spells.n_rows
    length = np.sort(np.where(changes, spells.longest, np.inf))
    middle = np.maximum(changes.sum() - changes - 1, 0) // 2  # its place among the others, this one left out
    own = np.searchsorted(length, np.where(changes, spells.longest, np.inf))
    others: FloatArray = length[np.minimum(np.where(own <= middle, middle + 1, middle), len(length) - 1)]
    return others


def _scarce_on(missing: BoolArray, starts: IntArray) -> BoolArray:
    """Return on which runs a sensor is mostly missing."""
    n_rows = np.diff(np.append(starts, len(missing)))
    scarce: BoolArray = np.add.reduceat(missing, starts, dtype=np.intp) > MOSTLY * n_rows
    return scarce


def _tell(rows: IntArray, what: str, starts: IntArray, index: pd.Index) -> str:
    """Return on which runs, and from when on, something is so; an empty text where it is nowhere."""
    whole, part = rows == starts, np.flatnonzero(rows > starts)
    said = [f"on all of {_enumerate_runs(whole, starts, index)}"] if whole.any() else []
    said += [_from_when(index, rows[run]) for run in part[:MOST_RUNS_NAMED]]
    if len(part) > MOST_RUNS_NAMED:
        said.append(f"from some time on also on {len(part) - MOST_RUNS_NAMED} more runs")
    return f"{what} {', '.join(said)}." if said else ""


def _from_when(index: pd.Index, row: int) -> str:
    if index.nlevels == 1:
        return f"from {index[row]} on"
    return f"on {_name(index, row)} from {index[row][-1]} on"


def _enumerate_runs(chosen: BoolArray, starts: IntArray, index: pd.Index) -> str:
    runs = np.flatnonzero(chosen)
    named = ", ".join(_name(index, starts[run]) for run in runs[:MOST_RUNS_NAMED])
    more = f" and {len(runs) - MOST_RUNS_NAMED} more" if len(runs) > MOST_RUNS_NAMED else ""
    return f"{named}{more} ({len(runs)} of {len(starts)} runs)"


def _name(index: pd.Index, row: int) -> str:
    return ", ".join(map(str, index[row][:-1]))
