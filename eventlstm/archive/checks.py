"""Checks of single values, to be put together in tables: what a parameter or a fitted attribute may be.

A check is called with a value and the estimator that holds it, so that shapes may be told by other attributes of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

Check = Callable[[Any, Any], Any]
# A size of an axis: a number, the name of an attribute that is a size or has a length, or None for any.
Size = int | str | None

# Numbers may be squared and multiplied with others without leaving float64.
LARGEST = 1e100
SMALLEST = 1 / LARGEST
# Weights of networks: products of three of them and some thousand units stay within float32.
LARGEST_WEIGHT = 1e9
# Counts of anything, well inside int64.
MOST = 2**53
INTEGERS, FLOATS, NUMBERS = "iu", "f", "iuf"
# Rows of a window, or of a moving mean: scoring takes steps of this number for each run, also of a run of one row.
LONGEST = 100_000


def whole(low: float = 0, high: float = MOST) -> Check:
    """Check for a whole number from `low` to `high`."""
    return lambda value, owner: is_whole(value) and low <= value <= high


def real(low: float = -LARGEST, high: float = LARGEST, *, infinite: bool = False) -> Check:
    """Check for a number from `low` to `high`, or with `infinite` infinity."""
    return lambda value, owner: is_real(value) and (low <= value <= high or (infinite and math.isinf(value)))


def flag(value: Any, owner: Any) -> bool:
    """Check for True or False."""
    return isinstance(value, bool | np.bool_)


def text(value: Any, owner: Any) -> bool:
    """Check for a string."""
    return isinstance(value, str)


def dtype(value: Any, owner: Any) -> bool:
    """Check for a numeric type of NumPy."""
    return isinstance(value, np.dtype) and value.kind in "biuf"


def anything(value: Any, owner: Any) -> bool:
    """Let everything pass: what nothing is computed with."""
    return True


def one_of(*known: Any) -> Check:
    """Check for one of some strings or None."""
    return lambda value, owner: (value is None or isinstance(value, str)) and value in known


def either(*checks: Check) -> Check:
    """Check that one of several checks passes."""
    return lambda value, owner: any(check(value, owner) for check in checks)


def optional(check: Check) -> Check:
    """Check for None, or what another check lets pass."""
    return lambda value, owner: value is None or check(value, owner)


def several(check: Check, n: Size = None, *, least: int = 0, kind: Any = list) -> Check:
    """Check for a list, as long as `n` says, each of whose items passes."""

    def passes(value: Any, owner: Any) -> bool:
        right = isinstance(value, kind) and len(value) >= least and (n is None or len(value) == size_of(n, owner))
        return right and all(check(item, owner) for item in value)

    return passes


def mapping(keys: Check, values: Check) -> Check:
    """Check for a dict each of whose keys and values passes."""
    return lambda value, owner: (
        isinstance(value, dict) and all(keys(k, owner) and values(v, owner) for k, v in value.items())
    )


def record(**fields: Check) -> Check:
    """Check for a dict of these fields and no others."""
    return lambda value, owner: (
        isinstance(value, dict)
        and value.keys() == fields.keys()
        and all(check(value[name], owner) for name, check in fields.items())
    )


def array(
    kinds: str,
    *shape: Size,
    low: float = -LARGEST,
    high: float = LARGEST,
    missing: bool = False,
) -> Check:
    """Check for an array of a kind of numbers and a shape, all of them from `low` to `high`, or NaN with `missing`."""

    def passes(value: Any, owner: Any) -> bool:
        if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds or value.ndim != len(shape):
            return False
        fits = all(size is None or size_of(size, owner) == n for size, n in zip(shape, value.shape, strict=True))
        numbers = value.astype(np.float64, copy=False)  # float32 does not hold the limits
        inside = (numbers >= low) & (numbers <= high)
        return fits and bool((inside | np.isnan(numbers) if missing else inside).all())

    return passes


def size_of(size: Size, owner: Any) -> Any:
    """Return the number that a size stands for."""
    if not isinstance(size, str):
        return size
    found = getattr(owner, size)
    return len(found) if hasattr(found, "__len__") else found


def labels(value: Any, owner: Any) -> bool:
    """Check for the classes of a classifier: one or more, rising, as NumPy's unique gives them."""
    right = isinstance(value, np.ndarray) and value.ndim == 1 and len(value) > 0
    if not right or (value.dtype.kind == "O" and not all(isinstance(label, str) for label in value)):
        return False
    return value.dtype.kind in "biufUO" and rising(value.tolist())


def names(value: Any, owner: Any) -> bool:
    """Check for the names of the columns that an estimator was fitted on."""
    right = isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.shape == (owner.n_features_in_,)
    return right and all(isinstance(name, str) for name in value)


def index_names(value: Any, owner: Any) -> bool:
    """Check for the names of index levels, or None where the index said nothing."""
    return value is None or (isinstance(value, list) and len(value) > 0)


def fingerprint(value: Any, owner: Any) -> bool:
    """Check for the sample of a log that a detector was fitted on."""
    times = array(NUMBERS, None)
    fields = record(
        hashes=array("u", None, low=0, high=float(2**64)),
        is_sample=flag,
        run=several(text),
        first=times,
        last=times,
        n_rows=array(INTEGERS, None, low=1),
    )
    if not fields(value, owner) or not rising(value["hashes"].tolist()):
        return False
    return len({len(value[name]) for name in ("run", "first", "last", "n_rows")}) == 1 and len(value["hashes"]) > 0


def time_span(value: Any, owner: Any) -> bool:
    """Check for a length of time: a number, a string that pandas reads, or None."""
    if isinstance(value, str):
        return value == "auto" or not pd.isna(pd.Timedelta(value))
    return value is None or isinstance(value, pd.Timedelta) or (is_real(value) and value >= 0)


def rising(values: Iterable[Any]) -> bool:
    """Return whether each value is above the one before."""
    return all(low < high for low, high in pairwise(values))


def queue(check: Check) -> Check:
    """Check for the latest items, each of which passes."""
    return lambda value, owner: isinstance(value, deque) and all(check(item, owner) for item in value)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number and no bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Return whether a value is a number and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def holds(check: Check, value: Any, owner: Any) -> bool:
    """Return whether a check passes; a value that it cannot even look at does not."""
    try:
        return bool(check(value, owner))
    except Exception:
        return False
