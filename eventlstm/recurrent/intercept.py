"""The intercept of a classifier's head, refitted at the end of training.

Logits are ``(n_items, n_classes)``. With the intercept found, the items' probabilities are, in the mean, the shares of
their classes, which is called calibration in the large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .checking import Examples
from .forward import Scored

Proba = Callable[[torch.Tensor], np.ndarray]

# Items whose probabilities are made at a time.
BLOCK = 65536
# Windows of each class that are judged where a sampler left out most of them: a fifth of the shortest training.
ENOUGH = 16384
# Of the logarithm of a ratio of two classes: below what float32 tells apart.
TOLERANCE = 1e-8
# What Newton's method takes for a difference, in logits, and its bounds: logits of a network take some five steps.
DIFFERENCE, LONGEST_STEP, MAX_STEPS, MAX_HALVINGS = 1e-6, 3.0, 50, 20
TINY = np.finfo(np.float64).tiny


def refit_intercept(module: Any, scored: Scored, proba: Proba) -> None:
    """Shift the intercept until `proba` makes of the items' logits the shares of their classes, in the mean.

    The ratios to the most frequent class are set right; classes of no weight are left alone.
    """
    totals = np.bincount(scored.target, weights=scored.weight, minlength=scored.logits.shape[1])
    most = int(totals.argmax())
    others = np.setdiff1d(np.flatnonzero(totals), most)
    place = np.eye(len(totals))[others]  # (n_others, n_classes)

    def excess(shifts: np.ndarray) -> np.ndarray:
        expected = np.maximum(expect(scored, proba, shifts @ place), TINY)
        ratios: np.ndarray = np.log(expected[others] / expected[most]) - np.log(totals[others] / totals[most])
        return ratios

    shift = find_root(excess, np.zeros(len(others))) @ place
    with torch.no_grad():
        module.head.bias += torch.from_numpy(shift).to(module.head.bias)


def expect(scored: Scored, proba: Proba, shift: np.ndarray) -> np.ndarray:
    """Return the sum over items of their weight times their probabilities, (n_classes,)."""
    blocks = zip(scored.logits.split(BLOCK), torch.from_numpy(scored.weight).split(BLOCK), strict=True)
    sums = [weight.numpy() @ proba(logits.double() + torch.from_numpy(shift)) for logits, weight in blocks]
    return np.sum(sums, axis=0)


def find_root(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return where a function of as many values as arguments is zero, or as near as Newton's method comes to it."""
    value = function(x)
    for _ in range(MAX_STEPS):
        if np.abs(value).max(initial=0.0) < TOLERANCE:
            break
        slopes = [(function(x + DIFFERENCE * unit) - value) / DIFFERENCE for unit in np.eye(len(x))]
        step = np.linalg.lstsq(np.transpose(slopes), -value, rcond=None)[0]
        step *= LONGEST_STEP / max(LONGEST_STEP, np.abs(step).max())
        x, value = step_nearer(function, x, value, step)
    return x


def step_nearer(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, value: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where a step leads and the value there; a step too long to come nearer to zero is halved."""
    for _ in range(MAX_HALVINGS):
        found = function(x + step)
        if np.abs(found).max() < np.abs(value).max():
            return x + step, found
        step = step / 2
    return x, np.zeros_like(value)  # nothing comes nearer


def take_enough(examples: Examples) -> Examples:
    """Return at most `ENOUGH` windows of each class, evenly spread, which weigh as much as all of it."""
    weight = np.zeros(len(examples.y))
    for label in np.unique(examples.y[examples.weight > 0]):
        items = np.flatnonzero((examples.y == label) & (examples.weight > 0))
        taken = items[np.linspace(0, len(items) - 1, min(len(items), ENOUGH)).astype(int)]
        weight[taken] = examples.weight[taken] * (examples.weight[items].sum() / examples.weight[taken].sum())
    return examples._replace(weight=weight).take(np.flatnonzero(weight))
