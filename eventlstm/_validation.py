"""The one place that touches scikit-learn's private helpers, and the checks that every estimator shares."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import _fit_context as fit_context
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper as BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE as NODE_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils import assert_all_finite
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = [
    "NODE_DTYPE",
    "BinMapper",
    "CheckedWindows",
    "HasMethods",
    "Interval",
    "StrOptions",
    "TreePredictor",
    "check_is_fitted",
    "check_log_values",
    "check_sample_weight",
    "check_windows",
    "end_windows",
    "fit_context",
    "validate_data",
]


class CheckedWindows(NamedTuple):
    """Windows that have been checked, and how many steps of each count."""

    values: Any  # (n_windows, n_timesteps, n_channels), an array or LogWindows
    lengths: np.ndarray | None = None  # (n_windows,), or None where all steps of all windows count

    def take(self, items: np.ndarray) -> CheckedWindows:
        """Return some of the windows."""
        return CheckedWindows(self.values.take(items, axis=0), None if self.lengths is None else self.lengths[items])


def check_windows(
    estimator: Any, X: Any, y: Any = None, *, reset: bool, dtype: Any, lengths: Any = None
) -> tuple[CheckedWindows, Any]:
    """Return windows as a writable C-ordered array (n_windows, n_timesteps, n_channels), their lengths, and `y`.

    Windows are flattened before scikit-learn looks at them, so that 3-D and flattened input are one and the
    same to it and ``n_features_in_`` is ``n_timesteps * n_channels``. Steps after the end of a window are zero.
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
    labels = "no_validation" if y is None else y
    # Missing steps may end a window, and lengths leave out whatever stands there; the others are looked at below.
    finite = "allow-nan" if lengths is None else False
    arguments = {"dtype": dtype, "order": "C", "copy": True, "reset": reset, "ensure_all_finite": finite}
    checked = validate_data(estimator, X, labels, **arguments)
    flat, y = (checked, None) if y is None else checked
    if flat.shape[1] % n_channels:
        raise ValueError(
            f"X has {flat.shape[1]} features a row, which n_channels={n_channels} does not divide. "
            "Pass windows of shape (n_windows, n_timesteps, n_channels), or set n_channels to the number of sensors."
        )
    windows = flat.reshape(len(flat), -1, n_channels)  # (n_windows, n_timesteps, n_channels)
    lengths = end_windows(windows, lengths)
    assert_all_finite(windows, estimator_name=type(estimator).__name__, input_name="X")
    return CheckedWindows(windows, lengths), y


def end_windows(windows: np.ndarray, lengths: Any) -> np.ndarray | None:
    """Set the steps after each window's end to zero, and return how many are before it; None when all windows are full.

    A window ends where `lengths` says, or before a tail in which all channels of all steps are missing.
    """
    n_steps = windows.shape[1]
    if lengths is None:
        if not np.isnan(windows).any():
            return None
        present = ~np.isnan(windows).all(axis=2)  # (n_windows, n_timesteps)
        lengths = np.where(present.any(axis=1), n_steps - present[:, ::-1].argmax(axis=1), 0)
    lengths = np.asarray(lengths)
    whole = lengths.shape == (len(windows),) and np.issubdtype(lengths.dtype, np.integer)
    if not whole or not ((lengths >= 1) & (lengths <= n_steps)).all():
        raise ValueError(
            f"Some windows have no steps, or lengths does not say from 1 to {n_steps} steps for each of the "
            f"{len(windows)} windows. Leave out windows that contain NaN only, and give lengths as whole numbers."
        )
    inside = np.arange(n_steps) < lengths[:, None]  # (n_windows, n_timesteps)
    if np.isnan(windows[inside]).any():
        raise ValueError(
            "Input X contains NaN before the end of a window. Fill these values; only steps after a window's end may "
            "be missing, in all channels."
        )
    windows[~inside] = 0.0
    return None if inside.all() else lengths.astype(np.int64)


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
                "such as ForwardFill() in a pipeline."
            )
