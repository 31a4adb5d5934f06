"""The threshold that does best on labelled rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix_at_thresholds
from sklearn.utils import check_consistent_length

from .._validation import Interval, StrOptions, check_sample_weight
from ..logs.events import row_labels
from ..logs.index import read_index
from ..logs.plain_labels import plain_labels
from ..logs.shared import FloatArray, IntArray
from .alarm_policy import AlarmPolicy
from .policy_choice import PolicyAlarms, quiet_days
from .score_threshold import ScoreThreshold, read_labels, read_values

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
            return _mcc(tn, fp, fn, tp)
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


def choose_threshold(
    y_true: Any,
    y_score: Any,
    *,
    objective: str = "mcc",
    max_false_alarms_per_day: float | None = None,
    min_precision: float | None = None,
    min_recall: float | None = None,
    cost: tuple[float, float] | None = None,
    policy: AlarmPolicy | None = None,
    sample_weight: Any = None,
) -> float:
    """Return the threshold at which ``y_score > threshold`` does best on labelled rows held out from training.

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
    policy : AlarmPolicy, default=None
        The rules that will make alarms of the scores: false alarms, missed events, and every measure but "mcc" are then
        of the alarms that they make, found among up to 200 thresholds, and of those that do as well, the one with the
        best "mcc" is taken. Its own threshold is not used. By default an alarm is a stretch of flagged rows, and
        objectives and `min_recall` are of rows.
    sample_weight : array-like of shape (n_rows,), default=None
        How many rows each stands for, as where quiet rows are a sample (`read_excerpt`). Alarms and events count by the
        weight of the row they begin at.

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
    weight = check_sample_weight(sample_weight, scores, dtype=np.float64, ensure_non_negative=True)
    _refuse_one_class(labels[weight > 0])
    matrix = confusion_matrix_at_thresholds(labels, scores, sample_weight=weight)
    *counts, thresholds = (column[::-1] for column in matrix)
    between = _between(thresholds[::-1])[:0:-1]
    if policy is not None:
        kept = _spread(counts[1] + counts[3])
        *counts, thresholds, between = (column[kept] for column in (*counts, thresholds, between))
    measure = _measures(y_true, y_score, labels, scores, thresholds, counts, policy, weight)
    value = measure[objective]() if cost is None else -measure["cost"](*cost)
    limits = {
        "max_false_alarms_per_day": (max_false_alarms_per_day, lambda: -measure["false_per_day"]()),
        "min_precision": (min_precision, measure["precision"]),
        "min_recall": (min_recall, measure["recall"]),
    }
    allowed = _allowed(limits, len(thresholds))
    best = np.flatnonzero(allowed & (value == value[allowed].max()))
    if policy is not None:
        return float(between[best[np.argmax(_mcc(*counts)[best])]])
    fewest_flags = cost is not None or objective == "recall"  # which do not mind how long false alarms last
    return float(between[best[-1 if fewest_flags else 0]])


def _spread(n_flagged: FloatArray) -> IntArray:
    """Return at most MAX_CANDIDATES places among falling numbers of flagged rows, in ratios, for events are rare."""
    wanted = np.geomspace(1, n_flagged[0], MAX_CANDIDATES)
    return np.unique(len(n_flagged) - 1 - np.searchsorted(n_flagged[::-1], wanted))


def _measures(
    y_true: Any,
    y_score: Any,
    labels: np.ndarray,
    scores: FloatArray,
    thresholds: FloatArray,
    counts: list[FloatArray],
    policy: AlarmPolicy | None,
    weight: FloatArray,
) -> dict[str, Callable[..., FloatArray]]:
    """Return what is measured at each threshold, by name, when it is asked for: of rows, or of a policy's alarms."""
    of_rows = {name: partial(measure, *counts) for name, measure in OBJECTIVES.items()}
    if policy is None:
        alarms = partial(_Alarms, y_true, y_score, labels == 1, scores, thresholds, weight)
        return of_rows | {
            "cost": lambda *cost: alarms().cost(*cost),
            "false_per_day": lambda: alarms().false_per_day(),
        }
    event = pd.Series(labels, row_labels(y_true, y_score))
    made = PolicyAlarms(event, scores, policy, thresholds, weight)
    return of_rows | {name: getattr(made, name) for name in ("f1", "recall", "precision", "cost", "false_per_day")}


def _check(y_true: Any, y_score: Any, objective: str, cost: Any) -> tuple[np.ndarray, FloatArray]:
    check_consistent_length(y_true, y_score)
    labels, scores = plain_labels(y_true, "y_true", "0 and 1 are"), np.asarray(y_score, dtype=np.float64)
    if objective not in OBJECTIVES:
        raise ValueError(f"objective={objective!r} is unknown. Choose one of {list(OBJECTIVES)}.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y_true holds {np.unique(labels)[:5]}, where 0 and 1 are wanted. Pass y == 'fault', say.")
    _refuse_one_class(labels)
    if cost is not None and not (np.shape(cost) == (2,) and np.min(cost) >= 0 and np.isfinite(cost).all()):
        raise ValueError(f"cost={cost!r} came. Pass what a missed event and a false alarm cost, such as (100, 1).")
    return labels, scores


def _refuse_one_class(labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError("y_true holds one class only. Choose a threshold on rows with and without an event.")


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


class _Alarms:
    """The alarms that scores raise, at each of the rising `thresholds` at once."""

    def __init__(
        self,
        y_true: Any,
        y_score: Any,
        event: np.ndarray,
        scores: FloatArray,
        thresholds: FloatArray,
        weight: FloatArray,
    ) -> None:
        self.rows = read_index(y_true if isinstance(y_true, pd.Series) else y_score)
        self.event, self.weight = event, weight
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
        return self._false() / quiet_days(self.rows, self.event, self.weight)

    def _starts(self) -> IntArray:
        return self.rows.run_starts

    def _false(self) -> FloatArray:
        """Return the most false alarms at each threshold and any above it."""
        begins = ~self.event & (self.first < self.stop)
        weight = self.weight[begins]
        change = self._count(self.first[begins], weight) - self._count(self.stop[begins], weight)
        most: FloatArray = np.maximum.accumulate(np.cumsum(change)[-2::-1])[::-1].astype(np.float64)
        return most

    def _missed(self) -> FloatArray:
        """Return the number of events in which no alarm begins, each by the weight of its first row."""
        rows = np.flatnonzero(self.event)
        new = np.diff(rows, prepend=-2) > 1
        new |= np.isin(rows, self._starts())
        missed = np.zeros(self.n_thresholds)
        for event in np.split(rows, np.flatnonzero(new)[1:]):
            begins = event[self.first[event] < self.stop[event]]
            change = self._count(self.first[begins]) - self._count(self.stop[begins])
            missed += self.weight[event[0]] * (np.cumsum(change[:-1]) == 0)
        return missed

    def _count(self, places: IntArray, weight: FloatArray | None = None) -> np.ndarray:
        return np.bincount(places, weights=weight, minlength=self.n_thresholds + 1)


def _mcc(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    """Return Matthews' correlation, which is 0 where all rows are flagged."""
    spread = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return (tp * tn - fp * fn) / np.where(spread > 0, spread, 1.0)


def _f1(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    return 2 * tp / (2 * tp + fp + fn)


def _recall(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    return tp / (tp + fn)


def _precision(tn: FloatArray, fp: FloatArray, fn: FloatArray, tp: FloatArray) -> FloatArray:
    return tp / (tp + fp)  # a threshold is one of the scores, so that a row is flagged


OBJECTIVES = {"mcc": _mcc, "f1": _f1, "recall": _recall, "precision": _precision}
