"""Denormal numbers are zero where a network learns, in each thread that takes part, and nowhere else."""

import threading

import numpy as np
import pytest
import torch

import eventlstm as el
from eventlstm.losses import Loss
from eventlstm.losses.base import PreparedLoss
from eventlstm.training.denormals import flush_denormals, flushes

TOLD = []


class Watching(Loss):
    """Cross-entropy that tells of each call whether its thread takes denormals for zero, and which thread it is."""

    def _prepare(self, n_items, n_events):
        return PreparedLoss(watch)


def watch(logits, target):
    TOLD.append((logits.requires_grad, flushes(), threading.get_ident()))
    return torch.nn.functional.cross_entropy(logits, target, reduction="none")


def windows(n_steps=20, seed=0):
    X = np.random.default_rng(seed).normal(size=(96, n_steps, 2))
    return X, np.arange(96) % 2


def test_it_holds_inside_alone_also_after_an_error():
    assert not flushes()
    with pytest.raises(KeyError), flush_denormals():
        assert flushes()
        with flush_denormals():
            pass
        assert flushes()
        raise KeyError
    assert not flushes()


def test_what_the_caller_set_stays():
    torch.set_flush_denormal(True)
    try:
        el.LSTMClassifier(hidden_size=2, max_epochs=1, max_steps=1).fit(*windows())
        assert flushes()
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_thread_that_trains_flushes_and_none_that_judges(n_jobs):
    TOLD.clear()
    X, y = windows()
    recipe = {"max_epochs": 2, "batch_size": 64, "micro_batch_size": 16}
    model = el.LSTMClassifier(hidden_size=2, loss=Watching(), n_jobs=n_jobs, **recipe)
    model.fit(X, y, X_val=X, y_val=y)
    trained = {flushed for learns, flushed, _ in TOLD if learns}
    judged = {flushed for learns, flushed, _ in TOLD if not learns}
    assert trained == {True} and judged == {False}
    assert len({thread for learns, _, thread in TOLD if learns}) == n_jobs
    assert not flushes()


@pytest.mark.usefixtures("one_torch_thread")  # as a fit has it: torch's own threads keep what they began with
def test_a_long_window_leaves_no_denormal_gradient():
    X, y = windows(400)
    model = el.LSTMClassifier(hidden_size=4, dropout=0, max_epochs=1, forget_bias=-3.0, random_state=0).fit(X, y)
    faded = torch.from_numpy(X.astype(np.float32)).requires_grad_()
    with flush_denormals():
        model.module_(faded).sum().backward()
    reached = faded.grad.abs()
    assert (reached[:, 0] == 0).all() and not ((reached > 0) & (reached < torch.finfo(torch.float32).tiny)).any()


def test_weights_are_the_same_bits_where_no_number_is_that_small():
    models = [el.LSTMClassifier(hidden_size=4, max_epochs=2, random_state=0) for _ in range(2)]
    models[0].fit(*windows())
    torch.set_flush_denormal(True)
    try:
        models[1].fit(*windows())
    finally:
        torch.set_flush_denormal(False)
    for own, other in zip(*(model.module_.parameters() for model in models), strict=True):
        assert torch.equal(own, other)
