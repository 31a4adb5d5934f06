"""What training is charged for forget gates at their ends, and what of them it reports after each epoch."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..networks.forget_gates import GateWatch
from .batches import Batch

# What the record of an epoch holds of the gates, in the order of `gate_report`.
REPORTED = ("gate_penalty", "gates_at_ends")


def gate_report(watch: GateWatch, batch: Batch) -> torch.Tensor:
    """Return the mean charge of the gates of some items, and the mean share of gates near 0 or 1, (2,).

    Each step counts by its weight, as it does in the loss.
    """
    charges, at_ends = watch.measure()  # (batch, time) each
    weight = step_weights(batch, charges.shape[1]).to(charges)
    return torch.stack([(weight * value).sum() for value in (charges, at_ends)]) / len(batch.x)


def step_weights(batch: Batch, n_steps: int) -> torch.Tensor:
    """Return by how much each step counts, (batch, n_steps), with a sum of about one an item.

    The weight of a window goes to its steps before the padding, in equal parts. Where steps have labels of their own,
    each has its weight: a burn-in has none, nor have the copies behind the end of a stretch.
    """
    weight = batch.weight
    if batch.mix is not None:
        share, _, of_partners = batch.mix
        weight = share * weight + (1.0 - share) * of_partners
    if weight.ndim == 1:
        return weight[:, None] * even_shares(batch, n_steps)
    by_step = weight.flatten(2).mean(dim=2) if weight.ndim > 2 else weight  # (batch, labelled)
    n_labelled = by_step.shape[1]
    return F.pad(by_step, (n_steps - n_labelled, 0)) / n_labelled


def even_shares(batch: Batch, n_steps: int) -> torch.Tensor:
    """Return the share that each step before the padding has in its window, (batch, n_steps)."""
    lengths = torch.full((len(batch.x),), n_steps) if batch.lengths is None else batch.lengths
    inside = torch.arange(n_steps) < lengths[:, None]
    return (inside / lengths[:, None]).to(batch.weight)
