"""What the networks see of a log: causal, within its stretch, in units of its own, and finite."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm.logs.input_scaler import InputScaler, moving_mean

STARTS = np.array([0, 40, 41, 90])  # one stretch of a single row among them
N_ROWS = 150
each_view = pytest.mark.parametrize("view", ["level", "relative"])


@each_view
def test_the_channels_of_a_prefix_are_the_prefix_of_the_channels(view):
    X = make_sensors()
    scaler = InputScaler(view).fit(X, starts=STARTS)
    whole = scaler.transform(X, starts=STARTS)
    for stop in (1, 2, 39, 40, 41, 42, 100, N_ROWS):
        starts = [start for start in STARTS if start < stop]
        np.testing.assert_array_equal(scaler.transform(X[:stop], starts=starts), whole[:stop])


@each_view
def test_nothing_crosses_a_stretch(view):
    X = make_sensors()
    scaler = InputScaler(view).fit(X, starts=STARTS)
    whole = scaler.transform(X, starts=STARTS)
    for start, stop in zip(STARTS, [*STARTS[1:], N_ROWS], strict=True):
        np.testing.assert_array_equal(scaler.transform(X[start:stop], starts=[0]), whole[start:stop])


@each_view
def test_the_channels_of_a_sensor_do_not_depend_on_the_sensors_beside_it(view):
    X = make_sensors()
    n_sensors = X.shape[1]
    together = InputScaler(view).fit(X, starts=STARTS).transform(X, starts=STARTS)
    for sensor in range(n_sensors):
        own = X[:, [sensor]]
        alone = InputScaler(view).fit(own, starts=STARTS).transform(own, starts=STARTS)
        np.testing.assert_allclose(together[:, sensor::n_sensors], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("span", [1, 2, 10, 300])
def test_the_moving_mean_is_that_of_pandas_begun_anew_at_each_stretch(span):
    X = make_sensors()
    expected = pd.DataFrame(X).groupby(stretch_of_rows()).transform(lambda sensor: mean_of_pandas(sensor, span))
    for start, stop in zip(STARTS, [*STARTS[1:], N_ROWS], strict=True):
        mean = moving_mean(X[None, start:stop], span, X[None, start : start + 1])[0]
        np.testing.assert_allclose(mean, expected[start:stop], rtol=1e-12, atol=1e-12)


def test_the_relative_view_is_the_level_beside_its_movement_as_pandas_would_reckon_it():
    X = make_sensors()
    scaler = InputScaler("relative", spans=(5, 20)).fit(X, starts=STARTS)
    by_stretch = pd.DataFrame(X).groupby(stretch_of_rows())
    means = [by_stretch.transform(lambda sensor, span=span: mean_of_pandas(sensor, span)) for span in (5, 20)]
    moves = [X, by_stretch.diff().fillna(0.0), *(X - mean for mean in means)]
    expected = np.arcsinh((np.concatenate(moves, axis=1) - scaler.center_) / scaler.scale_)
    np.testing.assert_allclose(scaler.transform(X, starts=STARTS), expected, rtol=0, atol=1e-12)


@each_view
@pytest.mark.parametrize("n_steps", [1, 7, 49, 60])
def test_channels_made_piece_by_piece_of_stretches_side_by_side_are_those_of_the_whole_log(view, n_steps):
    X = make_sensors()
    scaler = InputScaler(view, categorical=(1,)).fit(X, starts=[0, 50, 100])
    whole = scaler.transform(X, starts=[0, 50, 100])
    lanes, state, pieces = X.reshape(3, 50, -1), None, []
    for begin in range(0, 50, n_steps):
        channels, state = scaler.transform_steps(lanes[:, begin : begin + n_steps], state)
        pieces.append(channels)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1).reshape(N_ROWS, -1), whole, rtol=0, atol=1e-12)


@each_view
@pytest.mark.parametrize("codes", [(0,), (2, 1), (0, 1, 2)])
def test_codes_are_handed_on_as_they_are_after_the_channels_of_the_other_sensors(view, codes):
    X = make_sensors()
    scaler = InputScaler(view, categorical=codes).fit(X, starts=STARTS)
    channels = scaler.transform(X, starts=STARTS)
    np.testing.assert_array_equal(channels[:, scaler.code_channels], X[:, codes])
    assert scaler.code_channels == list(range(channels.shape[1]))[-len(codes) :]
    measured = np.delete(X, codes, axis=1)
    without = InputScaler(view).fit(measured, starts=STARTS).transform(measured, starts=STARTS)
    np.testing.assert_array_equal(channels[:, : -len(codes)], without)


@each_view
@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, -7.0, 1e3])
def test_the_unit_of_a_sensor_changes_nothing(view, scale, shift):
    X = make_sensors()
    plain = InputScaler(view).fit(X, starts=STARTS).transform(X, starts=STARTS)
    other = (X + shift) * scale
    np.testing.assert_allclose(
        InputScaler(view).fit(other, starts=STARTS).transform(other, starts=STARTS), plain, atol=1e-8
    )


@each_view
@given(
    value=st.floats(-1e12, 1e12, allow_subnormal=False),
    cuts=st.lists(st.integers(1, 999), max_size=3, unique=True).map(sorted),
)
@settings(max_examples=60, deadline=None)
def test_a_sensor_that_stands_still_is_zero_and_keeps_its_unit(view, value, cuts):
    starts = [0, *cuts]
    X = np.full((1000, 1), value)
    scaler = InputScaler(view).fit(X, starts=starts)
    rounding = 1e-13 * max(1.0, abs(value))
    np.testing.assert_allclose(scaler.transform(X, starts=starts), 0.0, atol=rounding)
    unit = 1.0 if view == "relative" else InputScaler("level").fit(X * 0.0, starts=starts).scale_[0]
    np.testing.assert_array_equal(scaler.scale_, unit)


def test_sensors_that_stand_still_at_another_value_in_each_stretch_show_no_movement():
    X = np.repeat([[0.1], [1 / 3], [1e9]], 400, axis=0)
    starts = [0, 400, 800]
    movement = InputScaler("relative").fit(X, starts=starts).transform(X, starts=starts)[:, 1:]
    np.testing.assert_allclose(movement, 0.0, atol=1e-4)


@each_view
def test_a_row_of_weight_two_counts_like_two_rows(view):
    rng = np.random.RandomState(0)
    X, weight = rng.normal(size=(60, 2)), rng.randint(0, 3, 60)
    weighted = InputScaler("level").fit(X, starts=[0], sample_weight=weight.astype(float))
    repeated = InputScaler("level").fit(np.repeat(X, weight, axis=0), starts=[0])
    np.testing.assert_allclose(weighted.center_, repeated.center_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


@each_view
def test_rows_without_weight_do_not_count(view):
    X = make_sensors()
    weight = np.ones(N_ROWS)
    weight[100:] = 0.0
    part = InputScaler(view).fit(X[:100], starts=STARTS)
    whole = InputScaler(view).fit(np.where(weight[:, None] > 0, X, 1e6), starts=STARTS, sample_weight=weight)
    np.testing.assert_allclose(whole.scale_, part.scale_, rtol=1e-12)
    np.testing.assert_allclose(whole.center_, part.center_, rtol=1e-12)


def test_the_first_row_of_a_stretch_has_not_moved():
    X = make_sensors()
    channels = InputScaler("relative").fit(X, starts=STARTS).transform(X, starts=STARTS)
    np.testing.assert_allclose(channels[STARTS, X.shape[1] :], 0.0, atol=1e-12)


@each_view
def test_a_log_of_single_rows_is_scaled(view):
    X = make_sensors()[:20]
    starts = np.arange(20)
    channels = InputScaler(view).fit(X, starts=starts).transform(X, starts=starts)
    assert np.isfinite(channels).all()
    np.testing.assert_allclose(channels[:, X.shape[1] :], 0.0, atol=1e-12)


@each_view
@pytest.mark.parametrize("extreme", [1e30, -1e100])
def test_extreme_values_stay_finite_in_fit_and_in_scoring(view, extreme):
    X = make_sensors()
    spoiled = X.copy()
    spoiled[[5, 60], 0] = extreme
    for fitted in (X, spoiled):
        channels = InputScaler(view).fit(fitted, starts=STARTS).transform(spoiled, starts=STARTS)
        assert np.isfinite(channels.astype(np.float32)).all()


def test_a_few_extremes_do_not_squeeze_the_other_rows():
    X = make_sensors()
    spoiled = X.copy()
    spoiled[[5, 60], 0] = 1e30
    plain, robust = (InputScaler("level").fit(values, starts=STARTS).scale_ for values in (X, spoiled))
    np.testing.assert_allclose(robust, plain, rtol=0.2)


def test_the_level_is_a_clipped_z_score_on_normal_rows():
    X = np.random.RandomState(0).normal(5.0, 2.0, size=(20_000, 1))
    level = InputScaler("level", clip=2.0).fit(X, starts=[0]).transform(X, starts=[0])
    assert np.abs(level).max() == 2.0
    inside = np.abs(level[:, 0]) < 2.0
    np.testing.assert_allclose(level[inside], (X[inside] - 5.0) / 2.0, atol=0.1)


def test_whole_numbers_are_scaled_like_decimal_ones():
    X = np.random.RandomState(0).randint(0, 9, size=(N_ROWS, 2))
    whole, decimal = (InputScaler("relative").fit(Z, starts=STARTS).transform(Z, starts=STARTS) for Z in (X, X * 1.0))
    np.testing.assert_array_equal(whole, decimal)


def make_sensors():
    """Sensors that move like a random walk, like noise and in rare bursts, (n_rows, 3)."""
    rng = np.random.RandomState(0)
    walk, noise = rng.normal(size=N_ROWS).cumsum(), rng.normal(size=N_ROWS)
    bursts = rng.binomial(1, 0.05, N_ROWS) * rng.exponential(size=N_ROWS)
    return np.column_stack([walk, noise, bursts])


def stretch_of_rows():
    return np.searchsorted(STARTS, np.arange(N_ROWS), side="right")


def mean_of_pandas(sensor, span):
    return sensor.ewm(span=span, adjust=False).mean()
