"""Rows as they come: by name or in order, one by one or in a frame, with a time and the machine that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.machine import read_time
from ..logs.index import read_times
from .tables import Table


class RowReader:
    """Reads rows with the columns that a model was fitted on."""

    def __init__(self, names: Any, n_columns: int) -> None:
        self.names = None if names is None else list(names)
        self.n_columns = n_columns

    def read(self, row: Any) -> Table:
        """Return one row, of a Series, a mapping, or values in the order of the columns."""
        named = isinstance(row, Mapping | pd.Series)
        if not named or self.names is None:
            values = list(row.values() if isinstance(row, Mapping) else np.asarray(row, dtype=object).ravel())
            self._check_number(len(values))
        else:
            self._refuse_absent(row.keys())
            values = [row[name] for name in self.names]
        return Table(self._as_numbers([values]), self.names)

    def read_frame(self, frame: pd.DataFrame) -> Table:
        """Return the rows of a frame."""
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"A {type(frame).__name__} came, where a DataFrame is wanted, with run and time as index.")
        if self.names is None:
            self._check_number(frame.shape[1])
            return Table(self._as_numbers(frame.to_numpy()), None)
        self._refuse_absent(frame.columns)
        same = len(frame.columns) == len(self.names) and list(frame.columns) == self.names
        return Table(self._as_numbers((frame if same else frame[self.names]).to_numpy()), self.names)

    def _check_number(self, n_columns: int) -> None:
        if n_columns != self.n_columns:
            raise ValueError(f"A row of {n_columns} values came, but the model was fitted on {self.n_columns} sensors.")

    def _refuse_absent(self, names: Any) -> None:
        absent = [name for name in self.names or () if name not in names]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise ValueError(
                f"A row came without {absent[0]!r}{more}, which the model was fitted on. Give each sensor a value, NaN "
                "where there is none."
            )

    def _as_numbers(self, values: Any) -> np.ndarray:
        """Return values as float64; where some are none, as they are: a step before the model may know them."""
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            return np.array(values, dtype=object)


def read_runs(frame: pd.DataFrame) -> list[Any]:
    """Return the machine of each row of a frame, None where there is one."""
    index = frame.index
    if index.nlevels == 1:
        return [None] * len(index)
    runs = index.droplevel(-1).tolist()
    if index.nlevels > 1 and any(part is None or part != part for run in runs[:1] for part in _parts(run)):
        raise ValueError("The index has rows without the name of their run. Name the run of each row, or drop them.")
    return runs


def read_times_like(times: Sequence[Any] | pd.Index, *, has_dates: bool) -> np.ndarray:
    """Return times as numbers, nanoseconds for date-times, refusing those of another kind than in `fit`."""
    if isinstance(times, pd.Index):
        clock, is_datetime = read_times(times)
    else:
        read = [read_time(time) for time in times]
        clock, is_datetime = np.array([value for value, _ in read]), read[0][1]
    if is_datetime != has_dates:
        learnt, came = ("date-times", "numbers") if has_dates else ("numbers", "date-times")
        raise ValueError(f"A row says its time by {came}, but fit saw {learnt}. Give it the clock of the log in fit.")
    return clock


def _parts(run: Any) -> tuple[Any, ...]:
    return run if isinstance(run, tuple) else (run,)
