"""The networks of the estimators as graphs: encoder, pooling, heads, the decoder of an autoencoder.

Windows are ``(batch, time, channels)`` outside and ``(time, batch, channels)`` within, as ONNX has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from ..networks.conv_lstm import MapNorm
from ..networks.forecast_net import UnrolledHead
from ..networks.pooling import Additive, Last, Luong, Max, Mean, MultiHead
from ..networks.reconstruction_net import ReconstructionNet
from ..networks.recurrent_encoder import RecurrentEncoder
from ..networks.recurrent_net import RecurrentNet
from ..recurrent.codes import Codes
from .cells import linear, run_layer, to_array
from .double_cells import Memory
from .graph import Tensor


def say(net: RecurrentNet, windows: Tensor, codes: Codes) -> Tensor:
    """Return the outputs (batch, n_outputs) of a network for windows."""
    h, _ = encode(net.encoder, embed(net.encoder, windows, codes).transpose(1, 0, 2))
    return say_of(net, pool(net, h))


def say_of(net: RecurrentNet, z: Tensor) -> Tensor:
    """Return the outputs (batch, n_outputs) of a network's head for what its layers say, (batch, width)."""
    return _unroll(net.head, z) if isinstance(net.head, UnrolledHead) else linear(z, net.head)


def embed(encoder: RecurrentEncoder, x: Tensor, codes: Codes) -> Tensor:
    """Return channels (..., channels) with vectors in place of codes, behind the other channels."""
    if not codes.channels:
        return x
    coded = set(codes.channels)
    rest = [k for k in range(encoder.architecture["n_channels"]) if k not in coded]
    parts = [x.take(rest, axis=-1)] if rest else []
    for channel, known, table in zip(codes.channels, codes.known, encoder.embed.tables, strict=True):
        is_code = x.graph.apply("Equal", x.take([channel], axis=-1), known, dtype=bool)  # (..., n_codes)
        numbers = np.arange(1, len(known) + 1)
        number = (is_code.cast(np.int64) * x.graph.constant(numbers)).sum(-1)  # (...), 0 for one that is not known
        parts.append(x.graph.apply("Gather", x.graph.constant(to_array(table.get_parameter("weight"))), number, axis=0))
    return x.graph.concat(parts, axis=-1)


def encode(encoder: RecurrentEncoder, x: Tensor, states: Sequence[Memory] | None = None) -> tuple[Tensor, list[Memory]]:
    """Return the outputs (time, batch, width) of an encoder, and the state of each layer after the last step."""
    after = []
    for k, (layer, norm) in enumerate(zip(encoder.layers, encoder.norms, strict=True)):
        h, last = run_layer(layer, x, None if states is None else states[k])
        if isinstance(norm, nn.LayerNorm | MapNorm):
            weights = [to_array(part).repeat(encoder.n_cells) for part in (norm.weight, norm.bias)]
            h = x.graph.apply("LayerNormalization", h, *weights, axis=-1, epsilon=norm.eps)
        x = h + x if encoder.residual and k else h
        after.append(last)
    return _summarise(encoder, x) if encoder.summarised else x, after


def _summarise(encoder: RecurrentEncoder, h: Tensor) -> Tensor:
    """Return the means and the maxima over the grid, (time, batch, width), of maps (time, batch, maps * cells)."""
    maps = h.reshape(0, 0, 1 + encoder.bidirectional, -1, encoder.n_cells)
    parts = [h.graph.apply(op, maps, np.array([-1]), keepdims=0) for op in ("ReduceMean", "ReduceMax")]
    return h.graph.concat(parts, axis=3).reshape(0, 0, -1)


def pool(net: RecurrentNet, h: Tensor) -> Tensor:
    """Return one vector (batch, width) of the outputs (time, batch, width) of windows."""
    last = last_step(net.encoder, h)
    return POOLINGS[type(net.pooling)](net.pooling, h.transpose(1, 0, 2), last)


def last_step(encoder: RecurrentEncoder, h: Tensor) -> Tensor:
    """Return the output (batch, width) of each direction after its own last step."""
    end = h.take(-1, axis=0)
    if not encoder.bidirectional:
        return end
    half = encoder.width // 2
    return h.graph.concat(
        [end.take(range(half), axis=1), h.take(0, axis=0).take(range(half, 2 * half), axis=1)], axis=1
    )


def reconstruct_last(net: ReconstructionNet, windows: Tensor, codes: Codes) -> Tensor:
    """Return the last step of windows as an autoencoder writes it, (batch, n_measured)."""
    return _write(net, windows, codes, 1).squeeze(1)


def reconstruct(net: ReconstructionNet, windows: Tensor, codes: Codes, n_steps: int) -> Tensor:
    """Return windows as an autoencoder writes them, (batch, n_steps, n_measured)."""
    return _write(net, windows, codes, n_steps).take(range(n_steps - 1, -1, -1), axis=1)


def _write(net: ReconstructionNet, windows: Tensor, codes: Codes, n_steps: int) -> Tensor:
    """Return the last steps of windows as an autoencoder writes them, (batch, n_steps, n_measured), last first."""
    h, _ = encode(net.encoder, embed(net.encoder, windows, codes).transpose(1, 0, 2))
    z = linear(last_step(net.encoder, h), net.to_latent)  # (batch, latent)
    states, graph = _first_states(net, z), z.graph
    z = z.take(np.arange(net.architecture["latent_size"]).repeat(net.encoder.n_cells), axis=1)  # told to each cell
    if net.teacher_forcing is None:
        latent = graph.concat([z.unsqueeze(0)] * n_steps, axis=0)  # (time, batch, latent)
        return linear(encode(net.decoder, latent, states)[0], net.head).transpose(1, 0, 2)
    step, written = z.take([0] * len(net.measured), axis=1) * 0.0, []  # (batch, measured)
    for _ in range(n_steps):
        h, states = encode(net.decoder, graph.concat([z, step], axis=1).unsqueeze(0), states)
        step = linear(h.squeeze(0), net.head)
        written.append(step)
    return graph.stack(written, axis=1)


def _first_states(net: ReconstructionNet, z: Tensor) -> list[Memory]:
    """Return the states in which a decoder begins, each (1, batch, hidden)."""
    n_layers, size = net.architecture["num_layers"], net.decoder.width
    parts = [linear(z, net.to_h).map("Tanh"), *([] if net.to_c is None else [linear(z, net.to_c)])]
    return [
        tuple(part.take(range(k * size, (k + 1) * size), axis=1).unsqueeze(0) for part in parts)
        for k in range(n_layers)
    ]


def _unroll(head: UnrolledHead, z: Tensor) -> Tensor:
    """Return the steps ahead, (batch, horizon * n_values), of a head that goes on from its own output."""
    width = head.out.in_features
    begun = linear(z, head.begin)
    parts = [begun.take(range(k * width, (k + 1) * width), axis=1).unsqueeze(0) for k in range(1 + head.has_memory)]
    state: Memory = (parts[0].map("Tanh"), *parts[1:])
    y, steps = (z.take([0] * head.n_values, axis=1) * 0.0).unsqueeze(0), []  # (1, batch, n_values)
    for _ in range(head.horizon):
        h, state = run_layer(head.layer, y, state)
        y = linear(h, head.out)
        steps.append(y.squeeze(0))
    return z.graph.concat(steps, axis=1)


def _last(pooling: Any, h: Tensor, last: Tensor) -> Tensor:
    return last


def _mean(pooling: Any, h: Tensor, last: Tensor) -> Tensor:
    return h.graph.apply("ReduceMean", h, np.array([1]), keepdims=0)


def _max(pooling: Any, h: Tensor, last: Tensor) -> Tensor:
    return h.graph.apply("ReduceMax", h, np.array([1]), keepdims=0)


def _additive(pooling: Additive, h: Tensor, last: Tensor) -> Tensor:
    score = linear(linear(h, pooling.W).map("Tanh"), pooling.v)  # (batch, time, 1)
    return (score.map("Softmax", axis=1) * h).sum(1)


def _luong(pooling: Luong, h: Tensor, last: Tensor) -> Tensor:
    score = h @ linear(last, pooling.W).unsqueeze(-1)  # (batch, time, 1)
    context = (score.map("Softmax", axis=1) * h).sum(1)
    return linear(h.graph.concat([context, last], axis=1), pooling.W_c).map("Tanh")


def _multihead(pooling: MultiHead, h: Tensor, last: Tensor) -> Tensor:
    heads, size = pooling.num_heads, pooling.W_q.out_features // pooling.num_heads
    q = linear(last, pooling.W_q).reshape(0, heads, size, 1)  # (batch, heads, size, 1)
    k, v = (linear(h, W).reshape(0, 0, heads, size).transpose(0, 2, 1, 3) for W in (pooling.W_k, pooling.W_v))
    score = (k @ q) / math.sqrt(size)  # (batch, heads, time, 1)
    context = (score.map("Softmax", axis=2) * v).sum(2)  # (batch, heads, size)
    return linear(context.reshape(0, -1), pooling.W_o)


POOLINGS: dict[type, Any] = {
    Last: _last,
    Mean: _mean,
    Max: _max,
    Additive: _additive,
    Luong: _luong,
    MultiHead: _multihead,
}
