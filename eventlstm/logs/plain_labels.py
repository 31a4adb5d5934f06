"""The labels of rows, whatever holds them: numbers, truth values or text in an array, none of them missing."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd


def plain_labels(y: Any, name: str, wanted: str = "a label of each row is") -> np.ndarray:
    """Return labels as an array of NumPy's numbers, truth values or text, in the shape they came in.

    Parameters
    ----------
    y : array-like
        Labels: a Series or array of pandas, polars or Arrow, an array or a list.
    name : str
        The parameter they came in.
    wanted : str
        What was wanted in place of a missing label.

    Returns
    -------
    ndarray
        Numbers and truth values in a type of their own, even if they came as objects.

    Raises
    ------
    ValueError
        If a label is missing: NaN, None, NA or masked.
    """
    values = np.asarray(y)
    missing = np.asarray(pd.isna(values)) | np.ma.getmaskarray(y if np.ma.isMaskedArray(y) else values)
    if missing.any():
        rows = np.flatnonzero(missing.reshape(len(values), -1).any(axis=1))
        raise ValueError(
            f"{name} contains NaN: {len(rows)} rows have no label, the first is row {rows[0]}, where {wanted} wanted. "
            f"Label these rows, or leave them out of X and {name}."
        )
    return _infer(values) if values.dtype == object and values.ndim else values


def _infer(values: np.ndarray) -> np.ndarray:
    """Return objects that are all numbers or truth values in a type of their own."""
    flat = pd.Series(values.ravel(), dtype=object).infer_objects().to_numpy()
    if flat.dtype == object and all(isinstance(value, Real | np.bool_) for value in flat):
        flat = flat.astype(np.float64)
    inferred: np.ndarray = flat.reshape(values.shape)
    return inferred
