"""The training loop is the plain one, and every row of a log is trained on once an epoch."""

import itertools
import math
import threading

import numpy as np
import pytest
import torch
from torch import nn

from eventlstm.losses import cross_entropy
from eventlstm.networks import RecurrentNet
from eventlstm.training.batches import ChunkBatches, WindowBatches, WindowGather
from eventlstm.training.loop import AUTO_EPOCHS, Recipe, Trainer
from eventlstm.training.threads import StoppedError, one_of_many, stoppable

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


def network(seed=0, dtype=torch.float64, **architecture):
    net = RecurrentNet(N_CHANNELS, 2, **{"hidden_size": 4, **architecture})
    net.initialize(seeded(seed))
    return net.to(dtype)


def window_batches(n_windows=20, batch_size=8, flip=False, dtype=torch.float64):
    """Return windows that are labelled by the sign of their last step; `flip` turns the labels round."""
    x = np.random.default_rng(0).normal(size=(n_windows, N_STEPS, N_CHANNELS))
    target = (x[:, -1, 0] > 0).astype(np.int64)
    gather = WindowGather(x, CPU, dtype)
    return WindowBatches(gather, 1 - target if flip else target, np.ones(n_windows), batch_size)


def fit_loop(net, batches, loss, plan, generator, **more):
    return Trainer(net, batches, loss, plan, generator, **more).fit_loop()


def evaluate(net, batches, **changes):
    return Trainer(net, batches, cross_entropy, recipe(**changes), seeded()).evaluate(batches)


def weights_of(net):
    return torch.cat([weight.detach().flatten() for weight in net.parameters()])


class CountedLoss:
    """Cross-entropy that does something in place of its n-th call."""

    def __init__(self, n, act):
        self.left = itertools.count(n - 1, -1)  # which threads may ask at once
        self.act = act

    def __call__(self, logits, target):
        return self.act(logits) if next(self.left) == 0 else cross_entropy(logits, target)


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
    assert evaluate(stopped, wrong) == min(valid)


def test_a_fall_of_less_than_tol_does_not_keep_training_going_but_its_weights_are_kept():
    plan = recipe(lr=1e-5, schedule="constant", max_epochs=50, early_stopping=True, n_iter_no_change=3, tol=0.1)
    net, same = network(), window_batches()
    valid = [r["valid_loss"] for r in fit_loop(net, same, cross_entropy, plan, seeded(), validation=same)]
    assert len(valid) == 1 + plan.n_iter_no_change
    assert valid == sorted(valid, reverse=True)
    assert evaluate(net, same) == valid[-1]


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
    assert evaluate(net, wrong) == min(valid)


def test_a_loss_that_is_no_number_is_an_error_that_names_epoch_and_learning_rate():
    second_epoch = CountedLoss(3 + 1, lambda logits: logits.sum(dim=1) * math.nan)
    with pytest.raises(ValueError, match=r"loss became nan in epoch 2\. Lower lr \(now 0\.02\)"):
        fit_loop(network(), window_batches(), second_epoch, recipe(), seeded())


def test_the_loss_of_an_epoch_is_the_mean_over_its_items_whatever_the_batches():
    net = network()
    still = recipe(lr=1e-300)
    losses = [
        Trainer(net, window_batches(batch_size=size), cross_entropy, still, seeded()).run_epoch()["train_loss"]
        for size in (3, 8, 20)
    ]
    assert losses == pytest.approx([evaluate(net, window_batches())] * 3, rel=1e-9)


def test_a_batch_weighs_its_items():
    net, batches = network(), window_batches(batch_size=20)
    (batch,) = batches.epoch(None)
    heavy_first = torch.zeros(20, dtype=torch.float64)
    heavy_first[0] = 20.0
    batches.weight = heavy_first
    alone = cross_entropy(net(batch.x[:1]), batch.target[:1]).item()
    assert evaluate(net, batches) == pytest.approx(alone)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("micro_batch_size", [3, 8, 40])
def test_the_number_of_threads_changes_no_bit(precision, cell, micro_batch_size):
    trained = []
    for n_jobs in (1, 2):
        net = network(dtype=torch.float32, cell=cell, dropout=0.3)
        batches = window_batches(45, batch_size=24, dtype=torch.float32)
        plan = recipe(micro_batch_size=micro_batch_size, precision=precision, n_jobs=n_jobs, max_epochs=3)
        history = fit_loop(net, batches, cross_entropy, plan, seeded(), validation=batches)
        trained.append((weights_of(net), history))
    assert torch.equal(trained[0][0], trained[1][0])
    assert trained[0][1] == trained[1][1]


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 7])
def test_the_gradient_of_a_batch_is_that_of_its_pieces_added_up(n_jobs, micro_batch_size):
    whole, pieces = network(), network()
    whole_plan = recipe(micro_batch_size=20)
    plan = recipe(micro_batch_size=micro_batch_size, n_jobs=n_jobs)
    weights = np.random.default_rng(1).random(20)
    histories = []
    for net, its_plan in ((whole, whole_plan), (pieces, plan)):
        batches = window_batches(batch_size=20)
        batches.weight = torch.as_tensor(weights)
        histories.append(fit_loop(net, batches, cross_entropy, its_plan, seeded(), validation=batches))
    torch.testing.assert_close(weights_of(whole), weights_of(pieces), atol=1e-12, rtol=1e-9)
    for one, other in zip(*histories, strict=True):
        assert one == pytest.approx(other, rel=1e-9)


def test_the_gradient_of_chunks_is_that_of_their_pieces_too():
    values = torch.as_tensor(np.random.default_rng(0).normal(size=(60, N_CHANNELS)))
    target = (values[:, 0] > 0).long().numpy()
    trained = []
    for rows in (20, 3):
        batches = ChunkBatches(values, np.array([0, 25]), target, np.ones(60), burn_in=4, stride=6, batch_size=20)
        trained.append(network())
        fit_loop(trained[-1], batches, cross_entropy, recipe(micro_batch_size=rows, max_epochs=1), seeded())
    torch.testing.assert_close(*map(weights_of, trained), atol=1e-12, rtol=1e-9)


class PricedBatches(WindowBatches):
    """Windows whose network pays for the size of its logits."""

    def forward(self, module, batch, generator):
        logits, _ = super().forward(module, batch, generator)
        return logits, None if generator is None else (logits**2).mean()


@pytest.mark.parametrize("micro_batch_size", [20, 6])
def test_a_price_is_part_of_the_loss_of_training_by_the_share_of_rows(micro_batch_size):
    plain = window_batches(batch_size=20)
    priced = PricedBatches(plain.gather, plain.target, plain.weight, 20)
    net = network()
    price = (net(plain.gather.values) ** 2).mean().item()
    still = recipe(lr=1e-300, micro_batch_size=micro_batch_size)
    assert Trainer(net, priced, cross_entropy, still, seeded()).run_epoch()["train_loss"] == pytest.approx(
        evaluate(net, plain) + price, rel=1e-9
    )
    assert evaluate(net, priced) == pytest.approx(evaluate(net, plain), rel=1e-12)


@pytest.mark.parametrize("micro_batch_size", [20, 6])
def test_a_mixture_s_loss_is_that_of_both_labels_by_their_shares(micro_batch_size):
    net, batches = network(), window_batches(batch_size=20)
    partner = torch.arange(20).flip(0)
    batches.weight = torch.rand(20, dtype=torch.float64, generator=seeded())

    def mix(batch, generator):
        return batch._replace(mix=(torch.tensor(0.3), batch.target[partner], batch.weight[partner]))

    still = recipe(lr=1e-300, micro_batch_size=micro_batch_size)
    value = Trainer(net, batches, cross_entropy, still, seeded(), augment=mix).run_epoch()["train_loss"]
    own, other = (
        (cross_entropy(net(batches.gather.values), batches.target[of]) * batches.weight[of]).mean().item()
        for of in (torch.arange(20), partner)
    )
    assert value == pytest.approx(0.3 * own + 0.7 * other, rel=1e-6)


def test_batches_are_augmented_whole_in_training_alone():
    sizes, batches = [], window_batches()

    def count(batch, generator):
        sizes.append(len(batch.x))
        return batch._replace(x=batch.x + torch.randn(batch.x.shape, dtype=torch.float64, generator=generator))

    plan = recipe(max_epochs=2, micro_batch_size=3, n_jobs=2)
    noisy, again, plain = network(), network(), network()
    fit_loop(noisy, batches, cross_entropy, plan, seeded(), augment=count, validation=window_batches())
    assert sizes == [8, 8, 4] * 2
    fit_loop(again, batches, cross_entropy, plan, seeded(), augment=count)
    fit_loop(plain, batches, cross_entropy, plan, seeded())
    assert torch.equal(weights_of(noisy), weights_of(again))
    assert not torch.allclose(weights_of(noisy), weights_of(plain))


def test_early_stopping_ends_on_the_weights_of_the_highest_score():
    scores = iter([0.1, 0.5, 0.4, 0.6, 0.6, 0.2, 0.3])
    plan = recipe(max_epochs=30, early_stopping=True, n_iter_no_change=3, schedule="constant")
    stopped, once = network(), network()
    history = fit_loop(
        stopped,
        window_batches(),
        cross_entropy,
        plan,
        seeded(),
        validation=window_batches(),
        monitor=lambda: next(scores),
    )
    assert [record["valid_score"] for record in history] == [0.1, 0.5, 0.4, 0.6, 0.6, 0.2, 0.3]
    assert set(history[0]) == {"epoch", "train_loss", "valid_loss", "valid_score"}
    fit_loop(once, window_batches(), cross_entropy, recipe(max_epochs=4, schedule="constant"), seeded())
    assert torch.equal(weights_of(stopped), weights_of(once))


def rates(plan, **more):
    """Return the learning rate of the last step of each epoch."""
    seen = []
    trainer = Trainer(network(), window_batches(), cross_entropy, plan, seeded(), **more)
    trainer.optimizer.register_step_post_hook(lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"]))
    trainer.fit_loop()
    return seen[2::3]


def test_the_learning_rate_falls_to_a_tenth_where_the_score_stands_still():
    scores = iter([0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3, 0.3])
    plan = recipe(max_epochs=8, schedule="plateau", warmup_fraction=0.0, n_iter_no_change=4, lr=1.0)
    expected = [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    assert rates(plan, monitor=lambda: next(scores)) == pytest.approx(expected)


def test_a_plateau_is_seen_in_the_training_loss_where_nothing_is_held_out():
    plan = recipe(max_epochs=5, schedule="plateau", warmup_fraction=0.0, n_iter_no_change=1, lr=1e-9)
    assert rates(plan) == pytest.approx([1e-9, 1e-9, 1e-10, 1e-11, 1e-12])


def test_the_loss_is_taken_in_the_type_of_the_weights_under_every_precision():
    seen = set()

    def watched(logits, target):
        seen.add(logits.dtype)
        return cross_entropy(logits, target)

    net, batches = network(dtype=torch.float32), window_batches(dtype=torch.float32)
    fit_loop(net, batches, watched, recipe(precision="bfloat16"), seeded(), validation=batches)
    assert seen == {torch.float32}
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}


def test_bfloat16_scores_and_trains_nearly_as_float32():
    batches = window_batches(60, dtype=torch.float32)
    nets = {}
    for precision in ("float32", "bfloat16"):
        nets[precision] = network(dtype=torch.float32)
        fit_loop(nets[precision], batches, cross_entropy, recipe(precision=precision, max_epochs=3), seeded())
    change = weights_of(nets["float32"]) - weights_of(network(dtype=torch.float32))
    assert (weights_of(nets["float32"]) - weights_of(nets["bfloat16"])).norm() < 0.2 * change.norm()
    exact, rounded = (evaluate(nets["float32"], batches, precision=p) for p in nets)
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact


def test_an_interrupt_of_one_of_many_is_its_caller_s():
    with one_of_many(), pytest.raises(KeyboardInterrupt, match=r"^$"):
        fit_loop(network(), window_batches(), CountedLoss(5, interrupt), recipe(), seeded())


def test_an_interrupt_between_pieces_is_one_of_the_whole_training():
    plan = recipe(micro_batch_size=3, n_jobs=2)
    with pytest.warns(UserWarning, match="Interrupted after 0 epochs"):
        assert fit_loop(network(), window_batches(), CountedLoss(5, interrupt), plan, seeded()) == []


def test_training_ends_at_its_next_step_once_it_is_told_to():
    stop = threading.Event()
    steps = CountedLoss(2, lambda logits: (stop.set(), logits.sum(dim=1))[1])
    with stoppable(stop), pytest.raises(StoppedError, match=r"^$"):
        fit_loop(network(), window_batches(), steps, recipe(), seeded())
    assert next(steps.left) == -1


def test_weights_that_are_held_still_stay_as_they_are():
    net = network()
    net.head.weight.requires_grad_(False)
    before = net.head.weight.clone()
    fit_loop(net, window_batches(), cross_entropy, recipe(micro_batch_size=3), seeded())
    assert torch.equal(net.head.weight, before)
    assert not torch.equal(weights_of(net), weights_of(network()))


def test_a_weight_that_nothing_depends_on_is_left_alone_whatever_the_pieces():
    for rows in (3, 20):
        net = network()
        net.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        fit_loop(net, window_batches(), cross_entropy, recipe(micro_batch_size=rows), seeded())
        assert torch.equal(net.unused, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize(("n_batches", "n_epochs"), [(1, 800), (100, 15), (500, 12), (2000, 3), (5999, 1), (10**6, 1)])
def test_epochs_chosen_by_auto_make_at_most_the_most_steps_but_for_one_pass(n_batches, n_epochs):
    assert recipe(max_epochs="auto", min_steps=800, max_steps=6000).n_epochs(n_batches) == n_epochs
