"""The optimizers and the courses of the learning rate, each a table by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,  # Loshchilov and Hutter, "Decoupled weight decay regularization", 2019
    "adam": torch.optim.Adam,  # Kingma and Ba, "Adam: A method for stochastic optimization", 2015
    "sgd": torch.optim.SGD,  # Sutskever et al., "On the importance of initialization and momentum", 2013
    "rmsprop": torch.optim.RMSprop,  # Tieleman and Hinton, "Lecture 6.5: RMSProp", 2012
}

# He et al., "Deep residual learning for image recognition", 2016: a tenth at half and at three quarters of training
# on CIFAR-10, and whenever the error stood still on ImageNet.
STEP_AT = (0.5, 0.75)
STEP_FACTOR = PLATEAU_FACTOR = 0.1
# One cycle begins and ends at these shares of the largest learning rate: the defaults of torch's OneCycleLR.
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4


def make_optimizer(
    name: str, weights: Sequence[torch.Tensor], *, lr: float, weight_decay: float, momentum: float
) -> torch.optim.Optimizer:
    """Return an optimizer of `weights`; momentum is that of "sgd". The fused kernels are used where there are some.

    Weight decay is decoupled in "adamw"; in the others it is added to the gradient.
    """
    make: Callable[..., torch.optim.Optimizer] = OPTIMIZERS[name]
    settings: dict[str, Any] = {"momentum": momentum} if name == "sgd" else {}
    if "fused" in inspect.signature(make).parameters:
        settings["fused"] = True
    return make(weights, lr=lr, weight_decay=weight_decay, **settings)


def load_state(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Any]]) -> None:
    """Put back what an optimizer kept for each weight, by the weight's number.

    Raises
    ------
    ValueError
        If it is of another kind of optimizer or of other weights. The fused kernels ask nothing: on moments of another
        shape they write over memory that is not their own.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    shapes = _probed_shapes(optimizer)
    for k, kept in state.items():
        found = {name: tuple(value.shape) for name, value in kept.items() if isinstance(value, torch.Tensor)}
        if k >= len(weights) or found != {name: weights[k].shape if shape else () for name, shape in shapes.items()}:
            raise ValueError("The optimizer's state is not of this network and optimizer. Start with a new one.")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _probed_shapes(optimizer: torch.optim.Optimizer) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of what an optimizer of this kind keeps for a weight of shape (1,)."""
    probe = torch.zeros(1, requires_grad=True)
    probe.grad = torch.zeros(1)
    twin = type(optimizer)([{**optimizer.param_groups[0], "params": [probe]}])  # type: ignore[call-arg]
    twin.step()
    return {name: tuple(value.shape) for name, value in twin.state[probe].items()}


def lr_factor(schedule: str, progress: float, warmup_fraction: float) -> float:
    """Return the learning rate at a progress from 0 to 1, as a share of the largest.

    It rises in a straight line over the first `warmup_fraction` of training (Goyal et al., "Accurate, large minibatch
    SGD", 2017), but for "constant", which never moves, and "one_cycle", which rises in its own way.
    """
    if schedule == "constant":
        return 1.0
    rising = progress < warmup_fraction
    if schedule == "one_cycle":
        return _one_cycle(progress, warmup_fraction, rising)
    if rising:
        return (progress / warmup_fraction) * SCHEDULES[schedule](0.0, progress)
    return SCHEDULES[schedule](_rest(progress, warmup_fraction), progress)


def cosine(rest: float, progress: float) -> float:
    """Fall to zero along half a cosine (Loshchilov and Hutter, "SGDR", 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * rest))


def linear(rest: float, progress: float) -> float:
    """Fall to zero in a straight line (Li, Yumer and Ramanan, "Budgeted training", 2020)."""
    return 1.0 - rest


def step(rest: float, progress: float) -> float:
    """Fall to a tenth twice, at fixed shares of the whole of training (He et al., 2016)."""
    return STEP_FACTOR ** sum(progress >= at for at in STEP_AT)


def level(rest: float, progress: float) -> float:
    """Stay: what falls is for `Plateau` to say."""
    return 1.0


# By the share of what follows the warm-up, and the share of the whole. "constant" and "one_cycle" have no warm-up.
SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "cosine": cosine,
    "linear": linear,
    "step": step,
    "plateau": level,
}
SCHEDULE_NAMES = frozenset(SCHEDULES) | {"constant", "one_cycle"}


def _one_cycle(progress: float, warmup_fraction: float, rising: bool) -> float:
    """Rise over the warm-up and fall far below the start, both along half a cosine.

    Smith, "A disciplined approach to neural network hyper-parameters", 2018; the momentum stays as it is.
    """
    if rising:
        share = cosine(progress / warmup_fraction, progress)  # one at the start
        return 1.0 + (ONE_CYCLE_START - 1.0) * share
    share = cosine(_rest(progress, warmup_fraction), progress)
    return ONE_CYCLE_END + (1.0 - ONE_CYCLE_END) * share


def _rest(progress: float, warmup_fraction: float) -> float:
    return min((progress - warmup_fraction) / (1.0 - warmup_fraction), 1.0)


class Lowest:
    """The lowest value so far, and the epochs since it fell by more than `tol`."""

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.lowest = math.inf
        self.epochs_since = 0

    def see(self, value: float) -> bool:
        """Return whether a value is the lowest yet; count the epochs without a fall of more than `tol`."""
        self.epochs_since = 0 if value < self.lowest - self.tol else self.epochs_since + 1
        is_lowest = value < self.lowest
        if is_lowest:
            self.lowest = value
        return is_lowest


class Plateau(Lowest):
    """The factor of a learning rate that falls to a tenth after `patience` epochs without a lower value."""

    def __init__(self, tol: float, patience: int) -> None:
        super().__init__(tol)
        self.patience = patience
        self.factor = 1.0

    def see(self, value: float) -> bool:
        """Count the epochs, and lower the factor once patience is at its end."""
        is_lowest = super().see(value)
        if self.epochs_since >= self.patience:
            self.epochs_since = 0
            self.factor *= PLATEAU_FACTOR
        return is_lowest
