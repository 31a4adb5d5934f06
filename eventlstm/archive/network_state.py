"""A network as its architecture and its weights, checked before it is made: making one may take memory by its sizes."""

from __future__ import annotations

import reprlib
from typing import Any

from .._validation import constraints_of, validate_arguments
from .checks import FLOATS, LARGEST_WEIGHT, MOST, array, holds, mapping, record, several, text, whole

WEIGHT = record(architecture=mapping(text, lambda value, owner: True), weights=mapping(text, lambda value, owner: True))
CATEGORIES = several(several(whole(0, MOST), 2, kind=tuple), kind=tuple)


def check_network(estimator: Any, plain: Any) -> None:
    """Refuse what is no network of an estimator.

    Raises
    ------
    ValueError
        If an argument of the architecture is none that the estimator's parameter of that name may have, a weight is
        no finite number, or there are fewer weights than channels.
    """
    name = type(estimator).__name__
    if not holds(WEIGHT, plain, estimator):
        raise ValueError(f"{name} has {reprlib.repr(plain)} in place of a network")
    architecture, weights = plain["architecture"], plain["weights"]
    validate_arguments(constraints_of(estimator), architecture, f"The architecture of {name}")
    for key, weight in weights.items():
        every = array(FLOATS, *[None] * getattr(weight, "ndim", 0), low=-LARGEST_WEIGHT, high=LARGEST_WEIGHT)
        if not holds(every, weight, estimator):
            raise ValueError(f"{name} has weights {reprlib.repr(key)} that are not numbers within {LARGEST_WEIGHT:g}")
    n_weights = sum(weight.size for weight in weights.values())
    sizes = [architecture.get(size, 1) for size in ("n_channels", "n_outputs")]
    if not all(holds(whole(1, n_weights), size, estimator) for size in sizes):
        raise ValueError(f"{name} has a network of {sizes} channels and outputs, but {n_weights} weights")
    if not holds(CATEGORIES, architecture.get("categories", ()), estimator):
        raise ValueError(f"{name} has a network with {reprlib.repr(architecture['categories'])} as categories")
