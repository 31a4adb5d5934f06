"""How good probabilities and flags of single rows are where few of them are of events."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from imblearn.metrics import classification_report_imbalanced
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    average_precision_score,
    d2_brier_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from .._validation import check_sample_weight
from ..logs.events import check_flags
from ..logs.plain_labels import plain_labels
from .measured_rows import read_flags, read_scores


def detection_report(y_true: Any, y_score: Any, threshold: Any, *, sample_weight: Any = None) -> dict[str, float]:
    """Measure scores of rare events against their labels.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        1 on rows of an event, else 0.
    y_score : array-like of shape (n_rows,)
        Scores that rise with the danger.
    threshold : float or array-like of shape (n_rows,)
        Rows with a higher score are flagged; one for all, or one a row where folds have their own. It must
        come from other rows than these.
    sample_weight : array-like of shape (n_rows,), default=None
        How many rows each stands for.

    Returns
    -------
    dict of str to float
        "average_precision" (its level for random scores is the "prevalence", also given), and at the threshold
        "mcc", "f1", "recall" and "precision". NaN where undefined: average precision, f1 and recall without an event,
        precision without a flagged row, mcc unless there are rows of both classes. With both, mcc is 0, its limit,
        where all rows or none are flagged.

    See Also
    --------
    alarm_curve : By events and alarms, at every threshold.
    class_report : For several classes.
    eventlstm.report : All measures as a page.

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
    y_true = plain_labels(y_true, "y_true", "0 and 1 are")
    y_score = np.asarray(y_score, dtype=np.float64)
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(f"y_true holds {np.unique(y_true)[:5]}, where 0 and 1 are wanted. Pass y == 'fault', say.")
    flagged = (y_score > threshold).astype(int)
    weight = check_sample_weight(sample_weight, y_score, dtype=np.float64, ensure_non_negative=True)
    y_true, y_score, flagged, weight = (of_rows[weight > 0] for of_rows in (y_true, y_score, flagged, weight))
    has_event, has_quiet = bool((y_true == 1).any()), bool((y_true == 0).any())
    how = {} if sample_weight is None else {"sample_weight": weight}
    return {
        "average_precision": float(average_precision_score(y_true, y_score, **how)) if has_event else np.nan,
        "prevalence": float(np.average(y_true == 1, weights=weight)),
        "mcc": float(matthews_corrcoef(y_true, flagged, **how)) if has_event and has_quiet else np.nan,
        "f1": float(f1_score(y_true, flagged, **how)) if has_event else np.nan,
        "recall": float(recall_score(y_true, flagged, **how)) if has_event else np.nan,
        "precision": float(precision_score(y_true, flagged, **how)) if flagged.any() else np.nan,
    }


CLASS_COLUMNS = {
    "pre": "precision",
    "rec": "recall",
    "spe": "specificity",
    "f1": "f1",
    "geo": "geometric_mean",
    "iba": "index_balanced_accuracy",
    "sup": "support",
}


def brier_skill_score(y_true: Any, y_proba: Any) -> float:
    """Share of the squared error of a constant probability, the share of events, that probabilities save.

    The Brier score alone says nothing where events are rare: at one row in 200, that of always saying 0 is .005.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0.
    y_proba : Series or array-like of shape (n_rows,)
        Probability of an event.

    Returns
    -------
    float
        1 at best; 0 for the constant, negative for worse. NaN where all rows are of one class.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, or probabilities are not between 0 and 1, missing or of other rows.

    See Also
    --------
    sklearn.metrics.d2_brier_score : What it is computed by.

    References
    ----------
    Murphy, "A new vector partition of the probability score", 1973.

    Examples
    --------
    >>> from eventlstm.metrics import brier_skill_score
    >>> brier_skill_score([0, 0, 0, 1], [0.0, 0.1, 0.1, 0.8])
    0.92
    """
    events, proba = read_probabilities(y_true, y_proba)
    return float(d2_brier_score(events, proba)) if 0 < events.sum() < len(events) else np.nan


def calibration_error(y_true: Any, y_proba: Any, *, n_bins: int = 10) -> float:
    """Mean difference between probabilities and the share of events, in bins of as many rows each.

    In bins of equal width nearly all rows of a rare-event log share the first, and the error vanishes. Even so it is
    near 0 for any model that says little: report it beside `brier_skill_score`.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0.
    y_proba : Series or array-like of shape (n_rows,)
        Probability of an event.
    n_bins : int, default=10
        Bins, at most. Rows with the same probability share one.

    Returns
    -------
    float
        0 at best, at most 1. NaN without rows.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, probabilities are not between 0 and 1, missing or of other rows, or `n_bins` is not
        positive.

    See Also
    --------
    brier_skill_score : Calibration and discrimination in one.
    eventlstm.plots.CalibrationDisplay : Where probabilities are off, drawn.

    References
    ----------
    Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language processing models", 2015.

    Examples
    --------
    >>> from eventlstm.metrics import calibration_error
    >>> calibration_error([0, 0, 0, 1, 1, 0], [0.1, 0.1, 0.1, 0.6, 0.6, 0.6], n_bins=2)
    0.0833
    """
    if n_bins < 1:
        raise ValueError(f"n_bins={n_bins!r} holds no rows. Pass 1 or more.")
    events, proba = read_probabilities(y_true, y_proba)
    if not len(proba):
        return np.nan
    bins = bins_of_equal_mass(proba, n_bins)
    excess = np.bincount(bins, weights=proba - events)
    return float(np.abs(excess).sum() / len(proba))


def bins_of_equal_mass(
    proba: npt.NDArray[np.float64], n_bins: int, mass: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.int64]:
    """Return the bin of each row by its probability: bins of as many rows, or of as much mass, with ties in one."""
    values, value = np.unique(proba, return_inverse=True)
    own = np.bincount(value, weights=mass, minlength=len(values)).astype(np.float64)
    middle = np.cumsum(own) - own / 2
    return np.minimum(middle / own.sum() * n_bins, n_bins - 1).astype(np.int64)[value]


def geometric_mean_score(y_true: Any, y_pred: Any) -> float:
    """Root of the product of the recalls of both classes.

    To report, not to choose a threshold by: where events are rare, its best threshold flags far too many rows (at one
    in 200, 128 rows of 1,000, of which 4 are of events).

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0.
    y_pred : Series or array-like of shape (n_rows,)
        1 on flagged rows, else 0.

    Returns
    -------
    float
        Between 0 and 1. NaN where all rows are of one class, for one recall is then undefined.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1, or of other rows.

    See Also
    --------
    imblearn.metrics.geometric_mean_score : For more than two classes.

    References
    ----------
    Kubat and Matwin, "Addressing the curse of imbalanced training sets: one-sided selection", 1997.

    Examples
    --------
    >>> from eventlstm.metrics import geometric_mean_score
    >>> round(geometric_mean_score([0, 0, 1, 1], [0, 0, 0, 1]), 4)
    0.7071
    """
    events, flags = check_flags(y_true, "y_true"), read_flags(y_pred, y_true)
    if events.all() or not events.any():
        return np.nan
    recalls = recall_score(events, flags, labels=[False, True], average=None)
    return float(np.sqrt(recalls.prod()))


def class_report(y_true: Any, y_pred: Any) -> pd.DataFrame:
    """Measures of each class, as imbalanced-learn reports them, in a table.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels.
    y_pred : array-like of shape (n_rows,)
        Predicted labels.

    Returns
    -------
    DataFrame of shape (n_classes, 7)
        A row for each class of `y_true` or `y_pred`, the columns "precision", "recall", "specificity", "f1",
        "geometric_mean", "index_balanced_accuracy" and "support" (rows of the class). NaN where undefined: precision
        of a class never predicted, what needs recall for a class that has no rows, and what needs specificity for one
        that has all.

    See Also
    --------
    detection_report : For one class of rare events, from scores.
    imblearn.metrics.classification_report_imbalanced : The report it follows.

    References
    ----------
    García, Mollineda and Sánchez, "Index of balanced accuracy: a performance measure for skewed class distributions",
    2009.

    Examples
    --------
    >>> from eventlstm.metrics import class_report
    >>> class_report([0, 0, 0, 1, 1], [0, 0, 1, 1, 0])[["precision", "recall", "support"]]
       precision    recall  support
    0   0.666667  0.666667        3
    1   0.500000  0.500000        2
    """
    y_true, y_pred = plain_labels(y_true, "y_true"), plain_labels(y_pred, "y_pred")
    classes = np.unique(np.concatenate([y_true, y_pred]))
    names = [str(name) for name in classes]
    with warnings.catch_warnings():  # of specificity, whatever zero_division says; what is undefined is NaN below
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        report = classification_report_imbalanced(
            y_true, y_pred, labels=classes, target_names=names, output_dict=True, zero_division=0
        )
    table = pd.DataFrame([report[name] for name in names], index=classes).rename(columns=CLASS_COLUMNS)
    table = table[list(CLASS_COLUMNS.values())]
    return _mask_undefined(table, np.isin(classes, y_pred), table["support"].to_numpy(), len(y_true))


def _mask_undefined(
    table: pd.DataFrame, predicted: npt.NDArray[np.bool_], support: npt.NDArray[Any], n_rows: int
) -> pd.DataFrame:
    """Return a report with NaN where imbalanced-learn puts 0 for what is undefined."""
    absent, alone = support == 0, support == n_rows
    undefined = {
        "precision": ~predicted,
        "recall": absent,
        "specificity": alone,
        "geometric_mean": absent | alone,
        "index_balanced_accuracy": absent | alone,
    }
    return table.assign(**{name: table[name].mask(where) for name, where in undefined.items()})


def read_probabilities(y_true: Any, y_proba: Any) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return labels as flags and probabilities as numbers, which are refused outside of 0 to 1."""
    events, proba = check_flags(y_true, "y_true"), read_scores(y_proba, y_true)
    if len(proba) and not (proba.min() >= 0 and proba.max() <= 1):
        raise ValueError(
            f"y_proba goes from {proba.min():.3g} to {proba.max():.3g}, where probabilities lie between 0 and 1. "
            "Pass those of the events, predict_proba(X)[:, 1], not scores or logits."
        )
    return events, proba
