"""A network run where nothing is learnt: over windows, piece by piece in threads, and along the lanes of a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..training.batches import WindowGather
from ..training.devices import autocast
from ..training.threads import Workers, count_threads

# Windows scored in one call: fastest on a CPU.
PREDICT_WINDOWS = 256
# Rows of all lanes scored in one call: long runs are walked in pieces, their state carried along.
PREDICT_STEPS = 16384

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
        return torch.cat(workers.map(score, torch.arange(gather.n_items).split(PREDICT_WINDOWS)))


def over_lanes(module: Any, lanes: torch.Tensor, state: Any, *, precision: str) -> tuple[torch.Tensor, Any]:
    """Return the outputs at every step of lanes, (n_lanes, n_rows, n_outputs), and the state after the last."""
    outputs = []
    with torch.inference_mode(), autocast(precision, lanes.device):
        for piece in lanes.split(max(1, PREDICT_STEPS // len(lanes)), dim=1):
            out, state = module.forward_steps(piece, state)
            outputs.append(out)
    return torch.cat(outputs, dim=1), state
