"""When an alarm starts and ends: a state machine that sees one row after the other of a stretch of a log."""

from __future__ import annotations

import math
from datetime import timedelta
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..logs.index import TIME_ROUNDINGS, RowIndex, is_number
from ..logs.shared import IntArray

ROWS, TIME = 0, 1  # the unit of a span, and the place of that unit in a moment (rows seen, time)


class Span(NamedTuple):
    """A length of time in rows or in the unit of the clock."""

    length: float
    unit: int  # ROWS or TIME

    def is_reached(self, then: Any, now: Any) -> bool:
        """Return whether the moment `now` is so long after `then`, or longer."""
        return now[self.unit] - then[self.unit] >= self.length - _rounding(now[self.unit])

    def is_passed(self, then: Any, now: Any) -> bool:
        """Return whether the moment `now` is longer than this after `then`."""
        return now[self.unit] - then[self.unit] > self.length + _rounding(now[self.unit])


class Rules(NamedTuple):
    """The parameters of a policy, read."""

    threshold: float
    off: float
    keep: float  # weight of the past in smoothing against that of the row before; 0 without smoothing
    k: int
    window: int  # as many binary ones as rows are looked at
    min_duration: Span
    merge_gap: Span
    cooldown: Span
    max_duration: Span
    max_gap: float

    def at(self, threshold: float, off: float | None) -> Rules:
        """Return these rules at a threshold, with the level that an alarm ends at, None or too high for the same."""
        return self._replace(threshold=threshold, off=threshold if off is None else min(off, threshold))


class AlarmMachine:
    """What is known of a stretch after some of its rows; a moment is (rows seen, time)."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.time: Any = None  # of the row before, in nanoseconds for date-times
        self.is_datetime = False
        self.n_seen = 0
        self.weighted_sum = self.sum_of_weights = 0.0
        self.is_above = False
        self.recent = 0  # a binary digit for each of the last rows, 1 for one above
        self.abnormal_since: Any = None  # first moment of the abnormal rows that have not been broken off
        self.abnormal_last: Any = None
        self.on_since: Any = None  # start of the alarm that is on
        self.off_since: Any = None  # first moment out of the last alarm
        if state is not None:
            if state.keys() != vars(self).keys():
                raise ValueError(f"state holds {sorted(state)}, not what start_stream returns. Start a new stream.")
            vars(self).update(state, recent=int(state["recent"], 16))

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it, whose numbers are too short for many rows."""
        return vars(self) | {"recent": f"{self.recent:x}"}

    def move_on(self, rules: Rules, time: Any, is_datetime: bool) -> None:
        """Take the time of one more row of the run; a gap in time begins a new stretch."""
        before = self.time
        if before is not None and (is_datetime != self.is_datetime or not time > before):
            shown = pd.Timestamp(before) if self.is_datetime else before
            raise ValueError(
                f"A row at {pd.Timestamp(time) if is_datetime else time} came after one at {shown}. Pass the rows of a "
                "run in the order of time, each once, and start a stream for each run."
            )
        if before is not None and time - before > rules.max_gap + _rounding(time):
            vars(self).update(vars(AlarmMachine()))
        self.time, self.is_datetime = time, is_datetime

    def see(self, rules: Rules, time: Any, score: float) -> bool:
        """Return whether an alarm is on after one more row."""
        if math.isnan(score):
            return self.on_since is not None
        self.n_seen += 1
        if self._is_abnormal(rules, score):
            return self._pass_abnormal(rules, (self.n_seen, time))
        self.abnormal_since = None
        return self.on_since is not None and self._pass_quiet(rules, (self.n_seen, time))

    def _is_abnormal(self, rules: Rules, score: float) -> bool:
        if rules.keep:
            self.weighted_sum = rules.keep * self.weighted_sum + score
            self.sum_of_weights = rules.keep * self.sum_of_weights + 1.0
            score = self.weighted_sum / self.sum_of_weights
        self.is_above = score > (rules.off if self.is_above else rules.threshold)
        if rules.window == 1:
            return self.is_above
        self.recent = (self.recent << 1 | self.is_above) & rules.window
        return self.recent.bit_count() >= rules.k

    def _pass_abnormal(self, rules: Rules, now: tuple[int, Any]) -> bool:
        self.abnormal_last = now
        if self.abnormal_since is None:
            self.abnormal_since = now
        if self.on_since is not None:
            return self._stay(rules, now)
        cooled = self.off_since is None or rules.cooldown.is_reached(self.off_since, now)
        if cooled and rules.min_duration.is_reached(self.abnormal_since, now):
            self.on_since = now
            return True
        return False

    def _pass_quiet(self, rules: Rules, now: tuple[int, Any]) -> bool:
        if rules.merge_gap.is_passed(self.abnormal_last, now):
            return self._end(now)
        return self._stay(rules, now)

    def _stay(self, rules: Rules, now: tuple[int, Any]) -> bool:
        return not rules.max_duration.is_reached(self.on_since, now) or self._end(now)

    def _end(self, now: tuple[int, Any]) -> bool:
        self.on_since = self.abnormal_since = None
        self.off_since = now
        return False


def read_span(clock: RowIndex, value: Any, name: str) -> Span:
    """Return a length of time that came in the parameter `name`: an int counts rows, all else is time."""
    if isinstance(value, Integral):
        return Span(int(value), ROWS)
    return Span(clock.span(value, name), TIME)


def read_time(time: Any) -> tuple[Any, bool]:
    """Return a time as it stands in `RowIndex.times`, and whether it is a date-time."""
    if pd.isna(time):
        raise ValueError(f"A row has the time {time!r}. Pass the time of the row.")
    if is_number(time):
        return (int(time), False) if isinstance(time, Integral) else (float(time), False)
    of_kind = pd.Timedelta if isinstance(time, timedelta | np.timedelta64) else pd.Timestamp
    return of_kind(time).as_unit("ns").value, True


def _rounding(time: Any) -> float:
    """Return how much the difference of two times may be off by rounding; whole numbers are exact."""
    return TIME_ROUNDINGS * math.ulp(time) if isinstance(time, float) else 0.0


def cut_at_gaps(rows: RowIndex, max_gap: float) -> IntArray:
    """Return the first row of each stretch, judging each step by the rows beside it alone, as a stream must."""
    times = rows.times
    rounding = TIME_ROUNDINGS * np.spacing(np.abs(times[1:])) if times.dtype.kind == "f" else 0.0
    is_gap = times[1:] - times[:-1] > max_gap + rounding
    return np.flatnonzero(np.append(len(times) > 0, is_gap | (rows.runs[1:] != rows.runs[:-1])))
