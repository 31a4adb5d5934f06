"""Columns of databases as those of files: numbers, UTC date-times and text, whatever types they came in.

A column (n_rows,) keeps its order. Decimals and unsigned integers become int64 where they are whole and fit, else
float64; NULL is NaN, NaT or a missing text. Times with a zone become UTC: the zone is that of a session, not the log's.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from numbers import Number
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from pandas.api import types

LARGEST = np.iinfo(np.int64).max


def plain_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns are int64, float, bool, date-times (UTC where they have a zone), text or objects."""
    columns = [_plain(table.iloc[:, k]) for k in range(table.shape[1])]
    return pd.DataFrame(dict(enumerate(columns)), index=table.index).set_axis(table.columns, axis=1)


def _plain(column: pd.Series) -> pd.Series:
    kind = column.dtype
    if types.is_object_dtype(kind):
        return _plain_objects(column)
    if isinstance(kind, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC")
    if types.is_extension_array_dtype(kind) and types.is_numeric_dtype(kind):  # bool is numeric, too
        column = column.astype("float64" if column.isna().any() else kind.numpy_dtype)
    if types.is_unsigned_integer_dtype(column.dtype):
        return column.astype("int64" if not len(column) or column.max() <= LARGEST else "float64")
    return column


def _plain_objects(column: pd.Series) -> pd.Series:
    known = column[column.notna()]
    if not len(known):
        return column.astype("float64")
    if _are(known, datetime.date):  # of which date-times are a kind
        zoned = getattr(known.iloc[0], "tzinfo", None) is not None
        return pd.to_datetime(column, utc=zoned)
    if _are(known, str | UUID):
        return column.where(column.isna(), column.astype("str")).astype("str")
    return _plain_numbers(column) if _are(known, Number) else column


def _are(values: pd.Series, kind: Any) -> bool:
    return all(isinstance(value, kind) for value in values)


def _plain_numbers(column: pd.Series) -> pd.Series:
    """Return int64 where all numbers are whole and fit, else float64; true and false among missing values too."""
    if all(_is_whole(value) for value in column):
        return column.map(int).astype("int64")
    return column.where(column.notna(), np.nan).astype("float64")


def _is_whole(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and value == value.to_integral_value() and abs(value) <= LARGEST
    return isinstance(value, int) and abs(value) <= LARGEST
