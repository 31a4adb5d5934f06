"""The threshold that does best on labelled rows."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix_at_thresholds

from ._validation import Interval, StrOptions
from .tails import FloatArray
from .threshold_base import ScoreThreshold, read_labels, read_values

__all__ = ["LabelledThreshold"]

MAX_CANDIDATES = 200  # thresholds at which a measure of one's own is taken


class LabelledThreshold(ScoreThreshold):
    """The threshold with the best measure on labelled rows held out from training.

    Parameters
    ----------
    measure : {"fbeta", "mcc", "cost"} or callable, default="fbeta"
        What is made largest: the F-beta score, Matthews' correlation, or minus the mean cost of a row. Or a function of
        (y_true, y_pred), such as an event-wise measure, which gets Series with the index of `y` and returns a number,
        NaN where it is undefined; it is taken at up to 200 thresholds, evenly spread over the scores.
    beta : float, default=0.5
        Weight of recall beside precision in "fbeta". Below one, false alarms hurt more.
    miss_cost : float, default=10.0
        Cost of a missed row of an event in "cost", where that of a falsely flagged row is one.

    Attributes
    ----------
    threshold_ : float
        Rows with a higher score are flagged. Halfway between two neighbouring scores, so that noise in the last bit
        does not matter.
    best_score_ : float
        The measure there. It is the best of many, so that other rows will give less.

    Raises
    ------
    ValueError
        In `fit`, when `y` is missing or holds one class only, or a callable measure is nowhere defined.

    See Also
    --------
    AutoThreshold : From quiet rows alone.

    Notes
    -----
    Fit it on rows that neither the model was trained on nor is tested on. The best of few events is a matter of luck:
    below about five of them, a budget of false alarms carries over better.

    References
    ----------
    Elkan, "The foundations of cost-sensitive learning", 2001.
    Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", 2014.

    Examples
    --------
    >>> from eventlstm.thresholds import LabelledThreshold
    >>> LabelledThreshold().fit([0.1, 0.2, 0.6, 0.4, 0.9], [0, 0, 1, 0, 1]).threshold_
    0.5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "measure": [StrOptions({"fbeta", "mcc", "cost"}), callable],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "miss_cost": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, measure: str | Callable[..., float] = "fbeta", *, beta: float = 0.5, miss_cost: float = 10.0
    ) -> None:
        self.measure = measure
        self.beta = beta
        self.miss_cost = miss_cost

    def _fit(self, score: Any, y: Any) -> None:
        if y is None:
            raise ValueError("LabelledThreshold needs labels: fit(score, y). Without any, take AutoThreshold.")
        values, labels = read_values(score), read_labels(score, y)
        if np.isnan(values).all() or len(np.unique(labels[~np.isnan(values)])) < 2:
            raise ValueError("y holds one class only where score is not NaN. Pass rows with and without an event.")
        thresholds, values_at = self._measured(values, labels, y)
        if np.isnan(values_at).all():
            raise ValueError("measure is NaN at all thresholds. Pass rows on which it is defined.")
        best = int(np.nanargmax(values_at))
        self.threshold_, self.best_score_ = float(thresholds[best]), float(values_at[best])

    def _measured(self, values: FloatArray, labels: np.ndarray, y: Any) -> tuple[FloatArray, FloatArray]:
        """Return thresholds from the one that flags nothing down, and the measure at each."""
        if callable(self.measure):
            thresholds = _thin(_between(np.unique(values[~np.isnan(values)])[::-1]))
            index = y.index if isinstance(y, pd.Series) else None
            y_true = pd.Series(labels.astype(int), index=index)
            flags = (pd.Series((values > level).astype(int), index=index) for level in thresholds)
            return thresholds, np.array([self.measure(y_true, flag) for flag in flags], dtype=np.float64)
        seen = ~np.isnan(values)
        tn, fp, fn, tp, levels = confusion_matrix_at_thresholds(labels[seen], values[seen])
        n_event, n_quiet = labels[seen].sum(), (~labels[seen]).sum()
        tn, fp = np.append(n_quiet, tn), np.append(0, fp)
        fn, tp = np.append(n_event, fn), np.append(0, tp)
        return _between(levels), self._of_counts(tn, fp, fn, tp)

    def _of_counts(self, tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
        if self.measure == "cost":
            return -(self.miss_cost * fn + fp) / (tn + fp + fn + tp)
        if self.measure == "mcc":
            spread = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
            return (tp * tn - fp * fn) / np.where(spread > 0, spread, 1.0)
        weight = self.beta**2
        return (1.0 + weight) * tp / ((1.0 + weight) * tp + weight * fn + fp)


def _between(levels: FloatArray) -> FloatArray:
    """Return the thresholds of falling scores: the highest, which flags none, those between, and one that flags all."""
    middle = levels[1:] + (levels[:-1] - levels[1:]) / 2.0
    # nothing lies between two neighbouring floats, and a score is not above itself
    middle = np.where(middle < levels[:-1], middle, levels[1:])
    return np.concatenate([levels[:1], middle, np.nextafter(levels[-1:], -np.inf)])


def _thin(thresholds: FloatArray) -> FloatArray:
    """Return at most MAX_CANDIDATES of the thresholds, evenly spread."""
    spread = np.linspace(0, len(thresholds) - 1, min(len(thresholds), MAX_CANDIDATES))
    return thresholds[np.unique(spread.round().astype(int))]
