"""The one place that touches scikit-learn's private helpers, and the checks that every estimator shares."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = [
    "Interval",
    "StrOptions",
    "check_is_fitted",
    "check_log_values",
    "check_sample_weight",
    "check_windows",
    "fit_context",
    "validate_data",
]


def check_windows(estimator: Any, X: Any, y: Any = None, *, reset: bool, dtype: Any) -> Any:
    """Return windows as a writable C-ordered array (n_windows, n_timesteps, n_channels), and `y` in `fit`.

    Windows are flattened before scikit-learn looks at them, so that 3-D and flattened input are one and the
    same to it and ``n_features_in_`` is ``n_timesteps * n_channels``.
    """
    if reset and isinstance(X, pd.DataFrame) and isinstance(X.index, pd.MultiIndex | pd.DatetimeIndex):
        warnings.warn(
            f"X has an index of times: {type(estimator).__name__} takes each row as a window of its own. For a log, "
            "use EventClassifier, or pass LogWindows(X, window_size).",
            stacklevel=5,
        )
    n_channels = estimator.n_channels if reset else estimator.n_channels_
    if getattr(X, "ndim", 2) == 3:
        X = np.asarray(X)
        if not reset and X.shape[2] != n_channels:
            raise ValueError(
                f"X has {X.shape[2]} channels, but {type(estimator).__name__} was fitted on {n_channels}. "
                f"Pass windows of shape (n_windows, {estimator.n_timesteps_}, {n_channels})."
            )
        n_channels = X.shape[2]
        X = X.reshape(len(X), -1)
    checked = validate_data(
        estimator, X, "no_validation" if y is None else y, dtype=dtype, order="C", copy=True, reset=reset
    )
    flat = checked if y is None else checked[0]
    if flat.shape[1] % n_channels:
        raise ValueError(
            f"X has {flat.shape[1]} features a row, which n_channels={n_channels} does not divide. "
            "Pass windows of shape (n_windows, n_timesteps, n_channels), or set n_channels to the number of sensors."
        )
    windows = flat.reshape(len(flat), -1, n_channels)  # (n_windows, n_timesteps, n_channels)
    return windows if y is None else (windows, checked[1])


def check_log_values(estimator: Any, X: Any, y: Any = None, *, reset: bool) -> Any:
    """Return the values of a log, float64 of shape (n_rows, n_sensors), and `y` as a 1-D array when it is given.

    Missing values and other columns than in `fit` are refused with the name of the column and the remedy.
    """
    if isinstance(X, pd.DataFrame):
        _refuse_text(X)
        _refuse_missing(X)
    try:
        labels = "no_validation" if y is None else y
        return validate_data(estimator, X, labels, dtype=np.float64, order="C", reset=reset)
    except ValueError as error:
        if "feature names should match" not in str(error):
            raise
        raise ValueError(f"{error}Pass the columns of fit, in their order: X[model.feature_names_in_].") from None


def _refuse_text(X: pd.DataFrame) -> None:
    """Name the first column that holds no numbers, and what to do about it."""
    for name, dtype in X.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_object_dtype(dtype):
            raise ValueError(
                f"Column {name!r} of X is of type {dtype}, but sensors are numbers. If it names the run or the time, "
                "put it into the index: X.set_index(['machine', 'time']); else encode or drop it."
            )


def _refuse_missing(X: pd.DataFrame) -> None:
    """Name the first column that holds a missing or infinite value, and what to do about it."""
    infinite = X.select_dtypes("number").isin([np.inf, -np.inf]).reindex(columns=X.columns, fill_value=False)
    for kind, bad in (("NaN", X.isna().to_numpy()), ("infinity", infinite.to_numpy())):
        if bad.any():
            column = int(bad.any(axis=0).argmax())
            row = int(bad[:, column].argmax())
            raise ValueError(
                f"X contains {kind}: {int(bad.sum())} such values, the first in column {X.columns[column]!r} at row "
                f"{row} ({X.index[row]}). Drop these rows, or put NaN there and fill it with a step before the model, "
                "such as SimpleImputer() in a pipeline with set_output(transform='pandas')."
            )
