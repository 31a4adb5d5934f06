"""One step of a log as a graph: a row of each of many machines comes in, and what is kept of the rows before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .graph import BATCH, Graph, State, Tensor


class Step(NamedTuple):
    """The graph of a step, and which machines begin a stretch at it."""

    graph: Graph
    begins: Tensor  # (batch,)
    any_begins: Tensor  # (), whether one does
    known: dict[Any, Any]  # what several parts of a model share, by what it is made of
    prefix: str = "state"

    @classmethod
    def start(cls, graph: Graph) -> Step:
        """Return a step of a new graph."""
        begins = graph.input("begins", bool, BATCH)
        some = begins.cast(np.int32).map("ReduceMax", keepdims=0).cast(bool)
        return cls(graph, begins, some, {})

    def part(self, name: object) -> Step:
        """Return the step of a part of the model, whose states are named by it."""
        return self._replace(prefix=f"{self.prefix}_{name}")

    def share(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what was made under a key, by whatever part of the model."""
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def keep(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> tuple[Tensor, str]:
        """Return what is kept of the rows before, (batch, *shape), and the name under which to go on with it."""
        full, taken = f"{self.prefix}_{name}", {state.name for state in self.graph.states}
        if full in taken:
            full = self.graph.name(full)
        self.graph.states.append(State(full, shape, np.dtype(dtype).name))
        return self.graph.input(full, dtype, BATCH, *shape), full

    def go_on(self, name: str, value: Tensor) -> None:
        """Keep a value under a name for the next step."""
        shape = next(state.shape for state in self.graph.states if state.name == name)
        self.graph.output(f"new_{name}", value, BATCH, *shape)

    def first_or(self, first: Tensor, before: Tensor, n_axes: int) -> Tensor:
        """Return what is kept, (batch, ...) of so many axes, and `first` for machines that begin a stretch."""
        begins = self.begins.reshape(-1, *[1] * (n_axes - 1))
        return self.graph.where(begins, first, before)

    def last_rows(self, rows: Tensor, n_rows: int, n_channels: int, name: str = "rows") -> Tensor:
        """Return the last rows (batch, n_rows, n_channels), this one counted; before the first are copies of it."""
        now = rows.unsqueeze(1)  # (batch, 1, n_channels)
        if n_rows == 1:
            return now
        kept, full = self.keep(name, (n_rows - 1, n_channels), rows.dtype)
        window = self.graph.concat([self.first_or(now, kept, 3), now], axis=1)
        self.go_on(full, window.tail(1, axis=1))
        return window
