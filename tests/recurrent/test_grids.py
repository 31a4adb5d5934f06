"""Sensors on a grid: what moves over it is found, and a network of convolutions is kept and run like any other."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import eventlstm as el
from eventlstm.recurrent.forward import at_once

GRID, N_STEPS = (5, 5), 6
N_CELLS = GRID[0] * GRID[1]
ON_GRID = {"cell": "convlstm", "grid": GRID, "hidden_size": 5}
QUICK = {"max_epochs": 2, "min_steps": 1, "batch_size": 16, "n_jobs": 1, "random_state": 0}

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CHECKED = el.LSTMClassifier(
    cell="convlstm", grid=(1, 1), hidden_size=6, dropout=0, precision="float64", batch_size=None, max_epochs=60, lr=0.05
)


@parametrize_with_checks([CHECKED])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def spots(n_windows, share, seed):
    """Return windows in which a warm spot moves straight on, the event, or is at the same places in another order."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n_windows) < share).astype(int)
    along, across = rng.integers(0, 2, n_windows), rng.integers(0, 5, n_windows)
    there_and_back = np.array([0, 1, 2, 3, 4, 3, 2, 1])
    at = there_and_back[(rng.integers(0, 8, n_windows)[:, None] + np.arange(N_STEPS)) % 8]
    for window in np.flatnonzero(y == 0):
        rng.shuffle(at[window])
    lines = np.broadcast_to(across[:, None], at.shape)
    places = np.where(along[:, None] == 1, at * 5 + lines, lines * 5 + at)  # (n_windows, n_steps)
    X = rng.normal(0.0, 0.3, (n_windows, N_STEPS, N_CELLS))
    np.put_along_axis(X, places[..., None], np.take_along_axis(X, places[..., None], 2) + 4.0, 2)
    return X, y


X, Y = spots(240, 0.3, 0)
FRESH, Y_FRESH = spots(600, 0.1, 1)
STRETCH, Y_STRETCH = X[:30].reshape(-1, N_CELLS), np.repeat(Y[:30], N_STEPS)
STARTS = np.array([0, 90])


def found(**network):
    model = el.LSTMClassifier(
        **network, max_epochs=20, batch_size=16, lr=0.02, dropout=0.0, n_jobs=1, random_state=0
    ).fit(X, Y)
    n_weights = sum(weight.numel() for weight in model.module_.parameters())
    return average_precision_score(Y_FRESH, model.predict_proba(FRESH)[:, 1]), n_weights


def test_what_moves_is_found_where_an_lstm_of_as_many_weights_finds_little():
    (on_grid, n_weights), (plain, n_plain) = found(**ON_GRID), found(hidden_size=10)
    assert n_weights < n_plain
    assert on_grid > 0.7
    assert plain < 0.4


def classifier(**how):
    return el.LSTMClassifier(**ON_GRID | QUICK | how)


def proba(model):
    return model.predict_proba(FRESH[:40])


def forecast(model):
    return model.predict(FRESH[:40])


MODELS = {
    "classifier": (classifier(num_layers=2, residual=True, layer_norm=True, recurrent_dropout=0.3), Y, proba),
    "attention": (classifier(bidirectional=True, pooling="multihead", num_heads=2), Y, proba),
    "retention": (classifier(retention_steps=4, tbptt_steps=3), Y, proba),
    "tagger": (el.LSTMTagger(**ON_GRID | QUICK, crf=True), np.repeat(Y[:, None], N_STEPS, axis=1), proba),
    "bag": (el.BalancedBaggingLSTMClassifier(classifier(), 2, n_jobs=1, random_state=0), Y, proba),
    "forecaster": (el.LSTMForecaster(**ON_GRID | QUICK, pooling="additive"), X[:, -1], forecast),
    "quantiles": (el.LSTMForecaster(**ON_GRID | QUICK, loss="quantile"), X[:, -2:], forecast),
    "autoencoder": (
        el.LSTMAutoencoder(**ON_GRID | QUICK, num_layers=2, layer_norm=True),
        None,
        lambda m: m.anomaly_score(FRESH[:40]),
    ),
}


@cache
def fitted(kind):
    model, y, _ = MODELS[kind]
    return clone(model).fit(X, y)


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_and_a_clone_say_the_same_bit_by_bit(kind, tmp_path):
    model, (_, y, say) = fitted(kind), MODELS[kind]
    el.save(model, tmp_path / "model")
    for twin in (el.load(tmp_path / "model"), clone(model).fit(X, y)):
        assert np.array_equal(say(twin), say(model))
        assert str(twin.get_params()) == str(model.get_params())


def test_the_number_of_threads_changes_no_bit():
    weights = [clone(fitted("classifier")).set_params(n_jobs=n, micro_batch_size=4).fit(X, Y) for n in (1, 2)]
    assert np.array_equal(*map(proba, weights))


def test_several_quantities_come_one_after_the_other():
    both = np.concatenate([X, -X], axis=2)
    model = classifier(dropout=0.0).fit(both, Y)
    kernels = model.module_.encoder.layers[0].weight_ih_l0
    assert kernels.shape == (20, 2, 3, 3)
    maps = torch.from_numpy(both[:3].reshape(3 * N_STEPS, 2, *GRID)).float()
    by_hand = torch.nn.functional.conv2d(maps, kernels, padding=1)[:, 7]  # a map of the forget gates
    moved = model.module_.encoder.layers[0].bias_ih_l0[7] + model.module_.encoder.layers[0].bias_hh_l0[7]
    gates = model.gate_activations(both[:3])["forget"].reshape(3, N_STEPS, 5, *GRID)
    np.testing.assert_allclose(
        gates[:, 0, 2], (by_hand.view(3, N_STEPS, *GRID)[:, 0] + moved).sigmoid().detach(), atol=1e-6
    )


def test_windows_may_differ_in_length():
    lengths = np.random.default_rng(0).integers(1, N_STEPS + 1, len(X))
    ragged = np.where((np.arange(N_STEPS) < lengths[:, None])[..., None], X, np.nan)
    model = classifier(dropout=0.0, pooling="max").fit(ragged, Y)
    together = model.predict_proba(ragged)
    assert np.array_equal(model.predict_proba(np.nan_to_num(ragged, nan=1e6), lengths=lengths), together)
    apart = np.concatenate([model.predict_proba(ragged[k : k + 1]) for k in range(12)])
    np.testing.assert_allclose(apart, together[:12], atol=1e-6)


def test_steps_in_pieces_are_the_whole():
    model = classifier().fit_steps(STRETCH, Y_STRETCH, starts=STARTS, burn_in=4, stride=8)
    whole, _ = model.predict_proba_steps(STRETCH)
    first, state = model.predict_proba_steps(STRETCH[:70])
    rest, _ = model.predict_proba_steps(STRETCH[70:], state)
    np.testing.assert_allclose(np.concatenate([first, rest]), whole, atol=1e-6)
    lanes, _ = model.predict_proba_steps(np.stack([STRETCH[70:]] * 2), model.repeat_state(state, 2))
    np.testing.assert_allclose(lanes, [rest, rest], atol=1e-6)


def test_bfloat16_moves_probabilities_by_little():
    wide, narrow = (classifier(precision=precision).fit(X, Y) for precision in ("float32", "bfloat16"))
    np.testing.assert_allclose(proba(narrow), proba(wide), atol=0.03)
    assert not np.array_equal(proba(narrow), proba(wide))


def test_a_large_grid_is_scored_in_smaller_pieces():
    camera, plain = el.networks.RecurrentNet(768, 2, cell="convlstm", grid=(24, 32)), el.networks.RecurrentNet(768, 2)
    assert [at_once(camera, most) for most in (16384, 256, 1)] == [1365, 21, 1]
    assert [at_once(plain, most) for most in (16384, 256, 1)] == [16384, 256, 1]


def log():
    index = pd.date_range("2024-01-01", periods=len(STRETCH), freq="min", name="time")
    return pd.DataFrame(STRETCH, index), pd.Series(Y_STRETCH, index)


@pytest.mark.parametrize("mode", ["stateful", "windows"])
@pytest.mark.parametrize("inputs", ["level", "relative", "whitened"])
def test_every_view_of_a_log_is_a_multiple_of_the_grid(mode, inputs):
    values, y = log()
    model = el.EventClassifier(classifier(), mode=mode, inputs=inputs, n_estimators=1, window_size=5, random_state=0)
    assert model.fit(values, y).predict_proba(values).shape == (len(y), 2)


@pytest.mark.parametrize("network", [el.LSTMForecaster, el.LSTMAutoencoder], ids=str)
def test_a_detector_takes_networks_on_a_grid(network):
    values, _ = log()
    model = el.AnomalyDetector(
        network(**ON_GRID | QUICK), inputs="relative", window_size=5, threshold=3.0, random_state=0
    )
    assert np.isfinite(model.fit(values).anomaly_score(values)).all()


@pytest.mark.parametrize("network", [el.LSTMClassifier, el.LSTMForecaster, el.LSTMAutoencoder, el.LSTMTagger], ids=str)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grid": None}, r"^cell='convlstm' came without a grid\. Set grid=\(height, width\), the rows and columns"),
        (
            {"cell": "gru"},
            r"^grid=\(5, 5\) came with cell='gru', which has no grid\. Set cell='convlstm' or grid=None\.$",
        ),
        ({"grid": (5, 0)}, r"^grid=\(5, 0\) came\. Give two whole numbers above zero: \(height, width\)\.$"),
        ({"grid": [5, 2.5]}, r"^grid=\[5, 2\.5\] came\. Give two whole numbers above zero"),
        ({"grid": (4, 5)}, r"^grid=\(4, 5\) has 20 cells, and 25 channels came, which is no multiple\."),
        ({"grid": 25}, r"The 'grid' parameter of LSTM.* must be an instance of 'tuple'"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(network, parameters, message):
    y = np.repeat(Y[:, None], N_STEPS, axis=1) if network is el.LSTMTagger else Y
    with pytest.raises(ValueError, match=message) as refused:
        network(**ON_GRID | QUICK | parameters).fit(X, y)
    assert "\n" not in str(refused.value)


def test_codes_have_no_place_on_a_grid():
    with pytest.raises(ValueError, match=r"no place on its grid for codes, but channels \[3\] are categorical"):
        classifier(categorical_channels=[3]).fit(X.round(), Y)
