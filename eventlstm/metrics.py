"""How good scores and alarms are: of rows, of ranges, of events, and in the time of those who get them.

Measures take ``(y_true, y_score)`` or ``(y_true, y_pred)``, high where abnormal, and read runs and times from the index
of `y_true`: nothing lasts from one run into another. All are floats that serve in `sklearn.metrics.make_scorer`, but
those that list events (`detection_delays`, `lead_times`), tables and reports; `anomaly_average_precision` is a scorer
itself. What is undefined is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from .affiliation import affiliation_precision_score, affiliation_recall_score
from .alarm_curves import alarm_curve, event_recall_at_budget
from .alarm_delays import delay_quantile, detection_delays, lead_times, timing_score
from .alarm_measures import alarm_duty, expected_cost, false_alarm_rate, redundant_alarms
from .anomaly_scorer import anomaly_average_precision
from .intervals import Interval, binomial_interval, bootstrap_interval, poisson_interval
from .matching import composite_f_score, event_fbeta_score, event_precision_score, event_recall_score
from .range_measures import range_precision_score, range_recall_score
from .row_measures import brier_skill_score, calibration_error, class_report, geometric_mean_score
from .vus import vus_pr_score, vus_roc_score

__all__ = [
    "Interval",
    "affiliation_precision_score",
    "affiliation_recall_score",
    "alarm_curve",
    "alarm_duty",
    "anomaly_average_precision",
    "binomial_interval",
    "bootstrap_interval",
    "brier_skill_score",
    "calibration_error",
    "class_report",
    "composite_f_score",
    "delay_quantile",
    "detection_delays",
    "detection_report",
    "event_fbeta_score",
    "event_precision_score",
    "event_recall_at_budget",
    "event_recall_score",
    "expected_cost",
    "false_alarm_rate",
    "geometric_mean_score",
    "lead_times",
    "poisson_interval",
    "range_precision_score",
    "range_recall_score",
    "redundant_alarms",
    "timing_score",
    "vus_pr_score",
    "vus_roc_score",
]


def detection_report(y_true: Any, y_score: Any, threshold: Any) -> dict[str, float]:
    """Measure scores of rare events against their labels.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        1 on rows of an event, else 0.
    y_score : array-like of shape (n_rows,)
        Scores that rise with the danger.
    threshold : float or array-like of shape (n_rows,)
        Rows with a score of at least this are flagged; one for all, or one a row where folds have their own. It must
        come from other rows than these.

    Returns
    -------
    dict of str to float
        "average_precision" (its level for random scores is the "prevalence", also given), and at the threshold
        "mcc", "f1", "recall" and "precision". NaN where undefined: average precision, f1 and recall without an event,
        precision without a flagged row, mcc unless there are rows of both classes. With both, mcc is 0, its limit,
        where all rows or none are flagged.

    References
    ----------
    Saito and Rehmsmeier, "The precision-recall plot is more informative than the ROC plot when evaluating binary
    classifiers on imbalanced datasets", PLoS ONE, 2015.

    Examples
    --------
    >>> from eventlstm.metrics import detection_report
    >>> detection_report([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8], threshold=0.5)["recall"]
    0.5
    """
    y_true = np.asarray(y_true)
    y_score = np.asarray(y_score, dtype=np.float64)
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(f"y_true holds {np.unique(y_true)[:5]}, where 0 and 1 are wanted. Pass y == 'fault', say.")
    flagged = (y_score >= threshold).astype(int)
    has_event, has_quiet = bool((y_true == 1).any()), bool((y_true == 0).any())
    return {
        "average_precision": float(average_precision_score(y_true, y_score)) if has_event else np.nan,
        "prevalence": float(np.mean(y_true == 1)),
        "mcc": float(matthews_corrcoef(y_true, flagged)) if has_event and has_quiet else np.nan,
        "f1": float(f1_score(y_true, flagged)) if has_event else np.nan,
        "recall": float(recall_score(y_true, flagged)) if has_event else np.nan,
        "precision": float(precision_score(y_true, flagged)) if flagged.any() else np.nan,
    }
