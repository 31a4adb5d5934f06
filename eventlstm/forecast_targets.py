"""A log cut into windows and what is to be forecast from each, ``(n_windows, horizon, n_targets)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .windows import LogWindows

__all__ = ["forecast_windows"]


def forecast_windows(
    X: Any, window_size: int, horizon: int = 1, *, targets: Any = None, stride: int = 1, max_gap: Any = "auto"
) -> tuple[LogWindows, np.ndarray]:
    """Cut a log into windows and the rows that follow each, as `LSTMForecaster` takes them.

    Parameters
    ----------
    X : DataFrame or array of shape (n_rows, n_channels)
        The log. An array, and a DataFrame with a single index level, is one run.
    window_size : int
        Rows in a window. Near the beginning of a stretch, copies of its first row fill a window up.
    horizon : int, default=1
        Rows to forecast, right after a window. They never cross the border of a stretch: its last `horizon` rows end no
        window.
    targets : list of str or int, optional
        Columns to forecast, by name of a DataFrame or by position in an array. Default: all.
    stride : int, default=1
        A window ends at every `stride`-th row of a stretch.
    max_gap : "auto", None, number or time span, default="auto"
        The longest step between two rows of one stretch, as in `LogWindows`.

    Returns
    -------
    windows : LogWindows
        The windows, a view of the log.
    y : ndarray of shape (n_windows, horizon, n_targets)
        The rows that follow.

    Raises
    ------
    ValueError
        If `horizon` is less than one, there is no such column, or no stretch has more than `horizon` rows.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import forecast_windows
    >>> windows, y = forecast_windows(np.arange(6.0)[:, None], window_size=3, horizon=2)
    >>> windows[-1].ravel(), y[-1].ravel()
    (array([1., 2., 3.]), array([4., 5.]))
    """
    if horizon < 1:
        raise ValueError(f"horizon={horizon} must be at least 1: the rows to forecast after a window.")
    windows = LogWindows(X, window_size, stride=stride, max_gap=max_gap)
    n_rows = len(windows.values)
    stops = np.append(windows.starts, n_rows)[np.searchsorted(windows.starts, windows.ends, side="right")]
    followed = np.flatnonzero(windows.ends + horizon < stops)
    if not len(followed):
        raise ValueError(
            f"No stretch of the log of {n_rows} rows has more than horizon={horizon} of them. Set a smaller horizon, "
            "or a longer max_gap."
        )
    windows = windows.take(followed)
    rows = windows.ends[:, None] + np.arange(1, horizon + 1)  # (n_windows, horizon)
    return windows, windows.values[rows][:, :, _positions(X, windows.shape[2], targets)]


def _positions(X: Any, n_channels: int, targets: Any) -> np.ndarray:
    """Return the positions of the columns to forecast."""
    if targets is None:
        return np.arange(n_channels)
    chosen = [targets] if isinstance(targets, str) else list(targets)
    columns = list(X.columns) if hasattr(X, "columns") else list(range(n_channels))
    unknown = [target for target in chosen if target not in columns]
    if unknown or not chosen:
        raise ValueError(f"targets={targets!r} must be columns of X, which are {columns}.")
    return np.array([columns.index(target) for target in chosen])
