"""What parameters may be beyond the estimators' own tables of constraints, which leave open what `fit` looks into.

By the name of the parameter, as those that several estimators share mean the same in all of them.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .._validation import validate_parameters
from ..logs.input_scaler import VIEWS
from .checks import (
    LONGEST,
    SMALLEST,
    Check,
    array,
    either,
    flag,
    holds,
    is_real,
    mapping,
    one_of,
    optional,
    real,
    rising,
    several,
    text,
    time_span,
    whole,
)
from .fitted import FITTED

MOST_THREADS = 1024
# Numbers of any parameter: below it no product of a few overflows.
LARGEST_PARAMETER = 1e30
# The farthest level that is handed to a network, whose squares float32 still holds.
FARTHEST_LEVEL = 1e15
LISTS = (list, tuple)


def device_name(value: Any, owner: Any) -> bool:
    """Check for a device that torch knows by name, whether or not this machine has one."""
    return isinstance(value, str) and (value == "auto" or torch.device(value).type != "meta")


def pair_of_numbers(value: Any, owner: Any) -> bool:
    """Check for two numbers that rise."""
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_real, value)) and rising(value)


def named_estimators(*words: Any) -> Check:
    """Check for pairs of a name, each once, and an estimator or one of some words."""

    def passes(value: Any, owner: Any) -> bool:
        pairs = all(isinstance(pair, LISTS) and len(pair) == 2 and isinstance(pair[0], str) for pair in value)
        return pairs and len({name for name, _ in value}) == len(value) and all(map(is_part, value))

    def is_part(pair: Any) -> bool:
        part = pair[1]
        return part in words if part is None or isinstance(part, str) else hasattr(part, "get_params")

    return passes


def channel(value: Any, owner: Any) -> bool:
    """Check for a channel: its number, or the name of a sensor where an estimator takes logs."""
    return holds(whole(), value, owner) or (isinstance(value, str) and hasattr(owner, "window_size"))


LIMITS: dict[str, Check] = {
    "cap": real(0, LARGEST_PARAMETER),
    "categorical": several(whole(), kind=tuple),
    "categorical_channels": optional(several(channel, kind=(list, tuple, np.ndarray))),
    "class_weight": optional(either(text, mapping(lambda key, owner: True, real(0)))),
    "clip": either(flag, real(0, FARTHEST_LEVEL)),
    "depth": whole(),
    "device": device_name,
    "estimators": optional(named_estimators("drop")),
    "feature_range": pair_of_numbers,
    "floor": real(SMALLEST),
    "grid": optional(several(whole(1), 2, kind=LISTS)),
    "horizon": time_span,
    "lags": whole(0, LONGEST),
    "max_gap": time_span,
    "max_excesses": whole(1),
    "merge_gap": time_span,
    "n_channels": whole(1),
    "n_jobs": optional(whole(-MOST_THREADS, MOST_THREADS)),
    "norm": one_of("squares", "mahalanobis"),
    "quantile_range": pair_of_numbers,
    "quantiles": either(several(real(0, 1), kind=LISTS), array("f", None, low=0, high=1)),
    "robust": flag,
    "sampler": optional(lambda value, owner: hasattr(value, "fit_resample")),
    "smoothing": optional(either(one_of("auto"), real(1, LONGEST))),  # none in the rules for alarms
    "spans": several(whole(1), kind=LISTS),
    "steps": named_estimators("passthrough", None),
    "view": one_of(*VIEWS),
    "views": several(one_of(*VIEWS), kind=LISTS),
    "whitened_lags": whole(0, LONGEST),
    "weights": optional(either(several(real(0), kind=LISTS), array("iuf", None, low=0))),
    "window_size": whole(1),
}


def check_parameters(estimator: Any) -> None:
    """Refuse parameters that the estimator's own constraints do not allow, or that are out of all bounds."""
    if type(estimator).__name__ not in FITTED:
        return
    validate_parameters(estimator)
    for name, value in estimator.get_params(deep=False).items():
        right = name not in LIMITS or holds(LIMITS[name], value, estimator)
        if not right or any(LARGEST_PARAMETER < abs(number) < math.inf for number in numbers_in(value)):
            raise ValueError(f"{type(estimator).__name__} may not have {name}={reprlib.repr(value)}")


def numbers_in(value: Any) -> Iterator[Any]:
    """Yield the numbers in a value, and in lists and dicts within it."""
    if is_real(value):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from numbers_in(item)
