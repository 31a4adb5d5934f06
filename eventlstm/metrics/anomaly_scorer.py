"""The average precision of an outlier detector, whichever way its scores point."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import average_precision_score

from ..alarms.model_scores import last_step, score_rows
from ..logs.events import check_flags
from .measured_rows import read_scores


def anomaly_average_precision(estimator: Any, X: Any, y: Any) -> float:
    """Average precision of a fitted outlier detector, with the right sign: a scorer for searches.

    ``scoring="average_precision"`` takes the `decision_function` of a detector, which is high for normal rows, and so
    prefers the worse one where abnormal rows carry a 1. This one takes `anomaly_score` where there is one, else the
    negative of `score_samples`.

    Parameters
    ----------
    estimator : estimator
        A fitted detector, a `Pipeline` that ends in one, or a search over one.
    X : array-like of shape (n_samples, n_features)
        Samples or rows.
    y : array-like of shape (n_samples,)
        1 on abnormal ones, else 0.

    Returns
    -------
    float
        Between 0 and 1, about the share of abnormal samples for random scores. NaN without an abnormal sample.

    Raises
    ------
    TypeError
        If the estimator is a classifier, or has neither `anomaly_score` nor `score_samples`.
    ValueError
        If labels are not 0 and 1.

    See Also
    --------
    vus_pr_score : With a tolerance around events.
    eventlstm.AnomalyDetector.anomaly_score : The score it takes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn.model_selection import cross_val_score
    >>> from eventlstm.metrics import anomaly_average_precision
    >>> X = np.random.RandomState(0).normal(size=(200, 2))
    >>> y = np.arange(200) % 20 == 0
    >>> X[y] += 6
    >>> scores = cross_val_score(IsolationForest(random_state=0), X, y, scoring=anomaly_average_precision)
    >>> bool(scores.min() > 0.9)
    True
    """
    events = check_flags(y, "y")
    _refuse_others(estimator)
    scores = read_scores(score_rows(estimator, X), y)
    return float(average_precision_score(events, scores)) if events.any() else np.nan


def _refuse_others(estimator: Any) -> None:
    last = last_step(estimator)
    name = type(last).__name__
    if hasattr(last, "anomaly_score"):
        return
    if is_classifier(last):
        raise TypeError(
            f"{name} is a classifier, whose probabilities rise with the danger. Use scoring='average_precision'; "
            "anomaly_average_precision is for outlier detectors."
        )
    if not hasattr(last, "score_samples"):
        raise TypeError(
            f"{name} has neither anomaly_score (high is abnormal) nor score_samples (low is abnormal), so that the "
            "direction of its scores is not known. Give it one of them, or measure its scores with "
            "sklearn.metrics.average_precision_score."
        )
