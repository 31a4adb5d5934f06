"""Tails, clusters and effective rows against scipy, plain loops and what is known of autoregressive noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import genpareto

from eventlstm.alarms.tails import (
    SHAPES,
    Clusters,
    Tail,
    autocorrelation_time,
    extremal_index,
    fit_excesses,
    fit_tail,
    independent_rows,
    upper_quantile,
)

ONE_STRETCH = np.array([0])
QUICK = settings(max_examples=60, deadline=None)


def autoregressive(n_rows, memory, seed=0):
    noise = np.random.default_rng(seed).normal(size=n_rows + 500) * np.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], noise)[500:]


@st.composite
def torn_scores(draw):
    """Scores on a few levels, so that ties are common, and the first rows of their stretches."""
    values = draw(st.lists(st.integers(0, 6), min_size=1, max_size=40))
    starts = draw(st.sets(st.integers(0, len(values) - 1), max_size=4)) | {0}
    return np.array(values, dtype=float), np.array(sorted(starts))


def counted_by_loop(values, starts, level, merge_rows):
    n_clusters, last = 0, None
    for row, value in enumerate(values):
        if row in starts:
            last = None
        if value > level:
            n_clusters += last is None or row - last - 1 > merge_rows
            last = row
    return n_clusters


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.4])
def test_a_tail_is_as_likely_as_the_best_one_that_scipy_finds(shape):
    excess = genpareto.rvs(shape, scale=3.0, size=1000, random_state=1)
    found, scale = fit_excesses(excess)
    best, _, best_scale = genpareto.fit(excess, floc=0)
    likelihood = genpareto.logpdf(excess, found, scale=scale).sum()
    assert likelihood >= genpareto.logpdf(excess, best, scale=best_scale).sum() - 1e-6
    np.testing.assert_allclose([found, scale], [best, best_scale], rtol=1e-3, atol=1e-3)


def test_a_shape_stays_within_its_bounds_with_the_scale_that_suits_it():
    heavy = genpareto.rvs(1.5, size=500, random_state=0)
    shape, scale = fit_excesses(heavy)
    assert shape == pytest.approx(SHAPES[1], abs=1e-4)
    likelihood = [genpareto.logpdf(heavy, shape, scale=factor * scale).sum() for factor in (0.99, 1.0, 1.01)]
    assert np.argmax(likelihood) == 1
    assert fit_excesses(np.linspace(0.99, 1.0, 100))[0] == pytest.approx(SHAPES[0], abs=1e-4)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_excesses_that_are_cut_off_are_known_to_be_larger(shape):
    excess = genpareto.rvs(shape, scale=2.0, size=4000, random_state=0)
    limit = np.quantile(excess, 0.9)
    found, scale = fit_excesses(np.minimum(excess, limit), excess <= limit)
    assert found == pytest.approx(shape, abs=0.08)
    assert scale == pytest.approx(2.0, rel=0.08)


def test_few_excesses_make_an_exponential_tail():
    assert fit_excesses(np.arange(1.0, 30.0)) == (0.0, 15.0)
    assert fit_excesses(np.array([1.0, 2.0, 3.0]), np.array([True, True, False])) == (0.0, 3.0)


def test_a_tail_is_exceeded_as_often_as_scipy_says():
    tail = Tail(level=2.0, rate=0.02, shape=0.3, scale=1.5)
    for rate in (1e-3, 1e-5):
        assert tail.threshold(rate) == pytest.approx(2.0 + genpareto.isf(rate / 0.02, 0.3, scale=1.5))
    assert tail.threshold(0.02) == tail.threshold(0.5) == 2.0


def test_a_tail_of_nothing_is_its_level():
    assert fit_tail(np.ones(50), 1.0, 50.0).threshold(1e-6) == 1.0


def test_a_quantile_is_exceeded_as_often_more_as_less():
    """The median over draws of the rate at which uniform numbers exceed it is the rate."""
    rng = np.random.default_rng(0)
    realised = [1.0 - upper_quantile(rng.uniform(size=500), 0.01) for _ in range(4000)]
    assert np.median(realised) == pytest.approx(0.01, rel=0.03)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9, 0.95])
def test_the_autocorrelation_time_is_that_of_an_autoregression(memory):
    times = [autocorrelation_time(autoregressive(20_000, memory, seed), ONE_STRETCH) for seed in range(5)]
    assert np.mean(times) == pytest.approx((1 + memory) / (1 - memory), rel=0.15)


def test_the_autocorrelation_time_knows_neither_the_unit_nor_tails():
    noise = autoregressive(5000, 0.9)
    assert autocorrelation_time(np.exp(5 * noise), ONE_STRETCH) == autocorrelation_time(noise, ONE_STRETCH)


def test_stretches_do_not_hang_together():
    values = np.repeat(np.random.default_rng(0).normal(size=400), 5)
    whole = autocorrelation_time(values, np.arange(0, 2000, 500))
    assert whole == pytest.approx(5.0, rel=0.2)
    assert autocorrelation_time(values[::5], np.arange(0, 400, 2)) == pytest.approx(1.0, abs=0.2)


def test_constant_scores_have_no_memory():
    assert autocorrelation_time(np.ones(100), ONE_STRETCH) == 1.0


def test_repeated_rows_are_worth_as_many_as_there_were_before():
    noise = np.random.default_rng(0).normal(size=4000)
    assert independent_rows(noise, ONE_STRETCH) == pytest.approx(4000, rel=0.1)
    assert independent_rows(np.repeat(noise, 10), ONE_STRETCH) == pytest.approx(4000, rel=0.25)


def test_an_exceedance_or_none_is_a_cluster_of_its_own():
    assert extremal_index(np.arange(5.0), ONE_STRETCH, 3.5) == 1.0
    assert extremal_index(np.arange(5.0), ONE_STRETCH, 9.0) == 1.0


@QUICK
@given(torn_scores(), st.integers(0, 4), st.integers(-1, 6))
def test_clusters_at_all_levels_are_those_that_a_loop_counts_at_each(scores, merge_rows, level):
    values, starts = scores
    clusters = Clusters(values, starts, merge_rows)
    expected = counted_by_loop(values, starts, level, merge_rows)
    assert clusters.count(level) == len(clusters.peaks(level)) == expected
    levels = np.unique(values)
    assert clusters.most == max(counted_by_loop(values, starts, at, merge_rows) for at in levels)


@QUICK
@given(torn_scores(), st.integers(0, 4), st.floats(0, 12))
def test_a_level_keeps_its_number_of_clusters_at_every_level_above(scores, merge_rows, wanted):
    values, starts = scores
    clusters = Clusters(values, starts, merge_rows)
    level = clusters.level(wanted)
    above = np.unique(values)[np.unique(values) >= level]
    assert (clusters.count(above) <= wanted).all()
    lower = np.unique(values)[np.unique(values) < level]
    assert clusters.count(level) == clusters.most or clusters.count(lower[-1]) > wanted
