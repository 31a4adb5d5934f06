"""Estimators of windows by themselves as ONNX graphs: what they say of windows is ours."""

import json

import numpy as np
import pytest

import eventlstm as el

from .running import open_model, told
from .small import AUTOENCODER, FORECASTER, SMALL, small

ALIKE = 1e-5
WINDOWS = np.random.default_rng(0).normal(size=(60, 7, 3))
LABELS = (WINDOWS[:, -3:, 1].mean(axis=1) > 0.4).astype(int)
NEW = np.random.default_rng(1).normal(size=(20, 7, 3)) * 2

CELLS = ("lstm", "gru", "rnn", "peephole")
POOLINGS = ("last", "mean", "max", "additive", "luong", "multihead")
CLASSIFIERS = {
    **{f"{pooling}": small(pooling=pooling) for pooling in POOLINGS},
    **{f"{pooling} both ways": small(pooling=pooling, bidirectional=True, cell="gru") for pooling in POOLINGS},
    "rnn both ways": small(cell="rnn", bidirectional=True),
    "peepholes both ways": small(cell="peephole", bidirectional=True),
    "layers both ways": small(num_layers=2, bidirectional=True, layer_norm=True, residual=True),
    **{f"double {cell}": small(cell=cell, bidirectional=True, precision="float64", pooling="max") for cell in CELLS},
    "on a grid": small(cell="convlstm", grid=(3, 1), bidirectional=True, num_layers=2, layer_norm=True),
    "double on a grid": small(cell="convlstm", grid=(1, 3), precision="float64", pooling="additive"),
    "asymmetric": small(loss="asymmetric"),
    "focal": small(loss=el.losses.FocalLoss(gamma=3.0, alpha=0.7), correct_prior=True),
    "bag": el.BalancedBaggingLSTMClassifier(SMALL, n_estimators=3, random_state=0),
}


def forecaster(**parameters):
    return el.LSTMForecaster(**FORECASTER.get_params() | parameters)


def autoencoder(**parameters):
    return el.LSTMAutoencoder(**AUTOENCODER.get_params() | parameters)


FORECASTERS = {
    "direct": forecaster(),
    "unrolled": forecaster(decoder="recurrent"),
    "unrolled gru": forecaster(decoder="recurrent", cell="gru", bidirectional=True),
    "attention": forecaster(pooling="additive"),
    "on a grid": forecaster(cell="convlstm", grid=(1, 3)),
    "double": forecaster(decoder="recurrent", precision="float64"),
    "quantiles": forecaster(loss="quantile", quantiles=(0.1, 0.4, 0.9)),
}
AUTOENCODERS = {
    "last": autoencoder(),
    "mean": autoencoder(error="mean"),
    "told nothing": autoencoder(error="mean", teacher_forcing=None, cell="gru"),
    "layers": autoencoder(num_layers=2, bidirectional=True, layer_norm=True, residual=True),
    "double": autoencoder(precision="float64"),
    "on a grid": autoencoder(cell="convlstm", grid=(1, 3), error="mean"),
    "on a grid, told nothing": autoencoder(cell="convlstm", grid=(3, 1), teacher_forcing=None, num_layers=2),
    "codes": autoencoder(categorical_channels=[1]),
}


def run(session, windows):
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"windows": windows}), strict=True))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_probabilities_of_windows_are_ours(kind, tmp_path):
    model = CLASSIFIERS[kind].fit(WINDOWS, LABELS)
    outputs, ours = run(open_model(model, tmp_path), NEW), model.predict_proba(NEW)
    assert np.abs(outputs["probabilities"] - ours).max() < ALIKE
    assert np.abs(outputs["score"] - ours[:, 1]).max() < ALIKE
    assert np.ptp(ours[:, 1]) > 100 * ALIKE


@pytest.mark.parametrize("kind", FORECASTERS)
@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_forecasts_are_ours_in_the_shape_of_their_targets(kind, shape, tmp_path):
    targets = (WINDOWS[:, -1, :1] * np.linspace(10, 20, int(np.prod(shape))) + 1000).reshape(len(WINDOWS), *shape)
    model = FORECASTERS[kind].fit(WINDOWS, targets)
    outputs = run(open_model(model, tmp_path), NEW)
    assert outputs["forecast"].shape == (len(NEW), *shape)
    np.testing.assert_allclose(outputs["forecast"], model.predict(NEW), rtol=ALIKE)
    if model.quantiles_:
        np.testing.assert_allclose(outputs["quantiles"], model.predict_quantiles(NEW), rtol=ALIKE)


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_errors_of_autoencoders_are_ours(kind, tmp_path):
    windows, new = ((np.where(np.arange(3) == 1, x.round().clip(-2, 2), x)) for x in (WINDOWS, NEW))
    model = AUTOENCODERS[kind].fit(windows)
    session, ours = open_model(model, tmp_path), model.anomaly_score(new)
    np.testing.assert_allclose(run(session, new)["score"], ours, rtol=ALIKE)
    assert json.loads(told(session)["threshold"]) == -model.offset_


@pytest.mark.parametrize("n_windows", [1, 2, 7])
def test_windows_beside_a_window_do_not_change_what_is_said_of_it(n_windows, tmp_path):
    session = open_model(CLASSIFIERS["multihead both ways"].fit(WINDOWS, LABELS), tmp_path)
    alone = np.concatenate([run(session, NEW[k : k + 1])["score"] for k in range(n_windows)])
    np.testing.assert_allclose(run(session, NEW[:n_windows])["score"], alone, atol=1e-6)


def test_the_metadata_say_what_windows_to_cut(tmp_path):
    said = told(open_model(CLASSIFIERS["bag"].fit(WINDOWS, LABELS), tmp_path))
    assert (said["form"], said["model"]) == ("window", "BalancedBaggingLSTMClassifier")
    assert [json.loads(said[name]) for name in ("n_timesteps", "n_channels", "classes")] == [7, 3, [0, 1]]
