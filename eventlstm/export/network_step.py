"""A network step by step as a graph: its state comes in and goes out, and is warmed up where a stretch begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..networks.cells import n_units
from ..recurrent.base import RecurrentEstimator
from .cells import has_memory
from .double_cells import Memory
from .graph import Tensor
from .members import as_network_takes, codes_of
from .networks import embed, encode, say_of
from .step import Step


def run_step(
    step: Step, member: RecurrentEstimator, channels: Tensor, warm_up: int, *, keep_said: bool = False
) -> tuple[Tensor, Tensor]:
    """Return what a network says at a row (batch, n_outputs), and, if that is kept, what it said at the row before.

    Machines that begin a stretch are shown their first row `warm_up` times before it.
    """
    net = member.module_
    x = embed(net.encoder, as_network_takes(member, channels), codes_of(member))  # (batch, inputs)
    sizes = _sizes(net) | ({"said": net.architecture["n_outputs"]} if keep_said else {})
    kept = [step.keep(name, (size,), x.dtype) for name, size in sizes.items()]
    values = [value for value, _ in kept]
    before = x.graph.choose(step.any_begins, lambda: _warm(step, net, x, warm_up, values), values)
    h, after = encode(net.encoder, x.unsqueeze(0), _by_layer(net, before))
    said = say_of(net, h.squeeze(0))
    for (_, name), value in zip(kept, [*_flat(after), said], strict=False):
        step.go_on(name, value)
    return said, before[-1]


def _warm(step: Step, net: Any, x: Tensor, warm_up: int, kept: Sequence[Tensor]) -> list[Tensor]:
    """Return what is kept, anew for machines that begin a stretch: after their first row, so many times."""
    graph = x.graph
    rows = graph.apply("NonZero", step.begins, dtype=np.int64).squeeze(0)  # (n_begin,)
    first = graph.apply("Gather", x, rows, axis=0).unsqueeze(0)  # (1, n_begin, inputs)
    h, after = encode(net.encoder, graph.apply("Expand", first, np.array([warm_up, 1, 1])))
    fresh = [*_flat(after), say_of(net, h.take(-1, axis=0))]
    places = rows.unsqueeze(1)
    return [graph.apply("ScatterND", value, places, new) for value, new in zip(kept, fresh, strict=False)]


def _sizes(net: Any) -> dict[str, int]:
    """Return the names and sizes of what the layers of a network keep of each machine."""
    layers = list(enumerate(net.encoder.layers))
    return {f"{part}{k}": n_units(layer) for k, layer in layers for part in "hc"[: 1 + has_memory(layer)]}


def _by_layer(net: Any, values: Sequence[Tensor]) -> list[Memory]:
    """Return values (batch, hidden) as the states (1, batch, hidden) of layers."""
    n_parts = 1 + has_memory(net.encoder.layers[0])
    states = [value.unsqueeze(0) for value in values[: n_parts * len(net.encoder.layers)]]
    return [tuple(states[k : k + n_parts]) for k in range(0, len(states), n_parts)]


def _flat(states: Sequence[Memory]) -> list[Tensor]:
    return [part.squeeze(0) for layer in states for part in layer]
