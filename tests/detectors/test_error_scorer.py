"""Errors become scores by what they are on quiet rows, and scores are smoothed from the past alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from eventlstm.detectors.attribution import share_of_events, share_out
from eventlstm.detectors.error_scorer import ROWS_A_SENSOR, ErrorScorer

UNITS = np.array([1.0, 10.0, 0.1])
QUIET = np.random.default_rng(0).normal(size=(2000, 3)) * UNITS


def fitted(**changes):
    return ErrorScorer(**changes).fit(QUIET)


@pytest.mark.parametrize("norm", ["squares", "mahalanobis"])
def test_quiet_rows_score_about_one_and_an_error_counts_the_same_in_every_sensor(norm):
    scorer = fitted(norm=norm)
    assert scorer.parts(QUIET).sum(axis=1).mean() == pytest.approx(1.0, rel=0.05)
    np.testing.assert_allclose(scorer.parts(np.diag(5 * UNITS)).sum(axis=1), 25 / 3, rtol=0.1)


def test_without_shrinkage_a_scale_is_the_root_of_the_mean_square():
    scorer = fitted(shrinkage=0)
    np.testing.assert_allclose(scorer.scale_, np.sqrt((QUIET**2).mean(axis=0)))
    np.testing.assert_allclose(scorer.parts(QUIET), (QUIET / scorer.scale_) ** 2 / 3)


@pytest.mark.parametrize("n_rows", [5, 20, 500])
def test_scales_shrink_to_their_geometric_mean_with_the_weight_of_so_many_rows(n_rows):
    own = fitted(shrinkage=0).fit(QUIET[:n_rows]).scale_
    shrunk = ErrorScorer(shrinkage=20).fit(QUIET[:n_rows]).scale_
    common = np.exp(np.log(own).mean())
    np.testing.assert_allclose(np.log(shrunk / common), np.log(own / common) * n_rows / (n_rows + 20))
    np.testing.assert_allclose(ErrorScorer(shrinkage=1e12).fit(QUIET).scale_, np.exp(np.log(fitted().scale_).mean()))


def test_rows_without_weight_are_not_there():
    weight = np.arange(len(QUIET)) % 3.0
    wild = np.where(weight[:, None] > 0, QUIET, 1e9)
    np.testing.assert_array_equal(ErrorScorer().fit(wild, weight).scale_, ErrorScorer().fit(QUIET[weight > 0]).scale_)


def test_no_error_counts_for_more_than_the_cap():
    scorer = fitted(cap=7.0)
    np.testing.assert_allclose(
        scorer.parts(np.array([[1e300, 0, 0], [-1e300, np.inf, 0]])).sum(axis=1), [49 / 3, 98 / 3]
    )


def test_no_scale_is_below_the_floor():
    still = QUIET * [1.0, 1.0, 0.0]
    scorer = ErrorScorer(shrinkage=0).fit(still)
    assert scorer.scale_[2] == pytest.approx(1e-3)
    assert np.isfinite(scorer.parts(still + 1.0)).all()


def test_mahalanobis_finds_what_is_odd_in_company_only():
    together = QUIET[:, :1] + 0.1 * QUIET[:, 1:2] / 10 * [1.0, -1.0]
    odd = np.array([[1.0, -1.0]])
    alone, joint = (ErrorScorer(norm=norm).fit(together).parts(odd).sum() for norm in ("squares", "mahalanobis"))
    assert joint > 20 * alone


def test_mahalanobis_is_warned_of_where_rows_are_too_few():
    few = QUIET[: 3 * ROWS_A_SENSOR - 1]
    with pytest.warns(UserWarning, match="how 3 sensors go together from 149 quiet rows; below 150 .* Use norm='sq"):
        ErrorScorer(norm="mahalanobis").fit(few)
    assert clone(ErrorScorer(norm="mahalanobis")).fit(QUIET[: 3 * ROWS_A_SENSOR]).precision_.shape == (3, 3)


@settings(deadline=None, max_examples=40)
@given(parts=st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=20))
def test_shares_sum_to_one_and_keep_the_order_of_the_parts(parts):
    parts = np.array(parts)
    shares = share_out(parts)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    positive = np.maximum(parts, 0)
    assert (np.take_along_axis(shares, positive.argmax(axis=1)[:, None], axis=1)[:, 0] == shares.max(axis=1)).all()


def test_a_row_of_no_score_is_due_to_all_alike():
    parts = np.array([[0.0, 0.0], [-1.0, -3.0], [1.0, 3.0]])
    np.testing.assert_array_equal(share_out(parts), [[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]])


def test_shares_of_events_are_those_of_their_own_run_and_first_third():
    index = pd.MultiIndex.from_product([["a", "b"], range(10)], names=["run", "time"])
    shares = pd.DataFrame({"x": np.arange(20.0), "y": 1.0}, index=index)
    events = pd.DataFrame({"run": ["b", "a", "a"], "start": [2, 0, 4.5], "end": [7, 0, 4.7]}, index=[7, 8, 9])
    found = share_of_events(shares, events)
    assert found.index.tolist() == [7, 8, 9]
    np.testing.assert_array_equal(found["x"], [12.5, 0.0, np.nan])
