"""Events as rows of a table, and as a flag on every row of a log.

An event is a maximal run of flagged rows within one stretch of a log. Its first and last row both belong to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_string_dtype
from sklearn.utils import column_or_1d

from .index import read_index
from .plain_labels import plain_labels
from .shared import BoolArray, IntArray
from .steps import find_stretches
from .times import parse_times


def to_events(y: Any, score: Any = None, *, max_gap: Any = None) -> pd.DataFrame:
    """List the events that labels mark.

    Parameters
    ----------
    y : Series or array-like of shape (n_rows,)
        1 (or True) on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    score : Series or array-like of shape (n_rows,), default=None
        Scores of the same rows, high where abnormal.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event, in the unit of the index (a string such as "90s" or a Timedelta for
        date-times). None lets an event last over any gap of its run, "auto" ends it at ten times the slow steps of
        that run.

    Returns
    -------
    DataFrame of shape (n_events, 3) or (n_events, 5)
        In the order of the rows: "run", the label of its run (a tuple where several levels name it, 0 where none
        does); "start" and "end", the times of its first and last row. With `score` also "peak", the time of its
        highest score, and "peak_score". Rows without a score (NaN) are passed over; where an event has no score at
        all, "peak" is its start and "peak_score" is NaN.

    Raises
    ------
    ValueError
        If `y` holds other values than 0 and 1, or `score` is of other rows.

    See Also
    --------
    to_labels : The way back.
    AlarmPolicy.to_events : Alarms from scores.
    horizon_labels : The rows before events.

    Examples
    --------
    >>> from eventlstm import to_events
    >>> to_events([0, 1, 1, 0, 1], [0.1, 0.6, 0.9, 0.2, 0.7])
       run  start  end  peak  peak_score
    0    0      1    2     2         0.9
    1    0      4    4     4         0.7
    """
    index = row_labels(y, score)
    flags = check_flags(y, "y")
    first, last = find_events(flags, find_stretches(pd.Series(flags, index=index), max_gap))
    return list_events(index, first, last, None if score is None else check_score(score, index))


def to_labels(events: pd.DataFrame, index: Any) -> pd.Series:
    """Mark the rows of a log that belong to an event.

    Parameters
    ----------
    events : DataFrame of shape (n_events, n_columns)
        Columns "start" and "end", and "run" as `to_events` gives it, which may be left out where the index names no
        runs. The times need not be those of a row, so a table of repairs will do; they may overlap.
    index : Index
        The index of the log: times, or a ``MultiIndex`` of runs and times.

    Returns
    -------
    Series of shape (n_rows,)
        1 on rows from the start to the end of an event, both included, else 0.

    Raises
    ------
    ValueError
        If a column is missing, an event ends before it starts or has no end, or its run is not in the index.

    See Also
    --------
    to_events : The way back.
    horizon_labels : The rows before events.

    Examples
    --------
    >>> import pandas as pd
    >>> from eventlstm import to_labels
    >>> events = pd.DataFrame({"start": [1, 4], "end": [2, 4]})
    >>> to_labels(events, pd.RangeIndex(6)).tolist()
    [0, 1, 1, 0, 1, 0]
    """
    first, stop = find_rows(events, index)
    changes = np.zeros(len(index) + 1, dtype=np.int64)  # +1 where an event begins, -1 after its end
    np.add.at(changes, first, 1)
    np.add.at(changes, stop, -1)
    return pd.Series((np.cumsum(changes[:-1]) > 0).astype(np.int64), index=index, name="event")


def find_rows(events: pd.DataFrame, index: pd.Index) -> tuple[IntArray, IntArray]:
    """Return the first row of each event of a table and the row after its last, (n_events,); see `to_labels`."""
    rows_of_run = _rows_of_runs(index, read_index(pd.Series(0, index=index)).runs)
    _check_columns(events, index)
    times = index.get_level_values(-1)
    start, end = (_times_like(events[column], times) for column in ("start", "end"))
    _check_order(events, start, end)
    first, after = np.zeros((2, len(events)), dtype=np.intp)
    for run, own in events.groupby(_runs_of(events), sort=False).indices.items():
        begin, stop = _look_up(rows_of_run, run)
        first[own] = begin + times[begin:stop].searchsorted(start[own], side="left")
        after[own] = begin + times[begin:stop].searchsorted(end[own], side="right")
    return first, after


def find_events(flags: BoolArray, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first and the last row of each maximal run of flagged rows, both included.

    Parameters
    ----------
    flags : ndarray of bool of shape (n_rows,)
        Which rows are flagged.
    starts : ndarray of int of shape (n_stretches,)
        First row of each stretch, the first being 0; no event crosses from one into the next.

    Returns
    -------
    first, last : ndarray of int of shape (n_events,)
        Rows, rising.
    """
    flags = np.asarray(flags, dtype=bool)
    follows = np.zeros(len(flags), dtype=bool)  # whether the row before is flagged and of the same stretch
    follows[1:] = flags[:-1]
    follows[starts] = False
    goes_on = np.zeros(len(flags), dtype=bool)
    goes_on[:-1] = flags[1:] & follows[1:]
    return np.flatnonzero(flags & ~follows), np.flatnonzero(flags & ~goes_on)


def list_events(index: pd.Index, first: IntArray, last: IntArray, score: np.ndarray | None = None) -> pd.DataFrame:
    """Return the table of the events that go from rows `first` to rows `last` of an index; see `to_events`."""
    times = index.get_level_values(-1)
    events = {"run": _run_labels(index, first), "start": times[first], "end": times[last]}
    if score is not None:
        peak = _peak_rows(score, first, last)
        events |= {"peak": times[peak], "peak_score": score[peak]}
    return pd.DataFrame(events)


def row_labels(*columns: Any) -> pd.Index:
    """Return the index that says run and time of rows: that of the first column with one, else the row numbers."""
    for column in columns:
        if isinstance(getattr(column, "index", None), pd.Index):
            return column.index
    return pd.RangeIndex(len(columns[0]))


def check_flags(y: Any, name: str) -> BoolArray:
    """Return labels of rows as booleans; `name` is the parameter they came in."""
    values = plain_labels(y, name, "0 and 1 are")
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}. Pass one label per row: a Series, or {name}.ravel().")
    if not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"{name} holds {pd.unique(values)[:5]}, where 0 and 1 are wanted. Pass {name} == 'fault', say, "
            f"and {name} == -1 where outliers are marked by -1."
        )
    return values.astype(bool)


def check_score(score: Any, index: pd.Index) -> npt.NDArray[np.float64]:
    """Return scores as numbers, refusing those of other rows than `index` names."""
    values = np.asarray(score, dtype=np.float64)
    if values.shape != (len(index),):
        raise ValueError(f"score has shape {values.shape}, where ({len(index)},) is wanted. Pass one score per row.")
    if isinstance(getattr(score, "index", None), pd.Index) and not score.index.equals(index):
        raise ValueError("score has another index than the rows it belongs to. Align it: score = score.loc[y.index].")
    return values


def _peak_rows(score: np.ndarray, first: IntArray, last: IntArray) -> IntArray:
    """Return the row of the highest score of each event, the earliest of several, passing over NaN."""
    seen = np.where(np.isnan(score), -np.inf, score)
    spans = zip(first, last, strict=True)
    return np.array([begin + np.argmax(seen[begin : end + 1]) for begin, end in spans], dtype=np.intp)


def _run_labels(index: pd.Index, rows: IntArray) -> Any:
    """Return the label of the run of each of some rows."""
    if index.nlevels == 1:
        return np.zeros(len(rows), dtype=np.int64)
    runs = index[rows].droplevel(-1)
    return runs.to_flat_index() if runs.nlevels > 1 else runs


def _check_columns(events: pd.DataFrame, index: pd.Index) -> None:
    wanted = {"start", "end"} | ({"run"} if index.nlevels > 1 else set())
    missing = sorted(wanted - set(events.columns))
    if missing:
        raise ValueError(f"events has no column {missing}, but {list(events.columns)}. Rename the columns it has.")


def _check_order(events: pd.DataFrame, start: Any, end: Any) -> None:
    bad = ~(start <= end)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"Event {events.index[row]!r} goes from {start[row]} to {end[row]}. "
            "Give every event an end that is not before its start; of one that lasts, the end of the log."
        )


def _runs_of(events: pd.DataFrame) -> Any:
    return events["run"] if "run" in events else np.zeros(len(events), dtype=np.int64)


def _rows_of_runs(index: pd.Index, runs: np.ndarray) -> dict[Any, tuple[int, int]]:
    """Return the first row of each run and the row after its last."""
    first = np.flatnonzero(np.diff(runs, prepend=-1))
    stops = np.append(first[1:], len(index))[: len(first)]
    return dict(zip(_run_labels(index, first), zip(first.tolist(), stops.tolist(), strict=True), strict=True))


def _look_up(rows_of_run: dict[Any, tuple[int, int]], run: Any) -> tuple[int, int]:
    if run not in rows_of_run:
        raise ValueError(
            f"events holds run {run!r}, but the index holds {list(rows_of_run)[:5]}. "
            "Leave out the events of other runs: events[events['run'].isin(log.index.get_level_values(0))]."
        )
    return rows_of_run[run]


def _times_like(column: pd.Series, times: pd.Index) -> Any:
    """Return times of events in the type of the times of the log."""
    if not isinstance(times, pd.DatetimeIndex):
        return column.to_numpy()
    written = len(column) and (is_string_dtype(column) or is_numeric_dtype(column))
    told = parse_times(column)[0] if written else pd.DatetimeIndex(column)
    if not isinstance(told, pd.DatetimeIndex):
        raise ValueError(
            f"The times of the events in {column.name!r} are numbers, those of the log are date-times. Give both "
            "alike: pd.to_datetime(events['start'], unit='s'), say, and the same for 'end'."
        )
    if len(column) and (told.tz is None) != (times.tz is None):
        raise ValueError(
            f"The times of the events are of time zone {told.tz}, those of the log of {times.tz}. Give both one: "
            "events['start'].dt.tz_localize('UTC'), say, and the same for 'end'."
        )
    return told


def event_onsets(event: npt.NDArray[np.bool_], runs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether each row is the first of an event: an event row after a quiet one or at the start of a run."""
    before = np.zeros_like(event)
    before[1:] = event[:-1] & (runs[1:] == runs[:-1])
    return event & ~before


def is_event(y: Any) -> np.ndarray:
    """Return whether each row belongs to an event: it does not carry the most frequent label, and none is missing."""
    labels = column_or_1d(plain_labels(y, "y"))
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return numbers != counts.argmax()
