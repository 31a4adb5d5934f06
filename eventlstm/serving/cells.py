"""One step of a recurrent layer in NumPy: the layers of several networks side by side, each for many machines.

The letters are those of `networks.cells`: ``W`` input weights, ``R`` recurrent weights, ``b`` biases, ``p`` peepholes.
Inputs are ``(n_networks, n, n_inputs)``, or ``(1, n, n_inputs)`` where all see the same, memories ``(n_networks, n,
hidden_size)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..networks.conv_lstm import neighbours

Memory = tuple[np.ndarray, ...]  # (h, c) of an LSTM, (h,) of the others


class Cell(ABC):
    """The layers of several networks, of one kind and size."""

    n_memories = 1

    def __init__(self, layers: Sequence[Any]) -> None:
        self.hidden_size: int = layers[0].hidden_size
        self.W, self.R = stack(layers, "weight_ih_l0").swapaxes(1, 2), stack(layers, "weight_hh_l0").swapaxes(1, 2)
        self.b, self.b_h = stack(layers, "bias_ih_l0")[:, None], stack(layers, "bias_hh_l0")[:, None]

    @abstractmethod
    def step(self, x: np.ndarray, memory: Memory) -> Memory:
        """Return the memory after one more row; its first part is the output."""


class LSTMCell(Cell):
    """Long short-term memory: one product and one hyperbolic tangent for all gates.

    The logistic function is the hyperbolic tangent of half its argument, halved and lifted; the first half is in the
    weights.
    """

    n_memories = 2

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__(layers)
        half = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], self.W.dtype), self.hidden_size)  # input, forget, cell, output
        self.weights = np.ascontiguousarray(np.concatenate([self.W, self.R, self.b + self.b_h], axis=1) * half)
        self.scale, self.lift = half, 1 - half
        self.below = np.ones((0, 0, 0), half.dtype)  # (n_networks, n, n_inputs + hidden_size + 1): x, h and one

    def step(self, x: np.ndarray, memory: Memory) -> Memory:
        """Return the memory after one more row (Hochreiter and Schmidhuber 1997, Gers et al. 2000)."""
        h, c = memory
        if self.below.shape[1] != h.shape[1]:
            self.below = np.ones((len(h), h.shape[1], self.weights.shape[1]), h.dtype)
        self.below[..., : x.shape[-1]] = x
        self.below[..., x.shape[-1] : -1] = h
        gates = np.matmul(self.below, self.weights)
        np.tanh(gates, out=gates)
        gates *= self.scale
        gates += self.lift
        H = self.hidden_size
        i, f, g, o = gates[..., :H], gates[..., H : 2 * H], gates[..., 2 * H : 3 * H], gates[..., 3 * H :]
        c = f * c
        i *= g
        c += i
        return np.tanh(c) * o, c


class PeepholeCell(Cell):
    """An LSTM whose gates see the memory."""

    n_memories = 2

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__(layers)
        self.p = np.split(stack(layers, "weight_peephole_l0")[:, None], 3, axis=-1)

    def step(self, x: np.ndarray, memory: Memory) -> Memory:
        """Return the memory after one more row (Gers and Schmidhuber 2000)."""
        h, c = memory
        i, f, g, o = np.split(x @ self.W + h @ self.R + (self.b + self.b_h), 4, axis=-1)
        c = logistic(f + self.p[1] * c) * c + logistic(i + self.p[0] * c) * np.tanh(g)
        return logistic(o + self.p[2] * c) * np.tanh(c), c


class ConvLSTMCell(Cell):
    """An LSTM on a grid: the product of what each cell and its neighbours hold with the kernels."""

    n_memories = 2

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__(layers)
        self.hidden_size = layers[0].n_units
        kernels = np.concatenate(
            [self.W.swapaxes(1, 2), self.R.swapaxes(1, 2)], axis=2
        )  # (n_networks, 4 maps, maps, 3, 3)
        self.kernel = kernels.reshape(*kernels.shape[:2], -1).swapaxes(1, 2)  # (n_networks, maps * 9, 4 maps)
        self.bias = self.b + self.b_h
        self.seen = neighbours(layers[0].grid)

    def step(self, x: np.ndarray, memory: Memory) -> Memory:
        """Return the memory after one more row (Shi et al. 2015)."""
        h, c = memory
        below = np.concatenate([np.broadcast_to(x, (len(h), *x.shape[1:])), h], axis=-1)
        maps = below.reshape(*h.shape[:2], -1, len(self.seen))  # (n_networks, n, maps, cells)
        maps = np.concatenate([maps, np.zeros_like(maps[..., :1])], axis=-1)
        patches = np.moveaxis(maps[..., self.seen], 2, 3).reshape(len(h), -1, self.kernel.shape[1])
        gates = (patches @ self.kernel + self.bias).reshape(*h.shape[:2], len(self.seen), -1)
        i, f, g, o = (gate.reshape(h.shape) for gate in np.split(gates.swapaxes(2, 3), 4, axis=2))
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        return logistic(o) * np.tanh(c), c


class GRUCell(Cell):
    """A gated recurrent unit, its reset gate behind the recurrent product as in cuDNN and torch."""

    def step(self, x: np.ndarray, memory: Memory) -> Memory:
        """Return the memory after one more row (Cho et al. 2014)."""
        (h,) = memory
        r, z, n = np.split(x @ self.W + self.b, 3, axis=-1)
        r_h, z_h, n_h = np.split(h @ self.R + self.b_h, 3, axis=-1)
        z = logistic(z + z_h)
        return ((1 - z) * np.tanh(n + logistic(r + r_h) * n_h) + z * h,)


class RNNCell(Cell):
    """A plain recurrent layer."""

    def step(self, x: np.ndarray, memory: Memory) -> Memory:
        """Return the memory after one more row (Elman 1990)."""
        (h,) = memory
        return (np.tanh(x @ self.W + h @ self.R + (self.b + self.b_h)),)


CELLS: dict[str, type[Cell]] = {
    "lstm": LSTMCell,
    "peephole": PeepholeCell,
    "gru": GRUCell,
    "rnn": RNNCell,
    "convlstm": ConvLSTMCell,
}


def logistic(x: np.ndarray) -> np.ndarray:
    """Return the logistic function, which never overflows as a hyperbolic tangent."""
    half = x.dtype.type(0.5)
    out: np.ndarray = half * np.tanh(half * x) + half
    return out


def stack(modules: Sequence[Any], name: str) -> np.ndarray:
    """Return a weight of several modules, (n_modules, ...)."""
    return np.stack([getattr(module, name).detach().cpu().numpy() for module in modules])
