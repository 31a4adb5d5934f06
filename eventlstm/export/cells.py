"""Recurrent layers as nodes of a graph: torch's weights in the order and the places that ONNX has for them.

Sequences are ``(time, batch, channels)``; a state is ``(h, c)`` of an LSTM and ``(h,)`` of the others, each
``(directions, batch, hidden)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ..networks.cells import SUFFIXES, PeepholeLSTM, n_units
from ..networks.conv_lstm import CellwiseLinear, ConvLSTM
from .double_cells import Memory, scan_layer
from .graph import Tensor

# Each kind of layer with its operator, and the places of ONNX's gates in torch's order.
# ONNX: iofc, zrh; torch: ifgo, rzn.
OPERATORS: dict[type, tuple[str, tuple[int, ...]]] = {
    nn.LSTM: ("LSTM", (0, 3, 1, 2)),
    PeepholeLSTM: ("LSTM", (0, 3, 1, 2)),
    nn.GRU: ("GRU", (1, 0, 2)),
    nn.RNN: ("RNN", (0,)),
}
PEEPHOLES = (0, 2, 1)  # ONNX: iof; ours: ifo


def run_layer(layer: Any, x: Tensor, state: Memory | None) -> tuple[Tensor, Memory]:
    """Return the outputs (time, batch, directions * hidden) of a layer, and the state after the last step."""
    if x.dtype == np.float64 or isinstance(layer, ConvLSTM):
        return _run_by_step(layer, x, state)
    graph, (op, order) = x.graph, OPERATORS[type(layer)]
    W, R, b = (
        _of_directions(layer, names, order) for names in (("weight_ih",), ("weight_hh",), ("bias_ih", "bias_hh"))
    )
    inputs: list[Any] = [x, W, R, b, None, *(state or ())]  # None: all sequences are whole
    if isinstance(layer, PeepholeLSTM):
        inputs += [None] * (7 - len(inputs))
        inputs.append(_of_directions(layer, ("weight_peephole",), PEEPHOLES))
    attributes: dict[str, Any] = {"hidden_size": layer.hidden_size}
    if layer.bidirectional:
        attributes["direction"] = "bidirectional"
    if op == "GRU":
        attributes["linear_before_reset"] = 1
    y, *after = graph.apply_all(op, 2 + (op == "LSTM"), *inputs, **attributes)  # (time, directions, batch, hidden)
    if not layer.bidirectional:
        return y.squeeze(1), tuple(after)
    return y.transpose(0, 2, 1, 3).reshape(0, 0, -1), tuple(after)


def _run_by_step(layer: Any, x: Tensor, state: Memory | None) -> tuple[Tensor, Memory]:
    """Do what `run_layer` does in formulas, a direction after the other."""
    turns = []
    for direction in range(1 + layer.bidirectional):
        if state is None:
            zeros = x.take(0, axis=0).take([0] * n_units(layer), axis=1) * 0.0
            before = (zeros,) * (1 + has_memory(layer))
        else:
            before = tuple(part.take(direction, axis=0) for part in state)
        turns.append(scan_layer(layer, direction, x, before))
    after = zip(*(last for _, last in turns), strict=True)
    return x.graph.concat([y for y, _ in turns], axis=2), tuple(x.graph.stack(parts, axis=0) for parts in after)


def has_memory(layer: Any) -> bool:
    """Return whether a layer keeps a memory beside its output."""
    return isinstance(layer, nn.LSTM | PeepholeLSTM | ConvLSTM)


def linear(x: Tensor, module: nn.Linear) -> Tensor:
    """Return what a linear layer makes of the last axis."""
    weight, bias = to_array(module.weight), None if module.bias is None else to_array(module.bias)
    if isinstance(module, CellwiseLinear) and bias is not None:
        weight, bias = np.kron(weight, np.eye(module.n_cells, dtype=weight.dtype)), bias.repeat(module.n_cells)
    y = x @ weight.T
    return y if bias is None else y + bias


def to_array(weight: torch.Tensor) -> np.ndarray:
    """Return a weight as an array."""
    array: np.ndarray = weight.detach().cpu().numpy()
    return array


def _of_directions(layer: Any, names: tuple[str, ...], order: tuple[int, ...]) -> np.ndarray:
    """Return weights of all directions, (directions, ...), the gates of each in ONNX's order."""
    suffixes = SUFFIXES[: 1 + layer.bidirectional]
    return np.stack(
        [
            np.concatenate([_order(to_array(getattr(layer, f"{name}_l0{suffix}")), order) for name in names])
            for suffix in suffixes
        ]
    )


def _order(weight: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    gates = np.split(weight, len(order))
    return np.concatenate([gates[k] for k in order])
