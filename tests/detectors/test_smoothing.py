"""Causal means of scores, and the span of rows that quiet ones call for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventlstm as el
from eventlstm.detectors.smoothing import HIGH, ROWS_OF_SPAN, SPANS, learn_span, rows_together, smooth, smooth_stretches

WHOLE = np.array([0])


def autoregressive(phi, n_rows=20_000, seed=0):
    noise = np.random.default_rng(seed).normal(size=n_rows)
    return pd.Series(noise).ewm(com=phi / (1 - phi), adjust=False).mean().to_numpy()[:, None]


def squared_errors(n_sensors, n_rows=5000, seed=0):
    return (np.random.default_rng(seed).normal(size=(n_rows, n_sensors)) ** 2).mean(axis=1, keepdims=True)


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40),
    span=st.floats(1, 50),
    cut=st.integers(0, 40),
    before=st.floats(-10, 10),
)
def test_smoothing_is_pandas_mean_and_may_be_cut_anywhere(values, span, cut, before):
    rows, start = np.array(values)[:, None], np.array([before])
    whole = smooth(rows, span, start)
    if span > 1:
        expected = pd.Series([before, *values]).ewm(span=span, adjust=False).mean().to_numpy()[1:]
        np.testing.assert_allclose(whole[:, 0], expected, rtol=1e-9, atol=1e-9)
    head, tail = rows[:cut], rows[cut:]
    first = smooth(head, span, start)
    then = smooth(tail, span, first[-1] if len(first) else start)
    np.testing.assert_allclose(np.concatenate([first, then]), whole, rtol=1e-9, atol=1e-9)


def test_the_window_average_is_the_mean_of_the_last_rows():
    values = np.random.default_rng(0).normal(size=(40, 2))
    before = np.array([1.0, -1.0])
    padded = pd.DataFrame(np.concatenate([np.tile(before, (6, 1)), values]))
    expected = padded.rolling(7).mean().iloc[6:].to_numpy()
    np.testing.assert_allclose(smooth(values, 7, before, "window"), expected, rtol=1e-9)
    assert np.array_equal(smooth(values, 1, before, "window"), values)


def test_stretches_are_smoothed_by_themselves():
    values, before = np.arange(6.0)[:, None], np.array([2.0])
    cut = smooth_stretches(values, np.array([0, 4]), 5, before)
    np.testing.assert_array_equal(cut, np.concatenate([smooth(part, 5, before) for part in (values[:4], values[4:])]))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_rows_together_are_those_of_an_autoregressive_process(phi):
    score = (50 + autoregressive(phi)) ** 2
    assert rows_together(score, WHOLE) == pytest.approx((1 + phi) / (1 - phi), rel=0.15)


def test_rows_of_different_stretches_are_never_together():
    score = (50 + autoregressive(0.9, n_rows=1000)) ** 2
    assert rows_together(score, np.arange(1000)) == 1.0


def test_the_span_is_the_cheapest_by_a_plain_loop():
    score = squared_errors(1, n_rows=1000)
    size = np.sqrt(score[:, 0]) - np.sqrt(score).mean()
    together = 1.0
    for lag in range(1, SPANS[-1] + 1):
        paired = (size[lag:] * size[:-lag]).mean() / (size**2).mean()
        if paired <= 0:
            break
        together += 2 * paired
    costs = []
    for span in SPANS:
        mean = pd.Series([score.mean(), *score[:, 0]]).ewm(span=span, adjust=False).mean()[1:]
        costs.append(np.log(mean.quantile(HIGH)) + together * span / ROWS_OF_SPAN)
    assert learn_span(score, WHOLE) == SPANS[np.argmin(costs)]


def test_a_longer_span_is_taken_where_it_lowers_the_highest_scores_of_rows_that_are_independent():
    rough, even = squared_errors(1), squared_errors(20)
    bursts = rough * np.exp(2 * autoregressive(0.95, n_rows=len(rough)) / autoregressive(0.95).std())
    assert learn_span(rough**2, WHOLE) > learn_span(even, WHOLE) == SPANS[0]
    assert learn_span(bursts, WHOLE) == SPANS[0]


@pytest.mark.parametrize("average", ["exponential", "window"])
def test_the_span_does_not_depend_on_the_unit_of_the_scores(average):
    score = squared_errors(1, seed=1)
    assert learn_span(score, WHOLE, average) == learn_span(1024 * score, WHOLE, average)


def test_scores_that_do_not_vary_and_a_few_rows_take_the_shortest_span():
    for score in (np.zeros((100, 1)), np.ones((100, 1)), np.ones((2, 1))):
        assert learn_span(score, WHOLE) == SPANS[0]


def test_what_a_detector_learns_is_what_it_smooths_over(tmp_path):
    X = np.random.default_rng(0).normal(size=(600, 1))
    wanted = {"estimator": el.LSTMForecaster(hidden_size=3, max_epochs=1, min_steps=1), "threshold": 5.0}
    learnt = el.AnomalyDetector(**wanted, random_state=0).fit(X)
    assert learnt.smoothing_ in SPANS and learnt.smoothing_ > SPANS[0]
    told = el.AnomalyDetector(**wanted, smoothing=learnt.smoothing_, random_state=0).fit(X)
    np.testing.assert_array_equal(learnt.anomaly_score(X), told.anomaly_score(X))
    el.save(learnt, tmp_path / "model")
    np.testing.assert_array_equal(el.load(tmp_path / "model").anomaly_score(X), learnt.anomaly_score(X))
    assert el.AnomalyDetector(**wanted, smoothing=7, random_state=0).fit(X).smoothing_ == 7
