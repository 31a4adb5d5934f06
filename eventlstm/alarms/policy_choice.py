"""Rules for alarms that suit the length of the events, and the alarms that such rules make at many thresholds."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..logs.events import find_events
from ..logs.index import RowIndex, read_index
from ..logs.shared import NANOSECONDS_A_DAY, BoolArray, FloatArray
from ..logs.steps import observed_times
from .alarm_policy import MERGE_ROWS, AlarmPolicy, rules_of
from .flags import flag_rows
from .machine import cut_at_gaps

# An alarm outlasts its last row above by no more than this share of an event, so that one that was on shortly before
# an event has ended when it begins, and by half of the quiet time between two, so that each gets an alarm of its own.
SHARE_OF_EVENT, SHARE_OF_QUIET = 1 / 4, 1 / 2
USUAL_QUIET = 0.1  # the quantile of the quiet times between two events: nine in ten are longer


def suit_merge_rows(event: BoolArray, rows: RowIndex) -> int:
    """Return for how many rows an alarm is to stay on after the last one above, by the events of a log.

    `MERGE_ROWS` joins what a smoothed score does within one rise; where events last no longer than that, it would join
    an alarm to the event after it, which nobody is then called for: of events of 6 rows, 11 of 78 were found, at an
    average precision of .96.
    """
    first, last = find_events(event, rows.run_starts)
    if not len(first):
        return MERGE_ROWS
    limits = [float(MERGE_ROWS), SHARE_OF_EVENT * float(np.median(last - first + 1))]
    quiet = (first[1:] - last[:-1] - 1)[rows.runs[first[1:]] == rows.runs[last[:-1]]]
    if len(quiet):
        limits.append(SHARE_OF_QUIET * float(np.quantile(quiet, USUAL_QUIET)))
    return int(min(limits))


def suit_policy(y: Any) -> AlarmPolicy:
    """Return rules for alarms that suit the length of the events that labels of 0 and 1 mark, without a threshold."""
    return AlarmPolicy(merge_gap=suit_merge_rows(np.asarray(y) == 1, read_index(y)))


class PolicyAlarms:
    """The alarms that a policy makes of scores at each of some rising `thresholds`, which rows reach.

    All measures are (n_thresholds,). A false alarm begins outside of events; an event is found by an alarm that begins
    in it. Each counts by the `weight` (n_rows,) of the row it begins at.
    """

    def __init__(
        self, event: pd.Series, scores: FloatArray, policy: AlarmPolicy, thresholds: FloatArray, weight: FloatArray
    ) -> None:
        self.policy, self.scores, self.thresholds, self.weight = policy, scores, thresholds, weight
        self.event, self.rows = event.to_numpy() == 1, read_index(event)
        self.first, self.last = find_events(self.event, self.rows.run_starts)
        rules = rules_of(clone(policy).set_params(threshold=0.0, off=None), self.rows.is_datetime)
        self.rules, self.starts = rules, cut_at_gaps(self.rows, rules.max_gap)

    @property
    def n_events(self) -> float:
        """How many events there are."""
        return float(self.weight[self.first].sum())

    @cached_property
    def counts(self) -> FloatArray:
        """False alarms and found events, (2, n_thresholds)."""
        return np.array([self._count(self._flag(level)) for level in self.thresholds.tolist()], dtype=np.float64).T

    def cost(self, of_miss: float, of_false_alarm: float) -> FloatArray:
        """Return what missed events and false alarms cost."""
        return of_miss * (self.n_events - self.counts[1]) + of_false_alarm * self._false()

    def false_per_day(self) -> FloatArray:
        """Return the false alarms in a day of quiet rows."""
        return self._false() / quiet_days(self.rows, self.event, self.weight)

    def recall(self) -> FloatArray:
        """Return the share of events found."""
        return self.counts[1] / self.n_events

    def precision(self) -> FloatArray:
        """Return the share of events found among these and false alarms, 0 without any."""
        found = self.counts[1]
        return found / np.maximum(found + self._false(), np.finfo(float).tiny)

    def f1(self) -> FloatArray:
        """Return the harmonic mean of the two."""
        recall, precision = self.recall(), self.precision()
        return 2 * recall * precision / np.maximum(recall + precision, np.finfo(float).tiny)

    def _false(self) -> FloatArray:
        """Return the most false alarms at each threshold and any above it: melted into one, they stay counted."""
        most: FloatArray = np.maximum.accumulate(self.counts[0, ::-1])[::-1]
        return most

    def _flag(self, level: float) -> BoolArray:
        rules = self.rules.at(float(np.nextafter(level, -np.inf)), self.policy.off)
        return flag_rows(self.scores, rules, self.rows, self.starts)

    def _count(self, flags: BoolArray) -> tuple[float, float]:
        onsets, _ = find_events(flags, self.starts)
        found = np.searchsorted(onsets, self.last, side="right") > np.searchsorted(onsets, self.first)
        false = onsets[~self.event[onsets]]
        return float(self.weight[false].sum()), float(self.weight[self.first[found]].sum())


def quiet_days(rows: RowIndex, event: BoolArray, weight: FloatArray) -> float:
    """Return how many days the quiet rows stand for, each for the time until the next of its run, gaps left out."""
    if not rows.is_datetime:
        raise ValueError(
            "max_false_alarms_per_day counts days, but the index of y_true holds no date-times. Pass a Series "
            "with the index of the log, or limit the rows by min_precision."
        )
    return float((weight * observed_times(rows))[~event].sum() / NANOSECONDS_A_DAY)
