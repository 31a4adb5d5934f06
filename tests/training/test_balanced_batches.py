"""Batches that each hold rare items train on the same mean over all items as batches dealt at random."""

import numpy as np
import pytest
import torch

from eventlstm import LSTMClassifier
from eventlstm.training.batches import ChunkBatches, WindowBatches, WindowGather, shuffle_balanced


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n_rare", [1, 2, 3, 19, 80])
@pytest.mark.parametrize("seed", [0, 1])
def test_balanced_batches_hold_two_rare_items_each_and_move_no_weight(n_rare, seed):
    n_items, batch_size = 103, 8
    rare = torch.arange(n_items) < n_rare
    shuffled = shuffle_balanced(n_items, batch_size, seeded(seed), rare)
    batches = list(shuffled.split(torch.ones(1, dtype=torch.float64)))
    assert len(batches) == -(-n_items // batch_size)
    assert all(rare[items].sum() >= 2 for items, _, _ in batches)
    weight = torch.zeros(n_items, dtype=torch.float64).index_add(0, shuffled.order, shuffled.share.double())
    n_dealt = len(shuffled.order)  # a batch's loss is the mean over its items
    torch.testing.assert_close(weight / n_dealt, torch.full_like(weight, 1 / n_items), rtol=1e-6, atol=0.0)
    again = shuffle_balanced(n_items, batch_size, seeded(seed), rare)
    assert torch.equal(again.order, shuffled.order) and torch.equal(again.share, shuffled.share)


def windows_and_chunks(weight=1.0):
    """Return 200 windows, and a log of 200 rows in chunks of 4, with five rare items each; the last weigh so much."""
    values = np.arange(200.0)[:, None]
    target = np.isin(np.arange(200), [3, 50, 51, 120, 199]).astype(np.int64)
    weights = np.where(np.arange(200) > 100, weight, 1.0)
    gather = WindowGather(values[:, None], torch.device("cpu"), torch.float64)
    yield WindowBatches(gather, target, weights, 8, balanced=True)
    starts = np.array([0, 70])
    yield ChunkBatches(
        torch.from_numpy(values), starts, target, weights, burn_in=2, stride=4, batch_size=3, balanced=True
    )


@pytest.mark.parametrize("weight", [1.0, 0.0])
@pytest.mark.parametrize("kind", [0, 1], ids=["windows", "chunks"])
def test_an_epoch_of_balanced_batches_is_the_mean_over_all_items(kind, weight):
    batches = list(windows_and_chunks(weight))[kind]
    for generator in (seeded(), seeded(1)):
        n_seen, of_class = 0, torch.zeros(2, dtype=torch.float64)
        for batch in batches.epoch(generator):
            counted = (batch.target == 1) & (batch.weight > 0)
            assert counted.reshape(len(batch.x), -1).any(dim=1).sum() >= 2
            of_class.index_add_(0, batch.target.flatten(), batch.weight.flatten())
            n_seen += batch.target.numel()
        expected = batches.weight.new_zeros(2).index_add(0, batches.target, batches.weight) / 200
        torch.testing.assert_close(of_class / n_seen, expected, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_loss_on_record_does_not_depend_on_how_batches_are_dealt(balanced):
    X = np.random.default_rng(0).normal(size=(200, 4, 2))
    y = (X[:, -1, 0] > 1.0).astype(int)
    settings = {"hidden_size": 4, "lr": 1e-9, "max_epochs": 1, "dropout": 0.0, "batch_size": 2, "random_state": 0}
    model = LSTMClassifier(balanced_batches=balanced, precision="float64", **settings).fit(X, y)
    entropy = -np.log(model.predict_proba(X)[np.arange(len(y)), y]).mean()
    assert model.loss_curve_[0] == pytest.approx(entropy, rel=1e-6)
