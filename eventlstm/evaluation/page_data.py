"""The alarms of a report: flags at many thresholds, and all that a page needs to find the same ones by itself.

A page does not hold scores but their *levels*: how many of some rising cuts each score is greater than. A threshold
that is one of the cuts so flags the same rows in the page as here, and a level takes two bytes.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..alarms.machine import ROWS, Rules, Span, cut_at_gaps
from ..logs.index import TIME_ROUNDINGS, RowIndex
from ..logs.shared import BoolArray, FloatArray, IntArray
from ..metrics.alarm_costs import time_unit
from ..metrics.matching import Events, Matched, match_alarms, read_events

# Positions of the slider. Ranks rise by a factor, as in `alarm_curve`: 1.2 % more rows above from one to the next at
# 100,000 rows.
N_POSITIONS = 1000
# Cuts for drawing alone, evenly over the scores and over their logarithms: finer than the pixels of any screen.
N_DRAWN = 4096
# Row by row, a policy takes a microsecond or two a row: so many rows, at all thresholds together, are seen for a curve.
MOST_SLOW_ROWS = 6_000_000
N_CURVE, FEWEST_CURVE = 200, 12


class Alarmed(NamedTuple):
    """Scores of labelled rows, and the rules by which they become alarms."""

    y_true: pd.Series  # (n_rows,) of 0 and 1; its index says run and time
    scores: FloatArray  # (n_rows,)
    policy: AlarmPolicy
    match: str
    max_gap: Any
    events: Events
    judged: FloatArray  # (n_rows,) what the threshold is compared with: the scores, smoothed if the policy does so

    @classmethod
    def of(
        cls, y_true: pd.Series, scores: FloatArray, policy: AlarmPolicy, early: Any, late: Any, match: str, gap: Any
    ) -> Any:
        """Return the scores with the events beside them."""
        policy = clone(policy)
        events = read_events(y_true, early, late, gap)
        judged = smooth_scores(scores, read_rules(policy, events.measured.rows), events.measured.rows)
        return cls(y_true, scores, policy, match, gap, events, judged)

    def with_scores(self, scores: FloatArray) -> Alarmed:
        """Return other scores of the same rows under the same rules."""
        rows = self.events.measured.rows
        return self._replace(scores=scores, judged=smooth_scores(scores, read_rules(self.policy, rows), rows))

    @property
    def unit(self) -> float:
        """The time that false alarms are counted in: a day for date-times, else a step."""
        return time_unit(self.events.measured, None)

    def at(self, threshold: float) -> Matched:
        """Return which alarms there are at a threshold, and which events they find."""
        return match_alarms(self.events, flag_rows(self, threshold), self.match)

    def curve_thresholds(self, thresholds: FloatArray) -> FloatArray:
        """Return those of some thresholds that there is time to draw a curve through, both ends included."""
        most = N_CURVE
        if not _is_simple(read_rules(self.policy, self.events.measured.rows)):
            most = min(most, max(MOST_SLOW_ROWS // len(self.scores), FEWEST_CURVE))
        return thresholds[np.unique(np.linspace(0, len(thresholds) - 1, most).astype(int))]


def read_rules(policy: AlarmPolicy, rows: RowIndex, threshold: float = 0.0) -> Rules:
    """Return what a policy says, its spans read in the unit of the times; a level `off` is never over the threshold."""
    off = policy.off if policy.off is None else min(policy.off, threshold)
    rules: Rules = rules_of(clone(policy).set_params(threshold=float(threshold), off=off), rows.is_datetime)
    return rules


def flag_rows(alarmed: Alarmed, threshold: float) -> BoolArray:
    """Return on which rows an alarm is on, as the policy itself would."""
    rows, policy = alarmed.events.measured.rows, alarmed.policy
    rules = read_rules(policy, rows, threshold)
    if _is_simple(rules):
        return _flag_simply(alarmed.scores > threshold, rules, rows)
    policy = clone(policy).set_params(threshold=float(threshold), off=rules.off)
    column = pd.Series(alarmed.scores, index=alarmed.y_true.index)
    return np.asarray(policy.flag(column)).astype(bool)


def _is_simple(rules: Rules) -> bool:
    """Return whether an alarm is no more than a threshold and the `merge_gap` after it."""
    return rules.off == rules.threshold and _has_no_delay(rules) and rules.max_duration.length == math.inf


def _has_no_delay(rules: Rules) -> bool:
    return not rules.keep and rules.window == 1 and rules.min_duration.length <= 0 and rules.cooldown.length <= 0


def _flag_simply(above: BoolArray, rules: Rules, rows: RowIndex) -> BoolArray:
    """Return the flags of simple rules for all rows at once: a hundredth of the time of going row by row."""
    starts = cut_at_gaps(rows, rules.max_gap)
    numbers = np.arange(len(above))
    last = np.maximum.accumulate(np.where(above, numbers, -1))
    begin = np.repeat(starts, np.diff(np.append(starts, len(above))))
    moments = numbers if rules.merge_gap.unit == ROWS else rows.times
    rounding = _roundings(moments)
    near: BoolArray = moments - moments[last] <= rules.merge_gap.length + rounding
    return near & (last >= begin)


def _roundings(moments: npt.NDArray[Any]) -> Any:
    return TIME_ROUNDINGS * np.spacing(np.abs(moments)) if moments.dtype.kind == "f" else 0


def smooth_scores(scores: FloatArray, rules: Rules, rows: RowIndex) -> FloatArray:
    """Return what the threshold is compared with, rounded as the policy rounds it."""
    if not rules.keep:
        return scores
    starts = cut_at_gaps(rows, rules.max_gap)
    smoothed = np.empty_like(scores)
    for begin, stop in zip(starts, np.append(starts[1:], len(scores)), strict=True):
        smoothed[begin:stop] = list(_smooth(scores[begin:stop].tolist(), rules.keep))
    return smoothed


def _smooth(scores: list[float], keep: float) -> Any:
    weighted_sum = sum_of_weights = 0.0
    for score in scores:
        weighted_sum = keep * weighted_sum + score
        sum_of_weights = keep * sum_of_weights + 1.0
        yield weighted_sum / sum_of_weights


class Cuts(NamedTuple):
    """The cuts of a page, and the levels of rows among them."""

    values: FloatArray  # (n_cuts,) rising
    positions: IntArray  # (n_positions,) the cuts that the slider stops at, rising
    levels: npt.NDArray[np.uint16]  # (n_rows,) how many cuts each score is greater than

    @classmethod
    def of(cls, scores: FloatArray, threshold: float, off: float | None) -> Any:
        """Return cuts among which are the model's threshold and the level `off` of a policy."""
        stops = np.unique(np.append(slider_thresholds(scores), threshold))
        values = np.unique(np.concatenate([stops, _drawn_cuts(scores), [threshold if off is None else off]]))
        levels = np.searchsorted(values, scores, side="left").astype(np.uint16)
        return cls(values, np.searchsorted(values, stops), levels)

    @property
    def thresholds(self) -> FloatArray:
        """The thresholds that the slider stops at, rising."""
        return self.values[self.positions]


def slider_thresholds(scores: FloatArray) -> FloatArray:
    """Return some of the scores at ranks that rise by a factor, rising: the last leaves no row above."""
    ranks = np.unique(np.geomspace(1, len(scores), N_POSITIONS).astype(int))
    return np.unique(np.sort(scores)[::-1][ranks - 1])


def _drawn_cuts(scores: FloatArray) -> FloatArray:
    low, high = float(scores.min()), float(scores.max())
    even = np.linspace(low, high, N_DRAWN)
    smallest = scores[scores > 0].min(initial=np.inf)
    if not 0 < smallest < high:
        return even
    return np.append(even, np.geomspace(smallest, high, N_DRAWN))


def rules_for_page(policy: AlarmPolicy, rows: RowIndex, step: int) -> dict[str, Any]:
    """Return the rules of a policy for the page, whose clock counts `step` units of the times."""
    rules = read_rules(policy, rows)
    spans = {name: getattr(rules, name) for name in ("min_duration", "merge_gap", "cooldown", "max_duration")}
    exact = rows.times.dtype.kind != "f"
    return {
        "k": rules.k,
        "n": rules.window.bit_length(),
        **{name: _span_for_page(span, step, exact) for name, span in spans.items()},
    }


def _span_for_page(span: Span, step: int, exact: bool) -> dict[str, Any] | None:
    """Return from which difference on a span is reached, and up to which it is not passed; None for one without end."""
    if span.length == math.inf:
        return None
    in_rows = span.unit == ROWS
    if not (in_rows or exact):
        return {"rows": False, "reached": span.length, "passed": span.length}
    length = Fraction(span.length) / (1 if in_rows else step)
    return {"rows": in_rows, "reached": math.ceil(length), "passed": math.floor(length)}
