"""Precision and recall of ranges: how much of each event is flagged, and how much of each alarm is of events.

Ranges are runs of rows, told by their first and last row; lengths are counted in rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..logs.events import find_events
from ..logs.shared import BoolArray, IntArray
from .measured_rows import read_flags, read_rows

BIASES = ("flat", "front", "middle", "back")
CARDINALITIES = ("reciprocal", "one")


def range_recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    alpha: float = 0.0,
    bias: str = "flat",
    cardinality: str = "reciprocal",
    max_gap: Any = None,
) -> float:
    """Share of each event that is flagged, as a mean over events.

    Its four options are free, and values of different ones do not compare: state them.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run.
    y_pred : Series or array-like of shape (n_rows,)
        1 on flagged rows, else 0.
    alpha : float, default=0.0
        What an event counts for being found at all, from 0 to 1; the rest is for how much of it is flagged.
    bias : {"flat", "front", "middle", "back"}, default="flat"
        Where in the event rows weigh most. With "front" the first of n rows weighs n times the last.
    cardinality : {"reciprocal", "one"}, default="reciprocal"
        Whether the share of an event found in x pieces is divided by x.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an event.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or an option is unknown.

    See Also
    --------
    range_precision_score : Of the alarms.
    event_recall_score : Counts events as wholes.

    References
    ----------
    Tatbul et al., "Precision and recall for time series", NeurIPS, 2018.

    Examples
    --------
    >>> from eventlstm.metrics import range_recall_score
    >>> y, flagged = [0, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]
    >>> range_recall_score(y, flagged), range_recall_score(y, flagged, bias="front")
    (0.25, 0.4)
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha!r} is no share. Pass a number from 0 to 1.")
    measured, flags = read_rows(y_true, max_gap), read_flags(y_pred, y_true)
    shares = _covered(measured.events, flags, measured.starts, bias, cardinality)
    return float(np.mean(alpha * (shares > 0) + (1 - alpha) * shares)) if len(shares) else np.nan


def range_precision_score(
    y_true: Any, y_pred: Any, *, bias: str = "flat", cardinality: str = "reciprocal", max_gap: Any = None
) -> float:
    """Share of each alarm that is of events, as a mean over alarms.

    A false alarm of one row weighs as much as one of a thousand.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run.
    y_pred : Series or array-like of shape (n_rows,)
        1 on flagged rows, else 0.
    bias : {"flat", "front", "middle", "back"}, default="flat"
        Where in the alarm rows weigh most.
    cardinality : {"reciprocal", "one"}, default="reciprocal"
        Whether the share of an alarm that meets x events is divided by x.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an alarm.

    Raises
    ------
    ValueError
        If labels or predictions are not 0 and 1 or of other rows, or an option is unknown.

    See Also
    --------
    range_recall_score : Of the events.
    event_precision_score : Counts alarms as wholes.

    References
    ----------
    Tatbul et al., "Precision and recall for time series", NeurIPS, 2018.

    Examples
    --------
    >>> from eventlstm.metrics import range_precision_score
    >>> range_precision_score([0, 1, 1, 1, 1, 0], [1, 1, 0, 0, 1, 0])
    0.75
    """
    measured, flags = read_rows(y_true, max_gap), read_flags(y_pred, y_true)
    shares = _covered(flags, measured.events, measured.starts, bias, cardinality)
    return float(np.mean(shares)) if len(shares) else np.nan


def _covered(of: BoolArray, by: BoolArray, starts: IntArray, bias: str, cardinality: str) -> npt.NDArray[np.float64]:
    """Return the share of each range of `of` that lies in `by`, in the sense of the options."""
    if bias not in BIASES:
        raise ValueError(f"bias={bias!r} is unknown. Choose one of {list(BIASES)}.")
    if cardinality not in CARDINALITIES:
        raise ValueError(f"cardinality={cardinality!r} is unknown. Choose one of {list(CARDINALITIES)}.")
    first, last = find_events(of, starts)
    weights = [_weights(b - a + 1, bias) for a, b in zip(first, last, strict=True)]
    pairs = zip(first, last, weights, strict=True)
    shares = np.array([w[by[a : b + 1]].sum() / w.sum() for a, b, w in pairs])
    if cardinality == "one":
        return shares
    begins = np.cumsum(np.bincount(find_events(of & by, starts)[0], minlength=len(of)))
    pieces = begins[last] - np.append(0, begins)[first]
    return shares / np.maximum(pieces, 1)


def _weights(length: int, bias: str) -> npt.NDArray[np.float64]:
    """Return the weight of each row of a range."""
    rising = np.arange(1.0, length + 1)
    if bias == "middle":
        return np.minimum(rising, rising[::-1])
    return {"flat": np.ones(length), "front": rising[::-1], "back": rising}[bias]
