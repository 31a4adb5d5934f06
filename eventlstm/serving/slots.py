"""What a stream knows of each machine: a slot of its own in arrays ``(..., n_slots, width)``.

Rows are ``(n, n_sensors)``, one of each of `n` machines, and `slots` says which they are: a slice where they stand side
by side, else their numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..logs.shared import BoolArray, IntArray

FEWEST_SLOTS = 4


class Rows(NamedTuple):
    """The next row of some machines."""

    slots: slice | IntArray  # of the machines
    times: np.ndarray  # (n,) as `logs.index` reads them
    is_new: BoolArray  # (n,) whether the machine has no row yet

    def pick(self, chosen: IntArray) -> slice | IntArray:
        """Return the slots of some of the rows."""
        if isinstance(self.slots, slice):
            return chosen + self.slots.start
        return self.slots[chosen]


class Node:
    """A part of a stream that keeps something of each machine, and perhaps has parts of its own."""

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}  # each (..., n_slots, width)

    def nodes(self) -> list[Node]:
        """Return this node and all below it, each once and always in the same order."""
        found = {id(self): self}
        for value in vars(self).values():
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, Node):
                    found |= {id(node): node for node in part.nodes()}
        return list(found.values())

    def grow(self, n_slots: int) -> None:
        """Make room for more machines."""
        for node in self.nodes():
            for name, array in node.kept.items():
                more = np.zeros((*array.shape[:-2], n_slots - array.shape[-2], array.shape[-1]), array.dtype)
                node.kept[name] = np.concatenate([array, more], axis=-2)

    def snapshot(self, slots: Any) -> list[np.ndarray]:
        """Return a copy of what is kept of some machines."""
        return [array[..., slots, :].copy() for node in self.nodes() for array in node.kept.values()]

    def put_back(self, slots: Any, snapshot: list[np.ndarray]) -> None:
        """Keep again what a snapshot holds."""
        places = [(node.kept, name) for node in self.nodes() for name in node.kept]
        for (kept, name), old in zip(places, snapshot, strict=True):
            kept[name] = kept[name].astype(old.dtype, copy=False)
            kept[name][..., slots, :] = old


def empty(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    """Return an array to keep, ``(*shape[:-1], n_slots, shape[-1])``."""
    return np.zeros((*shape[:-1], FEWEST_SLOTS, shape[-1]), dtype)


def as_slots(numbers: list[int]) -> slice | IntArray:
    """Return the slots of some machines, as a slice where they stand side by side."""
    first, n = numbers[0], len(numbers)
    if n == 1 or numbers == list(range(first, first + n)):
        return slice(first, first + n)
    return np.array(numbers)


def as_type(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Return values in another precision, refusing those beyond it."""
    with np.errstate(over="ignore"):
        cast = values.astype(dtype, copy=False)
    if not np.isfinite(cast).all():
        raise ValueError(
            f"A row holds values beyond what {np.dtype(dtype).name} can tell, in which the model computes. Leave the "
            "row out, or put NaN there and ForwardFill() before the model."
        )
    return cast
