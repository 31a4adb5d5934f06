"""What displays share: axes to draw on, bands of many lines, the scores of a model, and refusals of odd shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..alarms.model_scores import score_rows, threshold_of
from ..metrics.measured_rows import read_scores

# The units of a layer lie between these quantiles in the bands of a plot.
BAND = (0.1, 0.9)


def refuse_other_shape(name: str, values: np.ndarray, wanted: str) -> None:
    """Refuse an array without values, or of other axes than the wanted shape names."""
    if not values.size or values.ndim != len(wanted.strip("(),").split(",")):
        raise ValueError(f"{name} is of shape {values.shape}, but is drawn by {wanted}. Pass an array of such a shape.")


def refuse_other_length(name: str, values: Any, wanted: int, of_what: str) -> None:
    """Refuse what is not as long as the numbers that it is drawn with."""
    found = None if values is None else np.shape(values)[:1]
    if found not in (None, (wanted,)):
        raise ValueError(f"{name} has the length {found} for {wanted} {of_what}. Pass one value for each.")


def axes_for(ax: Any) -> tuple[Any, Any]:
    """Return axes to draw on, those of a new figure where none are given, and their figure."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    return ax, ax.figure


def date_axis(ax: Any) -> None:
    """Name dates along the axis in short."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def draw_band(ax: Any, steps: Any, values: np.ndarray, name: str, color: str | None) -> None:
    """Draw the mean of `values` (n_steps, n_items) and the band in which most items are."""
    (line,) = ax.plot(steps, values.mean(axis=1), label=name or None, color=color)
    if values.shape[1] > 1:
        low, high = np.quantile(values, BAND, axis=1)
        ax.fill_between(steps, low, high, alpha=0.2, color=line.get_color(), linewidth=0)


def scores_of(estimator: Any, X: Any) -> Any:
    """Return the scores of the rows of `X`, high where an event is near, with the index of `X` where it has one."""
    return on_rows(score_rows(estimator, X), X)


def on_rows(values: Any, X: Any) -> Any:
    """Return values of rows with the index of `X`, unless they have one or it has none."""
    index = getattr(X, "index", None)
    if not isinstance(index, pd.Index) or isinstance(getattr(values, "index", None), pd.Index):
        return values
    return pd.Series(np.asarray(values), index=index)


def flag_rows(y_true: Any, y_score: Any, threshold: Any, policy: Any) -> np.ndarray | None:
    """Return 1 on rows under alarm, by a threshold or a policy that has one; None without a threshold."""
    if threshold is None and getattr(policy, "threshold", None) is None:
        return None
    scores = read_scores(y_score, y_true)
    if policy is None:
        return (scores > np.asarray(threshold)).astype(np.int64)
    if np.ndim(threshold):
        raise ValueError("A policy takes one threshold for all rows. Pass a number, or leave out the policy.")
    own = clone(policy) if threshold is None else clone(policy).set_params(threshold=float(threshold))
    return np.asarray(own.flag(on_rows(on_rows(scores, y_true), y_score)))


def own_threshold(estimator: Any, options: dict[str, Any]) -> Any:
    """Return the threshold that a model has, unless the options name a policy with one of its own."""
    decided = getattr(options.get("policy"), "threshold", None) is not None
    return None if decided else threshold_of(estimator)
