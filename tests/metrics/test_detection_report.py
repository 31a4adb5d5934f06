"""Measures of scores equal scikit-learn's, and are NaN where they say nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from eventlstm.metrics import detection_report


@pytest.mark.parametrize("threshold", [-9.0, 0.0, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(5))
def test_the_report_holds_the_measures_of_scikit_learn(threshold, seed):
    rng = np.random.RandomState(seed)
    y = rng.binomial(1, 0.2, 300)
    scores = (rng.normal(size=300) + y).round(1)
    flagged = scores > threshold
    assert detection_report(y, scores, threshold) == pytest.approx(
        {
            "average_precision": average_precision_score(y, scores),
            "prevalence": y.mean(),
            "mcc": matthews_corrcoef(y, flagged),
            "f1": f1_score(y, flagged),
            "recall": recall_score(y, flagged),
            "precision": precision_score(y, flagged),
        }
    )


@pytest.mark.parametrize("threshold", [0.5, [0.5, 0.5, 0.2, 0.9]])
def test_a_row_is_flagged_by_its_own_threshold(threshold):
    y, scores = [0, 1, 1, 0], np.array([0.1, 0.6, 0.3, 0.8])
    report = detection_report(y, scores, threshold)
    flagged = scores > np.array(threshold)
    assert report["recall"] == recall_score(y, flagged) and report["precision"] == precision_score(y, flagged)


def test_a_score_at_the_threshold_is_not_flagged():
    assert detection_report([0, 1], [0.1, 0.5], 0.5)["recall"] == 0.0
    assert detection_report([0, 1], [0.1, 0.5], np.nextafter(0.5, 0))["recall"] == 1.0


@pytest.mark.parametrize(
    ("y", "scores", "undefined"),
    [
        ([0, 0, 0], [0.1, 0.2, 0.9], {"average_precision", "mcc", "f1", "recall"}),
        ([0, 0, 0], [0.1, 0.2, 0.3], {"average_precision", "mcc", "f1", "recall", "precision"}),
        ([1, 1, 1], [0.1, 0.2, 0.9], {"mcc"}),
        ([1, 1, 1], [0.1, 0.2, 0.3], {"mcc", "precision"}),
        ([0, 0, 1], [0.1, 0.2, 0.3], {"precision"}),
        ([0, 0, 1], [0.9, 0.2, 0.3], set()),
    ],
)
def test_what_is_undefined_is_nan_without_a_warning(y, scores, undefined):
    report = detection_report(y, scores, 0.5)
    assert {name for name, value in report.items() if np.isnan(value)} == undefined


def test_nothing_flagged_among_events_is_no_correlation():
    report = detection_report([0, 0, 1], [0.1, 0.2, 0.3], 0.5)
    assert (report["mcc"], report["f1"], report["recall"]) == (0.0, 0.0, 0.0)


def test_random_scores_reach_the_prevalence():
    rng = np.random.RandomState(0)
    y = rng.binomial(1, 0.1, 20_000)
    report = detection_report(y, rng.uniform(size=20_000), 0.5)
    assert report["average_precision"] == pytest.approx(report["prevalence"], rel=0.1)


def test_labels_and_scores_may_be_of_any_type():
    y, scores = [0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8]
    expected = detection_report(y, scores, 0.5)
    dates = pd.date_range("2024-01-01", periods=4)
    assert detection_report(np.array(y, dtype=bool), np.array(scores, dtype=object), 0.5) == expected
    assert detection_report(pd.Series(y, index=dates), pd.Series(scores), pd.Series([0.5] * 4)) == expected
    assert all(type(value) is float for value in expected.values())
