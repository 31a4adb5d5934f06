"""Windows and chunks with a label at their last steps, for networks that are told the labels in training.

Targets and weights are ``(batch, labelled)``; a step without weight has no label that counts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .batches import Batch, ChunkBatches, Output, WindowBatches


class ToldLabels:
    """What batches of labelled steps share; `smoothed` says whether a step may be judged by later ones."""

    def __init__(self, *data: Any, smoothed: bool, **how: Any) -> None:
        super().__init__(*data, **how)
        self.smoothed = smoothed

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return logits of the labelled steps, (batch, labelled, n_outputs), and no price."""
        how = {"smoothed": self.smoothed, "generator": generator, "lengths": batch.lengths}
        return module.forward_labelled(batch.x, batch.target, batch.weight > 0, **how), None  # type: ignore[operator]

    def contents(self) -> list[Any]:
        """Return all that decides what is trained on."""
        return [*super().contents(), self.smoothed]  # type: ignore[misc]


class StepWindows(ToldLabels, WindowBatches):
    """Windows with a label at each of their last steps, in a new order every epoch."""


class StepChunks(ToldLabels, ChunkBatches):
    """Chunks of a log that end with their stretch: a network that reads ahead is not shown copies behind it."""

    def _lengths(self, inside: torch.Tensor) -> torch.Tensor | None:
        if inside[:, -1].all():
            return None
        n_behind = inside.flip(1).int().argmax(dim=1)  # (batch,): rows behind the stretch's last
        return (self.burn_in + self.stride - n_behind).cpu()
