"""What is warned of in how a log is sampled: rows without history, torn runs, other steps than in `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .index import RowIndex
from .shared import FloatArray, warn
from .steps import BLOCK_ROWS, SAMPLED_STEPS, usual_steps

# Share of rows with a short history from which on it is warned of.
SHORT_ROWS = 0.5
# Shares of rows with a lost neighbour between which a log looks shuffled: fewer are the way of sensors, and more, up to
# the half that KFold(2, shuffle=True) loses, that of logs without a regular step.
TORN_BREAKS = (0.04, 0.6)
# Rows that a splitter has drawn are lost at random: the rows between two losses are then as many as their deviation.
# Losses that recur, such as the second that a clock cut to whole seconds skips, are evenly spread.
EVENLY_SPREAD = 0.5
# The step of the log when nothing is lost is its lower quartile, so that it shows with half of the rows lost.
USUAL_STEP = 0.25
# A log has a regular step when most of its steps are whole multiples of it, up to the jitter of its clock.
REGULAR_SHARE, REGULAR_JITTER = 0.9, 0.2
# Steps that differ by less from those in `fit` are no matter for a warning.
OTHER_STEP = 2.0


class TornLogWarning(UserWarning):
    """A log seems to have been torn by a splitter, which commands never do."""


def warn_if_torn(index: RowIndex, starts: np.ndarray, window_size: int) -> None:
    """Warn when most rows have not the history that `window_size` says they need."""
    short = _share_of_short(starts, len(index.runs), window_size)
    if short > SHORT_ROWS:
        warn(
            f"{short:.0%} of the rows have fewer than window_size={window_size} unbroken rows of history: the runs, or "
            "the stretches between their gaps, are this short. Either lower window_size, or raise max_gap."
        )
        return
    torn = _share_of_short(np.union1d(starts, _torn_rows(index)), len(index.runs), window_size)
    if torn > SHORT_ROWS:
        warn(
            f"{torn:.0%} of the rows have fewer than window_size={window_size} unbroken rows of history: rows are lost "
            "at random. If a splitter has torn the log, use RunKFold, which keeps runs whole, or RunTimeSplit.",
            TornLogWarning,
        )


def warn_of_other_steps(index: RowIndex, learnt: Any) -> None:
    """Warn when runs are sampled much faster or slower than those in `fit`, whose usual steps lay within `learnt`."""
    steps = usual_steps(index)
    fastest, slowest = learnt
    others = steps[((steps > OTHER_STEP * slowest) | (steps < fastest / OTHER_STEP)) & (steps > 0)]
    if not len(others) or not slowest:
        return
    seen = _tell_step(fastest, index) + (f" to {_tell_step(slowest, index)}" if slowest > OTHER_STEP * fastest else "")
    who = "The log has" if len(steps) == 1 else f"Of {len(steps)} runs, {len(others)} have"
    warn(
        f"{who} a row every {_tell_step(float(others[0]), index)}, but fit saw one "
        f"every {seen}: windows span another time than those learnt. Resample the log, or fit on one like it."
    )


def _tell_step(step: float, index: RowIndex) -> str:
    if not index.is_datetime:
        return f"{step:g}"
    return str(pd.Timedelta(round(step), "ns")).removeprefix("0 days ")


def _share_of_short(starts: np.ndarray, n_rows: int, window_size: int) -> float:
    """Return the share of rows with fewer than `window_size` rows since the start of theirs."""
    lengths = np.diff(np.append(starts, n_rows))
    return float(np.minimum(lengths, window_size - 1).sum() / n_rows)


def _torn_rows(index: RowIndex) -> np.ndarray:
    """Return the rows whose neighbour a splitter seems to have taken.

    Without a regular step no neighbour is known to be lost. A few lost rows are the way of sensors, and so are those
    that recur at even distances, but many at random betray a splitter that shuffles.
    """
    regular = _regular_step(index)
    if regular is None:
        return np.empty(0, dtype=np.intp)
    lost = _lost_neighbours(index, regular)
    between = np.diff(lost)
    likely = len(lost) > 1 and TORN_BREAKS[0] < len(lost) / len(index.runs) < TORN_BREAKS[1]
    return lost if likely and between.std() > EVENLY_SPREAD * between.mean() else np.empty(0, dtype=np.intp)


def _lost_neighbours(index: RowIndex, regular: float) -> np.ndarray:
    """Return the rows before which a row of their run is lost."""
    lost = np.zeros(len(index.runs), dtype=bool)
    for begin in range(0, len(lost) - 1, BLOCK_ROWS):  # all steps at once would be a second log in memory
        times, runs = (part[begin : begin + BLOCK_ROWS + 1] for part in (index.times, index.runs))
        n_steps = np.rint(np.diff(times) / regular)
        lost[begin + 1 : begin + len(times)] = (n_steps > 1) & (runs[1:] == runs[:-1])
    return np.flatnonzero(lost)


def _regular_step(index: RowIndex) -> float | None:
    """Return the step of a log whose rows are, but for lost ones, equally far apart."""
    every = 1 + len(index.times) // SAMPLED_STEPS
    same_run = index.runs[1::every] == index.runs[:-1:every]
    steps: FloatArray = (index.times[1::every] - index.times[:-1:every])[same_run]
    if not len(steps):
        return None
    usual = float(np.quantile(steps, USUAL_STEP, method="lower"))
    n_steps = steps / usual
    return usual if np.mean(np.abs(n_steps - np.rint(n_steps)) < REGULAR_JITTER) > REGULAR_SHARE else None
