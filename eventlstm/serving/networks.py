"""Recurrent networks row by row, in NumPy: members that see the same channels go side by side.

What they say is that of `RecurrentNet.forward_steps`, but for the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .cells import CELLS, Cell, Memory, stack
from .slots import Node, as_type, empty

LAYER_NORM_EPSILON = 1e-5  # torch's


class NetworkSteps(Node):
    """Fitted networks of one architecture, and how far each is with each machine.

    Parameters
    ----------
    modules : sequence of RecurrentNet or ForecastNet
        Networks that can go step by step.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        super().__init__()
        encoders, cell = [module.encoder for module in modules], modules[0].architecture["cell"]
        self.cells = [CELLS[cell](layers) for layers in zip(*(encoder.layers for encoder in encoders), strict=True)]
        n_cells = encoders[0].n_cells
        self.norms = [_norms(norms, n_cells) for norms in zip(*(encoder.norms for encoder in encoders), strict=True)]
        self.residual: bool = encoders[0].residual
        self.cells_summarised = n_cells if encoders[0].summarised else 0
        self.embedding = Embedding(encoders)
        self.head: Any = _head(modules, cell)
        self.dtype = self.cells[0].W.dtype
        self.names = [[f"{k}.{part}" for part in range(layer.n_memories)] for k, layer in enumerate(self.cells)]
        for layer, names in zip(self.cells, self.names, strict=True):
            for name in names:
                self.kept[name] = empty(len(modules), layer.hidden_size, dtype=self.dtype)

    def begin(self, slots: Any) -> None:
        """Let some machines begin from a cold state."""
        for array in self.kept.values():
            array[:, slots] = 0.0

    def step(self, slots: Any, channels: np.ndarray) -> np.ndarray:
        """Return the outputs (n_networks, n, n_outputs) at one more row (n, n_channels) of some machines."""
        x = self.embedding.look_up(as_type(channels[None], self.dtype))
        for k, (cell, norm, names) in enumerate(zip(self.cells, self.norms, self.names, strict=True)):
            memory = cell.step(x, tuple([self.kept[name][:, slots] for name in names]))
            for name, array in zip(names, memory, strict=True):
                self.kept[name][:, slots] = array
            h = memory[0] if norm is None else normalise(memory[0], *norm)
            x = h + x if self.residual and k else h
        if self.cells_summarised:
            x = summarise(x, self.cells_summarised)
        out: np.ndarray = self.head(x)
        return out


class Embedding:
    """Vectors in place of codes, behind the other channels as they are."""

    def __init__(self, encoders: Sequence[Any]) -> None:
        embeds = [encoder.embed for encoder in encoders]
        self.categories: list[tuple[int, int]] = list(embeds[0].categories)
        self.tables = [stack(tables, "weight") for tables in zip(*(embed.tables for embed in embeds), strict=True)]

    def look_up(self, x: np.ndarray) -> np.ndarray:
        """Return what the first layers see, (n_networks, n, n_inputs), of channels (1, n, n_channels)."""
        if not self.categories:
            return x
        others = np.delete(x, [channel for channel, _ in self.categories], axis=-1)
        parts = [np.broadcast_to(others, (len(self.tables[0]), *others.shape[1:]))]
        for (channel, n_codes), table in zip(self.categories, self.tables, strict=True):
            code = x[0, :, channel].astype(np.int64)
            parts.append(table[:, np.where((code >= 0) & (code < n_codes), code, 0)])
        return np.concatenate(parts, axis=-1)


class Linear:
    """The heads of several networks."""

    def __init__(self, heads: Sequence[Any]) -> None:
        self.W, self.b = stack(heads, "weight").swapaxes(1, 2), stack(heads, "bias")[:, None]

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Return (n_networks, n, n_outputs)."""
        return np.matmul(z, self.W) + self.b


class FirstStepAhead:
    """The heads that go on from their own output, as far as the first step."""

    def __init__(self, heads: Sequence[Any], cell: str) -> None:
        self.cell: Cell = CELLS[cell]([head.layer for head in heads])
        self.start, self.out = Linear([head.begin for head in heads]), Linear([head.out for head in heads])
        self.n_values: int = heads[0].n_values

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Return (n_networks, n, n_values)."""
        first, *memory = np.split(self.start(z), self.cell.n_memories, axis=-1)
        before: Memory = (np.tanh(first), *memory)
        return self.out(self.cell.step(np.zeros((*z.shape[:2], self.n_values), z.dtype), before)[0])


def normalise(h: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return layers normalised at each row (Ba, Kiros and Hinton 2016)."""
    away = h - h.mean(axis=-1, keepdims=True)
    spread = np.sqrt((away * away).mean(axis=-1, keepdims=True) + h.dtype.type(LAYER_NORM_EPSILON))
    out: np.ndarray = away / spread * weight + bias
    return out


def summarise(h: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the means and the maxima of flat maps."""
    maps = h.reshape(*h.shape[:2], -1, n_cells)
    return np.concatenate([maps.mean(axis=-1), maps.max(axis=-1)], axis=-1)


def _norms(norms: Sequence[Any], n_cells: int) -> tuple[np.ndarray, np.ndarray] | None:
    if not hasattr(norms[0], "weight"):
        return None
    weight, bias = (stack(norms, name)[:, None].repeat(n_cells, axis=-1) for name in ("weight", "bias"))
    return weight, bias


def _head(modules: Sequence[Any], cell: str) -> Any:
    heads = [module.head for module in modules]
    return FirstStepAhead(heads, cell) if hasattr(heads[0], "horizon") else Linear(heads)


def by_architecture(modules: Sequence[Any], chosen: Sequence[int]) -> list[list[int]]:
    """Return the numbers of the chosen networks, those together that can go side by side."""
    kinds: dict[str, list[int]] = {}
    for k in chosen:
        weights = next(modules[k].parameters())
        kinds.setdefault(f"{sorted(modules[k].architecture.items())} {weights.dtype}", []).append(k)
    return list(kinds.values())
