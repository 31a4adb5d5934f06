"""Windows ``(n_windows, n_timesteps, n_channels)`` checked for an estimator, where each ends, and what it weighs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.validation import check_consistent_length, validate_data

from ..logs.log_windows import LogWindows
from ..logs.plain_labels import plain_labels
from ..logs.sensor_values import refuse_no_numbers
from ..logs.shared import warn


class CheckedWindows(NamedTuple):
    """Windows that have been checked, and how many steps of each count."""

    values: Any  # (n_windows, n_timesteps, n_channels), an array or LogWindows
    lengths: np.ndarray | None = None  # (n_windows,), or None where all steps of all windows count

    def take(self, items: np.ndarray) -> CheckedWindows:
        """Return some of the windows."""
        return CheckedWindows(self.values.take(items, axis=0), None if self.lengths is None else self.lengths[items])


class Examples(NamedTuple):
    """Windows, what is to be learnt of each, and how much that counts."""

    windows: CheckedWindows
    y: Any  # (n_windows, ...) labels or targets; None where a window is its own target
    weight: np.ndarray  # (n_windows,)

    def take(self, items: np.ndarray) -> Examples:
        """Return some of the examples."""
        return Examples(self.windows.take(items), None if self.y is None else self.y[items], self.weight[items])


def check_windows(
    estimator: Any, X: Any, y: Any = None, *, reset: bool, dtype: Any, lengths: Any = None
) -> tuple[CheckedWindows, Any]:
    """Return windows as a writable C-ordered array (n_windows, n_timesteps, n_channels), their lengths, and `y`.

    Those of a log stay in it. Others are flattened before scikit-learn looks at them, so that 3-D and flattened input
    are one and the same to it and ``n_features_in_`` is ``n_timesteps * n_channels``. Steps after the end of a window
    are zero.
    """
    if isinstance(X, LogWindows):
        return check_log_windows(estimator, X, y, reset=reset, lengths=lengths)
    if reset and isinstance(X, pd.DataFrame) and isinstance(X.index, pd.MultiIndex | pd.DatetimeIndex):
        warn(
            f"X has an index of times: {type(estimator).__name__} takes each row as a window of its own. For a log, "
            "use EventClassifier, or pass LogWindows(X, window_size).",
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
    refuse_no_numbers(X)
    labels = "no_validation" if y is None else plain_labels(y, "y")
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


def check_log_windows(
    estimator: Any, windows: LogWindows, y: Any, *, reset: bool, lengths: Any = None
) -> tuple[CheckedWindows, Any]:
    """Return the windows of a log and `y`, and do for their width what scikit-learn does for that of an array."""
    windows = refuse_unusable(windows, lengths)
    if y is not None:
        y = column_or_1d(plain_labels(y, "y"))
        check_consistent_length(windows, y)
    if reset:
        estimator.n_features_in_ = windows.shape[1] * windows.shape[2]
    else:
        refuse_other_shape(estimator, windows.shape)
    return CheckedWindows(windows), y


def refuse_unusable(windows: LogWindows, lengths: Any = None) -> LogWindows:
    """Return the windows of a log unless there is none, values are missing, or they are to be cut short."""
    if lengths is not None:
        raise ValueError(
            "lengths came with LogWindows, whose windows all have window_size rows. Leave lengths out, or pass the "
            "windows as an array: np.asarray(X)."
        )
    if not len(windows):
        raise ValueError(
            f"The log has no window of {windows.window_size} rows. Pass a longer log, or cut windows with pad=True."
        )
    if not np.isfinite(windows.values).all():
        raise ValueError("The log behind X contains NaN or infinity. Fill these values, or drop their rows.")
    return windows


def refuse_other_shape(estimator: Any, shape: tuple[int, int, int]) -> None:
    """Refuse windows (n_windows, n_timesteps, n_channels) of another shape than in `fit`."""
    if shape[1:] != (estimator.n_timesteps_, estimator.n_channels_):
        raise ValueError(
            f"Windows of {shape[1]} steps and {shape[2]} channels came, but the model was fitted on "
            f"{estimator.n_timesteps_} steps and {estimator.n_channels_} channels. Cut windows of that size."
        )


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


def mean_one(weight: np.ndarray) -> np.ndarray:
    """Return weights scaled to a mean of one."""
    total = weight.sum()
    if total <= 0:
        raise ValueError("All weights are zero. Give at least one row a positive sample_weight.")
    return weight * (len(weight) / total)
