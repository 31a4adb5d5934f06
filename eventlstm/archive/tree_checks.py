"""What is looked at before numbers from a file become trees.

The compiled code of scikit-learn walks a tree without looking whether a node or a feature is there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .checks import LARGEST

# Python takes about ten times the bytes for a tree that a smallest one has in a file; fits make some hundred trees.
MAX_TREES = 100_000


class TreeChecks(NamedTuple):
    """Checks that name the kind of trees at fault."""

    kind: str

    def require(self, holds: Any, fault: str) -> None:
        """Refuse what does not hold."""
        if not holds:
            raise ValueError(f"{self.kind} {fault}")

    def number(self, n_trees: int) -> None:
        """Refuse no trees, and too many."""
        self.require(0 < n_trees <= MAX_TREES, f"has {n_trees} trees, where 1 to {MAX_TREES} can be stored")

    def size(self, values: np.ndarray) -> None:
        """Refuse numbers whose sum over all trees might be none."""
        self.require((np.abs(values) <= LARGEST).all(), f"has values that are not numbers within {LARGEST:g}")

    def array(self, found: Any, dtype: Any, shape: tuple[int, ...] | None = None) -> None:
        """Refuse what is no array of a dtype and a shape, by default one dimension of any length."""
        right = isinstance(found, np.ndarray) and found.dtype == dtype
        right = right and (found.ndim == 1 if shape is None else found.shape == shape)
        self.require(right, f"has an attribute that is not {shape or 'a list'} of {np.dtype(dtype)}")

    def fields(self, fields: Any, dtype: np.dtype[Any], n_nodes: Any) -> np.ndarray:
        """Refuse nodes of other fields, or other numbers of them than are counted; return the first of each tree."""
        self.require(isinstance(fields, dict) and set(fields) == set(dtype.names or ()), "has nodes of other fields")
        self.array(n_nodes, np.int64)
        self.number(len(n_nodes))
        n_all = len(next(iter(fields.values())))
        for name in fields:
            self.array(fields[name], dtype[name], (n_all,))
        # Each count first: with a negative or huge one among them, the sum may be right by chance.
        self.require(
            ((n_nodes > 0) & (n_nodes <= n_all)).all() and n_nodes.sum() == n_all, "has other nodes than it counts"
        )
        return np.cumsum(n_nodes) - n_nodes

    def walks(self, inner: np.ndarray, children: list[np.ndarray], starts: np.ndarray, n_nodes: np.ndarray) -> None:
        """Refuse nodes that are no trees; `inner` marks those with `children`, which are numbered in their tree.

        In a tree, each node but the first is the child of one other; where children also come after their parents, as
        they do in a fit, walks end.
        """
        first, size = np.repeat(starts, n_nodes)[inner], np.repeat(n_nodes, n_nodes)[inner]
        parents = np.flatnonzero(inner)
        for child in children:
            right = (child >= 0) & (child < size)
            self.require((right & (first + child > parents)).all(), "has nodes that lead out of their tree, or back")
        reached = np.sort(np.concatenate([first + child for child in children]))
        others = np.delete(np.arange(len(inner)), starts)
        self.require(np.array_equal(reached, others), "has nodes with several parents, or with none")
