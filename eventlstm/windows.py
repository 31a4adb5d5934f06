"""What a log is: rows in time order, cut into unbroken stretches, and seen as windows without copying.

Rows are ``(n_rows, n_channels)``; a window is ``(window_size, n_channels)`` and ends at a row. A *stretch* is a part
of one run without a time gap; no window crosses its borders. The index of a DataFrame carries run and time: a
``MultiIndex`` whose last level is time and whose other levels name the run, or a single level of times (one run).
"""

from __future__ import annotations

import copy
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import column_or_1d

__all__ = ["LogWindows", "horizon_labels"]

IntArray = npt.NDArray[np.intp]

# A step this many times longer than the log's median step ends a stretch under max_gap="auto": wide enough for
# jitter and single lost rows, narrow enough for a shutdown.
AUTO_GAP_STEPS = 10
# Steps that a log's median step is taken from, evenly spread: enough to know it, and no second log in memory.
MEDIAN_STEPS = 100_000
BLOCK_ROWS = 100_000
RUN_DTYPE = np.int32
# Roundings in the difference of two decimal times: 0.3 - 0.2 is a little more than 0.1, but no longer a step.
TIME_ROUNDINGS = 4


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
        Timedelta for date-times). "auto" is ten times the median step; None ignores time and keeps runs apart.
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
        self.window_size = window_size
        n_rows = len(values)
        stops = np.append(starts[1:], n_rows)[: len(starts)]  # an empty log has neither starts nor stops
        skip = 0 if pad else window_size - 1
        counts = np.maximum(-(-(stops - starts - skip) // stride), 0)
        self.ends = np.empty(counts.sum(), dtype=np.intp)
        for first, end, count in zip(starts + skip, np.cumsum(counts), counts, strict=True):
            self.ends[end - count : end] = np.arange(first, first + count * stride, stride)
        full = n_rows >= window_size
        self._full = np.lib.stride_tricks.sliding_window_view(values, window_size, axis=0) if full else None

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
    if pd.isna(event).any() or not np.isin(event, (0, 1)).all():
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
    if _is_number(horizon) and isinstance(horizon, Integral):
        rows = RowIndex(rows.runs, here, is_datetime=False)
    span = rows.span(horizon, "horizon")
    following = np.append(begins, len(here))[np.searchsorted(begins, here, side="right")]
    exists = following < len(here)
    following = np.where(exists, following, here)
    return exists & (rows.runs[following] == rows.runs) & (rows.times[following] - rows.times <= span)


def event_onsets(event: npt.NDArray[np.bool_], runs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether each row is the first of an event: an event row after a quiet one or at the start of a run."""
    before = np.zeros_like(event)
    before[1:] = event[:-1] & (runs[1:] == runs[:-1])
    return event & ~before


def is_event(y: Any) -> np.ndarray:
    """Return whether each row belongs to an event: it does not carry the most frequent label."""
    labels = column_or_1d(y)
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return numbers != counts.argmax()


class RowIndex(NamedTuple):
    """What the index of a log says of its rows."""

    runs: npt.NDArray[np.int32]  # (n_rows,) number of the run of each row, rising from 0
    times: np.ndarray  # (n_rows,) int64 nanoseconds for date-times, else the index as int64 or float64
    is_datetime: bool

    def span(self, value: Any, name: str) -> Any:
        """Return a length of time in the unit of `times`; `name` is the parameter it came in."""
        span = _nanoseconds(value, name) if self.is_datetime else value
        if not _is_number(span):
            raise ValueError(f"{name}={value!r} is a length of time, but the index holds numbers. Pass a number.")
        if not span >= 0:
            raise ValueError(f"{name}={value!r} is negative or undefined. Pass zero or more.")
        if self.times.dtype.kind == "f":
            span += TIME_ROUNDINGS * np.spacing(np.abs(self.times).max(initial=0.0))
        return span


def _nanoseconds(value: Any, name: str) -> int:
    # pandas would read a bare number, also in quotes, as nanoseconds, which nobody means
    bare = _is_number(value) or (isinstance(value, str) and value.strip().replace(".", "", 1).isdigit())
    try:
        if bare:
            raise ValueError
        return pd.Timedelta(value).as_unit("ns").value
    except ValueError:
        raise ValueError(
            f"{name}={value!r} is not a length of time, which an index of date-times needs. "
            "Pass a string such as '15min' or a pandas Timedelta."
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, np.timedelta64)  # NumPy counts a timedelta64 as integer


def read_index(X: Any) -> RowIndex:
    """Return the runs and times that the index of `X` carries; rows of an array are one run, a step apart.

    Raises
    ------
    ValueError
        If the times of a run do not rise, its rows are not together, or the index holds no times.
    """
    index = getattr(X, "index", None)
    if not isinstance(index, pd.Index):
        n_rows = len(np.asarray(X))
        return RowIndex(np.zeros(n_rows, dtype=RUN_DTYPE), np.arange(n_rows), False)
    runs = _number_runs(index)
    times, is_datetime = _read_times(index.get_level_values(-1))
    _check_order(index, runs, times)
    return RowIndex(runs, times, is_datetime)


def _number_runs(index: pd.Index) -> npt.NDArray[np.int32]:
    """Number the runs in the order they come; the rows of a run must stand together."""
    if index.nlevels == 1 or not len(index):
        return np.zeros(len(index), dtype=RUN_DTYPE)
    codes = np.stack([np.asarray(code) for code in index.codes[:-1]])  # (n_levels - 1, n_rows)
    if (codes < 0).any():
        raise ValueError("The index has rows without the name of their run. Name the run of each row, or drop them.")
    new = np.append(True, (codes[:, 1:] != codes[:, :-1]).any(axis=0))
    runs = np.cumsum(new, dtype=RUN_DTYPE)
    runs -= 1
    if len(np.unique(codes[:, new], axis=1).T) < runs[-1] + 1:
        raise ValueError(
            "The rows of a run are not together: the index returns to a run it had left. "
            "Sort the log by run, then time: X = X.sort_index(); y = y.sort_index()."
        )
    return runs


def _read_times(level: pd.Index) -> tuple[np.ndarray, bool]:
    """Return times as numbers that can be subtracted, and whether they are date-times."""
    if level.hasnans:
        raise ValueError(f"{int(level.isna().sum())} rows have no time in the index. Give them one, or drop them.")
    if isinstance(level, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        return level.as_unit("ns").asi8, True
    if pd.api.types.is_numeric_dtype(level.dtype) and not pd.api.types.is_bool_dtype(level.dtype):
        # wide enough for differences, which unsigned and short numbers would wrap
        return level.to_numpy(np.int64 if pd.api.types.is_integer_dtype(level.dtype) else np.float64), False
    raise ValueError(
        f"The last level of the index must hold times, but {level.name!r} is of type {level.dtype}. Use a "
        "DatetimeIndex or numbers, or a MultiIndex of run and time: X.set_index(['machine', 'time'])."
    )


def _check_order(index: pd.Index, runs: npt.NDArray[np.int32], times: np.ndarray) -> None:
    """Refuse a clock that stands still or runs back within a run."""
    late = (times[1:] <= times[:-1]) & (runs[1:] == runs[:-1])
    if not late.any():
        return
    row = int(late.argmax()) + 1
    if times[row] == times[row - 1]:
        raise ValueError(
            f"The index has duplicated times: row {row} repeats {index[row]}. "
            "Keep one row per run and time: X = X[~X.index.duplicated(keep='last')]."
        )
    raise ValueError(
        f"The index is unsorted: row {row} ({index[row]}) comes before the row above it. "
        "Sort the log by run, then time: X = X.sort_index(); y = y.sort_index()."
    )


def find_stretches(X: Any, max_gap: Any = "auto") -> IntArray:
    """Return the first row of each stretch of `X`: a new one begins with a run and after a gap in time.

    `max_gap` is the longest step within a stretch, "auto" for ten times the median step, or None for any.
    """
    rows = read_index(X)
    return cut_stretches(rows, longest_step(rows, max_gap))


def longest_step(rows: RowIndex, max_gap: Any) -> float:
    """Return the longest step within a stretch, in the unit of the times of `rows`."""
    if isinstance(max_gap, str) and max_gap == "auto":
        every = 1 + len(rows.times) // MEDIAN_STEPS
        steps = rows.times[1::every] - rows.times[:-1:every]
        within = steps[rows.runs[1::every] == rows.runs[:-1:every]]
        return AUTO_GAP_STEPS * float(np.median(within)) if len(within) else np.inf
    return np.inf if max_gap is None else rows.span(max_gap, "max_gap")


def cut_stretches(rows: RowIndex, longest: float) -> IntArray:
    """Return the first row of each stretch, with no step over `longest` within one."""
    new = np.append(len(rows.runs) > 0, rows.runs[1:] != rows.runs[:-1])
    for begin in range(0, len(rows.times) - 1, BLOCK_ROWS):  # all steps at once would be a second log in memory
        times = rows.times[begin : begin + BLOCK_ROWS + 1]
        new[begin + 1 : begin + len(times)] |= times[1:] - times[:-1] > longest
    return np.flatnonzero(new)
