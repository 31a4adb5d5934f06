"""How far apart the rows of each run are, and from which step on a run has a gap: steps belong to a run.

Inside a run they may change, too: idle and bursts, a logger set to another rate. An isolated long step is a gap; long
steps in succession are a slower rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .index import RowIndex, read_index
from .shared import FloatArray, IntArray

# A step this many times longer than the slow steps of its run ends a stretch under max_gap="auto": wide enough for
# jitter and single lost rows, narrow enough for a shutdown.
AUTO_GAP_STEPS = 10
# The slow steps of a run: this quantile of the shorter of two neighbouring steps, which leaves isolated gaps out, while
# a slow hour a day (4 %) is in.
SLOW = 0.99
# Fewer steps do not tell at which rates the runs of a log are sampled.
ENOUGH_STEPS = 10
# Gaps that differ by less are taken for one.
ALIKE = 2.0
# Steps that are looked at of a log, evenly spread: enough to know them, and no second log in memory.
SAMPLED_STEPS = 100_000
BLOCK_ROWS = 100_000


def find_stretches(X: Any, max_gap: Any = "auto") -> IntArray:
    """Return the first row of each stretch of `X`: a new one begins with a run and after a gap in time.

    `max_gap` is the longest step within a stretch, "auto" for ten times the slow steps of the run, or None for any.
    """
    rows = read_index(X)
    return cut_stretches(rows, longest_steps(rows, max_gap))


def longest_steps(rows: RowIndex, max_gap: Any) -> FloatArray:
    """Return the longest step within a stretch of each run, (n_runs,), in the unit of the times of `rows`.

    Under "auto" it is the smallest of the gaps that the runs of the log call for which the run's own rate allows. To
    cut a log as a fit has learnt, row by row, there is `causal_gaps`.
    """
    if not (isinstance(max_gap, str) and max_gap == "auto"):
        return np.full(rows.n_runs, np.inf if max_gap is None else rows.span(max_gap, "max_gap"), dtype=np.float64)
    runs = list(_sample(rows))
    gaps = _learn(runs)
    return np.array([run.choose_gap(gaps) for run in runs], dtype=np.float64)


def learn_gaps(rows: RowIndex) -> FloatArray:
    """Return the longest steps within a stretch that the runs of a log call for, rising, those alike taken for one."""
    return _learn(list(_sample(rows)))


def usual_steps(rows: RowIndex) -> FloatArray:
    """Return the median step of each run, (n_runs,); that of all of them where a run has none, zero where none has."""
    steps = [run.steps for run in _sample(rows)]
    together = np.concatenate(steps) if steps else np.empty(0)
    of_all = float(np.median(together)) if len(together) else 0.0
    return np.array([float(np.median(own)) if len(own) else of_all for own in steps], dtype=np.float64)


def observed_times(rows: RowIndex, max_gap: Any = "auto") -> FloatArray:
    """Return how long each row stands for, (n_rows,): the time until the next of its run, in the unit of the times.

    The last row of a run, and one before a gap, stands for the run's usual step: nothing was observed in the gap.
    """
    last = np.append(rows.runs[1:] != rows.runs[:-1], True)
    time = np.append(np.diff(rows.times), 0).astype(np.float64)
    gap = time > longest_steps(rows, max_gap)[rows.runs]
    return np.where(last | gap, usual_steps(rows)[rows.runs], time)


def cut_stretches(rows: RowIndex, longest: float | FloatArray) -> IntArray:
    """Return the first row of each stretch, with no step over `longest`, one for all runs or one each, within one."""
    new = np.zeros(len(rows.runs), dtype=bool)
    new[rows.run_starts] = True
    of_run = np.broadcast_to(longest, rows.n_runs)
    for begin in range(0, len(rows.times) - 1, BLOCK_ROWS):  # all steps at once would be a second log in memory
        times, runs = (part[begin : begin + BLOCK_ROWS + 1] for part in (rows.times, rows.runs))
        new[begin + 1 : begin + len(times)] |= times[1:] - times[:-1] > of_run[runs[1:]]
    return np.flatnonzero(new)


class _Run(NamedTuple):
    """Some steps of a run, and the shorter of each and the next."""

    steps: npt.NDArray[Any]
    shorter: npt.NDArray[Any]

    def own_gap(self) -> float:
        """Return the longest step within a stretch that the run itself calls for."""
        return AUTO_GAP_STEPS * float(np.quantile(self.shorter, SLOW, method="lower"))

    def choose_gap(self, gaps: FloatArray) -> float:
        """Return the gap of this run among some that rise."""
        if len(self.steps) < 2:  # which may be a gap as well as a rate
            return float(gaps[min(np.searchsorted(gaps, self.steps.max(initial=0)), len(gaps) - 1)])
        own = self.own_gap()
        k = int(np.searchsorted(gaps, own / ALIKE))
        return own if k == len(gaps) else float(gaps[k])


def _learn(runs: list[_Run]) -> FloatArray:
    told = [run for run in runs if len(run.steps) >= ENOUGH_STEPS]
    if not told and any(len(run.steps) for run in runs):  # short runs are told of by each other
        told = [_Run(*(np.concatenate(part) for part in zip(*runs, strict=True)))]
    gaps: list[float] = []
    for gap in sorted(run.own_gap() for run in told):
        if gaps and gap <= ALIKE * gaps[-1]:
            gaps[-1] = gap
        else:
            gaps.append(gap)
    return np.array(gaps or [np.inf])


def _sample(rows: RowIndex) -> Iterator[_Run]:
    """Yield the steps of each run, evenly spread where there are many."""
    first = rows.run_starts
    every = 1 + len(rows.times) // SAMPLED_STEPS
    for begin, stop in zip(first, np.append(first[1:], len(rows.times)), strict=False):
        times = rows.times[begin:stop]
        at = np.arange(0, len(times) - 1, every)
        steps = times[at + 1] - times[at]
        beside = np.where(at + 2 < len(times), at + 1, np.maximum(at - 1, 0))  # the last has only one before
        yield _Run(steps, np.minimum(steps, times[np.minimum(beside + 1, len(times) - 1)] - times[beside]))
