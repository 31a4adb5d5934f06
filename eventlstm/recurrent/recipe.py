"""The recipe of a training, and what changes its batches, as the parameters of an estimator describe them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ..networks.forget_gates import FORGETTING
from ..training.batches import ChunkBatches
from ..training.loop import Batches, Recipe
from ..training.threads import count_threads

# Windows computed at a time within a step. Pieces of 32 allow two threads at the usual 64; from 64 units on they cost
# nothing, below they cost a tenth. Layers without a kernel of torch's cost half as much again, and gain from no thread.
MICRO_BATCH, MICRO_BATCH_WIDE, WIDE = 64, 32, 64
# Steps of "auto" at most.
MOST_STEPS = 6000
# Those of chunks, of 512 labels each, but for some passes: 15 over more than 39,000 rows were learnt by heart, and one
# over 600,000 found less than three (.70, .77).
MOST_CHUNK_STEPS, FEWEST_PASSES = 1160, 3


def make_recipe(estimator: Any, batches: Batches, **changes: Any) -> Recipe:
    """Return the recipe that the parameters of these names describe for some batches, but for `changes`."""
    names = set(Recipe.__dataclass_fields__)
    resolved = {
        "n_jobs": count_threads(estimator.n_jobs),
        "micro_batch_size": micro_batch_size(estimator),
        "max_steps": _most_steps(estimator.max_steps, batches),
    }
    return Recipe(**{name: getattr(estimator, name) for name in names - set(resolved)} | resolved | changes)


def micro_batch_size(estimator: Any) -> int:
    """Return how many windows are computed at a time."""
    if estimator.micro_batch_size == "auto":
        has_kernel = estimator.cell == "lstm" and not (estimator.recurrent_dropout or estimator.gate_penalty)
        return MICRO_BATCH_WIDE if estimator.hidden_size >= WIDE and has_kernel else MICRO_BATCH
    return int(estimator.micro_batch_size)


def refuse_no_gates(estimator: Any) -> None:
    """Refuse a penalty on forget gates where a cell has none."""
    if estimator.gate_penalty and estimator.cell not in FORGETTING:
        raise ValueError(
            f"gate_penalty={estimator.gate_penalty!r} needs forget gates, but cell={estimator.cell!r} has none. Set "
            f"cell to one of {list(FORGETTING)}, or gate_penalty=0."
        )


def _most_steps(max_steps: Any, batches: Batches) -> int | None:
    if max_steps != "auto":
        return None if max_steps is None else int(max_steps)
    few = max(MOST_CHUNK_STEPS, FEWEST_PASSES * batches.n_batches) if isinstance(batches, ChunkBatches) else MOST_STEPS
    return min(few, MOST_STEPS)


def make_augment(augmentation: Any, n_channels: int, codes: tuple[int, ...]) -> Any:
    """Return what changes a batch in training, or None; the channels of `codes` are told to it."""
    if augmentation is None:
        return None
    numeric = torch.ones(n_channels, dtype=torch.bool)
    numeric[list(codes)] = False
    augmentation.check()
    return partial(augmentation, numeric=numeric)
