"""The choice of a threshold on labelled rows that the model has not seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import confusion_matrix_at_thresholds
from sklearn.utils import check_consistent_length

from .log_index import AUTO_GAP_STEPS, IntArray, cut_stretches, longest_step, read_index

__all__ = ["choose_threshold"]

FloatArray = npt.NDArray[np.float64]

DAY = 86_400 * 10**9  # nanoseconds


def choose_threshold(
    y_true: Any,
    y_score: Any,
    *,
    objective: str = "mcc",
    max_false_alarms_per_day: float | None = None,
    min_precision: float | None = None,
    min_recall: float | None = None,
    cost: tuple[float, float] | None = None,
) -> float:
    """Return the threshold at which ``y_score >= threshold`` does best on labelled rows held out from training.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Where alarms are counted, its index says run and time; that of `y_score` does
        where `y_true` has none.
    y_score : Series or array-like of shape (n_rows,)
        Scores that rise with the danger. Never those of the rows the model was trained on, nor of those it is tested
        on.
    objective : {"mcc", "f1", "recall", "precision"}, default="mcc"
        What is made largest, over rows: Matthews' correlation, the F1 score, recall or precision. The last two are
        of use under a limit on the other, or on false alarms.
    max_false_alarms_per_day : float, default=None
        The most alarms outside of events in a day of a machine's quiet rows. It needs an index of date-times.
    min_precision : float, default=None
        The least share of flagged rows that belong to an event.
    min_recall : float, default=None
        The least share of rows of events that are flagged.
    cost : tuple of (float, float), default=None
        What a missed event and what a false alarm cost, in any unit. With it, the threshold of the least cost within
        the limits is returned, and `objective` is not asked.

    Returns
    -------
    float
        The threshold, halfway between two neighbouring scores, so that noise in the last bit does not matter.

    Raises
    ------
    ValueError
        If `y_true` holds but one class, `objective` is unknown, a limit is out of range, no threshold keeps all
        limits, or days are to be counted without date-times.

    See Also
    --------
    sklearn.model_selection.FixedThresholdClassifier : Wraps a fitted model with the threshold.

    Notes
    -----
    An alarm is an unbroken stretch of flagged rows of one run, and a false one if it begins outside of an event; an
    event is missed if no alarm begins in it. As the threshold falls, neighbouring false alarms melt into one, in the
    end into one that never stops. They stay counted: the number of false alarms at a threshold is the largest at any
    threshold from there up. A row stands for the time until the next, but for the median step before a gap of more
    than ten times that.

    The best threshold on few events is an uncertain one. Look at the interval of what it promises
    (`metrics.bootstrap_interval`), and measure it on other rows.

    Examples
    --------
    >>> from eventlstm import choose_threshold
    >>> choose_threshold([0, 0, 1, 0, 1], [0.1, 0.2, 0.6, 0.4, 0.9])
    0.5
    >>> choose_threshold([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.9], objective="recall", min_precision=0.8)
    0.65

    An event may cost a hundred false alarms:

    >>> choose_threshold([0, 1, 0, 0, 0, 1], [0.1, 0.3, 0.1, 0.5, 0.1, 0.9], cost=(100, 1))
    0.2

    Any classifier takes the threshold over, when it has been fitted before:

    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import FixedThresholdClassifier
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> model = LogisticRegression().fit(X, y)
    >>> threshold = choose_threshold(y, model.predict_proba(X)[:, 1])
    >>> alarming = FixedThresholdClassifier(FrozenEstimator(model), threshold=threshold, pos_label=1).fit(X, y)
    >>> alarming.predict(X).tolist()
    [0, 0, 1, 1]
    """
    labels, scores = _check(y_true, y_score, objective, cost)
    *counts, thresholds = (column[::-1] for column in confusion_matrix_at_thresholds(labels, scores))
    alarms = partial(_Alarms, y_true, y_score, labels == 1, scores, thresholds)
    value = OBJECTIVES[objective](*counts) if cost is None else -alarms().cost(*cost)
    limits = {
        "max_false_alarms_per_day": (max_false_alarms_per_day, lambda: -alarms().false_per_day()),
        "min_precision": (min_precision, lambda: _precision(*counts)),
        "min_recall": (min_recall, lambda: _recall(*counts)),
    }
    allowed = _allowed(limits, len(thresholds))
    best = np.flatnonzero(allowed & (value == value[allowed].max()))
    fewest_flags = cost is not None or objective == "recall"  # which do not mind how long false alarms last
    return _halfway(thresholds, int(best[-1 if fewest_flags else 0]))


def _check(y_true: Any, y_score: Any, objective: str, cost: Any) -> tuple[np.ndarray, FloatArray]:
    check_consistent_length(y_true, y_score)
    labels, scores = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    if objective not in OBJECTIVES:
        raise ValueError(f"objective={objective!r} is unknown. Choose one of {list(OBJECTIVES)}.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y_true holds {np.unique(labels)[:5]}, where 0 and 1 are wanted. Pass y == 'fault', say.")
    if len(np.unique(labels)) < 2:
        raise ValueError("y_true holds one class only. Choose a threshold on rows with and without an event.")
    if cost is not None and not (np.shape(cost) == (2,) and np.min(cost) >= 0 and np.isfinite(cost).all()):
        raise ValueError(f"cost={cost!r} came. Pass what a missed event and a false alarm cost, such as (100, 1).")
    return labels, scores


def _allowed(limits: dict[str, tuple[float | None, Callable[[], FloatArray]]], n_thresholds: int) -> np.ndarray:
    """Return which thresholds keep all limits; one on a false alarm rate is a limit on its negative."""
    allowed = np.ones(n_thresholds, dtype=bool)
    for name, (limit, measure) in limits.items():
        if limit is None:
            continue
        highest = np.inf if name.startswith("max") else 1.0
        if not 0 <= limit <= highest:
            raise ValueError(f"{name}={limit!r} is out of range. Pass a number from 0 to {highest:g}.")
        value = measure()
        kept = value >= (-limit if name.startswith("max") else limit)
        if not (allowed & kept).any():
            raise ValueError(
                f"No threshold keeps {name}={limit!r}{' and the limits before it' if kept.any() else ''}: the best is "
                f"{abs(value[allowed].max()):.3g}. Loosen the limits, or improve the scores."
            )
        allowed &= kept
    return allowed


def _halfway(thresholds: FloatArray, best: int) -> float:
    if best == 0:
        return float(thresholds[0])
    below, at = thresholds[best - 1], thresholds[best]
    middle = below + (at - below) / 2
    return float(middle if middle > below else at)  # nothing lies between two neighbouring floats


class _Alarms:
    """The alarms that scores raise, at each of the rising `thresholds` at once."""

    def __init__(
        self, y_true: Any, y_score: Any, event: np.ndarray, scores: FloatArray, thresholds: FloatArray
    ) -> None:
        self.rows = read_index(y_true if isinstance(y_true, pd.Series) else y_score)
        self.event = event
        before = np.append(-np.inf, scores[:-1])
        before[self._starts()] = -np.inf
        # an alarm begins at a row at thresholds over the score before and up to its own: from number `first` to `stop`
        self.first = np.searchsorted(thresholds, before, side="right")
        self.stop = np.searchsorted(thresholds, scores, side="right")
        self.n_thresholds = len(thresholds)

    def cost(self, of_miss: float, of_false_alarm: float) -> FloatArray:
        """Return what missed events and false alarms cost."""
        return of_miss * self._missed() + of_false_alarm * self._false()

    def false_per_day(self) -> FloatArray:
        """Return the false alarms in a day of quiet rows."""
        if not self.rows.is_datetime:
            raise ValueError(
                "max_false_alarms_per_day counts days, but the index of y_true holds no date-times. Pass a Series "
                "with the index of the log, or limit the rows by min_precision."
            )
        longest = longest_step(self.rows, "auto")
        steps = np.diff(self.rows.times, append=self.rows.times[-1:]).astype(np.float64)
        ends = np.append(self._starts()[1:], len(steps)) - 1
        steps[ends] = np.inf
        steps[steps > longest] = longest / AUTO_GAP_STEPS
        return self._false() / (steps[~self.event].sum() / DAY)

    def _starts(self) -> IntArray:
        return cut_stretches(self.rows, np.inf)

    def _false(self) -> FloatArray:
        """Return the most false alarms at each threshold and any above it."""
        begins = ~self.event & (self.first < self.stop)
        change = np.bincount(self.first[begins], minlength=self.n_thresholds + 1)
        change -= np.bincount(self.stop[begins], minlength=self.n_thresholds + 1)
        return np.maximum.accumulate(np.cumsum(change)[-2::-1])[::-1].astype(np.float64)

    def _missed(self) -> FloatArray:
        """Return the number of events in which no alarm begins."""
        rows = np.flatnonzero(self.event)
        new = np.diff(rows, prepend=-2) > 1
        new |= np.isin(rows, self._starts())
        missed = np.zeros(self.n_thresholds)
        for event in np.split(rows, np.flatnonzero(new)[1:]):
            begins = event[self.first[event] < self.stop[event]]
            change = np.bincount(self.first[begins], minlength=self.n_thresholds + 1)
            change -= np.bincount(self.stop[begins], minlength=self.n_thresholds + 1)
            missed += np.cumsum(change[:-1]) == 0
        return missed


def _mcc(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    """Return Matthews' correlation, which is 0 where all rows are flagged."""
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / np.where(spread > 0, spread, 1.0)


def _f1(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    return 2 * tp / (2 * tp + fp + fn)


def _recall(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    return tp / (tp + fn)


def _precision(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    return tp / (tp + fp)  # a threshold is one of the scores, so that a row is flagged


OBJECTIVES = {"mcc": _mcc, "f1": _f1, "recall": _recall, "precision": _precision}
