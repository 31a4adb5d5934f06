"""A network run where nothing is learnt: over windows or batches, in threads, and along the lanes of a log."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch

from ..training.batches import Batch, WindowGather
from ..training.devices import autocast
from ..training.loop import Batches
from ..training.threads import Workers, count_threads, end_if_stopped

# Windows scored in one call: fastest on a CPU.
PREDICT_WINDOWS = 256
# Rows of all lanes scored in one call: long runs are walked in pieces, their state carried along.
PREDICT_STEPS = 16384

# Cells of a grid up to which a network holds no more of a row than is good for its memory.
SMALL_GRID = 64

# Takes a network, windows (batch, time, channels) and their lengths.
Judge = Callable[[Any, torch.Tensor, torch.Tensor | None], torch.Tensor]


def output(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return what a network says of windows."""
    return module(x, lengths=lengths)


def over_windows(
    module: Any, gather: WindowGather, lengths: np.ndarray | None, judge: Judge, *, precision: str, n_jobs: int | None
) -> torch.Tensor:
    """Return what `judge` makes of each window; an accelerator takes no threads."""
    device = gather.values.device
    steps = None if lengths is None else torch.from_numpy(lengths)

    def score(items: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast(precision, device):
            return judge(module, gather(items.to(device)), None if steps is None else steps[items])

    with Workers(count_threads(n_jobs) if device.type == "cpu" else 1) as workers:
        return torch.cat(workers.map(score, torch.arange(gather.n_items).split(at_once(module, PREDICT_WINDOWS))))


def at_once(module: Any, most: int) -> int:
    """Return how many rows or windows a network takes at once: fewer where it holds maps of many cells of each."""
    n_cells = prod(module.architecture.get("grid") or (1,))
    return max(1, most * SMALL_GRID // max(SMALL_GRID, n_cells))


class Scored(NamedTuple):
    """What a network says of labelled items, and what they are."""

    logits: torch.Tensor  # (n_items, n_classes) on the cpu
    target: np.ndarray  # (n_items,) numbers of classes
    weight: np.ndarray  # (n_items,) in float64


def over_batches(module: Any, batches: Batches, *, piece: int, precision: str, n_jobs: int | None) -> Scored:
    """Return what a network says of batches, which are cut into pieces as in training; an accelerator cuts none."""
    device = next(module.parameters()).device

    def score(batch: Batch) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode(), autocast(precision, device):
            logits, _ = batches.forward(module, batch, None)
        return logits.flatten(0, -2).cpu(), batch.target.flatten().cpu(), batch.weight.flatten().cpu()

    scored = []
    with Workers(count_threads(n_jobs) if device.type == "cpu" else 1) as workers:
        for batch in batches.epoch(None):
            end_if_stopped()
            scored += workers.map(score, batch.split(piece) if device.type == "cpu" else [batch])
    logits, target, weight = (torch.cat(parts) for parts in zip(*scored, strict=True))
    return Scored(logits, target.numpy(), weight.double().numpy())


def over_lanes(module: Any, lanes: torch.Tensor, state: Any, *, precision: str) -> tuple[torch.Tensor, Any]:
    """Return the outputs at every step of lanes, (n_lanes, n_rows, n_outputs), and the state after the last."""
    outputs = []
    with torch.inference_mode(), autocast(precision, lanes.device):
        for piece in lanes.split(max(1, at_once(module, PREDICT_STEPS) // len(lanes)), dim=1):
            out, state = module.forward_steps(piece, state)
            outputs.append(out)
    return torch.cat(outputs, dim=1), state
