"""The gates that keep the memory, watched while a network trains: an LSTM's forget gate, a GRU's update gate.

Encoders of a thread hand theirs to the watch that is set up in it, step by step or in pieces, in the order of time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

# Cells whose layers have such a gate.
FORGETTING = ("lstm", "peephole", "gru", "convlstm")
# A gate within this of 0 or 1 is at its end.
NEAR_END = 0.05


class GateWatch:
    """The gates of all layers of a forward pass, each (batch, time, units).

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks import RecurrentEncoder
    >>> from eventlstm.networks.forget_gates import watch_gates
    >>> encoder = RecurrentEncoder(3, hidden_size=4)
    >>> encoder.initialize(torch.Generator().manual_seed(0))
    >>> with watch_gates(True) as watch:
    ...     _ = encoder(torch.zeros(5, 10, 3))
    >>> watch.measure()[0].shape
    torch.Size([5, 10])
    """

    def __init__(self) -> None:
        self._pieces: dict[Any, list[torch.Tensor]] = {}

    def add(self, layer: Any, gates: list[torch.Tensor]) -> None:
        """Take the next steps of a layer."""
        self._pieces.setdefault(id(layer), []).extend(gates)

    def measure(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means over units, then over layers, at each step, both (batch, time).

        The first is of the square of ``2 f - 1``, the second the share of gates that are near 0 or 1.
        """
        squares = [(2.0 * f - 1.0).square() for f in self._gates()]
        at_ends = [(square.detach() > (1.0 - 2.0 * NEAR_END) ** 2).to(square) for square in squares]
        return self._mean(squares), self._mean(at_ends)

    def _gates(self) -> list[torch.Tensor]:
        return [torch.cat(pieces, dim=1) if len(pieces) > 1 else pieces[0] for pieces in self._pieces.values()]

    @staticmethod
    def _mean(by_layer: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([value.mean(dim=-1) for value in by_layer]).mean(dim=0)


class _Watches(threading.local):
    here: GateWatch | None = None


_WATCHES = _Watches()


def watch_gates(wanted: bool) -> AbstractContextManager[GateWatch | None]:
    """Watch the gates of what this thread runs, where it is wanted."""
    return _watching(GateWatch()) if wanted else nullcontext()


def watch_here() -> GateWatch | None:
    """Return the watch that is set up in this thread, or None."""
    return _WATCHES.here


@contextmanager
def _watching(watch: GateWatch) -> Iterator[GateWatch]:
    before, _WATCHES.here = _WATCHES.here, watch
    try:
        yield watch
    finally:
        _WATCHES.here = before
