"""What of a window's steps the output is made from: parameters of classifiers and forecasters, not of autoencoders."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from .._validation import Interval, StrOptions

# Poolings that weigh the steps of a window.
ATTENTION = ("additive", "luong", "multihead")

POOLING_CONSTRAINTS: dict[str, list[Any]] = {
    "pooling": [StrOptions({"last", "mean", "max", *ATTENTION})],
    "num_heads": [Interval(Integral, 1, None, closed="left")],
    "attention_entropy": [Interval(Real, 0, None, closed="left")],
}


def pooling_arguments(estimator: Any) -> dict[str, Any]:
    """Return the arguments of the network's pooling, refusing a penalty on attention where there is none."""
    if estimator.attention_entropy and estimator.pooling not in ATTENTION:
        raise ValueError(
            f"attention_entropy={estimator.attention_entropy!r} needs attention, but pooling={estimator.pooling!r} has "
            "none. Set pooling to 'additive', 'luong' or 'multihead', or attention_entropy=0."
        )
    return {"pooling": estimator.pooling, "num_heads": estimator.num_heads}
