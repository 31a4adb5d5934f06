"""Every row of a log is trained on once an epoch, and windows come as they stand in their array."""

import numpy as np
import pytest
import torch
from torch import nn

from eventlstm.logs.log_windows import LogWindows
from eventlstm.networks import RecurrentNet
from eventlstm.training.batches import Batch, ChunkBatches, WindowBatches, WindowGather, auto_batch_size, count_chunks

CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def window_batches(n_windows=20, batch_size=8, **more):
    """Return windows whose values and targets are their numbers."""
    x = np.arange(float(n_windows))[:, None, None] * np.ones((1, 3, 1))
    gather = WindowGather(x, CPU, torch.float64)
    return WindowBatches(gather, np.arange(n_windows), np.ones(n_windows), batch_size, **more)


LENGTHS = (23, 1, 7, 40)
STARTS = np.cumsum((0, *LENGTHS[:-1]))
STRETCH = np.repeat(np.arange(len(LENGTHS)), LENGTHS)


def chunk_batches(burn_in=5, stride=8, batch_size=3):
    """Return chunks of a log whose values are the numbers of the rows, and whose labels say the row's stretch."""
    n_rows = sum(LENGTHS)
    values = torch.arange(n_rows, dtype=torch.float64)[:, None]
    return ChunkBatches(values, STARTS, STRETCH, np.ones(n_rows), burn_in=burn_in, stride=stride, batch_size=batch_size)


def drawn(seed):
    """Return the generator of an epoch; without one, chunks are cut from the first row on, as for validation."""
    return None if seed is None else seeded(seed)


def rows_of(batch):
    return batch.x[..., 0].long().numpy()  # (batch, burn_in + stride)


each_seed = pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
each_cut = pytest.mark.parametrize(("burn_in", "stride"), [(5, 8), (0, 1), (30, 64), (1, 3)])


@each_seed
@each_cut
def test_every_row_is_labelled_once_an_epoch(seed, burn_in, stride):
    labelled = np.zeros(sum(LENGTHS), dtype=int)
    for batch in chunk_batches(burn_in, stride).epoch(drawn(seed)):
        rows = rows_of(batch)[:, burn_in:]
        assert batch.target.shape == batch.weight.shape == rows.shape
        assert np.array_equal(batch.target.numpy(), STRETCH[rows])
        np.add.at(labelled, rows[batch.weight.numpy() > 0], 1)
    assert (labelled == 1).all()


@each_seed
@each_cut
def test_chunks_never_cross_from_one_stretch_to_another(seed, burn_in, stride):
    for batch in chunk_batches(burn_in, stride).epoch(drawn(seed)):
        of_row = STRETCH[rows_of(batch)]
        assert (of_row == of_row[:, :1]).all()


@each_seed
def test_rows_before_a_stretch_are_copies_of_its_first_and_others_follow_each_other(seed):
    burn_in = 5
    for batch in chunk_batches(burn_in).epoch(drawn(seed)):
        for rows, weight in zip(rows_of(batch), batch.weight.numpy(), strict=True):
            known = burn_in + np.argmax(weight > 0)
            in_place = rows[known] - known + np.arange(len(rows))
            first = STARTS[STRETCH[rows[0]]]
            last = first + LENGTHS[STRETCH[rows[0]]] - 1
            assert np.array_equal(rows, np.clip(in_place, first, last))
            assert np.array_equal(weight > 0, (rows == in_place)[burn_in:])


def test_where_chunks_begin_is_drawn_anew_every_epoch():
    generator, batches = seeded(), chunk_batches()
    cuts = [sorted(tuple(rows) for batch in batches.epoch(generator) for rows in rows_of(batch)) for _ in range(2)]
    assert cuts[0] != cuts[1]


@each_seed
def test_the_mean_weight_of_an_epoch_s_items_is_one_however_short_the_stretches(seed):
    weights = [batch.weight.flatten() for batch in chunk_batches(stride=64).epoch(drawn(seed))]
    assert torch.cat(weights).mean() == pytest.approx(1.0)


def test_chunks_are_counted_as_they_are_cut():
    batches = chunk_batches(batch_size=1)
    assert batches.n_batches == count_chunks(STARTS, sum(LENGTHS), 8) == sum(1 for _ in batches.epoch(None)) == 10


def test_every_window_comes_once_an_epoch_in_an_order_drawn_anew():
    batches = window_batches(batch_size=6)
    generator = seeded()
    first, second = ([item for batch in batches.epoch(generator) for item in batch.target.tolist()] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert batches.n_batches == 4


def test_one_batch_of_all_windows_keeps_their_order():
    batches = window_batches(batch_size=20)
    (batch,) = batches.epoch(seeded())
    assert torch.equal(batch.x, batches.gather.values)


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("stride", [1, 3])
def test_windows_gathered_from_a_log_are_those_of_its_array(pad, stride):
    values = np.random.default_rng(0).normal(size=(sum(LENGTHS), 2))
    windows = LogWindows.from_stretches(values, STARTS, 6, stride=stride, pad=pad)
    gather = WindowGather(windows, CPU, torch.float32)
    items = torch.randperm(len(windows), generator=seeded())
    assert np.array_equal(gather(items).numpy(), windows[items.numpy()].astype(np.float32))


def test_a_log_that_cannot_be_written_to_is_trained_on_without_a_warning():
    values = np.zeros((30, 1))
    values.flags.writeable = False
    gather = WindowGather(LogWindows(values, 4), CPU, torch.float64)
    assert gather(torch.arange(2)).shape == (2, 4, 1)


@pytest.mark.parametrize(
    ("n_items", "expected"),
    [(10, 1), (100, 2), (3200, 64), (10**6, 64)],
)
def test_batches_of_auto_size_leave_an_epoch_enough_steps(n_items, expected):
    assert auto_batch_size(n_items, largest=64, min_batches=50) == expected


@pytest.mark.parametrize("rows", [1, 3, 7, 20, 64])
def test_the_pieces_of_a_batch_are_the_batch(rows):
    n = 20
    mixed = (torch.tensor(0.3), torch.arange(n) + 100, torch.rand(n, generator=seeded()))
    x = torch.randn(n, 4, 2, generator=seeded())
    batch = Batch(x, torch.arange(n), torch.rand(n, generator=seeded(1)), torch.randint(1, 5, (n,)), mixed)
    pieces = batch.split(rows)
    assert max(len(piece.x) for piece in pieces) == min(rows, n)
    for k in range(4):
        assert torch.equal(torch.cat([piece[k] for piece in pieces]), batch[k])
    for k in (1, 2):
        assert torch.equal(torch.cat([piece.mix[k] for piece in pieces]), mixed[k])
    assert {float(piece.mix[0]) for piece in pieces} == {float(mixed[0])}


def test_a_batch_without_lengths_and_partners_has_pieces_without():
    (batch,) = window_batches(batch_size=20).epoch(None)
    assert [(len(piece.x), piece.lengths, piece.mix) for piece in batch.split(12)] == [
        (12, None, None),
        (8, None, None),
    ]


def test_lengths_go_with_their_windows():
    lengths = np.arange(20) + 1
    for batch in window_batches(lengths=lengths).epoch(seeded()):
        assert torch.equal(batch.lengths, batch.target + 1)
        assert batch.lengths.dtype == torch.int64


class Attentive(nn.Module):
    """Attends to the last step alone, or to all alike."""

    def __init__(self, peaked):
        super().__init__()
        self.peaked = peaked

    def forward(self, x, generator=None, lengths=None):
        return x[:, -1]

    def attend(self, x, generator=None, lengths=None):
        even = torch.full(x.shape[:2], 1.0 / x.shape[1], dtype=x.dtype)
        last = torch.nn.functional.one_hot(torch.full((len(x),), x.shape[1] - 1), x.shape[1]).to(x)
        return x[:, -1], last if self.peaked else even


@pytest.mark.parametrize(("peaked", "price"), [(True, 0.25), (False, 0.0)])
def test_training_pays_for_uneven_attention_and_scoring_does_not(peaked, price):
    batches = window_batches(attention_entropy=0.25)
    batch = next(batches.epoch(None))
    _, charged = batches.forward(Attentive(peaked), batch, seeded())
    assert float(charged) == pytest.approx(price, abs=1e-9)
    assert batches.forward(Attentive(peaked), batch, None)[1] is None


def test_networks_that_know_no_lengths_are_asked_for_none():
    net = RecurrentNet(1, 2, hidden_size=3)
    net.initialize(seeded())
    batches = window_batches()
    logits, price = batches.forward(net.double(), next(batches.epoch(None)), None)
    assert logits.shape == (8, 2)
    assert price is None
