"""Recurrent layers that ONNX Runtime does not have: a step in formulas, scanned over time.

These are all layers in double precision, and convolutional ones.

The letters are those of `networks.cells`; sequences are ``(time, batch, channels)``, memories ``(batch, hidden)``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from ..networks.cells import PeepholeLSTM, weights_of
from ..networks.conv_lstm import neighbours
from .graph import Tensor

Memory = tuple[Tensor, ...]


class Arrays(NamedTuple):
    """Weights of one direction as `networks.cells.Weights` has them, as arrays."""

    W: np.ndarray  # (gates * hidden, channels)
    R: np.ndarray  # (hidden, gates * hidden)
    b: np.ndarray  # (gates * hidden,)
    b_h: np.ndarray  # (gates * hidden,)
    p: np.ndarray  # (3 * hidden,), of a peephole layer; empty in others


def scan_layer(layer: Any, direction: int, x: Tensor, state: Memory) -> tuple[Tensor, Memory]:
    """Return the outputs (time, batch, hidden) of one direction of a layer, and what it holds after the last step."""
    weights = weights_of(layer, direction, None)
    w = _to_arrays(weights)
    if weights.grid is not None:
        of_grid = partial(conv_lstm_step, w=w, seen=neighbours(weights.grid))
        return x.graph.scan(of_grid, state, x, backwards=bool(direction))
    a = x @ w.W.T + w.b  # (time, batch, gates * hidden)

    def step(memory: Memory, a_t: Tensor) -> Memory:
        return STEPS[type(layer)](a_t, memory, w)

    return x.graph.scan(step, state, a, backwards=bool(direction))


def lstm_step(a: Tensor, memory: Memory, w: Arrays) -> Memory:
    """As `networks.cells.lstm_step`."""
    h, c = memory
    i, f, g, o = _gates(a + h @ w.R, 4)
    c = f.map("Sigmoid") * c + i.map("Sigmoid") * g.map("Tanh")
    return o.map("Sigmoid") * c.map("Tanh"), c


def conv_lstm_step(memory: Memory, x: Tensor, w: Arrays, seen: np.ndarray) -> Memory:
    """As `networks.cells.conv_lstm_step`: the product of what each cell and its neighbours hold with the kernels."""
    h, c = memory
    kernels = np.concatenate([w.W, w.R], axis=1)  # (4 maps, maps, 3, 3)
    maps = x.graph.concat([x, h], axis=1).reshape(0, -1, len(seen))  # (batch, maps, cells)
    maps = x.graph.concat([maps, maps.take([0], axis=2) * 0.0], axis=2)  # what lies beyond the edge is zero
    patches = maps.take(seen, axis=2).transpose(0, 2, 1, 3).reshape(0, len(seen), -1)  # (batch, cells, maps * 9)
    a = patches @ kernels.reshape(len(kernels), -1).T + w.b
    i, f, g, o = _gates(a.transpose(0, 2, 1).reshape(0, -1), 4)
    c = f.map("Sigmoid") * c + i.map("Sigmoid") * g.map("Tanh")
    return o.map("Sigmoid") * c.map("Tanh"), c


def peephole_step(a: Tensor, memory: Memory, w: Arrays) -> Memory:
    """As `networks.cells.peephole_step`."""
    h, c = memory
    p_i, p_f, p_o = np.split(w.p, 3)
    i, f, g, o = _gates(a + h @ w.R, 4)
    i, f = (i + c * p_i).map("Sigmoid"), (f + c * p_f).map("Sigmoid")
    c = f * c + i * g.map("Tanh")
    return (o + c * p_o).map("Sigmoid") * c.map("Tanh"), c


def gru_step(a: Tensor, memory: Memory, w: Arrays) -> Memory:
    """As `networks.cells.gru_step`."""
    (h,) = memory
    r, z, n = _gates(a, 3)
    r_h, z_h, n_h = _gates(h @ w.R + w.b_h, 3)
    r, z = (r + r_h).map("Sigmoid"), (z + z_h).map("Sigmoid")
    n = (n + r * n_h).map("Tanh")
    return (n + z * (h - n),)


def rnn_step(a: Tensor, memory: Memory, w: Arrays) -> Memory:
    """As `networks.cells.rnn_step`."""
    return ((a + memory[0] @ w.R).map("Tanh"),)


STEPS: dict[type, Callable[[Tensor, Memory, Arrays], Memory]] = {
    nn.LSTM: lstm_step,
    PeepholeLSTM: peephole_step,
    nn.GRU: gru_step,
    nn.RNN: rnn_step,
}


def _to_arrays(weights: Any) -> Arrays:
    parts = weights[: len(Arrays._fields)]
    return Arrays(*(np.empty(0) if part is None else part.detach().cpu().numpy() for part in parts))


def _gates(a: Tensor, n_gates: int) -> list[Tensor]:
    return a.graph.apply_all("Split", n_gates, a, axis=-1, num_outputs=n_gates)
