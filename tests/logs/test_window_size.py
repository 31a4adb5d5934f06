"""A suggested window shows what repeats in a log, or what it remembers, whatever its runs, gaps and units."""

import pickle
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.base import clone

import eventlstm as el
from eventlstm import suggest_window_size
from eventlstm.logs.steps import find_stretches
from eventlstm.plots import WindowSizeDisplay

quickly = settings(max_examples=15, deadline=None)
each_method = pytest.mark.parametrize("method", ["acf", "mutual_information", "both"])


def remember(tau, n_rows, seed=0):
    """A sensor that forgets at a rate: its correlation falls to 1/e in `tau` rows."""
    phi = np.exp(-1 / tau)
    noise = np.random.default_rng(seed).normal(size=n_rows + 20 * tau)
    return lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise)[20 * tau :]


def repeat(period, n_rows, noise=0.0, seed=0):
    """A sensor that repeats itself after `period` rows."""
    wave = np.sin(2 * np.pi * np.arange(n_rows) / period)
    return wave + noise * np.random.default_rng(seed).normal(size=n_rows)


def frame(*columns, names="abcdefgh"):
    return pd.DataFrame(dict(zip(names, columns, strict=False)))


@each_method
@pytest.mark.parametrize("period", [7, 24, 60, 144])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_sensor_that_repeats_gets_a_window_of_its_period(method, period, noise):
    size = suggest_window_size(repeat(period, 3000, noise)[:, None], method=method)
    assert size == pytest.approx(period, rel=0.04)


@pytest.mark.parametrize("tau", [4, 10, 40])
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_a_sensor_that_forgets_gets_the_window_that_it_remembers(tau, noise):
    log = remember(tau, 20_000) + noise * np.random.default_rng(1).normal(size=20_000)
    size = suggest_window_size(log[:, None], method="acf")
    assert size == pytest.approx(tau, rel=0.25, abs=1)
    assert np.isnan(size.sensors["period"]).all()


def test_memory_that_is_not_linear_is_seen_by_mutual_information_alone():
    size = 0.7 * remember(30, 20_000)
    log = np.random.default_rng(1).choice([-1, 1], 20_000) * np.exp(size)
    linear, any_kind = (suggest_window_size(log[:, None], method=method) for method in ("acf", "mutual_information"))
    assert not linear.sensors["clear"].any() and linear == 1
    assert any_kind.sensors["clear"].all() and 15 <= any_kind <= 45


def test_for_normal_values_both_curves_agree():
    curves = suggest_window_size(remember(10, 20_000)[:, None], max_window=20).curves
    np.testing.assert_allclose(curves["mutual_information"][0], curves["acf"][0], atol=0.08)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_rows", [200, 2000, 20_000])
def test_white_noise_says_nothing(seed, n_rows):
    size = suggest_window_size(np.random.default_rng(seed).normal(size=(n_rows, 1)))
    assert size == 1 and not size.sensors["clear"].any()


def test_what_never_falls_within_the_longest_lag_gets_the_longest_window():
    size = suggest_window_size(np.arange(1000.0)[:, None], max_window=30)
    assert size == 30 and np.isnan(size.sensors["memory"]).all()


def test_the_window_is_the_median_over_the_sensors_that_tell_one():
    noise = np.random.default_rng(0).normal(size=3000)
    log = frame(repeat(12, 3000), repeat(24, 3000), repeat(100, 3000), noise, np.ones(3000), names="abcxy")
    size = suggest_window_size(log)
    assert size == 24
    assert size.sensors["window"].to_dict() == {"a": 12, "b": 24, "c": 100, "x": 1}
    assert size.sensors["clear"].to_dict() == {"a": True, "b": True, "c": True, "x": False}
    assert set(size.curves) == {"acf", "mutual_information"}
    assert all(curve.columns.tolist() == [*"abcx"] for curve in size.curves.values())


@each_method
@given(scale=st.sampled_from([1e-6, 0.5, 3.0, 1e6]), shift=st.integers(-1000, 1000))
@quickly
def test_units_of_the_sensors_do_not_matter(method, scale, shift):
    log = frame(repeat(20, 800, 0.3), remember(9, 800))
    first, other = (suggest_window_size(X, method=method) for X in (log, log * scale + shift * scale))
    assert first == other
    pd.testing.assert_frame_equal(first.sensors, other.sensors)


def test_mutual_information_hardly_changes_with_a_monotone_scale_where_the_autocorrelation_does():
    log = remember(9, 8000)[:, None]
    linear, any_kind = (
        [suggest_window_size(X, method=method, max_window=40) for X in (log, np.exp(2 * log))]
        for method in ("acf", "mutual_information")
    )
    assert abs(any_kind[0] - any_kind[1]) <= 1
    assert linear[0] - linear[1] >= 4


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda lengths: max(lengths) > 5),
    seed=st.integers(0, 99),
)
@quickly
def test_the_autocorrelation_is_that_of_a_plain_loop_over_pairs_within_stretches(lengths, seed):
    rng = np.random.default_rng(seed)
    n_rows = sum(lengths)
    times = np.arange(n_rows) + 1000 * np.repeat(np.arange(len(lengths)), lengths)
    values = np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(size=n_rows))
    values[:2] = 0.0, 1.0
    X = pd.DataFrame({"a": values}, index=times)
    curve = suggest_window_size(X, method="acf", max_window=8, max_gap=50).curves["acf"]["a"].to_numpy()
    starts = find_stretches(X, 50)
    assert len(starts) == len(lengths)
    centred = values - np.nanmean(values)
    parts = np.split(centred, starts[1:])
    for lag, found in enumerate(curve):
        products = np.concatenate([part[lag:] * part[: len(part) - lag] for part in parts if len(part) > lag])
        expected = np.nanmean(products) if np.isfinite(products).any() else 0.0
        assert found == pytest.approx(np.clip(expected / np.nanmean(centred**2), -1, 1), abs=1e-9)


def test_runs_and_gaps_in_any_order_give_the_same_window():
    one, other = frame(repeat(20, 400, 0.2, seed=1)), frame(50 + repeat(20, 300, 0.2, seed=2))
    gap = pd.Index([*range(150), *range(9150, 9300)])
    both = pd.concat({"p": one, "q": other.set_index(gap)}, names=["machine", "time"])
    swapped = pd.concat({"q": other.set_index(gap), "p": one}, names=["machine", "time"])
    first, second = suggest_window_size(both), suggest_window_size(swapped)
    assert first == second == pytest.approx(20, abs=1)
    pd.testing.assert_frame_equal(first.curves["acf"], second.curves["acf"])


def test_machines_at_different_levels_do_not_lengthen_the_window():
    runs = {name: frame(level + remember(5, 4000, seed)) for seed, (name, level) in enumerate([("p", 0), ("q", 100)])}
    assert suggest_window_size(pd.concat(runs), method="acf") == pytest.approx(5, abs=1)


def test_missing_values_are_passed_over():
    log = frame(repeat(24, 2000, 0.2))
    holes = log.mask(np.random.default_rng(0).random(log.shape) < 0.3)
    assert suggest_window_size(holes) == pytest.approx(24, abs=1)


def test_a_sensor_of_two_values_is_read():
    assert suggest_window_size((np.arange(600) // 15 % 2)[:, None]) == 30


def test_the_longest_lag_leaves_three_quarters_of_the_rows_a_partner():
    lengths = [5, 40, 100, 200]
    X = pd.concat({name: frame(remember(3, n_rows, name)) for name, n_rows in enumerate(lengths)})
    n_lags = len(suggest_window_size(X, method="acf").curves["acf"]) - 1

    def paired(lag):
        return sum(max(n_rows - lag, 0) for n_rows in lengths)

    assert paired(n_lags) >= 0.75 * sum(lengths) > paired(n_lags + 1)


def test_a_window_size_is_an_int_wherever_one_is_wanted(one_torch_thread, tmp_path):
    log = el.datasets.make_sensor_log(n_machines=2, n_days=2, failures_per_machine=1, random_state=0)
    size = suggest_window_size(log.X, max_window=40)
    assert isinstance(size, int) and 1 <= size <= 40
    model = clone(el.EventClassifier(el.LSTMClassifier(max_epochs=1, hidden_size=2), window_size=size))
    proba = model.fit(log.X, log.y).predict_proba(log.X)
    el.save(model, tmp_path / "model.evl")
    np.testing.assert_array_equal(el.load(tmp_path / "model.evl").predict_proba(log.X), proba)
    for copied in (deepcopy(size), pickle.loads(pickle.dumps(size))):
        assert copied == size
        pd.testing.assert_frame_equal(copied.sensors, size.sensors)


def test_the_same_log_gives_the_same_window_and_is_left_as_it_was():
    log = frame(repeat(24, 500, 0.2))
    before = log.copy()
    first, again = suggest_window_size(log), suggest_window_size(log)
    assert first == again
    pd.testing.assert_frame_equal(first.curves["mutual_information"], again.curves["mutual_information"])
    pd.testing.assert_frame_equal(log, before)


WAVE = repeat(5, 60)[:, None]


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        (WAVE, {"method": "fft"}, r"method='fft' is unknown. Choose one of \['acf', 'mutual_information', 'both'\]"),
        (WAVE, {"max_window": 1}, "max_window=1 leaves nothing to choose from"),
        (WAVE[:4], {}, "longest stretch of X has 4 rows.*Pass a longer log"),
        (WAVE[:, 0], {}, r"X has shape \(60,\).*Pass rows by sensors"),
        (np.where(WAVE > 0.9, np.inf, WAVE), {}, "infinite values"),
        (np.ones((60, 2)), {}, "No sensor of X varies within a run"),
        (np.full((60, 1), np.nan), {}, "No sensor of X varies within a run"),
        (pd.DataFrame({"site": ["a", "b"] * 30}), {}, "Column 'site' of X is of type str"),
        (pd.DataFrame(WAVE), {"max_gap": "1h"}, "max_gap='1h' is a length of time"),
    ],
)
def test_a_log_that_tells_no_window_is_refused(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        suggest_window_size(X, **parameters)


def test_the_display_shows_every_sensor_s_curve_and_the_window():
    log = frame(repeat(12, 300), repeat(24, 300))
    display = WindowSizeDisplay.from_log(log, max_window=50)
    assert display.window_size == suggest_window_size(log, max_window=50)
    curves = [line for line in display.ax_.lines if len(line.get_xdata()) == 51]
    assert len(curves) == 4
    np.testing.assert_array_equal(curves[1].get_ydata(), suggest_window_size(log, max_window=50).curves["acf"]["b"])
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["autocorrelation", "mutual information", f"window of {display.window_size} rows"]


def test_a_display_of_curves_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"curves\['acf'\] is of shape \(3,\)"):
        WindowSizeDisplay(2, {"acf": [1.0, 0.5, 0.2]})


def test_a_longer_log_of_the_same_kind_gives_about_the_same_window():
    sizes = [suggest_window_size(repeat(50, n_rows, 0.5)[:, None]) for n_rows in (500, 1000, 2000, 4000)]
    assert all(abs(one - other) <= 2 for one, other in pairwise(sizes))
