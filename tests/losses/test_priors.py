"""Corrected probabilities are the true ones: against the published forms, frozen figures and a root finder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from eventlstm.losses.priors import undo_factors, undo_focusing

EXACT = {"rtol": 1e-12, "atol": 0.0}
QUICK = settings(max_examples=50, deadline=None)

shares = st.floats(1e-6, 1.0 - 1e-6)


def pair(p):
    p = np.asarray(p, dtype=float)
    return np.stack([1.0 - p, p], axis=-1)


def dal_pozzolo(p, trained, true):
    beta = true * (1 - trained) / (trained * (1 - true))
    return beta * p / (beta * p - p + 1)


def elkan(p, trained, true):
    return true * (p - p * trained) / (trained - p * trained + true * p - trained * true)


def focal_slope(q, gamma):
    return (1 - q) ** gamma / q - gamma * (1 - q) ** (gamma - 1) * np.log(q)


def focal_output(eta, gamma, alpha):
    """Return where the expected focal loss of a point with probability `eta` is least."""

    def slope(q):
        return (1 - eta) * (1 - alpha) * focal_slope(1 - q, gamma) - eta * alpha * focal_slope(q, gamma)

    return brentq(slope, 1e-9, 1 - 1e-9, xtol=1e-15)


@pytest.mark.parametrize(("seen", "true"), [(0.5, 0.005), (0.9, 0.043269), (0.99, 0.332215)])
def test_balanced_training_is_undone_as_frozen(seen, true):
    factors = pair(0.5) / pair(0.005)
    np.testing.assert_allclose(undo_factors(pair(seen), factors)[1], true, atol=5e-7)


@QUICK
@given(p=shares, trained=shares, true=shares)
def test_factors_are_undone_as_in_the_published_forms(p, trained, true):
    found = undo_factors(pair(p), pair(trained) / pair(true))[1]
    np.testing.assert_allclose(found, dal_pozzolo(p, trained, true), rtol=1e-9)
    np.testing.assert_allclose(found, elkan(p, trained, true), rtol=1e-6)


@QUICK
@given(weight=st.floats(1e-3, 1e3), p=shares)
def test_a_weight_of_events_divides_their_odds(weight, p):
    rest, event = undo_factors(pair(p), [1.0, weight])
    np.testing.assert_allclose(event / rest, p / (1 - p) / weight, rtol=1e-9)


def test_only_ratios_of_factors_count_however_large():
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    factors = np.array([1.0, 20.0, 0.3])
    for scale in (1e-300, 1e300):
        np.testing.assert_allclose(undo_factors(proba, scale * factors), undo_factors(proba, factors), **EXACT)


def test_undoing_factors_and_their_inverse_changes_nothing():
    proba = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 2))
    factors = np.array([1.0, 20.0, 0.3, 7.0])
    np.testing.assert_allclose(undo_factors(undo_factors(proba, factors), 1 / factors), proba, **EXACT)


@pytest.mark.parametrize(
    ("true", "alpha", "seen"),
    [(0.001, 0.5, 0.072746), (0.01, 0.5, 0.153624), (0.1, 0.5, 0.305787), (0.001, 0.25, 0.050347)],
)
def test_the_focal_loss_is_undone_as_frozen(true, alpha, seen):
    assert focal_output(true, 2.0, alpha) == pytest.approx(seen, abs=5e-7)
    found = undo_factors(undo_focusing(pair(seen), 2.0), [1 - alpha, alpha])[1]
    assert found == pytest.approx(true, rel=1e-4)


@QUICK
@given(eta=st.floats(1e-5, 1 - 1e-5), gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]), alpha=st.floats(0.05, 0.95))
def test_where_the_focal_loss_is_least_leads_back_to_the_true_probability(eta, gamma, alpha):
    q = focal_output(eta, gamma, alpha)
    found = undo_factors(undo_focusing(pair(q), gamma), [1 - alpha, alpha])[1]
    np.testing.assert_allclose(found, eta, rtol=1e-5)


@QUICK
@given(q=shares, gamma=st.floats(0.1, 5.0), alpha=st.floats(0.05, 0.95))
def test_weights_and_focusing_together_are_the_closed_form_with_alpha(q, gamma, alpha):
    by_hand = (1 - alpha) * focal_slope(1 - q, gamma)
    by_hand /= by_hand + alpha * focal_slope(q, gamma)
    found = undo_factors(undo_focusing(pair(q), gamma), [1 - alpha, alpha])[1]
    np.testing.assert_allclose(found, by_hand, rtol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_what_is_sure_stays_sure_and_order_is_kept(gamma):
    event = np.concatenate([[0.0], np.logspace(-40, -1, 40), np.linspace(0.2, 0.999, 40), [1.0]])
    found = undo_focusing(np.stack([1 - event, event], axis=1), gamma)
    assert np.isfinite(found).all()
    assert (np.diff(found[:, 1]) >= 0).all()
    np.testing.assert_allclose(found[[0, -1]], [[1.0, 0.0], [0.0, 1.0]], atol=1e-300)


def test_digits_next_to_one_are_kept_in_the_other_classes():
    tiny = 1e-25
    rest, event = undo_focusing([1.0, tiny], 2.0)
    assert rest == 1.0
    # For small q the slope is 1 / q, for 1 - q next to one it is (1 + gamma) q**gamma.
    np.testing.assert_allclose(event, 3.0 * tiny**3, rtol=1e-9)


@pytest.mark.parametrize("undo", [lambda p: undo_factors(p, [1.0, 2.0]), lambda p: undo_focusing(p, 2.0)])
def test_the_type_of_the_probabilities_is_kept(undo):
    for dtype in (np.float32, np.float64):
        found = undo(pair([0.1, 0.7]).astype(dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-6)
    assert undo([[1, 0]]).dtype == np.float64


@pytest.mark.parametrize("factors", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf], 1.0])
def test_factors_that_do_not_fit_are_refused(factors):
    with pytest.raises(ValueError, match="one positive number is needed for each of 2 classes"):
        undo_factors([[0.5, 0.5]], factors)


@pytest.mark.parametrize("proba", [0.5, [0.2, 0.2], [-0.1, 1.1], [np.nan, 0.5]])
def test_what_are_no_probabilities_is_refused(proba):
    with pytest.raises(ValueError, match="Pass what predict_proba returns"):
        undo_focusing(proba, 2.0)
