"""A log seen as windows without copying it, and the labels of its rows.

Rows are ``(n_rows, n_channels)``; a window is ``(window_size, n_channels)``, ends at a row, and never crosses the
border of a stretch (see `logs.index`).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from .sensor_values import refuse_no_sensors
from .shared import IntArray
from .steps import find_stretches

# Windows may be longer than the log, but a window of as many copies of its first row tells nothing.
LONGEST_PADDED = 10_000


class LogWindows:
    """A log seen as a sequence of windows that are cut only when asked for.

    Parameters
    ----------
    X : DataFrame or array of shape (n_rows, n_channels)
        The log. An array, and a DataFrame with a single index level, is one run.
    window_size : int
        Rows in a window.
    stride : int, default=1
        A window ends at every `stride`-th row of a stretch, counted from its first row (or, with ``pad=False``,
        from its first full window).
    max_gap : "auto", None, number or time span, default="auto"
        The longest step between two rows of one stretch, in the unit of the index (a string such as "90s" or a
        Timedelta for date-times). "auto" is ten times the slow steps of its run, which are the
        99 % quantile of the shorter of two neighbouring steps; None ignores time and keeps runs apart.
    pad : bool, default=True
        Whether rows with too little history get a window whose missing rows are copies of the stretch's first row.
        Without, only full windows are cut.

    Attributes
    ----------
    ends : ndarray of shape (n_windows,)
        The row at which each window ends.
    starts : ndarray of shape (n_stretches,)
        The first row of each stretch.
    shape : tuple
        ``(n_windows, window_size, n_channels)``.

    See Also
    --------
    suggest_window_size : How long windows should be.
    FlattenWindows : For estimators of tables.
    forecast_windows : Windows and the rows that follow.

    Notes
    -----
    Nothing is copied but the windows asked for: the log stays where it is and is seen through a strided view. A
    million rows of 8 sensors in windows of 64 cost 8 MB over the log, for the row numbers, where an array of the
    windows would take 2 GB.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LogWindows
    >>> windows = LogWindows(np.arange(5.0)[:, None], window_size=3)
    >>> windows.shape
    (5, 3, 1)
    >>> windows[[0, 4]][:, :, 0]
    array([[0., 0., 0.],
           [2., 3., 4.]])
    """

    def __init__(self, X: Any, window_size: int, *, stride: int = 1, max_gap: Any = "auto", pad: bool = True) -> None:
        if window_size < 1 or stride < 1:
            raise ValueError(f"window_size={window_size} and stride={stride} must be at least 1.")
        refuse_no_sensors(X)
        starts = find_stretches(X, max_gap)
        values = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
        if values.ndim != 2:
            raise ValueError(
                f"The log has shape {values.shape}. Pass rows by sensors; of one, X.reshape(-1, 1) or X.to_frame()."
            )
        self._view(values, starts, window_size, stride, pad)

    @classmethod
    def from_stretches(
        cls, values: np.ndarray, starts: IntArray, window_size: int, *, stride: int = 1, pad: bool = True
    ) -> LogWindows:
        """Return windows of an array whose stretches are known.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_channels)
            The log.
        starts : ndarray of shape (n_stretches,)
            First row of each stretch.
        window_size : int
            Rows in a window.
        stride : int, default=1
            Rows between the ends of two windows.
        pad : bool, default=True
            Whether rows with a short history get a padded window.

        Returns
        -------
        LogWindows
            The windows.
        """
        windows = cls.__new__(cls)
        windows._view(values, starts, window_size, stride, pad)
        return windows

    def _view(self, values: np.ndarray, starts: IntArray, window_size: int, stride: int, pad: bool) -> None:
        self.values = values
        self.starts = starts
        if window_size > max(len(values), LONGEST_PADDED):
            raise ValueError(
                f"window_size={window_size} is more than the {len(values)} rows of the log. Set it to at most as many."
            )
        self.window_size = window_size
        n_rows = len(values)
        stops = np.append(starts[1:], n_rows)[: len(starts)]  # an empty log has neither starts nor stops
        skip = 0 if pad else window_size - 1
        counts = np.maximum(-(-(stops - starts - skip) // stride), 0)
        self.ends = np.empty(counts.sum(), dtype=np.intp)
        for first, end, count in zip(starts + skip, np.cumsum(counts), counts, strict=True):
            self.ends[end - count : end] = np.arange(first, first + count * stride, stride)
        self._full = self._view_full()

    def _view_full(self) -> np.ndarray | None:
        """Return the windows without padding, (n_rows - window_size + 1, n_channels, window_size), where any are."""
        if len(self.values) < self.window_size:
            return None
        return np.lib.stride_tricks.sliding_window_view(self.values, self.window_size, axis=0)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle is made of: the log, and not a copy of each window."""
        return {**vars(self), "_full": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._full = self._view_full()

    def __sizeof__(self) -> int:
        """Return the bytes, by which Dask knows what to send once."""
        return int(self.values.nbytes + self.ends.nbytes + self.starts.nbytes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tuple of (n_windows, window_size, n_channels)."""
        return len(self.ends), self.window_size, self.values.shape[1]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, item: Any) -> np.ndarray:
        ends = self.ends[item]
        rows = np.atleast_1d(ends)
        first = self.starts[np.searchsorted(self.starts, rows, side="right") - 1]
        if self._full is not None and (rows - first >= self.window_size - 1).all():
            cut = self._full[rows - self.window_size + 1].swapaxes(1, 2)  # (n, window_size, n_channels)
        else:
            steps = np.arange(1 - self.window_size, 1)
            cut = self.values[np.maximum(rows[:, None] + steps, first[:, None])]  # (n, window_size, n_channels)
        return cut[0] if np.ndim(ends) == 0 else cut

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def take(self, items: npt.ArrayLike, axis: int = 0) -> LogWindows:
        """Return some of the windows, still as a view of the log.

        Parameters
        ----------
        items : array-like of int
            Numbers of windows.
        axis : {0}, default=0
            There for likeness to an array's `take`.

        Returns
        -------
        LogWindows
            The chosen windows.
        """
        chosen = copy.copy(self)
        chosen.ends = self.ends[np.asarray(items)]
        return chosen

    def replace_values(self, values: np.ndarray) -> LogWindows:
        """Return the same windows of another log.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_channels)
            A log of as many rows.

        Returns
        -------
        LogWindows
            Its windows.
        """
        if len(values) != len(self.values):
            raise ValueError(
                f"A log of {len(values)} rows came in place of one of {len(self.values)}. Pass as many rows."
            )
        other = LogWindows.from_stretches(values, self.starts, self.window_size)
        other.ends = self.ends
        return other

    def to_rows(self, scores: npt.ArrayLike) -> np.ndarray:
        """Put one score per window back on the rows of the log.

        A row gets the score of the latest window of its stretch that has ended by then, so that no score uses
        rows that come after it; rows before the first window's end get NaN.

        Parameters
        ----------
        scores : array-like of shape (n_windows,) or (n_windows, n_outputs)
            A score per window.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
            A score per row.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if len(scores) != len(self):
            raise ValueError(f"{len(scores)} scores came for {len(self)} windows. Pass one score per window.")
        rows = np.arange(len(self.values))
        latest = np.searchsorted(self.ends, rows, side="right") - 1
        first = self.starts[np.searchsorted(self.starts, rows, side="right") - 1]
        known = (latest >= 0) & (self.ends[latest] >= first) if len(self) else np.zeros(len(rows), dtype=bool)
        on_rows = np.full((len(rows), *scores.shape[1:]), np.nan)
        on_rows[known] = scores[latest[known]]
        return on_rows
