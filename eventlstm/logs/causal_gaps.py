"""Where a stretch ends, judged when the row that ends it comes: by the steps of its run until then.

Steps are ``(n_lanes, n_steps)``, each lane a run. A log that is cut at once and rows that come one by one are cut
alike, and what a run does later changes nothing before.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .index import TIME_ROUNDINGS, RowIndex
from .shared import BoolArray, FloatArray, IntArray
from .steps import ALIKE, AUTO_GAP_STEPS, BLOCK_ROWS, SLOW

# Beyond the longest gap learnt, others of twice its length, four times and so on, for runs that are slower than all.
N_SLOWER = 40
# One pair of steps among so many may be long and say nothing of the rate.
PAIRS_A_LONG_ONE = round(1 / (1 - SLOW))


class Pace(NamedTuple):
    """What is known of the rate of some runs after some of their rows."""

    last: FloatArray  # (n_lanes,) the step before, NaN where there was none
    n_pairs: IntArray  # (n_lanes,) steps with one before
    n_above: IntArray  # (n_lanes, n_levels) those of them that are slower than a level allows


class GapRule(NamedTuple):
    """From which step on a run has a gap."""

    gaps: FloatArray  # (n_gaps,) the longest steps within a stretch that the rates known call for, rising
    follows_rate: bool  # whether runs have the gap of their rate, or all of them the one there is

    def start(self, n_lanes: int) -> Pace:
        """Return what is known of runs before their first step."""
        n_levels = len(self.gaps) + N_SLOWER if self.follows_rate else 0
        return Pace(
            np.full(n_lanes, np.nan), np.zeros(n_lanes, dtype=np.int64), np.zeros((n_lanes, n_levels), dtype=np.int64)
        )

    def find(self, steps: np.ndarray, times: np.ndarray, pace: Pace) -> tuple[BoolArray, Pace]:
        """Return which steps are gaps.

        Parameters
        ----------
        steps : ndarray of shape (n_lanes, n_steps)
            Time between a row and the one before.
        times : ndarray of shape (n_lanes, n_steps)
            Times of the rows, as `logs.index` reads them.
        pace : Pace
            What is known of the runs before.

        Returns
        -------
        ndarray of bool of shape (n_lanes, n_steps)
            Whether a stretch begins with the row.
        Pace
            What is known of the runs after these steps.
        """
        if self.follows_rate:
            limits, pace = self._limits(steps.astype(np.float64), pace)
            return steps > limits, pace
        rounding = TIME_ROUNDINGS * np.spacing(np.abs(times)) if times.dtype.kind == "f" else 0.0
        return steps > self.gaps[0] + rounding, pace

    def _limits(self, steps: FloatArray, pace: Pace) -> tuple[FloatArray, Pace]:
        """Return the longest step within a stretch at each step: that of the rate at which the run is by then."""
        before = np.concatenate([pace.last[:, None], steps[:, :-1]], axis=1)
        shorter = np.minimum(before, steps)
        if not pace.n_above.any() and (AUTO_GAP_STEPS / ALIKE * shorter <= self.gaps[0]).all():  # as nearly always
            return np.broadcast_to(self.gaps[:1], steps.shape), Pace(
                steps[:, -1].copy(), pace.n_pairs + steps.shape[1], pace.n_above
            )
        is_pair = ~np.isnan(before)
        of_pair = self._levels(np.where(is_pair, shorter, steps))
        n_pairs = pace.n_pairs[:, None] + np.cumsum(is_pair, axis=1)
        borne = -(-(n_pairs - 1) // PAIRS_A_LONG_ONE)  # how many of them may be slower
        level, n_above = np.zeros(steps.shape, dtype=np.intp), pace.n_above.copy()
        for k in range(int(max(of_pair[is_pair].max(initial=0), _highest(pace.n_above)))):
            slower = pace.n_above[:, k, None] + np.cumsum(is_pair & (of_pair > k), axis=1)
            level += (
                slower > borne
            )  # levels rise one after the other: who is slower than one is slower than those below
            n_above[:, k] = slower[:, -1]
        limits = np.where(is_pair, self._allowed()[level], self.gaps[-1])  # one step may be a gap as well as a rate
        return limits, Pace(steps[:, -1].copy(), n_pairs[:, -1].copy(), n_above)

    def _levels(self, pairs: FloatArray) -> IntArray:
        """Return the number of the gap that steps of a run call for."""
        own = AUTO_GAP_STEPS * pairs / ALIKE
        level = np.searchsorted(self.gaps, own)
        beyond = level == len(self.gaps)
        if beyond.any():
            slower = np.ceil(np.log2(own[beyond] / self.gaps[-1])).astype(np.intp)
            level[beyond] = len(self.gaps) - 1 + np.clip(slower, 1, N_SLOWER)
        return level

    def _allowed(self) -> FloatArray:
        """Return the longest step of each level."""
        return np.concatenate([self.gaps, self.gaps[-1] * 2.0 ** np.arange(1, N_SLOWER + 1)])


def _highest(n_above: IntArray) -> int:
    """Return how many levels there are that a run has been slower than."""
    seen = np.flatnonzero(n_above.any(axis=0))
    return int(seen[-1]) + 1 if len(seen) else 0


def gap_rule(max_gap: Any, learnt: Any, *, is_datetime: bool) -> GapRule:
    """Return the rule that a parameter `max_gap` and the gaps `learnt` in a fit make.

    Under "auto" a run has the smallest gap learnt that its own rate allows; one sampled more slowly than all of them
    has a longer one. Of its first step nobody can say yet whether it is a rate: it is a gap where no run of the fit
    had such a step.
    """
    if isinstance(max_gap, str) and max_gap == "auto":
        return GapRule(np.asarray(learnt, dtype=np.float64), True)
    clock = RowIndex(np.empty(0, np.int32), np.empty(0, np.int64), is_datetime)
    return GapRule(np.array([math.inf if max_gap is None else clock.span(max_gap, "max_gap")], dtype=np.float64), False)


def cut_causally(rows: RowIndex, rule: GapRule) -> IntArray:
    """Return the first row of each stretch of a log: a new one begins with a run and after a gap in time."""
    new = np.zeros(len(rows.runs), dtype=bool)
    new[rows.run_starts] = True
    first = rows.run_starts
    stops = np.append(first[1:], len(new))
    slow = _find_slow(rows, rule, new)  # of runs that never change their rate, all steps were judged there
    for begin, stop in zip(first[slow], stops[slow], strict=True):
        pace = rule.start(1)
        for block in range(begin, stop - 1, BLOCK_ROWS):
            times = rows.times[None, block : min(block + BLOCK_ROWS + 1, stop)]
            is_gap, pace = rule.find(np.diff(times), times[:, 1:], pace)
            new[block + 1 : block + times.shape[1]] = is_gap[0]
    return np.flatnonzero(new)


def _find_slow(rows: RowIndex, rule: GapRule, new: BoolArray) -> IntArray:
    """Return the runs with a pair of steps that is slower than the first gap allows; mark the gaps of all others."""
    starts, slow = new.copy(), np.zeros(rows.n_runs, dtype=bool)
    for begin in range(0, len(new) - 1, BLOCK_ROWS):  # all steps at once would be a second log in memory
        block = slice(max(begin - 1, 0), begin + BLOCK_ROWS + 1)
        times, runs = rows.times[block], rows.runs[block]
        steps, inside, second = np.diff(times), ~starts[block][1:], starts[block][:-1]
        one = Pace(np.full(1, np.nan), np.zeros(1, np.int64), rule.start(1).n_above)
        if not rule.follows_rate:
            new[block][1:] |= inside & rule.find(steps[None], times[None, 1:], one)[0][0]
            continue
        new[block][1:] |= inside & (steps > np.where(second, rule.gaps[-1], rule.gaps[0]))
        shorter = np.minimum(steps[1:], steps[:-1])
        calls = inside[1:] & inside[:-1] & (AUTO_GAP_STEPS / ALIKE * shorter > rule.gaps[0])
        slow[runs[2:][calls]] = True
    return np.flatnonzero(slow)
