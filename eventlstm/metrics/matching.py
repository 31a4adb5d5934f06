"""Which alarms are of which events, and what share of events and of alarms so found each other.

An alarm is a maximal run of flagged rows, an event one of rows labelled 1; both are told by their first and last row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..logs.events import find_events
from ..logs.shared import BoolArray, IntArray
from .measured_rows import MeasuredRows, read_flags, read_rows

MATCHES = ("onset", "overlap")


def event_recall_score(
    y_true: Any, y_pred: Any, *, early: Any = 0, late: Any = 0, match: str = "onset", max_gap: Any = None
) -> float:
    """Share of events that an alarm was raised for.

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
        Whether an alarm must begin within this time, or it is enough that it lasts into it. With "overlap" one alarm
        that never ends finds every event.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `match` is unknown.

    See Also
    --------
    event_fbeta_score : With the false alarms that it took.

    Examples
    --------
    >>> from eventlstm.metrics import event_recall_score
    >>> event_recall_score([0, 1, 1, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0, 0])
    0.5
    """
    return read_match(y_true, y_pred, early, late, match, max_gap).recall


def event_precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    corrected: bool = True,
    max_gap: Any = None,
) -> float:
    """Share of found events among found events and false alarms, times the share of quiet time without alarm.

    Several alarms for one event count once: see `redundant_alarms`. The second factor answers for how long false
    alarms last, without which one alarm that never ends would be as good as a short one.

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
    corrected : bool, default=True
        Whether to multiply by the share of quiet time without alarm. Quiet is what is in no event, `early` and `late`
        included.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an alarm.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `match` is unknown.

    See Also
    --------
    event_recall_score : The share of events found.
    event_fbeta_score : Both in one, corrected for false-alarm time.

    References
    ----------
    Sehili and Zhang, "Multivariate time series anomaly detection: fancy algorithms and flawed evaluation methodology",
    2023. Kotowski et al., "European Space Agency benchmark for anomaly detection in satellite telemetry", 2024.

    Examples
    --------
    >>> from eventlstm.metrics import event_precision_score
    >>> event_precision_score([0, 1, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0])
    0.375
    """
    return read_match(y_true, y_pred, early, late, match, max_gap).precision(corrected)


def event_fbeta_score(
    y_true: Any,
    y_pred: Any,
    *,
    beta: float = 0.5,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    corrected: bool = True,
    max_gap: Any = None,
) -> float:
    """Weighted harmonic mean of precision and recall of events: one number for alarms.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    beta : float, default=0.5
        How many times as much recall counts as precision. At .5 false alarms weigh more, as where people have to look
        at each.
    early, late : int, float, str or Timedelta, default=0
        How long before the start of an event, and after its end, an alarm for it may come: an int counts rows; for an
        index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it. Published values are of
        "overlap".
    corrected : bool, default=True
        Whether precision is multiplied by the share of quiet time without alarm.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1: 0 for an alarm that never ends, and where no event is found. NaN without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, `beta` is not positive, or `match` is unknown.

    See Also
    --------
    alarm_curve : What every threshold finds, and what it costs.

    Notes
    -----
    An alarm that begins before the event and `early` is a false one, even if it lasts into the event: who looks at it
    when it is raised sees nothing. Where early alarms are welcome, say how early.

    The time around one event ends where that of another begins: rows before an event are of that event, not of the one
    before it.

    References
    ----------
    Sehili and Zhang, "Multivariate time series anomaly detection: fancy algorithms and flawed evaluation methodology",
    2023. Kotowski et al., "European Space Agency benchmark for anomaly detection in satellite telemetry", 2024.

    Examples
    --------
    >>> from eventlstm.metrics import event_fbeta_score
    >>> y = [0, 0, 1, 1, 0, 0, 0, 0, 1, 1]
    >>> round(event_fbeta_score(y, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), 4)
    0.8333
    >>> event_fbeta_score(y, [1] * 10, match="overlap")
    0.0

    It scores models in a search, the index of the labels telling runs and times:

    >>> from sklearn.metrics import make_scorer
    >>> scoring = make_scorer(event_fbeta_score, early="30min")
    """
    matched = read_match(y_true, y_pred, early, late, match, max_gap)
    return f_score(matched.precision(corrected), matched.recall, beta)


def composite_f_score(y_true: Any, y_pred: Any, *, beta: float = 1.0, max_gap: Any = None) -> float:
    """Weighted harmonic mean of the precision of rows and the recall of events.

    An event is found by any flagged row. A cheap measure without further choices; it says nothing of delays.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on flagged rows, else 0.
    beta : float, default=1.0
        How many times as much recall counts as precision.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event, in the unit of the index; None for any within a run, "auto" for ten
        times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1: 0 where no event is found. NaN without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or `beta` is not positive.

    See Also
    --------
    event_fbeta_score : By events and alarms, corrected for false-alarm time.

    References
    ----------
    Garg et al., "An evaluation of anomaly detection and diagnosis in multivariate time series", 2021. In the code
    published with it an event that lasts to the end of the log ends a row too early.

    Examples
    --------
    >>> from eventlstm.metrics import composite_f_score
    >>> composite_f_score([0, 1, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0])
    1.0
    """
    matched = read_match(y_true, y_pred, 0, 0, "overlap", max_gap)
    flagged = matched.events.measured.events[matched.flags]
    precision = float(flagged.mean()) if len(flagged) else np.nan
    return f_score(precision, matched.recall, beta)


def f_score(precision: float, recall: float, beta: float) -> float:
    """Return the weighted harmonic mean: NaN where recall is undefined, 0 where it is 0."""
    if not beta > 0:
        raise ValueError(f"beta={beta!r} is no weight. Pass a number above 0.")
    if np.isnan(recall):
        return np.nan
    if recall == 0 or precision == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


class Events(NamedTuple):
    """The events of rows and what is around each."""

    measured: MeasuredRows
    first: IntArray  # (n_events,) first row of each event
    low: IntArray  # (n_events,) the first row that an alarm for it may come at
    high: IntArray  # (n_events,) the last such row; no row is around two events
    quiet_time: npt.NDArray[np.float64]  # (n_rows,) how long each row stands for, 0 around events

    @property
    def total_quiet_time(self) -> float:
        """How long no event was around, in the unit of the times."""
        return float(self.quiet_time.sum())


class Matched(NamedTuple):
    """Events, alarms, and which are of each other."""

    events: Events
    flags: BoolArray  # (n_rows,)
    onsets: IntArray  # (n_alarms,) first row of each alarm
    event_of_alarm: IntArray  # (n_alarms,) the event each is for, or -1 for a false alarm
    found_at: IntArray  # (n_events,) the row at which each is found, or -1 where it is missed

    @property
    def recall(self) -> float:
        """The share of events found."""
        return float(np.mean(self.found_at >= 0)) if len(self.found_at) else np.nan

    @property
    def n_found(self) -> int:
        """The number of events found."""
        return int((self.found_at >= 0).sum())

    @property
    def n_false_alarms(self) -> int:
        """The number of alarms that are of no event."""
        return int((self.event_of_alarm < 0).sum())

    @property
    def duty(self) -> float:
        """The share of quiet time that is under alarm, NaN without quiet time."""
        total = self.events.total_quiet_time
        return float(self.events.quiet_time[self.flags].sum() / total) if total else np.nan

    @property
    def delays(self) -> npt.NDArray[np.float64]:
        """The time from the start of each event until it is found, NaN where it is missed."""
        times = self.events.measured.rows.times
        return np.where(self.found_at >= 0, times[self.found_at] - times[self.events.first], np.nan)

    def precision(self, corrected: bool) -> float:
        """Return the share of events found among those and false alarms, corrected for the time under false alarm."""
        if not self.n_found + self.n_false_alarms:
            return np.nan
        duty = self.duty if corrected and self.events.total_quiet_time else 0.0
        return self.n_found / (self.n_found + self.n_false_alarms) * (1.0 - duty)


def read_match(y_true: Any, y_pred: Any, early: Any, late: Any, match: str, max_gap: Any) -> Matched:
    """Return which alarms are for which events, from what a measure is given."""
    flags = read_flags(y_pred, y_true)
    return match_alarms(read_events(y_true, early, late, max_gap), flags, match)


def read_events(y_true: Any, early: Any, late: Any, max_gap: Any) -> Events:
    """Return the events that labels mark, and the rows around them."""
    measured = read_rows(y_true, max_gap)
    return place_events(measured, *reaches_of(measured, early, late), measured.observed_time())


def reaches_of(measured: MeasuredRows, early: Any, late: Any) -> tuple[IntArray, IntArray]:
    """Return the first and the last row of the stretch that an alarm for each event may come at."""
    first, last = measured.true_events
    return measured.reach_back(first, early, "early"), measured.reach_on(last, late, "late")


def place_events(measured: MeasuredRows, low: IntArray, high: IntArray, observed: npt.NDArray[np.float64]) -> Events:
    """Return events and the rows around them, `low` to `high` but for those that are of a neighbour.

    `observed` tells how long each row stands for.
    """
    first, last = measured.true_events
    low, high = low.copy(), high.copy()
    low[1:] = np.maximum(low[1:], last[:-1] + 1)
    high[:-1] = np.minimum(high[:-1], low[1:] - 1)
    changes = np.zeros(len(measured.events) + 1, dtype=np.int64)  # +1 where the rows around an event begin
    changes[low] += 1
    changes[high + 1] -= 1
    quiet_time = np.where(np.cumsum(changes[:-1]) > 0, 0.0, observed)
    return Events(measured, first, low, high, quiet_time)


def match_alarms(events: Events, flags: BoolArray, match: str, restarts: IntArray | None = None) -> Matched:
    """Return which alarms, the runs of `flags`, are for which events.

    An alarm ends at the latest before a row of `restarts`, where the rules that raised it began anew.
    """
    if match not in MATCHES:
        raise ValueError(f"match={match!r} is unknown. Choose one of {list(MATCHES)}.")
    starts = events.measured.starts if restarts is None else np.union1d(events.measured.starts, restarts)
    onsets, ends = find_events(flags, starts)
    if match == "onset":
        return Matched(events, flags, onsets, *_by_onset(events.low, events.high, onsets))
    return Matched(events, flags, onsets, *_by_overlap(events.low, events.high, onsets, ends, flags))


def _by_onset(low: IntArray, high: IntArray, onsets: IntArray) -> tuple[IntArray, IntArray]:
    """Return the event that each alarm begins around, and the first such alarm's onset for each event."""
    event = np.searchsorted(low, onsets, side="right") - 1
    event[onsets > np.append(high, -1)[event]] = -1
    found_at = np.full(len(low), -1, dtype=np.intp)
    found, alarm = np.unique(event, return_index=True)
    found_at[found[found >= 0]] = onsets[alarm[found >= 0]]
    return event, found_at


def _by_overlap(
    low: IntArray, high: IntArray, onsets: IntArray, ends: IntArray, flags: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return the first event that each alarm lasts into, and the first flagged row around each event."""
    n_rows = len(flags)
    event = np.searchsorted(high, onsets)
    event[ends < np.append(low, n_rows)[event]] = -1
    flagged = np.append(np.flatnonzero(flags), n_rows)
    found_at = flagged[np.searchsorted(flagged, low)]
    return event, np.where(found_at <= high, found_at, -1)
