"""A log with its scores, the rules that make alarms of them, and the alarms by threshold, each found once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..alarms.flags import flag_rows, is_simple
from ..alarms.machine import Rules, cut_at_gaps
from ..logs.index import RowIndex
from ..logs.shared import BoolArray, FloatArray, IntArray
from ..logs.steps import cut_stretches, longest_steps
from ..metrics.alarm_costs import rate_of_false_alarms, time_unit
from ..metrics.matching import Events, Matched, match_alarms, place_events, reaches_of
from ..metrics.measured_rows import StatedTimes, read_rows

SECOND = 10**9  # nanoseconds
# Thresholds among the scores. Ranks rise by a factor, as in `alarm_curve`: 1.2 % more rows above from one to the next
# at 100,000 rows.
N_POSITIONS = 1000
# Row by row, a policy takes a microsecond or two a row: so many rows, at all thresholds together, are seen for a curve.
MOST_SLOW_ROWS = 6_000_000
N_CURVE, FEWEST_CURVE = 200, 12


class Thinned(NamedTuple):
    """What the rows that are left of a longer log stand for."""

    n_rows: FloatArray  # (n_rows,) how many rows of the log each is counted as
    is_sample: BoolArray  # (n_rows,) whether a row is one of a sample that is evenly spread
    lowest: float  # threshold from which on all rows above are there
    times: StatedTimes
    gaps: IntArray  # first row after each gap, and of each run


@dataclass(frozen=True, eq=False, repr=False)
class ScoredLog:
    """A log, a score for each of its rows, and by threshold the alarms that a policy makes of these scores."""

    X: pd.DataFrame  # (n_rows, n_sensors)
    y: pd.Series  # (n_rows,) of 0 and 1; its index says run and time
    scores: FloatArray  # (n_rows,)
    judged: FloatArray  # (n_rows,) what a threshold is compared with: the scores, smoothed if the policy does so
    policy: AlarmPolicy  # its own threshold is not used
    rules: Rules  # what the policy says of all but the levels, its spans in the unit of the times
    spans: dict[str, Any]  # `early`, `late` and `max_gap` of the events
    match: str
    events: Events
    rows: RowIndex
    restarts: IntArray  # (n_stretches,) first row of each stretch that the policy goes through by itself
    observed: FloatArray  # (n_rows,) how long each row stands for, in the unit of the times
    gaps: IntArray  # first row after each gap, and of each run
    unit: float  # the time that false alarms are counted in: a day for date-times, else a step
    second: int  # the unit that lengths of time are told in: a second for date-times, else that of the index
    thinned: Thinned | None = None  # where rows were left out
    found: dict[float, Matched] = field(default_factory=dict)  # the alarms by threshold, as far as they were asked for

    @classmethod
    def of(
        cls,
        X: pd.DataFrame,
        y: pd.Series,
        scores: FloatArray,
        policy: AlarmPolicy,
        early: Any = 0,
        late: Any = 0,
        match: str = "onset",
        max_gap: Any = None,
        thinned: Thinned | None = None,
    ) -> Self:
        """Return a log with its scores and the events beside them, and no alarm yet."""
        measured = read_rows(y, max_gap)
        if thinned is not None:
            measured = measured._replace(stated=thinned.times)
        observed = measured.observed_time()
        events = place_events(measured, *reaches_of(measured, early, late), observed)
        rows, unit, policy = measured.rows, time_unit(measured, None), clone(policy)
        rules = rules_of(clone(policy).set_params(threshold=0.0, off=None), rows.is_datetime)  # both come later
        spans, restarts = {"early": early, "late": late, "max_gap": max_gap}, cut_at_gaps(rows, rules.max_gap)
        judged, second = _smooth(scores, rules.keep, restarts), SECOND if rows.is_datetime else 1
        gaps = thinned.gaps if thinned else cut_stretches(rows, longest_steps(rows, "auto"))
        return cls(
            X,
            y,
            scores,
            judged,
            policy,
            rules,
            spans,
            match,
            events,
            rows,
            restarts,
            observed,
            gaps,
            unit,
            second,
            thinned,
        )

    def with_scores(self, scores: FloatArray) -> Self:
        """Return other scores of the same rows under the same rules."""
        judged = _smooth(scores, self.rules.keep, self.restarts)
        return replace(self, scores=scores, judged=judged, found={})

    @property
    def observed_time(self) -> float:
        """How long rows were observed, those of all runs together, in the unit of the times."""
        return float(self.observed.sum())

    def at(self, threshold: float) -> Matched:
        """Return which alarms there are at a threshold, and which events they find."""
        if threshold not in self.found:
            self.found[threshold] = self.match_at(threshold)
        return self.found[threshold]

    def match_at(self, threshold: float) -> Matched:
        """Return what `at` does, and keep nothing of it."""
        flags = flag_rows(self.scores, self._rules_at(threshold), self.rows, self.restarts)
        return match_alarms(self.events, flags, self.match, self.restarts)

    @property
    def n_rows(self) -> int:
        """How many rows the log has."""
        return len(self.scores) if self.thinned is None else round(self.thinned.n_rows.sum())

    @property
    def usual_quiet(self) -> BoolArray:
        """Which rows say what is usual: those of no event, (n_rows,)."""
        quiet: BoolArray = ~self.events.measured.events
        return quiet if self.thinned is None else quiet & self.thinned.is_sample

    def count_above(self, rows: BoolArray, thresholds: FloatArray) -> IntArray:
        """Return how many rows of the log, among some of these, are above each of some rising thresholds."""
        order = np.argsort(self.scores[rows])
        at = np.searchsorted(self.scores[rows][order], thresholds, side="right")
        if self.thinned is None:
            return len(order) - at
        n_rows = self.thinned.n_rows[rows][order]
        total: IntArray = np.rint(n_rows.sum() - np.append(0, n_rows.cumsum())[at]).astype(np.intp)
        return total

    @property
    def lowest(self) -> float:
        """The threshold from which on alarms are known."""
        return -np.inf if self.thinned is None else self.thinned.lowest

    def best_within(self, budget: float) -> tuple[float, int]:
        """Return the highest threshold that finds most events before false alarms exceed a budget, and their number."""
        best, most = float(self.judged.max()), 0
        for threshold in self.curve_thresholds(spread_thresholds(self.judged, self.lowest))[::-1].tolist():
            matched = self.match_at(threshold)
            if not rate_of_false_alarms(matched, self.unit) <= budget:
                break
            best, most = (threshold, matched.n_found) if matched.n_found > most else (best, most)
        return best, most

    def curve_thresholds(self, thresholds: FloatArray) -> FloatArray:
        """Return those of some thresholds that there is time to draw a curve through, both ends included."""
        simple = is_simple(self._rules_at(thresholds[-1]))
        most = N_CURVE if simple else max(MOST_SLOW_ROWS // len(self.scores), FEWEST_CURVE)
        return thresholds[np.unique(np.linspace(0, len(thresholds) - 1, min(most, N_CURVE)).astype(int))]

    def _rules_at(self, threshold: float) -> Rules:
        return self.rules.at(float(threshold), self.policy.off)


def spread_thresholds(scores: FloatArray, lowest: float = -np.inf) -> FloatArray:
    """Return some of the scores at ranks that rise by a factor, rising, from `lowest` on; none is above the last."""
    ranks = np.unique(np.geomspace(1, len(scores), N_POSITIONS).astype(int))
    spread = np.unique(np.sort(scores)[::-1][ranks - 1])
    return spread[spread >= lowest]


def _smooth(scores: FloatArray, keep: float, restarts: IntArray) -> FloatArray:
    """Return what the threshold is compared with, rounded as the policy rounds it."""
    if not keep:
        return scores
    smoothed, weighted_sum, sum_of_weights = np.empty_like(scores), 0.0, 0.0
    weights = np.full(len(scores), keep)  # of the past at each row
    weights[restarts] = 0.0
    for row, (score, weight) in enumerate(zip(scores.tolist(), weights.tolist(), strict=True)):
        weighted_sum, sum_of_weights = weight * weighted_sum + score, weight * sum_of_weights + 1.0
        smoothed[row] = weighted_sum / sum_of_weights
    return smoothed
