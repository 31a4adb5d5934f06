"""Alarms an operator can act on, made of the scores of the rows of a log, at once or row by row.

One state machine serves both: what it says of a row depends on that row and those before it in its stretch.
"""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from .._validation import Interval, validate_parameters
from ..logs.events import check_score, find_events, list_events, row_labels
from ..logs.index import RowIndex, read_index
from ..logs.shared import IntArray
from .flags import flag_rows
from .machine import ROWS, AlarmMachine, Rules, Span, cut_at_gaps, read_span, read_time

# The sensors that an alarm names, and the share of its rows, from its start, that they are judged by: the published
# accuracy of naming the sensor at fault is for the first three, and what follows a fault spreads to others.
N_NAMED_SENSORS = 3
NAMING_SHARE = 1 / 3
# One span of the usual smoothing: within it, a score that sinks below the threshold and returns is still one rise.
MERGE_ROWS = 15
SPAN = [Interval(Real, 0, None, closed="left"), str, pd.Timedelta]


class AlarmPolicy(BaseEstimator):
    """Rules that turn scores, high where abnormal, into alarms.

    The rules apply in the order of their parameters: the score is smoothed, compared with a threshold, must be above
    it on `k` of `n` rows, for `min_duration`; an alarm then starts, unless another has ended within the `cooldown`, and
    ends when the score has been low for longer than `merge_gap`, or after `max_duration`. An alarm starts on the row on
    which all this is known, never on an earlier one, so that the delays of alarms are those an operator would see.

    A length of time is an int, which counts rows; for an index of date-times also a string such as "15min" or a
    Timedelta; for an index of numbers also a float, in the unit of the index.

    The parameters, by what they set:

    - Score: `smoothing`, `threshold`, `off`.
    - Start: `k`, `n`, `min_duration`, `cooldown`.
    - End: `merge_gap`, `max_duration`, `max_gap`.

    Parameters
    ----------
    threshold : float, default=None
        A row is above when its score is greater than this. It must be given before the policy is used, and come from
        held-out rows.
    smoothing : float, default=None
        Span, in rows, of an exponentially weighted mean of the scores, at least 1. None leaves the scores as they are:
        right for those of `AnomalyDetector`, which are smoothed. For raw scores 15 is a good value.
    off : float, default=None
        Once above the threshold, the score stays so until it is no longer greater than this level. Defaults to the
        threshold; for scores that are never negative, half of it is a good value.
    k, n : int, default=1
        At least `k` of the last `n` rows must be above. A remedy against lone high scores, as smoothing is; it delays
        an alarm by `k` - 1 rows or more.
    min_duration : int, float, str or Timedelta, default=0
        How long this must hold without a break before an alarm starts: so many rows, or so long since the first.
    merge_gap : int, float, str or Timedelta, default=15
        How long an alarm stays on after the last row on which this held. When it holds again within this time, the
        alarm goes on, and no new one starts. The default is the span over which `AnomalyDetector` smooths its scores.
        It is too long for events shorter than some 60 rows: an alarm that is still on when an event begins is for
        nothing. `eventlstm fit` and `report` take a quarter of the events' median length, at most 15.
    cooldown : int, float, str or Timedelta, default=0
        How long, from the first row out of an alarm, no other starts. One starts then if the score is still high.
    max_duration : int, float, str or Timedelta, default=None
        An alarm ends after this time even if the score is still high, and another may start under the rules above, so
        that one that lasts does not hide the next event. None for no limit.
    max_gap : number, str or Timedelta, default=None
        A longer step in time, in the unit of the index, ends an alarm and lets the rules begin afresh, as a new run
        always does. None for no limit.

    See Also
    --------
    choose_threshold : The threshold, with labels.
    eventlstm.thresholds.AutoThreshold : The threshold, from quiet rows.
    eventlstm.plots.EventTimelineDisplay : Scores and alarms, drawn.
    StreamingDetector : Applies it row by row.

    Notes
    -----
    Rows with an undefined score (NaN: the detector is warming up, or cannot see) are passed over: no alarm starts on
    one, an alarm that is on stays on, and spans counted in rows leave them out.

    An alarm is on from its first to its last flagged row, including the `merge_gap` at its end: whether the score
    returns is only known when that time is over. A long `merge_gap` so lengthens alarms; a `cooldown` does not.

    What the rules buy on made logs, a week at 10 s a row with heavy-tailed noise and 20 events of 5 to 30 minutes each,
    at the threshold, chosen on the log itself, with the fewest false alarms among those that find 90 % of the events
    (mean of six logs; ``merge_gap=0`` where none is named; the last six differ less in false alarms than the logs do):

    ================================  ============  ================  ==============
    rules                             false alarms  further alarms    share of quiet
                                      a day         per event found   time on, in %
    ================================  ============  ================  ==============
    threshold alone                   7.5           4.9               0.1
    ``k=3, n=5``                      0.4           2.1               0.04
    ``smoothing=15``                  0.5           1.3               0.2
    and ``merge_gap=15``              0.4           0.3               0.7
    and ``merge_gap=60``              0.4           0.02              2.3
    and ``cooldown=60``               0.45          0.4               0.1
    and ``off`` at half of threshold  0.4           0.1               0.5
    ================================  ============  ================  ==============

    References
    ----------
    .. [1] ANSI/ISA-18.2-2016, "Management of Alarm Systems for the Process Industries": on-delay (`min_duration`),
       off-delay (`merge_gap`) and deadband (`off`) as remedies against chattering alarms.

    Examples
    --------
    >>> from eventlstm import AlarmPolicy
    >>> policy = AlarmPolicy(threshold=0.5, k=2, n=3, merge_gap=1)
    >>> score = [0.9, 0.1, 0.1, 0.8, 0.2, 0.7, 0.1, 0.1, 0.1, 0.1]
    >>> policy.flag(score)
    array([0, 0, 0, 0, 0, 1, 1, 0, 0, 0])
    >>> policy.to_events(score)
       run  start  end  peak  peak_score
    0    0      5    6     5         0.7

    Row by row, with a state that can be kept as JSON:

    >>> state = policy.start_stream()
    >>> for time, value in enumerate(score[:6]):
    ...     on, state = policy.step(time, value, state)
    >>> on
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [Interval(Real, None, None, closed="neither"), None],
        "smoothing": [Interval(Real, 1, None, closed="left"), None],
        "off": [Interval(Real, None, None, closed="neither"), None],
        "k": [Interval(Integral, 1, None, closed="left")],
        "n": [Interval(Integral, 1, None, closed="left")],
        "min_duration": SPAN,
        "merge_gap": SPAN,
        "cooldown": SPAN,
        "max_duration": [Interval(Real, 0, None, closed="neither"), str, pd.Timedelta, None],
        "max_gap": [*SPAN, None],
    }

    def __init__(
        self,
        threshold: float | None = None,
        *,
        smoothing: float | None = None,
        off: float | None = None,
        k: int = 1,
        n: int = 1,
        min_duration: Any = 0,
        merge_gap: Any = MERGE_ROWS,
        cooldown: Any = 0,
        max_duration: Any = None,
        max_gap: Any = None,
    ) -> None:
        self.threshold = threshold
        self.smoothing = smoothing
        self.off = off
        self.k = k
        self.n = n
        self.min_duration = min_duration
        self.merge_gap = merge_gap
        self.cooldown = cooldown
        self.max_duration = max_duration
        self.max_gap = max_gap

    def flag(self, score: Any) -> Any:
        """Tell on which rows an alarm is on.

        Parameters
        ----------
        score : Series or array-like of shape (n_rows,)
            Scores, high where abnormal. The index says run and time; an array is one run, a step a row.

        Returns
        -------
        Series or ndarray of shape (n_rows,)
            1 on rows with an alarm on, else 0; a Series, named "alarm", when `score` is one.
        """
        flags, _ = self._flag(score)
        has_index = isinstance(getattr(score, "index", None), pd.Index)
        return pd.Series(flags, index=score.index, name="alarm") if has_index else flags

    def to_events(self, score: Any, attribution: Any = None) -> pd.DataFrame:
        """List the alarms.

        Parameters
        ----------
        score : Series or array-like of shape (n_rows,)
            Scores as `flag` takes them.
        attribution : DataFrame or array-like of shape (n_rows, n_sensors), default=None
            Share of each sensor in the score of each row.

        Returns
        -------
        DataFrame of shape (n_alarms, 5) or (n_alarms, 6)
            "run", "start", "end", "peak" and "peak_score" as `eventlstm.to_events` gives them, of the scores before
            smoothing; and with `attribution` "sensors", a tuple of the names (or positions) of the three with the
            largest mean share in the first third of the alarm, the largest first.
        """
        flags, starts = self._flag(score)
        first, last = find_events(flags.astype(bool), starts)
        index = row_labels(score)
        events = list_events(index, first, last, check_score(score, index))
        if attribution is not None:
            events["sensors"] = pd.Series(_name_sensors(attribution, first, last, index), dtype=object)
        return events

    def start_stream(self) -> dict[str, Any]:
        """Return the state before the first row of a run; each run has a state of its own.

        Returns
        -------
        dict
            The state, which ``json.dumps`` can write.
        """
        return AlarmMachine().state()

    def step(self, time: Any, score: float, state: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
        """Tell whether an alarm is on after one more row of a run.

        Row by row the answers are those of `flag`.

        Parameters
        ----------
        time : Timestamp, str or number
            The time of the row, as the index of a log would hold it; later than that of the row before.
        score : float
            The score of the row.
        state : dict
            The state that `start_stream` or the step before returned.

        Returns
        -------
        on : bool
            Whether an alarm is on.
        state : dict
            The new state; the old one is left as it was.
        """
        now, is_datetime = read_time(time)
        rules = rules_of(self, is_datetime)
        machine = AlarmMachine(state)
        machine.move_on(rules, now, is_datetime)
        on = machine.see(rules, now, _check_finite(float(score)))
        return on, machine.state()

    def _flag(self, score: Any) -> tuple[np.ndarray, IntArray]:
        """Return the flags of the rows, and the first row of each stretch."""
        index = row_labels(score)
        values = check_score(score, index)
        _check_finite(values)
        rows = read_index(pd.Series(values, index=index))
        rules = rules_of(self, rows.is_datetime)
        starts = cut_at_gaps(rows, rules.max_gap)
        return flag_rows(values, rules, rows, starts).astype(np.int64), starts


def rules_of(policy: AlarmPolicy, is_datetime: bool) -> Rules:
    """Return the parameters of a policy, checked, in the units of a clock of date-times or of numbers."""
    return _read_rules(is_datetime, **vars(policy))


@lru_cache(maxsize=64, typed=True)  # typed: a span of 3 counts rows, one of 3.0 is a time
def _read_rules(is_datetime: bool, **parameters: Any) -> Rules:
    # kept, for a stream asks at every row
    policy = AlarmPolicy(**parameters)
    threshold = _check_parameters(policy)
    clock = RowIndex(np.empty(0, np.int32), np.empty(0, np.int64), is_datetime)
    min_duration = read_span(clock, policy.min_duration, "min_duration")
    if min_duration.unit == ROWS:
        min_duration = Span(min_duration.length - 1, ROWS)  # the first of so many rows is the first that counts
    longest, max_gap = policy.max_duration, policy.max_gap
    return Rules(
        threshold=threshold,
        off=threshold if policy.off is None else policy.off,
        keep=0.0 if policy.smoothing is None else 1 - 2 / (policy.smoothing + 1),
        k=int(policy.k),
        window=(1 << int(policy.n)) - 1,
        min_duration=min_duration,
        merge_gap=read_span(clock, policy.merge_gap, "merge_gap"),
        cooldown=read_span(clock, policy.cooldown, "cooldown"),
        max_duration=Span(math.inf, ROWS) if longest is None else read_span(clock, longest, "max_duration"),
        max_gap=math.inf if max_gap is None else clock.span(max_gap, "max_gap"),
    )


def _check_parameters(policy: AlarmPolicy) -> float:
    """Return the threshold of a policy whose parameters go together."""
    validate_parameters(policy)
    if policy.threshold is None:
        raise ValueError(
            "AlarmPolicy has no threshold. Pass one that was chosen on held-out rows: AlarmPolicy(threshold=0.5), say."
        )
    if policy.k > policy.n:
        raise ValueError(f"k={policy.k} of n={policy.n} rows can never be above. Set k to at most n.")
    if policy.off is not None and policy.off > policy.threshold:
        raise ValueError(
            f"off={policy.off} is higher than threshold={policy.threshold}, so that a score that has just risen above "
            "the threshold would be low. Set off to at most the threshold."
        )
    return policy.threshold


def _check_finite(score: Any) -> Any:
    """Return scores, refusing the infinite, which no smoothing would ever forget."""
    if np.isinf(score).any():
        raise ValueError("A score is infinite. Pass numbers, and NaN for rows that have no score: np.clip(score, ...).")
    return score


def _name_sensors(attribution: Any, first: IntArray, last: IntArray, index: pd.Index) -> list[tuple[Any, ...]]:
    """Return the sensors with the largest share in each alarm, the largest first."""
    shares = np.asarray(attribution, dtype=np.float64)
    if shares.ndim != 2 or len(shares) != len(index):
        raise ValueError(
            f"attribution has shape {shares.shape}, where ({len(index)}, n_sensors) is wanted. "
            "Pass a share per row and sensor."
        )
    if isinstance(attribution, pd.DataFrame) and not attribution.index.equals(index):
        raise ValueError(
            "attribution has another index than score. Align it: attribution = attribution.loc[score.index]."
        )
    names = list(getattr(attribution, "columns", range(shares.shape[1])))
    stops = first + np.ceil((last - first + 1) * NAMING_SHARE).astype(int)
    return [_name_largest(shares[begin:stop], names) for begin, stop in zip(first, stops, strict=True)]


def _name_largest(shares: np.ndarray, names: list[Any]) -> tuple[Any, ...]:
    known = shares[~np.isnan(shares).any(axis=1)]
    if not len(known):
        return ()
    largest = np.argsort(-known.mean(axis=0), kind="stable")[:N_NAMED_SENSORS]
    return tuple(names[sensor] for sensor in largest)
