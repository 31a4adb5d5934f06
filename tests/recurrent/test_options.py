"""What holds for every kind of recurrent network and every way to train it."""

import inspect
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import eventlstm as el
from eventlstm import EventClassifier, LogWindows, LSTMAutoencoder, LSTMClassifier, LSTMForecaster
from eventlstm.networks import RecurrentNet
from eventlstm.recurrent.recipe import make_recipe
from eventlstm.training.augmentation import Augmentation
from eventlstm.training.batches import ChunkBatches
from eventlstm.training.optimizers import OPTIMIZERS, SCHEDULE_NAMES

CELLS = ["lstm", "gru", "rnn", "peephole", "convlstm"]
POOLINGS = ["last", "mean", "max", "additive", "luong", "multihead"]
N_STEPS = 8


def bumps(n_windows, seed):
    """Return windows of noise, and in a third of them two high steps: the event."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(0.0, 0.5, (n_windows, N_STEPS, 2)), np.arange(n_windows) % 3 == 0
    at = rng.integers(1, N_STEPS - 1, n_windows)
    for shift in (0, 1):
        X[np.flatnonzero(y), at[y] + shift, 0] += 3.0
    return X, y.astype(int)


X, Y = bumps(96, 0)
FRESH, Y_FRESH = bumps(150, 1)


def net(**changes):
    settings = {"hidden_size": 4, "num_heads": 2, "batch_size": 32, "max_epochs": 2, "n_jobs": 1, "random_state": 0}
    grid = (1, 2) if changes.get("cell") == "convlstm" else None
    return LSTMClassifier(**{"grid": grid, **settings, **changes})


def learner(**changes):
    """Return a network that has time enough to learn to tell bumps."""
    return net(**{"max_epochs": 12, "batch_size": 12, "lr": 0.03, "dropout": 0.0, **changes})


def assert_learns(model):
    assert roc_auc_score(Y_FRESH, model.fit(X, Y).predict_proba(FRESH)[:, 1]) > 0.8


def assert_same(one, other, X=FRESH):
    """Assert that two networks have the same weights and probabilities, bit by bit."""
    for weight, twin in zip(one.module_.parameters(), other.module_.parameters(), strict=True):
        assert torch.equal(weight, twin)
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


def assert_kept(model, folder):
    """Assert that whatever keeps a model keeps its probabilities."""
    el.save(model, folder / "model")
    for twin in (el.load(folder / "model"), pickle.loads(pickle.dumps(model))):
        assert_same(twin, model)
        assert twin.get_params().keys() == model.get_params().keys()
    assert not hasattr(clone(model), "module_")


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_under_every_pooling_learns_and_is_kept(cell, pooling, bidirectional, tmp_path):
    model = learner(cell=cell, pooling=pooling, bidirectional=bidirectional)
    assert_learns(model)
    assert_kept(model, tmp_path)


OPTIONS = {
    "two residual layers": {"num_layers": 2, "residual": True, "bidirectional": True},
    "layer norm": {"layer_norm": True, "num_layers": 2},
    "recurrent dropout": {"recurrent_dropout": 0.2, "bidirectional": True, "pooling": "mean"},
    "dropout": {"dropout": 0.2},
    "forget bias": {"forget_bias": 1.0},
    "forget bias of a gru": {"forget_bias": 1.0, "cell": "gru"},
    "retention": {"retention_steps": 6, "bidirectional": True},
    "attention entropy": {"attention_entropy": 0.1, "pooling": "additive"},
    "entropy of heads": {"attention_entropy": 0.1, "pooling": "multihead"},
    "truncation": {"tbptt_steps": 4},
    "truncation under a pooling": {"tbptt_steps": 3, "pooling": "max"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16 where fast": {"precision": "auto"},
    "no clipping": {"max_grad_norm": None},
    "whole set": {"batch_size": None, "max_epochs": 60},
    **{name: {"augmentation": Augmentation(**{name: 0.1})} for name in ("jitter", "scaling", "time_warp", "mixup")},
    **{name: {"optimizer": name, "lr": 0.3 if name == "sgd" else 0.03} for name in OPTIMIZERS},
    **{name: {"schedule": name} for name in sorted(SCHEDULE_NAMES)},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_learns_and_is_kept(name, tmp_path):
    model = learner(**OPTIONS[name])
    assert_learns(model)
    assert_kept(model, tmp_path)


def log_with_bumps():
    """Return a log of one run with six events of three rows."""
    values = np.random.default_rng(0).normal(0.0, 0.5, (240, 2))
    y = np.arange(240) % 40 >= 37
    values[y, 0] += 3.0
    return values, y.astype(int)


@pytest.mark.parametrize("options", [{"pooling": p} for p in POOLINGS[1:]] + [{"bidirectional": True}], ids=str)
def test_networks_of_whole_windows_take_logs_as_windows_and_are_refused_step_by_step(options, monkeypatch):
    values, y = log_with_bumps()
    settings = {"window_size": 6, "n_estimators": 2, "n_jobs": 1, "random_state": 0}
    model = EventClassifier(learner(**options, max_epochs=14), mode="windows", stride=2, **settings).fit(values, y)
    assert roc_auc_score(y, model.predict_proba(values)[:, 1]) > 0.9
    monkeypatch.delattr(RecurrentNet, "initialize")  # what training begins with
    with pytest.raises(ValueError, match="Use mode='windows'"):
        EventClassifier(learner(**options), **settings).fit(values, y)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_the_entropy_of_attention_is_refused_where_there_is_none(pooling):
    with pytest.raises(ValueError, match=f"attention_entropy=0.1 needs attention, but pooling='{pooling}' has none"):
        net(pooling=pooling, attention_entropy=0.1).fit(X, Y)


CONTRADICTIONS = [
    ({"tbptt_steps": 3, "bidirectional": True}, "Set tbptt_steps=None or bidirectional=False"),
    ({"forget_bias": 1.0, "retention_steps": 5}, "Give one of them"),
    ({"forget_bias": 1.0, "cell": "rnn"}, "no gate that keeps the memory"),
    ({"pooling": "multihead", "num_heads": 3}, "Set num_heads to a divisor of 4"),
]


@pytest.mark.parametrize(("options", "message"), CONTRADICTIONS, ids=str)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        net(**options).fit(X, Y)


PIECES = {
    "dropout": {"dropout": 0.3},
    "bfloat16": {"precision": "bfloat16"},
    "attention": {"pooling": "multihead", "attention_entropy": 0.1},
    "both ways": {"bidirectional": True, "recurrent_dropout": 0.2, "pooling": "mean"},
    "peephole": {"cell": "peephole"},
    "gru": {"cell": "gru", "layer_norm": True, "num_layers": 2, "residual": True},
    "truncation": {"tbptt_steps": 3},
    "augmentation": {"augmentation": Augmentation(jitter=0.1, mixup=0.2, time_warp=0.1)},
    "early stopping": {"early_stopping": True, "scoring": "roc_auc", "validation_fraction": 0.5},
}
LENGTHS = np.random.default_rng(0).integers(1, N_STEPS + 1, len(X))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("name", PIECES)
def test_the_number_of_threads_changes_no_bit(name, lengths):
    many = np.concatenate([FRESH] * 4)  # more than are scored in one call
    models = [net(n_jobs=n, micro_batch_size=8, **PIECES[name]).fit(X, Y, lengths=lengths) for n in (1, 2, None)]
    for model in models[1:]:
        assert model.history_ == models[0].history_
        assert_same(model, models[0], many)


@pytest.mark.parametrize("name", ["attention", "both ways", "peephole", "gru", "truncation"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_the_size_of_the_pieces_changes_rounding_only(name, lengths):
    exact = {**PIECES[name], "dropout": 0.0, "recurrent_dropout": 0.0, "precision": "float64"}
    whole, cut = (net(micro_batch_size=size, **exact).fit(X, Y, lengths=lengths) for size in (32, 7))
    np.testing.assert_allclose(cut.predict_proba(FRESH), whole.predict_proba(FRESH), atol=1e-9)
    np.testing.assert_allclose(cut.loss_curve_, whole.loss_curve_, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"pooling": "luong", "bidirectional": True}, {"cell": "gru"}], ids=str)
@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
def test_short_numbers_move_probabilities_little(options, precision, tmp_path):
    full, short = (learner(precision=p, **options).fit(X, Y) for p in ("float32", precision))
    np.testing.assert_allclose(short.predict_proba(FRESH), full.predict_proba(FRESH), atol=0.03)
    assert_kept(short, tmp_path)
    expected = full.predict_proba(FRESH)
    np.testing.assert_allclose(full.set_params(precision=precision).predict_proba(FRESH), expected, atol=0.02)
    assert all(weight.dtype == torch.float32 for weight in full.module_.parameters())


@pytest.mark.parametrize("options", PIECES.values(), ids=PIECES.keys())
def test_windows_without_weight_are_left_out_and_weights_are_told_apart(options):
    exact = {"batch_size": None, "augmentation": None, "dropout": 0.0, "recurrent_dropout": 0.0}
    model = net(**{**options, **exact, "precision": "float64", "attention_entropy": 0.0})
    twin, weight = clone(model), (np.arange(len(X)) % 4 != 0).astype(float)
    kept, held_out = weight > 0, {"X_val": FRESH, "y_val": Y_FRESH}
    model.fit(X, Y, weight, **held_out)
    twin.fit(X[kept], Y[kept], **held_out)
    np.testing.assert_allclose(model.predict_proba(FRESH), twin.predict_proba(FRESH), atol=1e-9)


@pytest.mark.parametrize("name", ["dropout", "attention", "both ways", "peephole", "augmentation"])
def test_a_warm_start_goes_on_with_the_network_and_a_cold_one_does_not(name):
    options = {**PIECES[name], "schedule": "constant", "max_epochs": 3, "lr": 0.01}
    warm, cold = (net(warm_start=warm, **options).fit(X, Y) for warm in (True, False))
    first = warm.loss_curve_
    assert cold.loss_curve_ == first
    warm.fit(X, Y)
    assert warm.n_iter_ == 6
    assert warm.loss_curve_[:3] == first
    assert warm.loss_curve_[-1] < first[-1]
    assert cold.fit(X, Y).loss_curve_ == first


SETS = [{"optimizer": name} for name in OPTIMIZERS] + [{"augmentation": Augmentation(jitter=0.1, mixup=0.3)}]


@pytest.mark.parametrize("options", [*SETS, {"pooling": "additive", "attention_entropy": 0.1}], ids=str)
def test_partial_fit_goes_on_through_whatever_keeps_the_model(options, tmp_path):
    model = net(**options).partial_fit(X, Y, classes=[0, 1])
    el.save(model, tmp_path / "model")
    twins = [pickle.loads(pickle.dumps(model)), el.load(tmp_path / "model")]
    model.partial_fit(X, Y)
    for twin in twins:
        assert_same(twin.partial_fit(X, Y), model)
    for _ in range(20):
        model.partial_fit(X, Y, lengths=[N_STEPS] * len(X))
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("as_log", [False, True], ids=["windows", "log"])
def test_windows_of_a_log_are_the_same_as_their_array(as_log):
    values, y = log_with_bumps()
    windows = LogWindows(values, 6)
    one, other = (net(pooling="luong", bidirectional=True).fit(w, y) for w in (windows, windows[:]))
    assert_same(one, other, windows if as_log else windows[:])


def test_lengths_of_the_windows_of_a_log_are_refused():
    values, y = log_with_bumps()
    windows, lengths = LogWindows(values, 6), [3] * 240
    with pytest.raises(ValueError, match="lengths came with LogWindows"):
        net().fit(windows, y, lengths=lengths)
    with pytest.raises(ValueError, match=r"pass the windows as an array: np.asarray\(X\)"):
        net().fit(windows, y).predict_proba(windows, lengths=lengths)


def test_every_choice_of_the_network_counts():
    choices = [{"cell": c} for c in CELLS] + [{"pooling": p} for p in POOLINGS[1:]] + [{"bidirectional": True}]
    choices += [{"num_layers": 2}, {"num_layers": 2, "residual": True}, {"layer_norm": True}, {"forget_bias": 2.0}]
    choices += [{"retention_steps": 5}, {"recurrent_dropout": 0.5}, {"tbptt_steps": 2}]
    found = [net(**choice).fit(X, Y).predict_proba(FRESH[:5]) for choice in choices]
    for one, other in itertools.combinations(found, 2):
        assert not np.allclose(one, other, atol=1e-7)


class Killed(Exception):  # noqa: N818 - it is no error of a program
    """What ends a training in the middle."""


def killing(after, end):
    """Return a scorer that ends the training in its call number `after`, counted from one, and then no more."""
    left = itertools.count(after - 1, -1)

    def score(estimator, X, y):
        if next(left) == 0:
            raise end
        return 0.0

    return score


HELD_OUT = {"X_val": FRESH, "y_val": Y_FRESH}
RUNS = np.array([0, 100])


def fit_windows(model):
    return model.fit(X, Y, **HELD_OUT)


def fit_steps(model):
    values, y = log_with_bumps()
    return model.fit_steps(values, y, starts=RUNS, X_val=values, y_val=y, starts_val=RUNS, burn_in=4, stride=8)


KINDS = [*OPTIMIZERS, "attention", "augmentation", "gru"]


@pytest.mark.parametrize("fit", [fit_windows, fit_steps])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Interrupted after")
def test_a_fit_that_was_ended_goes_on_as_if_nothing_had_been(fit, kind, tmp_path):
    options = {"optimizer": kind} if kind in OPTIMIZERS else PIECES[kind]
    if fit is fit_steps and kind == "attention":
        options = {"num_layers": 2}
    model = net(**options, max_epochs=4)
    whole = fit(clone(model).set_params(scoring=killing(9, Killed)))
    model.set_params(checkpoint=tmp_path / "fit", scoring=killing(2, Killed))
    with pytest.raises(Killed, match=r"^$"):
        fit(model)
    fit(model.set_params(scoring=killing(2, KeyboardInterrupt)))
    assert model.n_iter_ == 2
    assert (tmp_path / "fit").exists()
    fit(model.set_params(n_jobs=2))
    assert model.history_ == whole.history_
    for weight, twin in zip(model.module_.parameters(), whole.module_.parameters(), strict=True):
        assert torch.equal(weight, twin)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["windows", "stateful"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_member_goes_on_from_a_file_of_its_own(mode, n_jobs, tmp_path):
    values, y = log_with_bumps()
    log = np.concatenate([values, values + 0.1])
    member = net(early_stopping=True, scoring=killing(99, Killed), validation_fraction=0.5, max_epochs=4)
    settings = {"mode": mode, "window_size": 6, "n_estimators": 2, "random_state": 0, "n_jobs": n_jobs}
    index = pd.MultiIndex.from_product([["a", "b"], range(240)], names=["machine", "time"])
    X, y = pd.DataFrame(log, index=index), pd.Series(np.tile(y, 2), index=index)
    whole = EventClassifier(member, **settings).fit(X, y)
    model = EventClassifier(clone(member).set_params(checkpoint=tmp_path / "fit"), **settings)
    with pytest.raises(Killed, match=r"^$"):
        clone(model).set_params(estimator__scoring=killing(7, Killed)).fit(X, y)
    assert {path.name for path in tmp_path.iterdir()} <= {"fit.0", "fit.1"}
    assert list(tmp_path.iterdir())
    model.fit(X, y)
    assert np.array_equal(model.predict_proba(X), whole.predict_proba(X))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_a_checkpoint_of_a_fit_that_cannot_be_repeated_is_refused(random_state, tmp_path):
    model = net(checkpoint=tmp_path / "fit")
    values, y = log_with_bumps()
    with pytest.raises(ValueError, match="Set random_state to an int"):
        clone(model).set_params(random_state=random_state).fit(X, Y)
    with pytest.raises(ValueError, match=r"EventClassifier's random_state=.* Set it to an int"):
        EventClassifier(model, n_estimators=2, random_state=random_state).fit(values, y)
    assert list(tmp_path.iterdir()) == []


OTHER_FITS = [
    {"dropout": 0.3},
    {"pooling": "max"},
    {"tbptt_steps": 3},
    {"scoring": "f1"},
    {"lr": 0.1},
    {"random_state": 1},
    {"class_weight": "balanced"},
    {"augmentation": Augmentation(jitter=0.1)},
    {"precision": "bfloat16"},
]


@pytest.mark.parametrize("change", OTHER_FITS, ids=str)
def test_the_checkpoint_of_another_fit_is_refused(change, tmp_path):
    model = net(pooling="mean", checkpoint=tmp_path / "fit", max_epochs=3, scoring=killing(2, Killed))
    with pytest.raises(Killed, match=r"^$"):
        model.fit(X, Y, **HELD_OUT)
    with pytest.raises(ValueError, match="is the checkpoint of another fit"):
        clone(model).set_params(**change).fit(X, Y, **HELD_OUT)
    with pytest.raises(ValueError, match="is the checkpoint of another fit"):
        clone(model).fit(X + 1.0, Y, **HELD_OUT)


EXACT_ATTENTION = LSTMClassifier(
    hidden_size=4,
    dropout=0,
    pooling="additive",
    bidirectional=True,
    precision="float64",
    batch_size=None,
    max_epochs=25,
    lr=0.1,
    n_jobs=1,
)


@pytest.mark.slow
@parametrize_with_checks([EXACT_ATTENTION])
def test_every_check_of_scikit_learn_passes_with_attention(estimator, check):
    check(estimator)


@pytest.mark.parametrize("network", [LSTMAutoencoder, LSTMClassifier, LSTMForecaster])
def test_a_constructor_names_all_parameters_and_takes_but_the_first_by_its_place(network):
    parameters = inspect.signature(network).parameters
    assert [name for name, of in parameters.items() if of.kind is not of.KEYWORD_ONLY] == ["n_channels"]
    assert network().get_params() == {name: of.default for name, of in parameters.items()}
    assert network._parameter_constraints.keys() == parameters.keys()
    assert vars(network()) == network().get_params()


def test_networks_share_their_defaults_but_those_that_were_measured_to_be_better():
    told = [inspect.signature(network).parameters for network in (LSTMAutoencoder, LSTMClassifier, LSTMForecaster)]
    shared = told[0].keys() & told[1].keys() & told[2].keys()
    assert {name for name in shared if len({of[name].default for of in told}) > 1} == {
        "dropout",
        "loss",
        "lr",
        "max_steps",
        "min_steps",
    }


@pytest.mark.parametrize(
    ("max_steps", "n_rows", "of_chunks", "of_windows"),
    [
        ("auto", 8, 1160, 6000),
        ("auto", 900, 1350, 6000),
        ("auto", 9000, 6000, 6000),
        (7, 8, 7, 7),
        (None, 8, None, None),
    ],
)
def test_auto_allows_fewer_steps_of_chunks_than_of_windows(max_steps, n_rows, of_chunks, of_windows):
    rows = torch.zeros(n_rows, 1), np.zeros(1, int), np.zeros(n_rows, int), np.ones(n_rows)
    estimator = LSTMClassifier(max_steps=max_steps)
    chunks = ChunkBatches(*rows, burn_in=1, stride=2, batch_size=1)
    assert make_recipe(estimator, chunks).max_steps == of_chunks
    assert make_recipe(estimator, None).max_steps == of_windows
