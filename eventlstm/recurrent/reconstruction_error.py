"""By how much an autoencoder misses windows: as the loss of its training, and as the error by which they are judged.

Residuals are ``(n_windows, n_timesteps, n_measured)``, those of last steps ``(n_windows, n_measured)``: codes are read,
but never written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ..training.batches import Batch, Output, WindowBatches
from .checking import CheckedWindows


class ReconstructionBatches(WindowBatches):
    """Windows whose targets are they themselves, as they come out of any augmentation; `target` holds their steps."""

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return by how much the windows are missed, (batch, time, n_measured), zero in the padding, and no price."""
        return residuals(module, batch.x, batch.lengths, generator), None


class LastStepBatches(WindowBatches):
    """Windows of which only the last step is to be written; `target` holds ones."""

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return by how much the last steps are missed, (batch, 1, n_measured), and no price."""
        return last_residuals(module, batch.x, batch.lengths)[:, None], None


def residuals(
    module: Any, x: torch.Tensor, lengths: torch.Tensor | None, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return what is left of windows without what the network writes, (batch, time, n_measured)."""
    return module.targets(x) - module(x, generator, lengths)


def last_residuals(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return what is left of each window's last step without what the network writes, (batch, n_measured)."""
    last = module.targets(last_steps(x, lengths)[:, None])[:, 0]  # (batch, n_measured)
    return last - module.write_last(x, lengths)


def last_error(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the squared error of each window's last step, averaged over the channels, (batch,)."""
    return widen(last_residuals(module, x, lengths)).square().mean(dim=1)


def mean_error(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the squared error averaged over each window's steps and channels, (batch,)."""
    r = widen(residuals(module, x, lengths))  # (batch, time, n_measured)
    steps = r.new_full((len(x),), x.shape[1]) if lengths is None else lengths.to(r)
    return r.square().sum(dim=1).mean(dim=1) / steps


def widen(r: torch.Tensor) -> torch.Tensor:
    """Return numbers to be squared and summed: in double precision, where the device is sure to have it."""
    return r.double() if r.device.type == "cpu" else r


def last_steps(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the last step of each window, (batch, channels)."""
    return x[:, -1] if lengths is None else x[torch.arange(len(x), device=x.device), lengths.to(x.device) - 1]


def mean_loss(r: torch.Tensor, steps: torch.Tensor, *, error: Any) -> torch.Tensor:
    """Return the loss of each window, (batch,): the mean over its steps and channels."""
    return error(r, torch.zeros_like(r)).sum(dim=1).mean(dim=1) / steps


def n_steps(windows: CheckedWindows) -> np.ndarray:
    """Return the steps of each window, (n_windows,)."""
    n_windows, steps, _ = windows.values.shape
    return np.full(n_windows, steps) if windows.lengths is None else windows.lengths
