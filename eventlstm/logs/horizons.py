"""A log cut into windows and what is to be forecast from each, ``(n_windows, horizon, n_targets)``."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .events import event_onsets
from .index import RowIndex, is_number, read_index
from .log_windows import LogWindows
from .shared import IntArray


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

    See Also
    --------
    LSTMForecaster : Learns from them.
    LogWindows : Windows without what follows, not copied.
    suggest_window_size : How long windows should be.

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


def horizon_labels(y: Any, horizon: Any, *, inside_event: str = "positive") -> Any:
    """Label the rows before an event: 1 when an event begins within the next `horizon` rows or steps of time.

    Parameters
    ----------
    y : Series or array of shape (n_rows,)
        0 on quiet rows, 1 (or True) on rows of an event; an array is one run. An event begins at each row of 1
        after a row of 0 or at the start of a run.
    horizon : int, number or time span
        An int counts rows. With an index of date-times, a string such as "6h" or a Timedelta counts time; with an
        index of numbers, a float does. Zero leaves the rows before an event quiet.
    inside_event : {"positive", "negative", "ignore"}, default="positive"
        The label of rows inside an event: 1, 0, or -1 (no label). Inside an event it is too late for a warning, but
        the signs are clearest there.

    Returns
    -------
    Series or ndarray of shape (n_rows,)
        Labels of dtype int64, with the index of `y`.

    Raises
    ------
    ValueError
        If `y` holds anything but 0 and 1, the index cannot be read, or `horizon` does not fit it.

    See Also
    --------
    EventClassifier : Makes them itself, by its `horizon`.
    to_events : Events as a table.

    Examples
    --------
    >>> from eventlstm import horizon_labels
    >>> horizon_labels([0, 0, 0, 0, 1, 1, 0], 2)
    array([0, 0, 1, 1, 1, 1, 0])
    >>> horizon_labels([0, 0, 0, 0, 1, 1, 0], 2, inside_event="negative")
    array([0, 0, 1, 1, 0, 0, 0])
    """
    inside = {"positive": 1, "negative": 0, "ignore": -1}
    if inside_event not in inside:
        raise ValueError(f"inside_event={inside_event!r} is unknown. Choose one of {list(inside)}.")
    event = np.asarray(y)
    if np.ma.is_masked(y) or pd.isna(event).any() or not np.isin(event, (0, 1)).all():
        raise ValueError(f"y holds {pd.unique(event)[:5]}: a horizon needs labels 0 (quiet) and 1 (event).")
    event = event.astype(bool)
    rows = read_index(y)
    begins = np.flatnonzero(event_onsets(event, rows.runs))
    early = _onset_within(begins, rows, horizon)
    labels = np.where(event, inside[inside_event], early.astype(np.int64))
    return pd.Series(labels, index=y.index, name=y.name) if isinstance(y, pd.Series) else labels


def _onset_within(begins: IntArray, rows: RowIndex, horizon: Any) -> npt.NDArray[np.bool_]:
    """Return whether the next onset after each row is of the same run and at most `horizon` away."""
    here = np.arange(len(rows.runs))
    if is_number(horizon) and isinstance(horizon, Integral):
        rows = RowIndex(rows.runs, here, is_datetime=False)
    span = rows.span(horizon, "horizon")
    following = np.append(begins, len(here))[np.searchsorted(begins, here, side="right")]
    exists = following < len(here)
    following = np.where(exists, following, here)
    return exists & (rows.runs[following] == rows.runs) & (rows.times[following] - rows.times <= span)
