"""How late alarms come: the time from the start of each event until the alarm for it.

Times are in the unit of the index. A missed event has no such time, and is never left out in silence.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..logs.events import list_events, row_labels
from .matching import Matched, read_match


def detection_delays(
    y_true: Any, y_pred: Any, *, early: Any = 0, late: Any = 0, match: str = "onset", max_gap: Any = None
) -> pd.Series:
    """Time from the start of each event until the first alarm for it.

    Missed events are in the list, so that it does not look as if all had been found: their delay is not known, only
    that it is longer. The median that pandas takes passes them over; `delay_quantile` does not.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    early, late : int, float, str or Timedelta, default=0
        How long before the start of an event, and after its end, an alarm for it may come: an int counts rows; for an
        index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    Series of shape (n_events,)
        One per event, in the order of the rows, under the "run" and "start" of each: Timedelta for an index of
        date-times, else a number. Negative where the alarm came before the event; NaT or NaN where the event was
        missed.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `match` is unknown.

    See Also
    --------
    delay_quantile : One number, in which missed events count.
    lead_times : The time left until the event.
    timing_score : Rewards the alarms that come in time.

    Examples
    --------
    >>> from eventlstm.metrics import detection_delays
    >>> detection_delays([0, 1, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0, 0]).tolist()
    [2.0, nan]
    """
    matched = read_match(y_true, y_pred, early, late, match, max_gap)
    return delays_by_event(matched, matched.delays, row_labels(y_true), "delay")


def delay_quantile(
    y_true: Any,
    y_pred: Any,
    *,
    q: float = 0.5,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    max_gap: Any = None,
) -> float:
    """Time from the start of an event within which a share of the events has been found.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    q : float, default=0.5
        The share of events, over 0 and at most 1. A half is the median, missed events included.
    early, late : int, float, str or Timedelta, default=0
        How long before the start of an event, and after its end, an alarm for it may come: an int counts rows; for an
        index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Seconds for an index of date-times, else the unit of the index. NaN where fewer events than that were found,
        for the time is then not known, and without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `q` or `match` is out of range.

    See Also
    --------
    detection_delays : Of each event.
    lead_times : The time left until the event.

    Examples
    --------
    >>> from eventlstm.metrics import delay_quantile
    >>> y, flagged = [0, 1, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0, 0]
    >>> delay_quantile(y, flagged), delay_quantile(y, flagged, q=0.9)
    (2.0, nan)
    """
    if not 0 < q <= 1:
        raise ValueError(f"q={q!r} is no share of events. Pass a number over 0 and at most 1.")
    return quantile_of_delays(read_match(y_true, y_pred, early, late, match, max_gap), q)


def lead_times(y_true: Any, y_pred: Any, *, early: Any, match: str = "onset", max_gap: Any = None) -> pd.Series:
    """Time from the first alarm before each event until the event starts.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    early : int, float, str or Timedelta
        How long before an event an alarm for it may come: an int counts rows; for an index of date-times also a string
        such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    Series of shape (n_events,)
        One per event, in the order of the rows, under the "run" and "start" of each: Timedelta for an index of
        date-times, else a number. NaT or NaN where no alarm came before the event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `match` is unknown.

    See Also
    --------
    detection_delays : From the start of each event.
    timing_score : Rewards the alarms that come in time.
    eventlstm.horizon_labels : Labels that ask for warnings ahead.

    Examples
    --------
    >>> from eventlstm.metrics import lead_times
    >>> lead_times([0, 0, 0, 1, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0, 1], early=3).tolist()
    [2.0, nan]
    """
    matched = read_match(y_true, y_pred, early, 0, match, max_gap)
    delays = matched.delays
    return delays_by_event(matched, np.where(delays < 0, -delays, np.nan), row_labels(y_true), "lead")


def timing_score(y_true: Any, y_pred: Any, *, early: Any = None, late: Any = None, max_gap: Any = None) -> float:
    """How near the start of its event the first alarm comes, as a mean over events.

    1 on the start. It falls to 0 steeply for alarms before it, until `early`, and slowly at first for those after it,
    until `late`.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    early, late : int, float, str or Timedelta, default=None
        How long before and after the start of an event an alarm is still worth something: an int counts rows (of the
        median step); for an index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a
        float in its unit. Defaults to the length of the event.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1, a missed event counting 0: the benchmark it comes from leaves these out. NaN without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows.

    See Also
    --------
    detection_delays : The time to each alarm.
    delay_quantile : The median delay.

    References
    ----------
    Kotowski et al., "European Space Agency benchmark for anomaly detection in satellite telemetry", 2024: the anomaly
    detection timing quality curve.

    Examples
    --------
    >>> from eventlstm.metrics import timing_score
    >>> y = [0, 0, 0, 1, 1, 1, 1, 0]
    >>> timing_score(y, [0, 0, 0, 1, 1, 1, 1, 0]), timing_score(y, [0, 0, 0, 0, 0, 1, 1, 0])
    (1.0, 0.5)
    """
    matched = read_match(y_true, y_pred, 0, 0, "onset", max_gap)
    measured = matched.events.measured
    times, (first, last) = measured.rows.times, measured.true_events
    lengths = times[last] - times[first] + measured.observed_time()[last]
    before, after = (
        lengths if span is None else np.full(len(first), measured.length(span, name))
        for span, name in ((early, "early"), (late, "late"))
    )
    low, high = (edge[measured.stretch_of(first)] for edge in measured.borders)
    low[1:] = np.maximum(low[1:], last[:-1] + 1)  # an alarm within the event before is of that one
    begin, stop = np.searchsorted(matched.onsets, low), np.searchsorted(matched.onsets, high)
    values = [
        _timing(times[matched.onsets[i:j]] - times[row], a, b)
        for row, a, b, i, j in zip(first, before, after, begin, stop, strict=True)
    ]
    return float(np.mean(values)) if values else np.nan


def quantile_of_delays(matched: Matched, q: float) -> float:
    """Return the delay within which a share of all events is found, in seconds or the unit of the index."""
    delays = np.sort(matched.delays)  # the missed ones come last
    if not len(delays):
        return np.nan
    unit = 1e9 if matched.events.measured.rows.is_datetime else 1.0
    return float(delays[math.ceil(round(q * len(delays), 9)) - 1] / unit)


def delays_by_event(matched: Matched, spans: npt.NDArray[np.float64], index: pd.Index, name: str) -> pd.Series:
    """Return lengths of time under the run and the start of each event."""
    events = list_events(index, *matched.events.measured.true_events)
    values = pd.to_timedelta(spans, unit="ns") if matched.events.measured.rows.is_datetime else spans
    return pd.Series(values, index=pd.MultiIndex.from_frame(events[["run", "start"]]), name=name)


def _timing(delays: npt.NDArray[Any], early: float, late: float) -> float:
    """Return the timing quality of the first alarm within the limits, 0 without one; `delays` rise."""
    within = delays[((delays > -early) & (delays < late)) | (delays == 0)]
    if not len(within):
        return 0.0
    delay = float(within[0])
    if delay < 0:
        return ((delay + early) / early) ** math.e
    return 1 / (1 + (delay / (late - delay)) ** math.e) if delay else 1.0
