"""What a fitted model says of rows, and from where on it alarms: one reader for plots, reports, scorers and commands.

A model may be a detector, a classifier or a pipeline that ends in one, inside of a search or behind a threshold of
scikit-learn's `FixedThresholdClassifier` or `TunedThresholdClassifierCV`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from ..logs.shared import FloatArray
from .alarm_policy import AlarmPolicy
from .policy_choice import suit_policy

# The probability above which a classifier without a threshold takes a row for one of an event.
HALF = 0.5
DEFAULT_WINDOW = 32  # rows of history beside a model that does not say how many it looks at


def score_rows(model: Any, X: Any) -> FloatArray:
    """Return a score for each row, high where abnormal, whatever the model's own sign.

    These are the `anomaly_score` of a detector, the probability of class 1 of a classifier, the negative of
    `score_samples` or of a detector's `decision_function`, which are low where abnormal, and the `decision_function` of
    a classifier and of PyOD's detectors, which are high.

    Raises
    ------
    ValueError
        If the classes of a classifier are not 0 and 1.
    TypeError
        If the model has no method that scores rows.
    """
    last = last_step(model)
    if hasattr(last, "anomaly_score"):
        return np.asarray(last.anomaly_score(before_last(model, X)), dtype=np.float64)
    if hasattr(last, "decision_scores_"):  # PyOD's
        return np.asarray(model.decision_function(X), dtype=np.float64)
    if hasattr(model, "predict_proba") and not _is_density(model):
        return of_event(model, np.asarray(model.predict_proba(X), dtype=np.float64))
    if hasattr(model, "score_samples"):
        return -np.asarray(model.score_samples(X), dtype=np.float64)
    if hasattr(model, "decision_function"):
        sign = 1.0 if hasattr(model, "__sklearn_tags__") and is_classifier(model) else -1.0
        return sign * np.asarray(model.decision_function(X), dtype=np.float64)
    raise TypeError(
        f"{type(model).__name__} has neither anomaly_score, predict_proba, score_samples nor decision_function. Pass "
        "scores that rise with the danger in place of the model."
    )


def threshold_of(model: Any) -> float | None:
    """Return the score that a row must be greater than to be flagged by the model, None where it does not say.

    scikit-learn's classifiers with a threshold flag the rows that reach it: of these, it is the next smaller number.
    """
    model = getattr(model, "best_estimator_", model)
    for name in ("best_threshold_", "threshold"):
        if hasattr(model, "predict_proba") and isinstance(getattr(model, name, None), int | float):
            return float(np.nextafter(getattr(model, name), -np.inf))
    last = last_step(model)
    if hasattr(last, "threshold_"):
        return float(last.threshold_)
    if hasattr(last, "offset_") and hasattr(last, "score_samples"):
        return float(-last.offset_)
    return None


def as_reached(threshold: float) -> float:
    """Return the number that is reached by the scores above a threshold, as scikit-learn's classifiers take it."""
    return float(np.nextafter(threshold, np.inf))


def policy_of(model: Any, y: Any = None) -> AlarmPolicy:
    """Return the rules for alarms that a model keeps, else those that suit the events it has learnt.

    A model that has learnt none, and is no detector with rules of its own, gets those that suit the events of `y`. None
    lasts over a gap that the model knows. Only rules that `eventlstm fit` chose come with a threshold.
    """
    inner = last_step(model)
    if hasattr(model, "alarm_policy_"):
        policy = clone(model.alarm_policy_)
    elif hasattr(inner, "merge_rows_"):
        policy = AlarmPolicy(merge_gap=inner.merge_rows_)
    else:
        policy = AlarmPolicy() if y is None or hasattr(inner, "anomaly_score") else suit_policy(y)
    longest = getattr(inner, "max_gap_", np.inf)
    if policy.max_gap is None and np.isfinite(longest):
        policy.set_params(max_gap=pd.Timedelta(int(longest), "ns") if inner.has_dates_ else longest)
    return policy


def make_policy(model: Any, policy: AlarmPolicy | None = None) -> AlarmPolicy:
    """Return the rules that make alarms of the scores of a fitted model: those that are given, or else its own.

    Where they bring no threshold it is that of the model, and one half of a classifier that says none, as `predict` has
    it.
    """
    if not isinstance(policy, AlarmPolicy | None):
        raise TypeError(f"policy={policy!r} is no AlarmPolicy. Pass AlarmPolicy(threshold=0.5), say.")
    chosen: AlarmPolicy = policy_of(model) if policy is None else clone(policy)
    if policy is None or chosen.threshold is None:
        chosen.set_params(threshold=find_threshold(model))
    return chosen


def find_threshold(model: Any) -> float:
    """Return the score that an alarm is above: as the model says, or the rules that it keeps, or else one half."""
    kept = getattr(getattr(model, "alarm_policy_", None), "threshold", None)
    return next((level for level in (threshold_of(model), kept) if level is not None), HALF)


def window_size_of(model: Any) -> int:
    """Return how many rows of history a model looks at, as far as it says so."""
    inner = last_step(model)
    parts = [inner, *(part for _, part in getattr(inner, "estimators", None) or ())]
    sizes = [size for part in parts if isinstance(size := getattr(part, "window_size", None), int)]
    return max(sizes, default=DEFAULT_WINDOW)


def last_step(model: Any) -> Any:
    """Return what a search, a threshold and a pipeline are around."""
    inner = unwrap(model)
    return inner[-1] if isinstance(inner, Pipeline) else inner


def before_last(model: Any, X: Any) -> Any:
    """Return what the last step of a pipeline is given; of any other model, `X` itself."""
    inner = unwrap(model)
    return inner[:-1].transform(X) if isinstance(inner, Pipeline) and len(inner) > 1 else X


def steps_of(model: Any) -> list[Any]:
    """Return what a row goes through, step by step: those of pipelines inside of each other, and the estimator last."""
    inner = unwrap(model)
    if not isinstance(inner, Pipeline):
        return [inner]
    return [part for _, step in inner.steps if step not in (None, "passthrough") for part in steps_of(step)]


def unwrap(model: Any) -> Any:
    """Return the pipeline or the estimator inside of searches, thresholds and freezers."""
    if hasattr(model, "best_estimator_"):
        return unwrap(model.best_estimator_)
    if isinstance(model, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return unwrap(model.estimator_)
    return unwrap(model.estimator) if isinstance(model, FrozenEstimator) else model


def _is_density(model: Any) -> bool:
    """Return whether probabilities are those of the parts of a mixture, and not of classes."""
    return hasattr(model, "score_samples") and not hasattr(model, "classes_")


def of_event(model: Any, proba: FloatArray) -> FloatArray:
    """Return the probability of class 1, refusing other classes than 0 and 1."""
    classes = np.asarray(getattr(model, "classes_", (0, 1))).tolist()
    if classes != [0, 1] or proba.shape[1:] != (2,):
        raise ValueError(
            f"{type(model).__name__} knows the classes {classes}, where 0 and 1 are wanted. Fit it on y == 'fault', "
            "say, or pass its scores: y_score=model.predict_proba(X)[:, k]."
        )
    return proba[:, 1]
