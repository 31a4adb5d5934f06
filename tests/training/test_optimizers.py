"""Optimizers are torch's, and learning rates take the courses of their papers."""

import math

import numpy as np
import pytest
import torch

from eventlstm.training.optimizers import OPTIMIZERS, SCHEDULE_NAMES, Plateau, load_state, lr_factor, make_optimizer

pytestmark = pytest.mark.usefixtures("one_torch_thread")

PLAIN = {
    "adamw": lambda w: torch.optim.AdamW(w, lr=0.1, weight_decay=0.2),
    "adam": lambda w: torch.optim.Adam(w, lr=0.1, weight_decay=0.2),
    "sgd": lambda w: torch.optim.SGD(w, lr=0.1, weight_decay=0.2, momentum=0.5),
    "rmsprop": lambda w: torch.optim.RMSprop(w, lr=0.1, weight_decay=0.2),
}
SHAPES = ((3, 2), (3,))
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
with_warm_up = pytest.mark.parametrize("schedule", sorted(SCHEDULE_NAMES - {"constant", "one_cycle"}))


def weights(shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]


def descend(optimizer, of, n_steps=5):
    for _ in range(n_steps):
        optimizer.zero_grad()
        sum((weight**4).sum() for weight in of).backward()
        optimizer.step()


def ours(name, of):
    return make_optimizer(name, of, lr=0.1, weight_decay=0.2, momentum=0.5)


@each_optimizer
def test_an_optimizer_steps_as_torch_s_own_with_its_defaults(name):
    mine, plain = weights(), weights()
    descend(ours(name, mine), mine)
    descend(PLAIN[name](plain), plain)
    for one, other in zip(mine, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-9)


def state_after(name, n_steps, shapes=SHAPES):
    """Return what an optimizer keeps after some steps, and the weights it reached."""
    of = weights(shapes)
    optimizer = ours(name, of)
    descend(optimizer, of, n_steps)
    return optimizer.state_dict()["state"], of


@each_optimizer
@pytest.mark.parametrize("n_steps", [0, 3])
def test_an_optimizer_goes_on_from_its_state_as_if_nothing_had_been(name, n_steps):
    state, of = state_after(name, n_steps)
    other = ours(name, of)
    load_state(other, state)
    descend(other, of, 5 - n_steps)
    _, straight = state_after(name, 5)
    for one, same in zip(of, straight, strict=True):
        assert torch.equal(one, same)


@each_optimizer
@pytest.mark.parametrize("shapes", [((2, 3), (3,)), ((3, 2),), ((3, 2, 1), (3,))])
def test_the_state_of_another_network_is_refused(name, shapes):
    state, _ = state_after(name, 1)
    with pytest.raises(ValueError, match="not of this network and optimizer"):
        load_state(ours(name, weights(shapes)), state)


@pytest.mark.parametrize(("one", "another"), [("adamw", "sgd"), ("sgd", "rmsprop"), ("rmsprop", "adam")])
def test_the_state_of_another_optimizer_is_refused(one, another):
    state, of = state_after(one, 1)
    with pytest.raises(ValueError, match="not of this network and optimizer"):
        load_state(ours(another, of), state)


@with_warm_up
def test_the_learning_rate_rises_in_a_line_to_its_peak(schedule):
    assert [lr_factor(schedule, p, 0.25) for p in (0.0, 0.125, 0.25)] == pytest.approx([0.0, 0.5, 1.0])


@with_warm_up
def test_the_learning_rate_begins_at_its_peak_without_a_warm_up(schedule):
    assert lr_factor(schedule, 0.0, 0.0) == 1.0


@pytest.mark.parametrize("schedule", ["cosine", "linear", "one_cycle"])
def test_the_learning_rate_rises_and_falls_steadily(schedule):
    factors = [lr_factor(schedule, p, 0.25) for p in np.linspace(0, 1, 101)]
    assert np.argmax(factors) == 25
    assert max(factors) == pytest.approx(1.0)
    assert (np.diff(factors[:26]) > 0).all()
    assert (np.diff(factors[25:]) < 0).all()


def test_a_cosine_falls_to_zero_along_half_a_cosine():
    assert lr_factor("cosine", 0.625, 0.25) == pytest.approx(0.5)
    assert lr_factor("cosine", 0.25 + 0.75 / 3, 0.25) == pytest.approx(0.75)
    assert lr_factor("cosine", 1.0, 0.25) == pytest.approx(0.0)


def test_a_line_falls_to_zero_in_a_line():
    assert [lr_factor("linear", p, 0.2) for p in (0.2, 0.4, 0.8, 1.0)] == pytest.approx([1.0, 0.75, 0.25, 0.0])


def test_steps_go_down_by_ten_at_half_and_at_three_quarters():
    factors = [lr_factor("step", p, 0.2) for p in (0.2, 0.49, 0.5, 0.74, 0.75, 1.0)]
    assert factors == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_a_constant_learning_rate_is_constant():
    assert {lr_factor("constant", p, 0.2) for p in np.linspace(0, 1, 11)} == {1.0}


def test_one_cycle_is_torch_s_own():
    n_steps, rise = 41, 0.3
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=n_steps, pct_start=rise, cycle_momentum=False
    )
    peak = (rise * n_steps - 1) / (n_steps - 1)  # they count the steps from zero
    for step in range(n_steps):
        assert lr_factor("one_cycle", step / (n_steps - 1), peak) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < n_steps - 1:
            theirs.step()
    assert lr_factor("one_cycle", 0.0, 0.3) == pytest.approx(1 / 25)
    assert lr_factor("one_cycle", 1.0, 0.3) == pytest.approx(1 / 25e4)


def test_a_plateau_lowers_its_factor_whenever_patience_ends():
    plateau, factors = Plateau(tol=0.1, patience=2), []
    for value in (1.0, 0.95, 0.94, 0.5, 0.5, 0.5, 0.5, 0.5, math.nan, 0.1):
        plateau.see(value)
        factors.append(plateau.factor)
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.001])
