"""Rows as they come: by name or in order, one by one or in a frame, with a time and the machine that they are of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.machine import read_time
from ..logs.index import read_times
from .stream_json import to_json
from .tables import Table


class RowReader:
    """Reads rows with the columns that a model was fitted on."""

    def __init__(self, names: Any, n_columns: int) -> None:
        self.names = None if names is None else list(names)
        self.n_columns = n_columns

    def read(self, row: Any) -> Table:
        """Return one row, of a Series, a mapping, or values in the order of the columns."""
        if isinstance(row, pd.DataFrame):
            raise TypeError("A DataFrame came, where a row is wanted. Pass a mapping or a Series, or call update_many.")
        if not isinstance(row, Mapping | pd.Series):
            values = np.asarray(row, dtype=object).ravel().tolist()
            self._check_number(len(values))
        elif self.names is None:
            raise TypeError("The model was fitted without names of sensors. Pass the values of a row in their order.")
        else:
            self._refuse_absent(row.keys())
            values = [row[name] for name in self.names]
        return Table(as_numbers([values]), self.names)

    def read_frame(self, frame: pd.DataFrame) -> Table:
        """Return the rows of a frame."""
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"A {type(frame).__name__} came, where a DataFrame is wanted, with run and time as index.")
        if self.names is not None:
            self._refuse_absent(frame.columns)
            same = len(frame.columns) == len(self.names) and list(frame.columns) == self.names
            frame = frame if same else frame[self.names]
        self._check_number(frame.shape[1])
        if all(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes):
            return Table(frame.to_numpy(np.float64, na_value=np.nan), self.names)
        return Table(as_numbers(frame.to_numpy(dtype=object).tolist()), self.names)

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


def as_numbers(rows: list[list[Any]]) -> np.ndarray:
    """Return values as float64, NaN where there is none; where some are text, as they are: a step may know them."""
    try:
        return np.array([[_as_number(value) for value in row] for row in rows], dtype=np.float64)
    except (TypeError, ValueError):
        return np.array(rows, dtype=object)


def _as_number(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise ValueError("text is no number, even if it looks like one")
    return math.nan if value is None or value is pd.NA else float(value)


def read_runs(frame: pd.DataFrame) -> list[Any]:
    """Return the machine of each row of a frame, None where there is one."""
    index = frame.index
    if index.nlevels == 1:
        return [None] * len(index)
    if any((np.asarray(codes) < 0).any() for codes in index.codes[:-1]):
        raise ValueError("The index has rows without the name of their run. Name the run of each row, or drop them.")
    runs: list[Any] = index.droplevel(-1).tolist()
    return runs


def check_run(run: Any) -> None:
    """Refuse what is no name of a machine, or none that a file can keep."""
    to_json(run)
    if any(part != part for part in (run if isinstance(run, tuple) else (run,))):
        raise ValueError("A row is of the machine NaN. Name the machine of each row.")


def read_times_like(times: Sequence[Any] | pd.Index, *, has_dates: bool) -> np.ndarray:
    """Return times as numbers, nanoseconds for date-times, refusing those of another kind than in `fit`."""
    if isinstance(times, pd.Index):
        clock, is_datetime = read_times(times)
    else:
        value, is_datetime = _read_time(times[0])
        clock = np.array([value])
    if is_datetime != has_dates:
        learnt, came = ("date-times", "numbers") if has_dates else ("numbers", "date-times")
        raise ValueError(f"A row says its time by {came}, but fit saw {learnt}. Give it the clock of the log in fit.")
    return clock


def _read_time(time: Any) -> tuple[Any, bool]:
    try:
        if pd.isna(pd.Timestamp(time) if isinstance(time, str) else time):
            raise ValueError
        return read_time(time)
    except (TypeError, ValueError):
        raise ValueError(f"A row has the time {time!r}, which is none. Pass the time of the row.") from None
