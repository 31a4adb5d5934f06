"""The forecaster of windows: numbers in, numbers of the same shape and unit out, whatever way they come."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from eventlstm import Augmentation, LogWindows, LSTMForecaster, forecast_windows, load, save
from eventlstm.losses.errors import ERROR_LOSSES, make_error_loss
from eventlstm.recurrent.holding_out import hold_out_ends

pytestmark = pytest.mark.usefixtures("one_torch_thread")

N_WINDOWS, N_STEPS, N_CHANNELS = 40, 6, 2
EXACT = {"precision": "float64", "batch_size": None}  # the order and the mix of batches do not matter
# Sums over the whole set in double precision; the plain cell learns most in the fewest steps.
CHECKED = LSTMForecaster(cell="rnn", hidden_size=8, max_epochs=60, lr=0.05, **EXACT)


def tiny(**changes):
    return LSTMForecaster(**{"hidden_size": 4, "max_epochs": 3, "batch_size": 16, "random_state": 0, **changes})


def toy(*shape, seed=0):
    """Return windows, and for each so many numbers that are sums of what it holds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_WINDOWS, N_STEPS, N_CHANNELS))
    mixture = np.random.default_rng(9).normal(size=(N_STEPS * N_CHANNELS, int(np.prod(shape, dtype=int))))
    return X, (X.reshape(N_WINDOWS, -1) @ mixture).reshape(N_WINDOWS, *shape)


@parametrize_with_checks([CHECKED])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_forty_checks():
    assert len(list(estimator_checks_generator(CHECKED))) > 40  # a wrong tag would silently leave almost none


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (4, 3)], ids=str)
@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_a_forecast_has_the_shape_of_the_targets(shape, decoder):
    X, y = toy(*shape)
    model = tiny(decoder=decoder).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.predict(X).dtype == np.float64
    assert (model.horizon_, model.n_targets_) == (1, 1, *shape)[-2:]
    assert np.isfinite(model.score(X, y))


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_each_step_ahead_of_each_target_is_in_its_own_place(decoder):
    X, _ = toy()
    sign = np.array([[1, -1], [-1, 1], [1, 1]])  # (horizon, n_targets)
    y = X[:, -1:, :1] * sign
    forecast = tiny(decoder=decoder, max_epochs=50, lr=0.03).fit(X, y).predict(X)
    for place in np.ndindex(sign.shape):
        assert np.corrcoef(forecast[:, *place], y[:, *place])[0, 1] > 0.9


def test_flattened_windows_and_windows_of_a_log_give_the_same_numbers():
    log = np.random.default_rng(2).normal(size=(50, N_CHANNELS))
    windows, y = forecast_windows(log, N_STEPS, horizon=2)
    model = tiny()
    expected = clone(model).fit(windows[:], y).predict(windows[:])
    np.testing.assert_array_equal(clone(model).fit(windows, y).predict(windows), expected)
    flat = windows[:].reshape(len(windows), -1)
    of_rows = clone(model).set_params(n_channels=N_CHANNELS).fit(flat, y)
    np.testing.assert_array_equal(of_rows.predict(flat), expected)
    np.testing.assert_array_equal(of_rows.predict(windows), expected)


def test_the_units_of_the_targets_do_not_matter():
    X, y = toy(2, 3)
    scale, center = np.array([1e-3, 1.0, 1e4]), np.array([5.0, 0.0, -1e6])
    forecast = tiny(**EXACT).fit(X, y).predict(X)
    in_other_units = tiny(**EXACT).fit(X, y * scale + center).predict(X)
    np.testing.assert_allclose((in_other_units - center) / scale, forecast, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_target_that_stands_still_is_forecast_where_it_stands(value):
    X, _ = toy()
    forecast = tiny(max_epochs=60, lr=0.05).fit(X, np.full(N_WINDOWS, value)).predict(X)
    np.testing.assert_allclose(forecast, value, atol=0.2)


def test_a_window_without_weight_is_not_there():
    X, y = toy(3)
    kept = np.arange(N_WINDOWS) % 3 > 0
    spoilt = np.where(kept[:, None], y, 1e6)
    of_all, of_kept = tiny(**EXACT).fit(X, spoilt, sample_weight=kept), tiny(**EXACT).fit(X[kept], y[kept])
    np.testing.assert_allclose(of_all.predict(X), of_kept.predict(X), rtol=1e-9)


def test_what_stands_behind_the_end_of_a_window_changes_nothing():
    X, y = toy(2)
    lengths = np.random.default_rng(3).integers(1, N_STEPS + 1, N_WINDOWS)
    behind = np.arange(N_STEPS) >= lengths[:, None]
    marked = np.where(behind[..., None], np.nan, X)
    model = tiny().fit(marked, y)
    np.testing.assert_array_equal(tiny().fit(X, y, lengths=lengths).predict(X, lengths=lengths), model.predict(marked))


def curved(n_rows, seed):
    """Return a series whose next value is a wave of the last, with noise of deviation .1."""
    noise = 0.1 * np.random.default_rng(seed).normal(size=n_rows)
    x = np.zeros(n_rows)
    for t in range(1, n_rows):
        x[t] = np.sin(4 * x[t - 1]) + noise[t]
    return x[:, None]


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_it_beats_persistence_and_ridge_regression_on_a_series_that_is_not_linear(decoder):
    (X, y), (X_new, y_new) = (forecast_windows(curved(600, seed), 5, horizon=2) for seed in (0, 1))
    model = LSTMForecaster(decoder=decoder, hidden_size=16, max_epochs=15, batch_size=16, lr=0.05, random_state=0)
    first = model.fit(X, y).predict(X_new)[:, 0, 0]
    straight = Ridge().fit(X[:][:, :, 0], y[:, 0, 0]).predict(X_new[:][:, :, 0])
    error = mean_squared_error(y_new[:, 0, 0], first)
    assert error < 0.5 * mean_squared_error(y_new[:, 0, 0], straight)
    assert error < 0.1 * mean_squared_error(y_new[:, 0, 0], X_new[:][:, -1, 0])


def test_quantiles_cover_what_they_promise():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(1000, 2, 1))
    y = X[:, -1, 0] + (1 + X[:, -1, 0]) * rng.exponential(size=1000)
    model = LSTMForecaster(loss="quantile", hidden_size=8, max_epochs=20, batch_size=32, lr=0.02, random_state=0)
    model.fit(X[:500], y[:500])
    below = (y[500:, None] <= model.predict_quantiles(X[500:])).mean(axis=0)
    np.testing.assert_allclose(below, model.quantiles, atol=0.06)


def test_quantiles_rise_and_the_middle_one_is_the_forecast():
    X, y = toy(3, 2)
    model = tiny(loss="quantile", quantiles=(0.05, 0.45, 0.9, 0.99)).fit(X, y)
    quantiles = model.predict_quantiles(X)
    assert quantiles.shape == (*y.shape, 4)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    np.testing.assert_array_equal(model.predict(X), quantiles[..., 1])
    model.set_params(quantiles=(0.5,), loss="squared")  # for a fit to come
    np.testing.assert_array_equal(model.predict_quantiles(X), quantiles)


@pytest.mark.parametrize("loss", ERROR_LOSSES)
def test_a_loss_is_the_mean_over_the_numbers_of_an_item(loss):
    rng = np.random.default_rng(0)
    q, target = (0.1, 0.8), rng.normal(size=(4, 3, 2))
    outputs = rng.normal(size=(4, 3, 2, 2 if loss == "quantile" else 1))
    e = target[..., None] - outputs
    of_value = {
        "squared": e**2,
        "absolute": abs(e),
        "huber": np.where(abs(e) < 1, e**2 / 2, abs(e) - 0.5),
        "quantile": np.where(e > 0, e * np.array([q]), e * (np.array([q]) - 1)),
    }
    values = make_error_loss(loss, q)(torch.tensor(outputs).reshape(4, -1), torch.tensor(target))
    np.testing.assert_allclose(values, of_value[loss].mean(axis=(-2, -1)))


@pytest.mark.parametrize("loss", ERROR_LOSSES)
@pytest.mark.parametrize("pooling", ["last", "additive"])
def test_every_loss_and_pooling_learns(loss, pooling):
    X, _ = toy()
    y = X[:, -2:].mean(axis=(1, 2))
    model = tiny(loss=loss, pooling=pooling, hidden_size=8, max_epochs=40, lr=0.03, batch_size=8).fit(X, y)
    assert model.score(X, y) > 0.6


def test_early_stopping_ends_on_the_weights_of_the_best_epoch():
    X, y = toy(2)
    recipe = {"schedule": "constant", "lr": 0.05, "hidden_size": 16}
    model = tiny(early_stopping=True, max_epochs=40, **recipe).fit(X, y, X_val=X[::3], y_val=-y[::3])
    best = int(np.argmin([record["valid_loss"] for record in model.history_])) + 1
    assert best + model.n_iter_no_change == model.n_iter_ < 40
    expected = tiny(max_epochs=best, **recipe).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_no_row_is_forecast_both_in_training_and_in_what_is_held_out(horizon, stride):
    log = pd.DataFrame(np.zeros((90, 1)), index=pd.MultiIndex.from_product([["a", "b", "c"], range(30)]))
    windows, _ = forecast_windows(log, 4, horizon, stride=stride)
    items = np.flatnonzero(np.arange(len(windows)) % 5 > 0)
    train, rest = hold_out_ends(windows, items, 0.2, horizon)
    rows = [set((windows.ends[part][:, None] + np.arange(1, horizon + 1)).ravel()) for part in (train, rest)]
    assert rows[0].isdisjoint(rows[1])
    assert {row // 30 for row in rows[1]} == {0, 1, 2}
    assert set(train) | set(rest) <= set(items)
    assert len(rest) == pytest.approx(0.2 * len(items), abs=2)


@pytest.mark.parametrize("of_log", [True, False])
def test_early_stopping_holds_windows_out_by_itself(of_log):
    windows, y = forecast_windows(np.random.default_rng(0).normal(size=(60, 1)), 4)
    model = tiny(early_stopping=True).fit(windows if of_log else windows[:], y)
    assert "valid_loss" in model.history_[0]


def test_what_cannot_be_held_out_is_refused():
    log = pd.DataFrame(np.zeros((20, 1)), index=pd.MultiIndex.from_product([range(10), range(2)]))
    windows, y = forecast_windows(log, 2)
    with pytest.raises(ValueError, match=r"10 stretches, too short.*Pass X_val"):
        tiny(early_stopping=True).fit(windows, y)


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
@pytest.mark.parametrize("loss", ["squared", "quantile"])
def test_a_copy_a_pickle_and_an_archive_forecast_the_same(tmp_path, decoder, loss):
    X, y = toy(3, 2)
    model = tiny(decoder=decoder, loss=loss).fit(X, y)
    save(model, tmp_path / "model")
    expected = model.predict(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), load(tmp_path / "model")):
        np.testing.assert_array_equal(other.predict(X), expected)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), expected)


def test_the_number_of_threads_changes_no_bit():
    X, y = toy(3)
    one, two = (tiny(n_jobs=n, micro_batch_size=5, dropout=0.2).fit(X, y).predict(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_warm_start_goes_on_in_the_units_of_the_first_fit():
    X, y = toy(2)
    model = tiny(warm_start=True).fit(X, y)
    center = model.target_center_
    model.fit(X, y + 1.0)
    assert model.n_iter_ == 6
    np.testing.assert_array_equal(model.target_center_, center)
    with pytest.raises(ValueError, match="1 steps ahead of 1 targets came, but training began with 1 of 2"):
        model.fit(X, y[:, 0])
    with pytest.raises(ValueError, match="3 quantiles came, but training began with 0"):
        model.set_params(loss="quantile").fit(X, y)


def test_noise_and_mixtures_of_windows_serve_but_a_warp_of_time_is_refused():
    X, y = toy(3, 2)
    augmented = tiny(augmentation=Augmentation(jitter=0.1, scaling=0.1, mixup=0.2)).fit(X, y)
    assert np.isfinite(augmented.predict(X)).all()
    with pytest.raises(ValueError, match=r"time_warp=0.1 moves the steps of X.*Set time_warp=0"):
        tiny(augmentation=Augmentation(time_warp=0.1)).fit(X, y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantiles": (0.5, 0.1)}, "must rise between 0 and 1"),
        ({"quantiles": (0.0, 0.5)}, "must rise between 0 and 1"),
        ({"quantiles": ()}, "must rise between 0 and 1"),
        ({"attention_entropy": 0.1}, "needs attention"),
    ],
    ids=str,
)
def test_parameters_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(loss="quantile", **changes).fit(*toy(2))


def test_wrong_targets_are_refused_with_the_remedy():
    X, y = toy(2, 2)
    with pytest.raises(ValueError, match=r"shape \(40, 2, 2, 1\). Pass \(n_windows, horizon, n_targets\)"):
        tiny().fit(X, y[..., None])
    with pytest.raises(ValueError, match=r"y_val has \(2,\) numbers for each window, but y has \(2, 2\)"):
        tiny().fit(X, y, X_val=X, y_val=y[:, 0])
    with pytest.raises(ValueError, match="X_val came without y_val"):
        tiny().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="Fit with loss='quantile'"):
        tiny().fit(X, y).predict_quantiles(X)


def log_of_runs():
    """Return two runs of 6 and 4 rows whose values are the numbers of the rows; the first has a gap after 4."""
    minutes = [0, 1, 2, 3, 100, 101, 0, 1, 2, 3]
    index = pd.MultiIndex.from_arrays(
        [["a"] * 6 + ["b"] * 4, pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, unit="min")]
    )
    return pd.DataFrame({"flow": np.arange(10.0), "heat": -np.arange(10.0)}, index=index)


@pytest.mark.parametrize("horizon", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_to_be_forecast_follows_its_window_in_the_same_stretch(horizon, stride):
    windows, y = forecast_windows(log_of_runs(), 3, horizon, stride=stride)
    stretch = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    ends = [
        end
        for first, stop in ((0, 4), (4, 6), (6, 10))
        for end in range(first, stop, stride)
        if end + horizon < stop and stretch[end + horizon] == stretch[end]
    ]
    assert isinstance(windows, LogWindows)
    assert windows.ends.tolist() == ends
    np.testing.assert_array_equal(y[:, :, 0], np.array(ends)[:, None] + np.arange(1, horizon + 1))
    np.testing.assert_array_equal(y[:, :, 1], -y[:, :, 0])


def test_targets_are_chosen_by_name_or_by_position():
    log = log_of_runs()
    _, y = forecast_windows(log, 3, 2)
    np.testing.assert_array_equal(forecast_windows(log, 3, 2, targets="heat")[1], y[:, :, 1:])
    np.testing.assert_array_equal(forecast_windows(log, 3, 2, targets=["heat", "flow"])[1], y[:, :, ::-1])
    values = log.to_numpy()[6:]
    np.testing.assert_array_equal(forecast_windows(values, 3, targets=[1])[1][:, 0, 0], [-7, -8, -9])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "horizon=0 must be at least 1"),
        ({"horizon": 4}, "No stretch of the log of 10 rows has more than horizon=4"),
        ({"targets": ["dust"]}, r"targets=\['dust'\] must be columns of X, which are \['flow', 'heat'\]"),
        ({"targets": []}, "must be columns"),
    ],
    ids=str,
)
def test_a_log_that_cannot_be_cut_so_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        forecast_windows(log_of_runs(), 3, **arguments)
