"""Where training drops values, the intercept is refitted until probabilities have the shares of the classes."""

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import NearMiss, RandomUnderSampler
from scipy.special import expit, softmax

from eventlstm import Augmentation, LSTMClassifier
from eventlstm.losses import FocalLoss, make_loss
from eventlstm.losses.priors import undo_factors
from eventlstm.recurrent import intercept
from eventlstm.recurrent.checking import CheckedWindows, Examples
from eventlstm.recurrent.forward import Scored
from eventlstm.recurrent.intercept import find_root, refit_intercept, take_enough

pytestmark = pytest.mark.usefixtures("one_torch_thread")

# Of 1,000 windows 26 are events; their last reading alone tells which are likely to be.
SLOPE, OFFSET, PREVALENCE = 2.0, -5.27, 0.026
LEAST, MOST = 0.9, 1.1
CORRECTED = [{}, {"class_weight": "balanced"}, {"loss": "focal"}]
LOSSES = ["cross_entropy", "focal", "class_balanced", "logit_adjusted", FocalLoss(gamma=1.0, alpha=[0.4, 0.9])]
WITHOUT_WAY_BACK = ["asymmetric", "ldam", "average_precision", torch.nn.CrossEntropyLoss()]


def made(n_windows, seed):
    """Return windows, the true probability of an event in each, and whether there was one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_windows, 4, 2))
    p = expit(SLOPE * X[:, -1, 0] + OFFSET)
    return X, p, (rng.random(n_windows) < p).astype(int)


def learner(**changes):
    settings = {"hidden_size": 8, "dropout": 0.2, "max_epochs": 12, "batch_size": 400, "micro_batch_size": 400}
    return LSTMClassifier(**{**settings, "lr": 0.01, "n_jobs": 1, "random_state": 0, "correct_prior": True, **changes})


def short(**changes):
    return learner(**{"max_epochs": 2, "batch_size": 50, "precision": "float64", **changes})


def few(n_classes=2):
    """Return 600 windows of 3 steps and 2 channels, their classes, rarer ones last, and their weights."""
    rng = np.random.default_rng(1)
    share = 0.25 ** np.arange(n_classes)
    return rng.normal(size=(600, 3, 2)), rng.choice(n_classes, 600, p=share / share.sum()), rng.uniform(0.5, 2.0, 600)


def leave_alone(monkeypatch):
    monkeypatch.setattr("eventlstm.recurrent.lstm_classifier.refit_intercept", lambda *_: None)


def shares(y, weight=None):
    return np.bincount(y, weights=weight) / (len(y) if weight is None else weight.sum())


X_NEW, P_NEW, _ = made(20_000, seed=99)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("changes", CORRECTED, ids=str)
def test_on_fresh_windows_as_many_events_are_expected_as_come(changes, seed):
    X, p, y = made(16_000, seed)
    assert p.mean() == pytest.approx(PREVALENCE, rel=0.05)
    proba = learner(random_state=seed, **changes).fit(X, y).predict_proba(X_NEW)
    assert LEAST < proba[:, 1].sum() / P_NEW.sum() < MOST


@pytest.mark.parametrize("changes", CORRECTED, ids=str)
def test_too_few_are_expected_by_the_intercept_that_training_leaves(changes, monkeypatch):
    leave_alone(monkeypatch)
    X, _, y = made(16_000, seed=0)
    assert learner(**changes).fit(X, y).predict_proba(X_NEW)[:, 1].sum() / P_NEW.sum() < LEAST


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("changes", [{}, {"class_weight": "balanced"}, {"balanced_batches": True}], ids=str)
def test_the_probabilities_of_what_was_learnt_have_the_shares_of_the_classes(loss, changes):
    X, y, weight = few()
    proba = short(loss=loss, **changes).fit(X, y, weight).predict_proba(X)
    assert weight @ proba / weight.sum() == pytest.approx(shares(y, weight), rel=1e-6)


@pytest.mark.parametrize("changes", [{}, {"class_weight": {0: 1, 1: 3, 2: 9}}, {"loss": "focal"}], ids=str)
def test_the_probabilities_of_many_classes_have_their_shares(changes):
    X, y, _ = few(n_classes=4)
    assert short(**changes).fit(X, y).predict_proba(X).mean(axis=0) == pytest.approx(shares(y), rel=1e-6)


@pytest.mark.parametrize("what", [{"recurrent_dropout": 0.3}, {"augmentation": Augmentation(mixup=0.4)}], ids=str)
def test_the_probabilities_after_training_on_changed_units_or_windows_have_the_shares(what):
    X, y, _ = few()
    proba = short(dropout=0.0, **what).fit(X, y).predict_proba(X)
    assert proba.mean(axis=0) == pytest.approx(shares(y), rel=1e-6)


@pytest.mark.parametrize("sampler", [RandomUnderSampler(), SMOTE(), NearMiss()], ids=str)
def test_it_is_refitted_on_the_windows_before_any_sampling(sampler):
    X, y, _ = few()
    assert short(sampler=sampler).fit(X, y).predict_proba(X).mean(axis=0) == pytest.approx(shares(y), rel=1e-6)


def test_where_a_sampler_leaves_few_an_evenly_spread_part_stands_for_the_class(monkeypatch):
    X, y, weight = few()
    monkeypatch.setattr(intercept, "ENOUGH", 150)
    part = take_enough(Examples(CheckedWindows(X), y, weight))
    assert np.bincount(part.y).tolist() == [150, min(150, (y == 1).sum())]
    assert shares(part.y, part.weight) == pytest.approx(shares(y, weight))


@pytest.mark.parametrize("changes", [{}, {"loss": "focal"}, {"class_weight": "balanced"}], ids=str)
def test_rows_of_a_log_count_once_and_by_their_weight(changes):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(400, 2)), (rng.random(400) < 0.1).astype(int)
    weight = np.where(np.arange(400) < 300, rng.uniform(0.5, 2.0, 400), 0.0)
    weight.setflags(write=False)
    # Each stretch is as long as a chunk, so that a chunk of training is all that scoring sees.
    starts = np.arange(0, 400, 40)
    model = short(**changes).fit_steps(X, y, weight, starts=starts, burn_in=1, stride=40)
    warm = np.concatenate([X[starts, None], X.reshape(10, 40, 2)], axis=1)
    proba = model.predict_proba_steps(warm)[0][:, 1:].reshape(-1, 2)
    assert weight @ proba / weight.sum() == pytest.approx(shares(y, weight), rel=1e-5)


@pytest.mark.parametrize("loss", WITHOUT_WAY_BACK, ids=str)
def test_losses_without_a_way_back_leave_it_alone(loss, monkeypatch):
    X, y, _ = few()
    proba = short(loss=loss, correct_prior=False).fit(X, y).predict_proba(X)
    leave_alone(monkeypatch)
    assert np.array_equal(proba, short(loss=loss, correct_prior=False).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("changes", [{"dropout": 0.0}, {"dropout": 0.0, "class_weight": "balanced"}], ids=str)
def test_a_network_trained_on_what_it_is_asked_keeps_its_intercept(changes, monkeypatch):
    X, y, _ = few()
    proba = short(**changes).fit(X, y).predict_proba(X)
    leave_alone(monkeypatch)
    assert np.array_equal(proba, short(**changes).fit(X, y).predict_proba(X))


def test_a_part_of_the_data_does_not_tell_the_shares(monkeypatch):
    X, y, _ = few()
    proba = short().partial_fit(X, y, classes=[0, 1]).predict_proba(X)
    leave_alone(monkeypatch)
    assert np.array_equal(proba, short().partial_fit(X, y, classes=[0, 1]).predict_proba(X))


def test_nothing_but_the_intercept_is_changed(monkeypatch):
    X, y, _ = few(n_classes=3)
    refitted = short().fit(X, y).module_.state_dict()
    leave_alone(monkeypatch)
    trained = short().fit(X, y).module_.state_dict()
    assert {name for name in trained if not torch.equal(trained[name], refitted[name])} == {"head.bias"}


@pytest.mark.parametrize("changes", [{}, {"precision": "bfloat16"}], ids=str)
def test_the_number_of_threads_changes_no_bit(changes):
    X, y, _ = few()
    one, three = (short(batch_size=200, micro_batch_size=16, n_jobs=n, **changes).fit(X, y) for n in (1, 3))
    assert torch.equal(one.module_.head.bias, three.module_.head.bias)


def test_a_class_left_out_of_training_gets_no_share():
    X, y, _ = few(n_classes=3)
    model = short(class_weight={0: 1, 1: 1, 2: 0}, correct_prior=False).fit(X, y)
    proba = model.predict_proba(X[y < 2])
    assert (proba[:, 1] / proba[:, :2].sum(axis=1)).sum() == pytest.approx((y == 1).sum(), rel=0.01)
    assert proba[:, 2].max() < 0.01


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0, 30.0])
@pytest.mark.parametrize("off", [0.0, 8.0, -8.0])
def test_it_is_found_from_afar_and_in_blocks(loss, scale, off, monkeypatch):
    rng = np.random.default_rng(3)
    head = torch.nn.Linear(1, 2).double()
    before = head.bias.detach().clone()
    logits = torch.from_numpy(scale * rng.normal(size=(2000, 2)) + [0.0, off])
    y, weight = (rng.random(2000) < 0.1).astype(int), rng.uniform(0.5, 2.0, 2000)

    def proba(logits):
        return undo_factors(make_loss(loss).restore(softmax(logits.numpy(), axis=1)), [1.0, 4.0])

    monkeypatch.setattr(intercept, "BLOCK", 300)
    module = torch.nn.Module()
    module.head = head
    refit_intercept(module, Scored(logits, y, weight), proba)
    moved = proba(logits + (head.bias - before).detach())
    assert weight @ moved / weight.sum() == pytest.approx(shares(y, weight), rel=1e-6)


def test_a_root_that_is_not_there_ends_as_near_as_it_goes():
    assert find_root(lambda x: x**2 + 1.0, np.array([2.0])) == pytest.approx([0.0], abs=0.1)
    assert find_root(lambda x: np.zeros(0), np.zeros(0)).shape == (0,)
