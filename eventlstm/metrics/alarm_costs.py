"""What alarms cost those who get them: how many are false, for how long, and what is missed.

Times are in the unit of the index. Time in which nothing was observed, as over a gap, is never counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..logs.shared import NANOSECONDS_A_DAY
from .matching import Matched, read_match
from .measured_rows import MeasuredRows

NANOSECONDS = {"day": NANOSECONDS_A_DAY, "hour": 3_600 * 10**9}


def false_alarm_rate(
    y_true: Any,
    y_pred: Any,
    *,
    per: str | None = None,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    max_gap: Any = None,
) -> float:
    """Number of false alarms in a day of quiet observed time.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    per : {"day", "hour", "step"}, default=None
        The time that false alarms are counted in; "step" is one unit of an index of numbers, a row of an array.
        Defaults to a day for an index of date-times, else to a step.
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
        NaN without quiet time. The time of several machines adds up: it is a rate for one of them.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `per` does not fit the index.

    See Also
    --------
    alarm_duty : How long false alarms last.

    Notes
    -----
    Quiet time is what is in no event, `early` and `late` included. A row stands for the time until the next; a step of
    more than ten times the median, or `max_gap`, is a gap in which nothing was observed.

    Examples
    --------
    >>> import pandas as pd
    >>> from eventlstm.metrics import false_alarm_rate
    >>> hours = pd.date_range("2024-01-01", periods=48, freq="h")
    >>> y = pd.Series(0, index=hours)
    >>> alarms = y.copy()
    >>> alarms.iloc[[5, 6, 30]] = 1
    >>> false_alarm_rate(y, alarms)
    1.0
    """
    matched = read_match(y_true, y_pred, early, late, match, max_gap)
    return rate_of_false_alarms(matched, time_unit(matched.events.measured, per))


def alarm_duty(y_true: Any, y_pred: Any, *, early: Any = 0, late: Any = 0, max_gap: Any = None) -> float:
    """Share of quiet observed time that is under alarm.

    Report it beside every number of events found: an alarm that never ends finds all that overlap it.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    early, late : int, float, str or Timedelta, default=0
        Time before and after an event that is not quiet: an int counts rows; for an index of date-times also a string
        such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event, in the unit of the index; None for any within a run, "auto" for ten
        times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without quiet time.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows.

    See Also
    --------
    false_alarm_rate : How many false alarms there are.
    redundant_alarms : How often one event rings.

    Examples
    --------
    >>> from eventlstm.metrics import alarm_duty
    >>> alarm_duty([0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1])
    0.25
    """
    return read_match(y_true, y_pred, early, late, "onset", max_gap).duty


def redundant_alarms(
    y_true: Any, y_pred: Any, *, early: Any = 0, late: Any = 0, match: str = "onset", max_gap: Any = None
) -> float:
    """Number of alarms after the first for an event, as a mean over the events found.

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
    float
        From 0. NaN where no event was found.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `match` is unknown.

    See Also
    --------
    false_alarm_rate : Alarms for no event.
    eventlstm.AlarmPolicy : Its `merge_gap` and `cooldown` join alarms.

    Examples
    --------
    >>> from eventlstm.metrics import redundant_alarms
    >>> redundant_alarms([1, 1, 1, 1, 1, 0], [1, 0, 1, 0, 1, 0])
    2.0
    """
    alarms = read_match(y_true, y_pred, early, late, match, max_gap).event_of_alarm
    counts = np.bincount(alarms[alarms >= 0])
    return float(np.mean(counts[counts > 0] - 1)) if counts.any() else np.nan


def expected_cost(
    y_true: Any,
    y_pred: Any,
    *,
    miss: float,
    false_alarm: float,
    delay: float = 0.0,
    per: str | None = None,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    max_gap: Any = None,
) -> float:
    """Cost of missed events, false alarms and delays, in a day of observed time.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    miss : float
        Cost of a missed event.
    false_alarm : float
        Cost of a false alarm.
    delay : float, default=0.0
        Cost of a day (or what `per` says) from the start of an event until it is found. Alarms before it cost nothing.
    per : {"day", "hour", "step"}, default=None
        The unit of time; "step" is one unit of an index of numbers, a row of an array. Defaults to a day for an index
        of date-times, else to a step.
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
        From 0, in the unit of the costs. NaN without observed time. For a search:
        ``make_scorer(expected_cost, miss=..., false_alarm=..., greater_is_better=False)``.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `per` does not fit the index.

    See Also
    --------
    eventlstm.choose_threshold : The threshold for such costs.
    false_alarm_rate : How many false alarms there are.
    detection_delays : How late alarms come.

    References
    ----------
    Elkan, "The foundations of cost-sensitive learning", IJCAI, 2001.

    Examples
    --------
    One of two events is missed, and there is one false alarm, in ten steps:

    >>> from eventlstm.metrics import expected_cost
    >>> expected_cost([0, 1, 1, 0, 0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 0, 1, 0, 0, 0, 0], miss=50, false_alarm=1)
    5.1
    """
    matched = read_match(y_true, y_pred, early, late, match, max_gap)
    unit = time_unit(matched.events.measured, per)
    observed = matched.events.measured.observed_time().sum() / unit
    n_missed = int((matched.found_at < 0).sum())
    late_time = np.maximum(np.nan_to_num(matched.delays), 0).sum() / unit
    cost = miss * n_missed + false_alarm * matched.n_false_alarms + delay * late_time
    return float(cost / observed) if observed else np.nan


def rate_of_false_alarms(matched: Matched, unit: float) -> float:
    """Return the number of false alarms in a unit of quiet time."""
    quiet = matched.events.total_quiet_time / unit
    return float(matched.n_false_alarms / quiet) if quiet else np.nan


def time_unit(measured: MeasuredRows, per: str | None) -> float:
    """Return the length of "day", "hour" or "step" in the unit of the times."""
    known = tuple(NANOSECONDS) if measured.rows.is_datetime else ("step",)
    per = known[0] if per is None else per
    if per not in known:
        raise ValueError(
            f"per={per!r} does not fit an index of {'date-times' if measured.rows.is_datetime else 'numbers'}, where "
            f"it is one of {list(known)}."
        )
    return NANOSECONDS.get(per, 1)
