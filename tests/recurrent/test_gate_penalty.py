"""A penalty on forget gates at their ends, in every network and every way to train it."""

import numpy as np
import pytest
import torch

from eventlstm import (
    BalancedBaggingLSTMClassifier,
    EventClassifier,
    LSTMAutoencoder,
    LSTMClassifier,
    LSTMForecaster,
    LSTMTagger,
)
from eventlstm.networks import layers
from eventlstm.training.augmentation import Augmentation

from .test_options import FRESH, X, Y, assert_same, log_with_bumps, net

SMALL = {"hidden_size": 4, "batch_size": 32, "max_epochs": 2, "n_jobs": 1, "random_state": 0}
LENGTHS = np.arange(len(X)) % 5 + 4
WAYS = {
    "lstm": {},
    "gru": {"cell": "gru"},
    "peephole": {"cell": "peephole"},
    "both ways": {"bidirectional": True, "num_layers": 2, "residual": True, "layer_norm": True},
    "recurrent dropout": {"recurrent_dropout": 0.2, "dropout": 0.2},
    "truncated": {"tbptt_steps": 3},
    "pieces": {"micro_batch_size": 5, "class_weight": "balanced", "cell": "gru"},
    "attention": {"pooling": "additive", "attention_entropy": 0.1},
    "mixup": {"augmentation": Augmentation(mixup=0.3)},
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "padded"])
def test_training_is_that_of_plain_steps_through_autograd(name, lengths, monkeypatch):
    model = net(gate_penalty=0.3, precision="float64", **WAYS[name])
    one = model.fit(X, Y, lengths=lengths).predict_proba(FRESH)
    history = model.history_
    monkeypatch.setattr(layers, "is_scanned", lambda *_: False)
    other = model.fit(X, Y, lengths=lengths).predict_proba(FRESH)
    np.testing.assert_allclose(one, other, rtol=0.0, atol=1e-6)
    for key in ("train_loss", "gate_penalty", "gates_at_ends"):
        np.testing.assert_allclose([r[key] for r in history], [r[key] for r in model.history_], atol=1e-6)


def test_what_is_charged_is_the_mean_over_steps_units_and_layers():
    still = {"batch_size": None, "max_epochs": 1, "precision": "float64", "lr": 1e-12, "dropout": 0.0}
    model = net(num_layers=2, gate_penalty=0.3, **still).fit(X, Y)
    with torch.no_grad():
        f = torch.stack([model.module_.gates(torch.from_numpy(X), layer)["forget"] for layer in (0, 1)])
    charge = float((2 * f - 1).square().mean())
    assert model.history_[0]["gate_penalty"] == pytest.approx(charge, abs=1e-9)
    free = net(num_layers=2, **still).fit(X, Y)
    assert model.loss_curve_[0] - free.loss_curve_[0] == pytest.approx(0.3 * charge, abs=1e-9)


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_gates_are_kept_from_their_ends(cell):
    settings = {"cell": cell, "forget_bias": 4.0, "max_epochs": 20, "lr": 0.05}
    shares = [net(gate_penalty=price, **settings).fit(X, Y).history_[-1] for price in (1e-9, 1.0)]
    assert shares[0]["gates_at_ends"] > 0.3 > 0.1 > shares[1]["gates_at_ends"]
    assert shares[1]["gate_penalty"] < 0.5 * shares[0]["gate_penalty"]


def test_a_tiny_penalty_is_next_to_none_and_none_reports_nothing():
    free, tiny = net().fit(X, Y), net(gate_penalty=1e-12).fit(X, Y)
    np.testing.assert_allclose(free.predict_proba(FRESH), tiny.predict_proba(FRESH), atol=1e-5)
    assert "gate_penalty" not in free.history_[0]


def test_windows_without_weight_are_charged_for_nothing():
    settings = {"gate_penalty": 1.0, "batch_size": None, "max_epochs": 1, "dropout": 0.0, "precision": "float64"}
    weight = np.append(np.ones(len(X)), np.zeros(8))
    odd = np.concatenate([X, 50.0 * X[:8]])
    model = net(**settings).fit(odd, np.append(Y, Y[:8]), sample_weight=weight)
    alone = net(**settings).fit(X, Y)
    assert model.history_[0]["gate_penalty"] == pytest.approx(alone.history_[0]["gate_penalty"])
    np.testing.assert_allclose(model.predict_proba(FRESH), alone.predict_proba(FRESH), atol=1e-6)


def test_threads_change_no_bit():
    model = net(gate_penalty=0.3, micro_batch_size=8, recurrent_dropout=0.1)
    one, two = (clone_of(model, n_jobs=n_jobs).fit(X, Y) for n_jobs in (1, 2))
    assert_same(one, two)
    assert one.history_ == two.history_


def clone_of(model, **changes):
    return net(**{**model.get_params(), **changes})


def every_network():
    """Fit each kind of network with a penalty, and return them."""
    settings = {**SMALL, "gate_penalty": 0.1}
    values, y = log_with_bumps()
    yield LSTMAutoencoder(**settings).fit(X)
    yield LSTMAutoencoder(**settings, teacher_forcing=0.5).fit(X, lengths=LENGTHS)
    yield LSTMForecaster(**settings, decoder="recurrent").fit(X, X[:, :3])
    yield LSTMForecaster(**settings, horizon=2).fit_steps(values, starts=np.array([0, 100]), burn_in=4, stride=8)
    yield LSTMTagger(**settings, crf=True, bidirectional=True, decoding="smoothed").fit(X, (X[..., 0] > 1).astype(int))
    yield LSTMTagger(**settings).fit_steps(values, y, starts=np.array([0]), burn_in=4, stride=8)
    yield LSTMClassifier(**settings).fit_steps(values, y, starts=np.array([0]), burn_in=4, stride=8)
    yield LSTMClassifier(**settings, cell="gru").partial_fit(X, Y, classes=[0, 1])
    yield LSTMClassifier(**settings, precision="bfloat16").fit(X, Y, X_val=FRESH, y_val=np.arange(150) % 2)
    bag = BalancedBaggingLSTMClassifier(LSTMClassifier(**settings), n_estimators=1, random_state=0)
    yield bag.fit(X, Y).estimators_[0]


def test_every_network_reports_where_its_gates_were():
    for model in every_network():
        for record in model.history_:
            assert 0.0 < record["gate_penalty"] < 0.5, model
            assert 0.0 <= record["gates_at_ends"] < 0.5, model


def test_a_burn_in_is_not_charged():
    values, y = log_with_bumps()
    settings = {"gate_penalty": 1.0, "batch_size": None, "max_epochs": 1, "precision": "float64", "dropout": 0.0}
    model = net(**settings, lr=1e-12).fit_steps(values, y, starts=np.array([0]), burn_in=300, stride=240)
    with torch.no_grad():
        x = torch.from_numpy(np.concatenate([np.repeat(values[:1], 300, axis=0), values]))[None]
        f = model.module_.gates(x)["forget"][:, 300:]
    assert model.history_[0]["gate_penalty"] == pytest.approx(float((2 * f - 1).square().mean()), rel=1e-6)


def test_cells_without_the_gate_are_refused():
    for model, data in ((net, (X, Y)), (LSTMAutoencoder, (X,))):
        with pytest.raises(ValueError, match=r"gate_penalty=0.1 needs forget gates, but cell='rnn' has none"):
            model(cell="rnn", gate_penalty=0.1).fit(*data)
    assert hasattr(net(cell="rnn", gate_penalty=0.0).fit(X, Y), "module_")


@pytest.mark.parametrize("price", [-0.1, "0.1", None])
def test_a_penalty_that_is_no_price_is_refused(price):
    with pytest.raises(ValueError, match="'gate_penalty' parameter"):
        net(gate_penalty=price).fit(X, Y)


def test_a_log_classifier_takes_networks_with_a_penalty():
    values, y = log_with_bumps()
    inner = LSTMClassifier(**SMALL, gate_penalty=0.1)
    model = EventClassifier(inner, window_size=8, n_estimators=1, random_state=0).fit(values, y)
    assert np.isfinite(model.predict_proba(values)).all()
