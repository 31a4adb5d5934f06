"""What may stand for the values of sensors: numbers, whatever table or array holds them; no times, text or masks."""

from __future__ import annotations

from collections import Counter
from datetime import date, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

# What float() takes from an array of objects, or from an array of its own, and what no sensor measures.
NO_MEASUREMENTS = (str, bytes, date, time, timedelta, np.datetime64, np.timedelta64)
# Kinds of NumPy's types for date-times, time spans, text, bytes and records.
KINDS_OF_NO_NUMBERS = "MmUSTV"
SET_INDEX = "X.set_index(['machine', 'time'])"


def refuse_no_sensors(X: Any) -> None:
    """Refuse a log that holds anything but numbers, wherever it would be taken for numbers in silence.

    Raises
    ------
    ValueError
        If `X` holds times, time spans, text or masked values, is a table of another library than pandas, or two of
        its columns share a name.
    """
    refuse_other_table(X)
    if isinstance(X, pd.DataFrame):
        _refuse_repeated(X)
    refuse_no_numbers(X)


def refuse_no_numbers(X: Any) -> None:
    """Refuse times, time spans, text and masked values in an array or a table of sensors or of windows."""
    if isinstance(X, pd.DataFrame):
        for position, name in enumerate(() if holds_plain_numbers(X) else X.columns):
            _refuse_column(name, X.iloc[:, position])
    else:
        _refuse_array(X)


def holds_plain_numbers(X: pd.DataFrame, kinds: str = "biuf") -> bool:
    """Return whether all columns are of NumPy's numbers of some kinds, which there is nothing to doubt about."""
    return all(isinstance(kind, np.dtype) and kind.kind in kinds for kind in X.dtypes)


def refuse_other_table(X: Any) -> None:
    """Refuse a table that has no index, as those of polars and Arrow, for the index says run and time."""
    kind = type(X)
    if hasattr(kind, "columns") and not isinstance(X, pd.DataFrame):
        table = "X" if hasattr(kind, "to_pandas") else "X.collect()"  # of a lazy one
        raise ValueError(
            f"X is a {kind.__module__.partition('.')[0]} {kind.__name__}, but run and time are read from the index of "
            f"a pandas DataFrame. Pass {table}.to_pandas().set_index(['machine', 'time'])."
        )


def _refuse_repeated(X: pd.DataFrame) -> None:
    repeated = [name for name, n_columns in Counter(X.columns).items() if n_columns > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} names of columns of X come more than once, the first is {repeated[0]!r}. Rename the "
            "columns, or keep the first of each: X.loc[:, ~X.columns.duplicated()]."
        )


def _refuse_column(name: Any, column: pd.Series) -> None:
    found = f"is of type {column.dtype}"
    if types.is_object_dtype(column.dtype):
        row = _find_no_measurement(column.to_numpy())
        if row is None:
            return
        found = f"holds {_say(column.iloc[row])} at row {row}"
    elif types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype):
        return
    raise ValueError(
        f"Column {name!r} of X {found}, but sensors are numbers. If it names the run or the time, "
        f"put it into the index: {SET_INDEX}; else encode or drop it."
    )


def _refuse_array(X: Any) -> None:
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(
            f"X is a masked array of which {int(np.ma.count_masked(X))} values are masked. Pass "
            "X.astype(float).filled(np.nan) and fill it with a step before the model, such as ForwardFill()."
        )
    try:
        values = np.asarray(X)
    except ValueError:
        return  # rows of several lengths, which scikit-learn refuses
    found = f"is of type {values.dtype}" if values.dtype.kind in KINDS_OF_NO_NUMBERS else None
    if values.dtype == object:
        place = _find_no_measurement(values.ravel())
        found = None if place is None else f"holds {_say(values.ravel()[place])}"
    if found:
        raise ValueError(
            f"X {found}, but sensors are numbers. Turn digits into numbers with X.astype(float), and put runs and "
            f"times into the index of a DataFrame: {SET_INDEX}."
        )


def _find_no_measurement(values: np.ndarray) -> int | None:
    """Return the place of the first of some objects that is no number, but can be taken for one."""
    return next((place for place, value in enumerate(values) if isinstance(value, NO_MEASUREMENTS)), None)


def _say(value: Any) -> str:
    return f"{str(value)[:40]!r} of type {type(value).__name__}"
