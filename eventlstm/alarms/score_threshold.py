"""What thresholds share: reading scores, flagging rows, and saying when held-out rows are too few to know.

Scores are ``(n_rows,)``, high where abnormal, with the run and the time of each row in the index of a Series; those of
an array are one run, a row a step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length

from .._validation import Interval, check_is_fitted, fit_context
from ..logs.index import RowIndex, read_index
from ..logs.plain_labels import plain_labels
from ..logs.shared import NANOSECONDS_A_DAY, FloatArray, IntArray, warn
from ..logs.steps import cut_stretches, longest_steps, usual_steps
from ..logs.units import tell_length, tell_number

RATE = Interval(Real, 0, 1, closed="neither")
TAIL_LEVEL = 0.98  # that of Siffer et al., 2017
MIN_ROWS = 2
# Independent exceedances that held-out rows are expected to show at the threshold. With two, eight thresholds in ten
# let through from .3 to 3 times what was asked; with half of one, up to 7 times (skewed scores of AR(.9) and AR(.95),
# 40 draws each).
MIN_EXPECTED = 1.0
# Share of quiet time under alarm, or of quiet rows above a threshold, from which on the number of alarms says little.
# At an alarm a day, the default, which holds 15 rows, 12 % of rows ten minutes apart are under alarm, and 6 to 25 % of
# rows an hour apart above the threshold; of scores that drift it was 35 to 65 %, and all where an alarm does not end.
MUCH_UNDER_ALARM = 0.25


class ScoreThreshold(ABC, BaseEstimator):
    """A threshold on scores that is learned from scores; what `_fit` sets as `threshold_`, `flag` compares with."""

    threshold_: float

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, score: Any, y: Any = None) -> Self:
        """Learn the threshold.

        Parameters
        ----------
        score : Series or array-like of shape (n_rows,)
            Scores, high where abnormal, with run and time in the index. Rows whose score is NaN are left out.
        y : Series or array-like of shape (n_rows,), optional
            1 on rows of an event, else 0.

        Returns
        -------
        self : object
            The fitted threshold.
        """
        doubt = self._fit(score, y)
        if doubt is not None:
            warn(doubt)
        return self

    def flag(self, score: Any) -> Any:
        """Return which rows are above the threshold.

        Parameters
        ----------
        score : Series or array-like of shape (n_rows,)
            Scores, high where abnormal.

        Returns
        -------
        Series or ndarray of bool of shape (n_rows,)
            Whether each score is above the threshold; False where it is NaN. A Series keeps its index.
        """
        check_is_fitted(self, "threshold_")
        flags = read_values(score) > self.threshold_
        return pd.Series(flags, index=score.index) if isinstance(score, pd.Series) else flags

    @abstractmethod
    def _fit(self, score: Any, y: Any) -> str | None:
        """Set `threshold_`, and return what there is to warn of."""


class Scores(NamedTuple):
    """Scores without those that do not count."""

    values: FloatArray  # (n_rows,)
    starts: IntArray  # (n_stretches,) first row of each stretch
    rows: RowIndex  # of the rows that count

    @property
    def step(self) -> float:
        """The usual time from row to row, in the unit of the index."""
        steps = self._steps()
        return float(np.median(steps)) if len(steps) else 1.0

    @property
    def days(self) -> float:
        """The time observed: that of stretches, each with a step more than lies between its rows."""
        lasts = usual_steps(self.rows)[self.rows.runs[self.starts]]  # the last row of a stretch stands for a step
        return float(self._steps().sum() + lasts.sum()) / NANOSECONDS_A_DAY

    def _steps(self) -> np.ndarray:
        return np.delete(np.diff(self.rows.times), self.starts[1:] - 1)

    def n_rows_in(self, span: Any, name: str) -> int:
        """Return a length of time as rows: as it is when it came as a whole number, else by the usual step."""
        return int(span) if isinstance(span, int | np.integer) else round(self.rows.span(span, name) / self.step)


def read_quiet(score: Any, y: Any) -> Scores:
    """Return the scores of rows without an event; what is left out is a gap in time."""
    values = read_values(score)
    counts = ~np.isnan(values)
    if y is not None:
        counts &= ~read_labels(score, y)
    if counts.sum() < MIN_ROWS:
        raise ValueError(
            f"{int(counts.sum())} of {len(values)} scores are of quiet rows and not NaN, but {MIN_ROWS} are needed at "
            "least. Hold out more quiet rows."
        )
    rows = read_index(score)
    rows = rows.take(counts)
    return Scores(values[counts], cut_stretches(rows, longest_steps(rows, "auto")), rows)


def read_values(score: Any) -> FloatArray:
    """Return scores as numbers."""
    values = np.asarray(score, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"score has shape {values.shape}, but one score per row is wanted. Pass a Series or an array of (n_rows,)."
        )
    if np.isinf(values).any():
        raise ValueError("score contains infinity. Clip it to a finite value, or put NaN where a row has no score.")
    return values


def read_labels(score: Any, y: Any) -> np.ndarray:
    """Return whether each row is of an event."""
    check_consistent_length(score, y)
    if isinstance(score, pd.Series) and isinstance(y, pd.Series) and not score.index.equals(y.index):
        raise ValueError("y has other rows than score: their indexes differ. Align it: y = y.loc[score.index].")
    labels = plain_labels(y, "y", "0 and 1 are")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y holds {np.unique(labels)[:5]}, where 0 and 1 are wanted. Pass y == 'fault', say.")
    return labels == 1


def refuse_rate_below_level(rate: float, level: float) -> None:
    """Refuse a share of rows that the tail above a level does not reach down to."""
    if rate >= 1.0 - level:
        raise ValueError(
            f"false_alarm_rate={rate:g} is not below 1 - level, {1.0 - level:g}, where the tail begins. Lower the "
            f"rate, or the level to less than {1.0 - rate:g}, or take QuantileThreshold."
        )


def doubt_of_rows(n_rows: int, n_independent: float, rate: float) -> str | None:
    """Return what to say when rows held out are too few for a rate of false alarms a row."""
    expected = n_independent * rate
    if expected >= MIN_EXPECTED:
        return None
    needed = np.ceil(n_rows * MIN_EXPECTED / expected)
    return (
        f"{n_rows} rows are worth {n_independent:.0f} independent ones, of which {expected:.2g} are expected above the "
        f"threshold at false_alarm_rate={rate:g}: the threshold is a guess. Hold out {needed:.0f} rows or more, ten "
        f"times as many to be sure of it, or take false_alarm_rate={MIN_EXPECTED / n_independent:.2g}."
    )


def doubt_of_days(days: float, expected: float, budget: float) -> str | None:
    """Return what to say when rows held out cover too little time for a number of false alarms a day."""
    if expected >= MIN_EXPECTED:
        return None
    short = MIN_EXPECTED / expected
    larger = tell_number(budget * short, 2)
    held_out, wanted = (tell_length(length * NANOSECONDS_A_DAY) for length in (days, days * short))
    return (
        f"{held_out} of quiet rows hold {expected:.2g} of the independent alarms that "
        f"max_false_alarms_per_day={budget:g} allows: the threshold is a guess. Hold out {wanted} or "
        f"more, ten times as many to be sure of it, or take max_false_alarms_per_day={larger}."
    )


def doubt_of_share(values: FloatArray, threshold: float, asked: float | None) -> str | None:
    """Return what to say where many quiet rows are above a threshold, however few alarms they make."""
    share = float((values > threshold).mean())
    if share <= max(MUCH_UNDER_ALARM, asked or 0.0):
        return None
    return (
        f"{share:.0%} of the quiet rows are above the threshold, so that the number of alarms says little: they are "
        "long. The scores drift, the rows are not quiet, or the budget is large for their time step: leave out what is "
        "not quiet, hold out other rows, or lower the budget."
    )
