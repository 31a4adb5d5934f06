"""What the index of a log says of its rows: the run and the time of each.

The index carries run and time: a ``MultiIndex`` whose last level is time and whose other levels name the run, or a
single level of times (one run). A *stretch* is a part of one run without a time gap (see `steps`).
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from .sensor_values import refuse_other_table
from .shared import IntArray

RUN_DTYPE = np.int32
# Where rows are in no order, half of the steps go back (a quarter or fewer, or all but a quarter, in one of 16,000
# orders of 20 rows, and of 80 million of 40); where a clock is set back or begins anew, as many as it does so.
FEW_STEPS_BACK = 0.25
# What people call the time, when a level that is not the last is so called.
TIME_NAMES = {"time", "timestamp", "datetime", "date", "zeit", "zeitstempel", "datum"}
# Roundings in the difference of two decimal times: 0.3 - 0.2 is a little more than 0.1, but no longer a step.
TIME_ROUNDINGS = 4


class RowIndex(NamedTuple):
    """What the index of a log says of its rows."""

    runs: npt.NDArray[np.int32]  # (n_rows,) number of the run of each row, rising from 0
    times: np.ndarray  # (n_rows,) int64 nanoseconds for date-times, else the index as int64 or float64
    is_datetime: bool

    @property
    def n_runs(self) -> int:
        """How many runs there are."""
        return int(self.runs[-1]) + 1 if len(self.runs) else 0

    @property
    def run_starts(self) -> IntArray:
        """The first row of each run, (n_runs,)."""
        return np.flatnonzero(np.append(len(self.runs) > 0, self.runs[1:] != self.runs[:-1]))

    def take(self, kept: npt.NDArray[Any]) -> RowIndex:
        """Return what the index says of some of the rows, the runs numbered anew."""
        runs = self.runs[kept]
        return RowIndex(np.unique(runs, return_inverse=True)[1].astype(RUN_DTYPE), self.times[kept], self.is_datetime)

    def span(self, value: Any, name: str) -> Any:
        """Return a length of time in the unit of `times`; `name` is the parameter it came in."""
        span = _nanoseconds(value, name) if self.is_datetime else value
        if not is_number(span):
            raise ValueError(f"{name}={value!r} is a length of time, but the index holds numbers. Pass a number.")
        if not span >= 0:
            raise ValueError(f"{name}={value!r} is negative or undefined. Pass zero or more.")
        if self.times.dtype.kind == "f":
            span += TIME_ROUNDINGS * np.spacing(np.abs(self.times).max(initial=0.0))
        return span


def _nanoseconds(value: Any, name: str) -> int:
    # pandas would read a bare number, also in quotes, as nanoseconds, which nobody means
    bare = is_number(value) or (isinstance(value, str) and value.strip().replace(".", "", 1).isdigit())
    try:
        if bare:
            raise ValueError
        return pd.Timedelta(value).as_unit("ns").value
    except ValueError:
        raise ValueError(
            f"{name}={value!r} is not a length of time, which an index of date-times needs. "
            "Pass a string such as '15min' or a pandas Timedelta."
        ) from None


def is_number(value: Any) -> bool:
    """Return whether a value is a bare number; NumPy counts a timedelta64 as an integer."""
    return isinstance(value, Real) and not isinstance(value, np.timedelta64)


def read_index(X: Any) -> RowIndex:
    """Return the runs and times that the index of `X` carries; rows of an array are one run, a step apart.

    Raises
    ------
    ValueError
        If the times of a run do not rise, its rows are not together, or the last level of the index holds no times.
    """
    refuse_other_table(X)
    index = getattr(X, "index", None)
    if not isinstance(index, pd.Index):
        n_rows = len(np.asarray(X))
        return RowIndex(np.zeros(n_rows, dtype=RUN_DTYPE), np.arange(n_rows), False)
    _refuse_time_before_run(index)
    runs = _number_runs(index)
    times, is_datetime = read_times(index.get_level_values(-1))
    _check_order(index, runs, times)
    return RowIndex(runs, times, is_datetime)


def run_names(X: Any) -> list[str]:
    """Return how each run of a log is called, in the order of the runs; without levels that name it, nothing."""
    index = getattr(X, "index", None)
    if not isinstance(index, pd.MultiIndex):
        return [""]
    first = np.flatnonzero(np.diff(_number_runs(index), prepend=-1))
    runs = index[first].droplevel(-1)  # else all times would become objects
    return [" / ".join(map(str, key)) for key in runs] if runs.nlevels > 1 else list(map(str, runs))


def _number_runs(index: pd.Index) -> npt.NDArray[np.int32]:
    """Number the runs in the order they come; the rows of a run must stand together."""
    if index.nlevels == 1 or not len(index):
        return np.zeros(len(index), dtype=RUN_DTYPE)
    codes = np.stack([np.asarray(code) for code in index.codes[:-1]])  # (n_levels - 1, n_rows)
    if (codes < 0).any():
        raise ValueError("The index has rows without the name of their run. Name the run of each row, or drop them.")
    new = np.append(True, (codes[:, 1:] != codes[:, :-1]).any(axis=0))
    runs = np.cumsum(new, dtype=RUN_DTYPE)
    runs -= 1
    if len(np.unique(codes[:, new], axis=1).T) < runs[-1] + 1:
        raise ValueError(
            "The rows of a run are not together: the index returns to a run it had left. "
            "Sort the log by run, then time: X = X.sort_index(); y = y.sort_index()."
        )
    return runs


def read_times(level: pd.Index) -> tuple[np.ndarray, bool]:
    """Return times as numbers that can be subtracted, and whether they are date-times."""
    if level.hasnans:
        raise ValueError(f"{int(level.isna().sum())} rows have no time in the index. Give them one, or drop them.")
    if isinstance(level, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        return _count_nanoseconds(level), True
    if pd.api.types.is_numeric_dtype(level.dtype) and not pd.api.types.is_bool_dtype(level.dtype):
        # wide enough for differences, which unsigned and short numbers would wrap
        return level.to_numpy(np.int64 if pd.api.types.is_integer_dtype(level.dtype) else np.float64), False
    raise ValueError(
        f"The last level of the index must hold times, but {level.name!r} is of type {level.dtype}. Use a "
        "DatetimeIndex or numbers, or a MultiIndex of run and time: X.set_index(['machine', 'time'])."
    )


def _count_nanoseconds(level: Any) -> np.ndarray:
    """Return the nanoseconds that date-times and time spans stand for, refusing those too many to count."""
    try:
        counted: np.ndarray = level.as_unit("ns").asi8
    except ValueError:
        largest = pd.Timedelta.max.as_unit("us").value
        row = int((np.abs(level.as_unit("us").asi8) > largest).argmax())
        raise ValueError(
            f"Row {row} of the index holds {level[row]}, but times are counted in nanoseconds, which go from 1678 to "
            "2261. Correct it, or drop the row."
        ) from None
    return counted


def _refuse_time_before_run(index: pd.Index) -> None:
    """Refuse numbers in the last level behind a level of times: they name runs, and would be taken for the time."""
    if index.nlevels == 1 or index.levels[-1].dtype.kind not in "iuf":
        return
    calls_time = [str(name).lower() in TIME_NAMES for name in index.names]
    holds_time = [level.dtype.kind in "mM" for level in index.levels]
    for place, name in enumerate(index.names[:-1]):
        if holds_time[place] or (calls_time[place] and not calls_time[-1]):
            order = [*(other for other in range(index.nlevels) if other != place), place]
            raise ValueError(
                f"The level {name!r} of the index looks like the time, but the last level is read as it. Put it last: "
                f"X.reorder_levels({order}).sort_index(), and y alike. If it names runs, make it text and rename it."
            )


def find_turns(runs: npt.NDArray[Any], times: np.ndarray) -> tuple[IntArray, IntArray]:
    """Return the pairs of rows between which a clock runs back that else runs on, or the other way round.

    Parameters
    ----------
    runs : ndarray of shape (n_rows,)
        Number of the run of each row, in any order.
    times : ndarray of shape (n_rows,)
        Time of each row.

    Returns
    -------
    before, after : ndarray of int of shape (n_turns,)
        Rows that follow each other in their run; none where the rows are in order, or in no order at all.
    """
    order = np.argsort(runs, kind="stable")
    inside = runs[order][1:] == runs[order][:-1]
    earlier, later = times[order][:-1], times[order][1:]
    back, on = inside & (later < earlier), inside & (later > earlier)
    few = FEW_STEPS_BACK * (back.sum() + on.sum())
    turns = next((np.flatnonzero(steps) for steps in (back, on) if 0 < steps.sum() <= few), np.empty(0, dtype=np.intp))
    return order[turns], order[turns + 1]


def _check_order(index: pd.Index, runs: npt.NDArray[np.int32], times: np.ndarray) -> None:
    """Refuse a clock that stands still or runs back within a run."""
    late = (times[1:] <= times[:-1]) & (runs[1:] == runs[:-1])
    if not late.any():
        return
    row = int(late.argmax()) + 1
    if times[row] == times[row - 1]:
        raise ValueError(
            f"The index has duplicated times: row {row} repeats {index[row]}. "
            "Keep one row per run and time: X = X[~X.index.duplicated(keep='last')]."
        )
    remedy = "Sort the log by run, then time: X = X.sort_index(); y = y.sort_index()."
    n_turns = len(find_turns(runs, times)[1])
    if n_turns:  # sorted, rows of two times would stand between each other
        remedy = (
            f"The clock runs back at {n_turns} rows: name a run for each time it begins anew, or give times a zone. "
            "Only if rows came late, sort: X = X.sort_index(); y = y.sort_index()."
        )
    raise ValueError(f"The index is unsorted: row {row} ({index[row]}) comes before the row above it. {remedy}")
