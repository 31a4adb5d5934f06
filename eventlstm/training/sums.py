"""The sums of a step: of the losses of its items by their weights, and of the gradients of its pieces."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .batches import Batch

Loss = Callable[..., torch.Tensor]


def weighted_sum(loss: Loss, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the sum of weighted losses; of a mixture of windows, each label's by its share (Zhang et al., 2018)."""
    value = labelled_sum(loss, logits, batch.target, batch.weight)
    if batch.mix is not None:
        share, target, weight = batch.mix
        value = share * value + (1.0 - share) * labelled_sum(loss, logits, target, weight)
    return value


def labelled_sum(loss: Loss, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the sum of the losses of items times their weights, which a loss of a whole batch is told."""
    told = {"weight": weight} if getattr(loss, "whole_batch", False) else {}
    return (loss(logits, target, **told) * weight).sum()


def add_up(gradients: list[torch.Tensor | None]) -> torch.Tensor | None:
    """Return the sum in the order given, or None for a weight that nothing depends on."""
    found = [gradient for gradient in gradients if gradient is not None]
    if not found:
        return None
    total = found[0].clone()  # autograd may hand out one tensor for two weights
    for gradient in found[1:]:
        total += gradient
    return total
