"""How good scores and alarms are: of rows, of ranges, of events, and in the time of those who get them.

Measures take ``(y_true, y_score)`` or ``(y_true, y_pred)``, high where abnormal, and read runs and times from the index
of `y_true`: nothing lasts from one run into another. All are floats that serve in `sklearn.metrics.make_scorer`, but
those that list events (`detection_delays`, `lead_times`), tables and reports; `anomaly_average_precision` is a scorer
itself. What is undefined is NaN.
"""

from .affiliation import affiliation_precision_score, affiliation_recall_score
from .alarm_costs import alarm_duty, expected_cost, false_alarm_rate, redundant_alarms
from .anomaly_scorer import anomaly_average_precision
from .curves import alarm_curve, event_recall_at_budget
from .delays import delay_quantile, detection_delays, lead_times, timing_score
from .intervals import Interval, binomial_interval, bootstrap_interval, poisson_interval
from .matching import composite_f_score, event_fbeta_score, event_precision_score, event_recall_score
from .range_scores import range_precision_score, range_recall_score
from .row_scores import brier_skill_score, calibration_error, class_report, detection_report, geometric_mean_score
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
