"""Measures of probabilities and flags equal those of the libraries they stand on, and are NaN where undefined."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.metrics import geometric_mean_score as reference_mean
from sklearn.metrics import brier_score_loss, f1_score, precision_score, recall_score

from eventlstm.metrics import (
    brier_skill_score,
    calibration_error,
    class_report,
    detection_report,
    geometric_mean_score,
)


@pytest.fixture
def calibrated():
    """Labels of 50,000 rows drawn with rare probabilities, and these."""
    rng = np.random.RandomState(0)
    proba = rng.beta(0.05, 5, size=50_000)
    return rng.binomial(1, proba), proba


def test_skill_is_what_the_share_of_events_says_less(calibrated):
    y, proba = calibrated
    constant = np.full(len(y), y.mean())
    assert brier_skill_score(y, proba) == pytest.approx(1 - brier_score_loss(y, proba) / brier_score_loss(y, constant))
    assert brier_skill_score(y, constant) == pytest.approx(0, abs=1e-12)
    assert brier_skill_score(y, y) == 1.0
    assert brier_skill_score(y, np.zeros(len(y))) < 0


def test_calibrated_probabilities_have_a_small_error_and_inflated_ones_a_large_one(calibrated):
    y, proba = calibrated
    inflated = proba / (proba + (1 - proba) * y.mean())
    assert calibration_error(y, proba) < 0.003
    assert calibration_error(y, inflated) > 10 * calibration_error(y, proba)


def test_bins_hold_as_many_rows_each():
    proba, y = np.arange(8) / 10, np.array([0, 0, 0, 1, 0, 1, 1, 1])
    halves = [abs(proba[part].mean() - y[part].mean()) for part in (slice(4), slice(4, 8))]
    assert calibration_error(y, proba, n_bins=2) == pytest.approx(np.mean(halves))
    assert calibration_error(y, proba, n_bins=1) == pytest.approx(abs(proba.mean() - y.mean()))
    assert calibration_error(y, proba, n_bins=8) == pytest.approx(np.abs(proba - y).mean())


@settings(max_examples=40, deadline=None)
@given(
    log=st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 1.0])), min_size=1, max_size=30),
    n_bins=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_the_order_of_rows_with_the_same_probability_does_not_matter(log, n_bins, seed):
    y, proba = np.array(log).T
    order = np.random.RandomState(seed).permutation(len(y))
    value = calibration_error(y, proba, n_bins=n_bins)
    assert 0 <= value <= 1
    assert calibration_error(y[order], proba[order], n_bins=n_bins) == pytest.approx(value)


@pytest.mark.parametrize("seed", range(5))
def test_the_geometric_mean_is_that_of_imbalanced_learn(seed):
    rng = np.random.RandomState(seed)
    y, p = rng.binomial(1, 0.2, 100), rng.binomial(1, 0.4, 100)
    assert geometric_mean_score(y, p) == pytest.approx(reference_mean(y, p))


@pytest.mark.parametrize("names", [(0, 1), ("ok", "fault"), ("a", "b", "c")])
def test_the_report_holds_the_measures_of_each_class(names):
    rng = np.random.RandomState(0)
    y, p = rng.choice(names, (2, 200))
    report = class_report(y, p)
    classes = np.unique(y)
    assert report.index.tolist() == classes.tolist()
    options = {"labels": classes, "average": None}
    for name, measure in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        np.testing.assert_allclose(report[name], measure(y, p, **options))
    assert report["support"].tolist() == [(y == name).sum() for name in classes]
    np.testing.assert_allclose(report["geometric_mean"], np.sqrt(report["recall"] * report["specificity"]))


def test_what_a_report_cannot_know_is_nan():
    never_predicted = class_report([0, 0, 1], [0, 0, 0])
    assert never_predicted.isna().to_numpy().sum() == 1 and np.isnan(never_predicted.loc[1, "precision"])
    never_true = class_report([0, 0, 0], [0, 0, 1])
    undefined = {name for name in never_true if np.isnan(never_true.loc[1, name])}
    assert undefined == {"recall", "geometric_mean", "index_balanced_accuracy"}
    assert np.isnan(never_true.loc[0, "specificity"])


def test_what_is_undefined_is_nan_without_a_warning():
    assert np.isnan(brier_skill_score([0, 0], [0.1, 0.2]))
    assert np.isnan(geometric_mean_score([1, 1], [0, 1]))
    assert np.isnan(calibration_error([], []))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier_skill_score([0, 1], [-0.5, 3.0]), "y_proba goes from -0.5 to 3"),
        (lambda: brier_skill_score([0, 1], [[0.9, 0.1], [0.2, 0.8]]), r"y_score\[:, 1\]"),
        (lambda: calibration_error([0, 1], [0.1, 0.9], n_bins=0), "n_bins=0 holds no rows"),
        (lambda: geometric_mean_score(["ok", "fault"], ["ok", "ok"]), "Pass y_true == 'fault'"),
        (lambda: geometric_mean_score([0, 1], [0, 1, 1]), "y_pred has 3 rows and y_true 2"),
        (lambda: calibration_error(pd.Series([0, 1]), pd.Series([0.1, 0.2], index=[1, 0])), "another index"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_row_of_weight_two_counts_as_two_rows_and_one_of_none_as_none():
    rng = np.random.default_rng(0)
    y, score, weight = rng.integers(0, 2, 60), rng.normal(size=60), rng.integers(0, 4, 60)
    told = detection_report(y, score, 0.3, sample_weight=weight)
    assert told == pytest.approx(detection_report(y.repeat(weight), score.repeat(weight), 0.3))
