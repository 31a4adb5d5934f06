"""Precision and recall by affiliation: how near alarms and events are to each other, against alarms put at random.

A row takes the time from its number to the next; lengths are counted in rows. The zone of an event goes half the way to
the events before and after it, or to the ends of its stretch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..logs.events import find_events
from ..logs.shared import FloatArray
from .measured_rows import MeasuredRows, read_flags, read_rows

# An event, its zone, and the alarms in the zone, (n_alarms, 2), each from its begin to its end.
Zone = tuple[float, float, float, float, FloatArray]


def affiliation_precision_score(y_true: Any, y_pred: Any, *, max_gap: Any = None) -> float:
    """How near flagged rows are to events, as a mean over the events that have any nearest to them.

    A flagged row counts with the share of its event's zone that is farther from the event than it is: 1 within the
    event. Never report it alone: rows flagged at random, or all of them, get about .5 with a recall near 1, and a few
    false alarms hardly lower it.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run.
    y_pred : Series or array-like of shape (n_rows,)
        1 on flagged rows, else 0.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event, an alarm or a zone, in the unit of the index; None for any within a
        run, "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an event or without a flagged row.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows.

    See Also
    --------
    affiliation_recall_score : How near events have alarms.
    event_precision_score : Counts alarms instead.

    Notes
    -----
    Distances are counted in rows. Runs are apart: alarms in a run without an event have none to be near to, and count
    as one more zone with a precision of 0.

    References
    ----------
    Huet, Navarro and Rossi, "Local evaluation of time series anomaly detection algorithms", KDD, 2022.

    Examples
    --------
    >>> from eventlstm.metrics import affiliation_precision_score
    >>> y, flagged = [0, 0, 0, 1, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    >>> affiliation_precision_score(y, flagged)
    0.818182
    """
    measured, flags = read_rows(y_true, max_gap), read_flags(y_pred, y_true)
    if not measured.events.any():
        return np.nan
    values = [_precision(zone) for zone in _zones(measured, *find_events(flags, measured.starts)) if len(zone[-1])]
    with_event = np.isin(np.arange(len(measured.starts)), measured.stretch_of(measured.true_events[0]))
    with_alarm = np.logical_or.reduceat(flags, measured.starts)
    values += [0.0] * int((with_alarm & ~with_event).sum())
    return float(np.mean(values)) if values else np.nan


def affiliation_recall_score(y_true: Any, y_pred: Any, *, max_gap: Any = None) -> float:
    """How near events are to flagged rows, as a mean over events.

    A row of an event counts with the share of its zone that is farther from it than the nearest flagged row is.
    Rows flagged at random find every event nearly, so report it beside `affiliation_precision_score`, and both
    beside those of random rows.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run.
    y_pred : Series or array-like of shape (n_rows,)
        1 on flagged rows, else 0.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event, an alarm or a zone, in the unit of the index; None for any within a
        run, "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1; an event without a flagged row in its zone counts 0. NaN without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows.

    See Also
    --------
    affiliation_precision_score : How near alarms have events.
    event_recall_score : Counts events instead.

    References
    ----------
    Huet, Navarro and Rossi, "Local evaluation of time series anomaly detection algorithms", KDD, 2022.

    Examples
    --------
    >>> from eventlstm.metrics import affiliation_recall_score
    >>> y, flagged = [0, 0, 0, 1, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    >>> affiliation_recall_score(y, flagged)
    0.844276
    """
    measured, flags = read_rows(y_true, max_gap), read_flags(y_pred, y_true)
    values = [_recall(zone) for zone in _zones(measured, *find_events(flags, measured.starts))]
    return float(np.mean(values)) if values else np.nan


def _zones(measured: MeasuredRows, onsets: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]) -> Iterator[Zone]:
    """Yield each event with its zone and the alarms there, cut to the zone."""
    first, last = measured.true_events
    if not len(first):
        return
    stretch = measured.stretch_of(first)
    border = (last[:-1] + 1 + first[1:]) / 2
    joined = stretch[1:] == stretch[:-1]
    low, high = measured.starts[stretch].astype(float), measured.stops[stretch].astype(float)
    low[1:][joined], high[:-1][joined] = border[joined], border[joined]
    begin, stop = np.searchsorted(ends + 1, low, side="right"), np.searchsorted(onsets, high, side="left")
    alarms = np.column_stack([onsets, ends + 1]).astype(float)
    for a, b, z0, z1, i, j in zip(first, last + 1, low, high, begin, stop, strict=True):
        yield float(a), float(b), z0, z1, np.clip(alarms[i:j], z0, z1)


def _precision(zone: Zone) -> float:
    """Return the mean over flagged time of the share of the zone that is farther from the event."""
    a, b, z0, z1, alarms = zone
    begin, end = alarms.T
    inside = np.maximum(np.minimum(end, b) - np.maximum(begin, a), 0).sum()
    before = _farther(a - np.minimum(end, a), a - np.minimum(begin, a), a - z0, z1 - b)
    after = _farther(np.maximum(begin, b) - b, np.maximum(end, b) - b, a - z0, z1 - b)
    return float((inside + (before + after).sum() / (z1 - z0)) / (end - begin).sum())


def _farther(near: FloatArray, far: FloatArray, left: float, right: float) -> FloatArray:
    """Return the length of what is farther than d in sides of two lengths, integrated over d from near to far."""
    return sum(np.maximum(side - near, 0) ** 2 - np.maximum(side - far, 0) ** 2 for side in (left, right)) / 2


def _recall(zone: Zone) -> float:
    """Return the mean over the event of the share of the zone that is farther than the nearest flagged time.

    The share is linear in time between the points where the nearest alarm, or the border that the distance reaches
    over, changes; so its mean is a sum of trapezoids.
    """
    a, b, z0, z1, alarms = zone
    if not len(alarms):
        return 0.0
    begin, end = alarms.T
    turns = np.concatenate([[a, b], begin, end, (end[:-1] + begin[1:]) / 2, (z0 + begin) / 2, (z1 + end) / 2])
    at = np.unique(np.clip(turns, a, b))
    k = np.searchsorted(begin, at, side="right")
    since, until = at - np.append(-np.inf, end)[k], np.append(begin, np.inf)[k] - at
    distance = np.maximum(np.minimum(since, until), 0)
    share = 1 - (np.minimum(at + distance, z1) - np.maximum(at - distance, z0)) / (z1 - z0)
    return float(np.trapezoid(share, at) / (b - a))
