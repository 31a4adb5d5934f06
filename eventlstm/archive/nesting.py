"""How many estimators are inside of each other: one that is shared counts as often as it is reached.

A few lines can let each of thirty pipelines hold the one before twice; what walks through them then never ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# Fits make some thousand: the members of an ensemble, with the losses and samplers in them.
MOST_ESTIMATORS = 10_000
# Fits reach eight, as a pipeline of a blend of ensembles of networks with a sampler. To print pipelines in each other
# takes scikit-learn twice the time for one more: two seconds for ten, half a minute for fourteen.
DEEPEST = 10
# Of lists and the like in each other, where fits reach three; copying takes Python's stack by it.
DEEPEST_LIST = 32


class Nesting:
    """Counts estimators, those inside first."""

    def __init__(self) -> None:
        # by identity, with the estimators themselves: the identity of one that is gone may come again
        self._seen: dict[int, tuple[int, int, Any]] = {}

    def add(self, estimator: Any, values: list[Any]) -> None:
        """Count an estimator with those in the values that it holds.

        Raises
        ------
        ValueError
            If it holds too many, or they or lists are nested too deep.
        """
        inside = [self._seen[id(child)] for child in self._find(values, 0)]
        n_estimators, depth = 1 + sum(n for n, _, _ in inside), 1 + max((depth for _, depth, _ in inside), default=0)
        if n_estimators > MOST_ESTIMATORS or depth > DEEPEST:
            raise ValueError(
                f"{type(estimator).__name__} holds {n_estimators} estimators, {depth} in each other, where "
                f"{MOST_ESTIMATORS} and {DEEPEST} can be stored"
            )
        self._seen[id(estimator)] = n_estimators, depth, estimator

    def _find(self, value: Any, depth: int) -> Iterator[Any]:
        """Yield the estimators in a value, as often as they come."""
        if depth > DEEPEST_LIST:
            raise ValueError(f"Lists are nested deeper than the {DEEPEST_LIST} that can be stored")
        if id(value) in self._seen:
            yield value
        elif isinstance(value, dict):
            for items in value.items():
                yield from self._find(items, depth + 1)
        elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.kind == "O"):
            for item in value:
                yield from self._find(item, depth + 1)
