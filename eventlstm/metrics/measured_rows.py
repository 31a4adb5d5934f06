"""What every measure takes: labels and scores of rows, with the run and the time of each from the labels' index."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..logs.events import check_flags, find_events
from ..logs.index import RowIndex, read_index
from ..logs.shared import BoolArray, IntArray
from ..logs.steps import cut_stretches, longest_steps, observed_times, usual_steps


class StatedTimes(NamedTuple):
    """What rows cannot tell of their times where others between them were left out."""

    observed: npt.NDArray[np.float64]  # (n_rows,) how long each row stands for, those after it that were left out too
    median_step: float


class MeasuredRows(NamedTuple):
    """The labels of rows and what the index says of them."""

    events: BoolArray  # (n_rows,) whether each row is of an event
    rows: RowIndex
    starts: IntArray  # (n_stretches,) first row of each stretch; no event, alarm or buffer crosses into the next
    max_gap: Any = None  # the longest step within a stretch, as the user gave it
    stated: StatedTimes | None = None  # where rows were left out between these

    @property
    def true_events(self) -> tuple[IntArray, IntArray]:
        """The first and the last row of each event."""
        return find_events(self.events, self.starts)

    @property
    def stops(self) -> IntArray:
        """The row after the last of each stretch."""
        return np.append(self.starts[1:], len(self.events))

    @property
    def borders(self) -> tuple[IntArray, IntArray]:
        """The first row of each stretch, and the row after its last."""
        return self.starts, self.stops

    def stretch_of(self, at: IntArray) -> IntArray:
        """Return the numbers of the stretches that some rows are in."""
        return np.searchsorted(self.starts, at, side="right") - 1

    @property
    def median_step(self) -> float:
        """The usual time between two rows of a run, 0 where no run has two."""
        if self.stated is not None:
            return self.stated.median_step
        steps = usual_steps(self.rows)
        return float(np.median(steps)) if len(steps) else 0.0

    def observed_time(self) -> npt.NDArray[np.float64]:
        """Return how long each row stands for, see `observed_times`; `max_gap` says what a gap is."""
        if self.stated is not None:
            return self.stated.observed
        return observed_times(self.rows, "auto" if self.max_gap is None else self.max_gap)

    def length(self, span: Any, name: str) -> float:
        """Return a span, which is a number of rows if it is an int, in the unit of the times."""
        if isinstance(span, Integral):
            return _check_rows(span, name) * self.median_step
        return float(self.rows.span(span, name))

    def reach_back(self, at: IntArray, span: Any, name: str) -> IntArray:
        """Return the first row that is at most a span before each of some rows, in the same stretch."""
        begin = self.starts[self.stretch_of(at)]
        if isinstance(span, Integral):
            return np.maximum(at - _check_rows(span, name), begin)
        times, length = self.rows.times, self.rows.span(span, name)
        rows = [b + np.searchsorted(times[b:a], times[a] - length) for b, a in zip(begin, at, strict=True)]
        return np.array(rows, dtype=np.intp)

    def reach_on(self, at: IntArray, span: Any, name: str) -> IntArray:
        """Return the last row that is at most a span after each of some rows, in the same stretch."""
        stop = self.stops[self.stretch_of(at)]
        if isinstance(span, Integral):
            return np.minimum(at + _check_rows(span, name), stop - 1)
        times, length = self.rows.times, self.rows.span(span, name)
        pairs = zip(at, stop, strict=True)
        return np.array([a + np.searchsorted(times[a:s], times[a] + length, "right") - 1 for a, s in pairs], np.intp)


def read_rows(y_true: Any, max_gap: Any = None) -> MeasuredRows:
    """Return the labels of rows and what their index says; `max_gap` is the longest step within a stretch."""
    events = check_flags(y_true, "y_true")
    rows = read_index(y_true)
    return MeasuredRows(events, rows, cut_stretches(rows, longest_steps(rows, max_gap)), max_gap)


def read_flags(y_pred: Any, y_true: Any) -> BoolArray:
    """Return whether each row is flagged, by predictions of the rows of `y_true`."""
    _refuse_other_rows(y_pred, y_true, "y_pred")
    return check_flags(y_pred, "y_pred")


def read_scores(y_score: Any, y_true: Any) -> npt.NDArray[np.float64]:
    """Return the scores of the rows of `y_true` as numbers, of which none is missing."""
    _refuse_other_rows(y_score, y_true, "y_score")
    scores = np.asarray(y_score, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(
            f"y_score has shape {scores.shape}. Pass one score per row; of probabilities of two classes, y_score[:, 1]."
        )
    if np.isnan(scores).any():
        raise ValueError(
            f"y_score holds NaN in {int(np.isnan(scores).sum())} rows. Leave these rows out of y_true and y_score, "
            "or give them the lowest score if nothing was to be seen there."
        )
    return scores


def _refuse_other_rows(values: Any, y_true: Any, name: str) -> None:
    """Refuse predictions of other rows than those of `y_true`."""
    if len(values) != len(y_true):
        raise ValueError(f"{name} has {len(values)} rows and y_true {len(y_true)}. Pass both of the same rows.")
    own, index = getattr(values, "index", None), getattr(y_true, "index", None)
    if isinstance(own, pd.Index) and isinstance(index, pd.Index) and not own.equals(index):
        raise ValueError(f"{name} has another index than y_true. Align it: {name} = {name}.loc[y_true.index].")


def _check_rows(span: Any, name: str) -> int:
    if span < 0:
        raise ValueError(f"{name}={span} is negative. Pass zero or more rows.")
    return int(span)
