"""The training loop is the plain one, and every row of a log is trained on once an epoch."""

import math
import threading

import numpy as np
import pytest
import torch
from torch import nn

from eventlstm.batches import Batch, ChunkBatches, WindowBatches, WindowGather, auto_batch_size, count_chunks
from eventlstm.losses import cross_entropy
from eventlstm.networks import RecurrentNet
from eventlstm.training import (
    AUTO_EPOCHS,
    Recipe,
    evaluate,
    fit_loop,
    one_thread,
    resolve_device,
    run_epoch,
)
from eventlstm.windows import LogWindows

N_CHANNELS, N_STEPS = 2, 6
CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def recipe(**changes):
    plain = {
        "lr": 0.02,
        "weight_decay": 0.01,
        "max_grad_norm": 0.5,
        "schedule": "cosine",
        "warmup_fraction": 0.2,
        "max_epochs": 5,
        "min_steps": 800,
        "early_stopping": False,
        "n_iter_no_change": 2,
        "tol": 1e-4,
        "verbose": 0,
    }
    return Recipe(**{**plain, **changes})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(seed=0):
    net = RecurrentNet(N_CHANNELS, 2, hidden_size=4)
    net.initialize(seeded(seed))
    return net.double()


def window_batches(n_windows=20, batch_size=8, flip=False):
    """Return windows that are labelled by the sign of their last step; `flip` turns the labels round."""
    x = np.random.default_rng(0).normal(size=(n_windows, N_STEPS, N_CHANNELS))
    target = (x[:, -1, 0] > 0).astype(np.int64)
    gather = WindowGather(x, CPU, torch.float64)
    return WindowBatches(gather, 1 - target if flip else target, np.ones(n_windows), batch_size)


def weights_of(net):
    return torch.cat([weight.detach().flatten() for weight in net.parameters()])


class CountedLoss:
    """Cross-entropy that does something in place of its n-th call."""

    def __init__(self, n, act):
        self.n_left = n
        self.act = act

    def __call__(self, logits, target):
        self.n_left -= 1
        return self.act(logits) if self.n_left == 0 else cross_entropy(logits, target)


def interrupt(logits):
    raise KeyboardInterrupt


def test_training_equals_a_plain_loop_of_adamw_clipping_and_the_schedule():
    batches, plan = window_batches(), recipe()
    net, by_hand = network(), network()
    history = fit_loop(net, batches, cross_entropy, plan, seeded(3))

    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    generator, n_steps, step, losses = seeded(3), plan.max_epochs * 3, 0, []
    for _ in range(plan.max_epochs):
        total = 0.0
        for items in torch.randperm(20, generator=generator).split(8):
            warmup = plan.warmup_fraction * n_steps
            step += 0.5  # the rate is that of the middle of the step
            cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))
            optimizer.param_groups[0]["lr"] = plan.lr * (step / warmup if step < warmup else cosine)
            logits = by_hand(batches.gather.values[items])
            loss = nn.functional.cross_entropy(logits, batches.target[items])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(by_hand.parameters(), plan.max_grad_norm)
            optimizer.step()
            step += 0.5
            total += loss.item() * len(items)
        losses.append(total / 20)

    torch.testing.assert_close(weights_of(net), weights_of(by_hand), atol=1e-12, rtol=1e-9)
    assert [record["train_loss"] for record in history] == pytest.approx(losses, rel=1e-9)
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5]


def test_gradients_are_clipped_only_where_a_norm_is_given():
    clipped, free = network(), network()
    fit_loop(clipped, window_batches(), cross_entropy, recipe(max_grad_norm=1e-3), seeded())
    fit_loop(free, window_batches(), cross_entropy, recipe(max_grad_norm=None), seeded())
    assert not torch.allclose(weights_of(clipped), weights_of(free))


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero_along_half_a_cosine():
    plan = recipe(schedule="cosine", warmup_fraction=0.25)
    assert [plan.lr_factor(p) for p in (0.0, 0.125, 0.25)] == pytest.approx([0.0, 0.5, 1.0])
    assert plan.lr_factor(0.625) == pytest.approx(0.5)
    assert plan.lr_factor(1.0) == pytest.approx(0.0)
    factors = [plan.lr_factor(p) for p in np.linspace(0, 1, 101)]
    assert np.argmax(factors) == 25
    assert (np.diff(factors[:26]) > 0).all()
    assert (np.diff(factors[25:]) < 0).all()


def test_the_learning_rate_begins_at_its_peak_without_a_warm_up():
    assert recipe(warmup_fraction=0.0).lr_factor(0.0) == 1.0


def test_a_constant_learning_rate_is_constant():
    assert {recipe(schedule="constant").lr_factor(p) for p in np.linspace(0, 1, 11)} == {1.0}


@pytest.mark.parametrize("max_epochs", [1, 7])
def test_a_number_of_epochs_is_trained_exactly(max_epochs):
    assert (
        len(fit_loop(network(), window_batches(), cross_entropy, recipe(max_epochs=max_epochs), seeded())) == max_epochs
    )


@pytest.mark.parametrize(
    ("n_batches", "n_epochs"), [(1, 800), (3, 267), (50, 16), (54, AUTO_EPOCHS), (10**6, AUTO_EPOCHS)]
)
def test_epochs_chosen_by_auto_make_at_least_the_least_number_of_steps(n_batches, n_epochs):
    assert recipe(max_epochs="auto", min_steps=800).n_epochs(n_batches) == n_epochs


def test_early_stopping_ends_on_the_best_epoch_s_weights():
    plan = recipe(schedule="constant", max_epochs=30, early_stopping=True, n_iter_no_change=4)
    stopped, once = network(), network()
    wrong = window_batches(flip=True)  # whatever is learnt in training makes these worse
    history = fit_loop(stopped, window_batches(), cross_entropy, plan, seeded(), validation=wrong)
    valid = [record["valid_loss"] for record in history]
    best = int(np.argmin(valid))
    assert best < len(valid) - 1, "the validation loss should have begun to rise"
    assert len(history) == best + 1 + plan.n_iter_no_change

    once_plan = recipe(schedule="constant", max_epochs=best + 1)
    fit_loop(once, window_batches(), cross_entropy, once_plan, seeded())
    assert torch.equal(weights_of(stopped), weights_of(once))
    assert evaluate(stopped, wrong, cross_entropy) == min(valid)


def test_a_fall_of_less_than_tol_does_not_keep_training_going_but_its_weights_are_kept():
    plan = recipe(lr=1e-5, schedule="constant", max_epochs=50, early_stopping=True, n_iter_no_change=3, tol=0.1)
    net, same = network(), window_batches()
    valid = [r["valid_loss"] for r in fit_loop(net, same, cross_entropy, plan, seeded(), validation=same)]
    assert len(valid) == 1 + plan.n_iter_no_change
    assert valid == sorted(valid, reverse=True)
    assert evaluate(net, same, cross_entropy) == valid[-1]


def test_a_validation_set_without_early_stopping_is_recorded_and_changes_nothing():
    watched, alone = network(), network()
    history = fit_loop(
        watched, window_batches(), cross_entropy, recipe(), seeded(), validation=window_batches(flip=True)
    )
    fit_loop(alone, window_batches(), cross_entropy, recipe(), seeded())
    assert [set(record) for record in history] == [{"epoch", "train_loss", "valid_loss"}] * 5
    assert torch.equal(weights_of(watched), weights_of(alone))


def test_an_interrupt_keeps_the_whole_epochs_and_says_so():
    net = network()
    third_epoch = CountedLoss(3 + 3 + 2, interrupt)
    with pytest.warns(UserWarning, match="Interrupted after 2 epochs: keeping the best weights so far"):
        history = fit_loop(net, window_batches(), third_epoch, recipe(), seeded())
    assert [record["epoch"] for record in history] == [1, 2]
    assert torch.isfinite(weights_of(net)).all()


def test_an_interrupt_under_early_stopping_goes_back_to_the_best_epoch():
    plan = recipe(schedule="constant", early_stopping=True, n_iter_no_change=50, max_epochs=50)
    net, wrong = network(), window_batches(flip=True)
    n_calls_an_epoch = 6
    late = CountedLoss(20 * n_calls_an_epoch + 2, interrupt)
    with pytest.warns(UserWarning, match="Interrupted after 20 epochs"):
        history = fit_loop(net, window_batches(), late, plan, seeded(), validation=wrong)
    valid = [record["valid_loss"] for record in history]
    assert np.argmin(valid) < 19
    assert evaluate(net, wrong, cross_entropy) == min(valid)


def test_a_loss_that_is_no_number_is_an_error_that_names_epoch_and_learning_rate():
    second_epoch = CountedLoss(3 + 1, lambda logits: logits.sum(dim=1) * math.nan)
    with pytest.raises(ValueError, match=r"loss became nan in epoch 2\. Lower lr \(now 0\.02\)"):
        fit_loop(network(), window_batches(), second_epoch, recipe(), seeded())


def test_the_loss_of_an_epoch_is_the_mean_over_its_items_whatever_the_batches():
    net = network()
    still = torch.optim.SGD(net.parameters(), lr=0.0)
    plan = recipe(lr=1e-300)
    losses = [
        run_epoch(net, window_batches(batch_size=size), cross_entropy, plan, seeded(), still) for size in (3, 8, 20)
    ]
    assert losses == pytest.approx([evaluate(net, window_batches(), cross_entropy)] * 3, rel=1e-9)


def test_one_thread_gives_the_callers_threads_back():
    with threads(3):
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3


def test_one_thread_gives_the_callers_threads_back_after_an_error():
    with threads(3):
        with pytest.raises(RuntimeError, match="inside"), one_thread():
            raise RuntimeError("inside")
        assert torch.get_num_threads() == 3


def test_one_thread_inside_another_does_not_end_it():
    with threads(3):
        with one_thread():
            with one_thread():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3


def test_one_thread_holds_while_another_comes_and_goes():
    seen = {}
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with one_thread():
            first_in.set()
            assert second_in.wait(timeout=60)
        seen["first, after"] = torch.get_num_threads()
        first_out.set()

    def second():
        assert first_in.wait(timeout=60)
        with one_thread():
            second_in.set()
            assert first_out.wait(timeout=60)
            seen["second, inside"] = torch.get_num_threads()
        seen["second, after"] = torch.get_num_threads()

    with threads(3):
        in_threads(first, second)
        in_threads(lambda: seen.update({"a new thread": torch.get_num_threads()}))
        assert torch.get_num_threads() == 3
    assert seen == {"first, after": 3, "second, inside": 1, "second, after": 3, "a new thread": 3}


class threads:  # noqa: N801 - reads as a verb in "with threads(3)"
    """Set torch's threads, and set them back."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.n)

    def __exit__(self, *error):
        torch.set_num_threads(self.before)


def in_threads(*functions):
    started = [threading.Thread(target=function) for function in functions]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(timeout=120)


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
    x = np.arange(20.0)[:, None, None]
    batches = WindowBatches(WindowGather(x, CPU, torch.float64), np.arange(20), np.ones(20), 6)
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


def test_a_batch_weighs_its_items():
    net, batches = network(), window_batches(batch_size=20)
    (batch,) = batches.epoch(None)
    heavy_first = torch.zeros(20, dtype=torch.float64)
    heavy_first[0] = 20.0
    batches.weight = heavy_first
    alone = cross_entropy(net(batch.x[:1]), batch.target[:1]).item()
    assert evaluate(net, batches, cross_entropy) == pytest.approx(alone)
    assert isinstance(batch, Batch)


def test_auto_is_an_accelerator_where_there_is_one_and_else_the_cpu():
    found = resolve_device("auto")
    assert (found.type != "cpu") == torch.accelerator.is_available()
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here .*Pass 'auto' or 'cpu'"):
        resolve_device(device)
