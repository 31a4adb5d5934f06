"""Which sensors stand behind each event of a log."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.alarm_policy import N_NAMED_SENSORS
from ..alarms.model_scores import before_last, last_step
from ..logs.events import list_events
from ..logs.shared import FloatArray, IntArray
from .scored_log import ScoredLog

# A deviation is told in quarters of the spread of quiet rows, so that it is one standard deviation of normal values.
QUARTILES, OF_NORMAL = (25, 75), 1.349
DUE = "Sensors the score is due to"
RAISED = "Sensors that raised the score"
FARTHEST = "Sensors farthest from their usual values"


Attribute = Callable[[Any, pd.DataFrame, pd.DataFrame, pd.DataFrame], tuple[pd.DataFrame | None, str]]


def describe_events(
    model: Any, log: ScoredLog, begin: IntArray, end: IntArray, attribute_by: Attribute | None = None
) -> dict[str, Any]:
    """Return the events with the sensors that stand out in each, and where these names come from.

    A classifier is asked of the rows `begin` to `end` of each, (n_events,), alone: what raised their score. In place of
    `attribute`, `attribute_by` may say so.
    """
    first, last = log.events.measured.true_events
    table = list_events(log.y.index, first, last, log.scores)
    shares, source = (attribute_by or attribute)(model, log.X, table, list_events(log.y.index, begin, end))
    if shares is None:
        shares = pd.DataFrame(deviations(log), columns=log.X.columns)
    events = [
        {
            "run": run_label(log.y.index, first[k]),
            "start": str(table["start"][k]),
            "end": str(table["end"][k]),
            "peak_score": float(table["peak_score"][k]),
            "sensors": name_highest(shares.iloc[k], source),
        }
        for k in range(len(table))
    ]
    return {"events": events, "sensors_from": source}


def name_highest(shares: pd.Series, source: str) -> list[str]:
    """Return the names of the sensors that stand out, the highest share first; none where several are alike.

    Of those that raised a score, only such as did so by more than an equal share: most do by next to nothing.
    """
    if len(shares) > 1 and not shares.max() > shares.min():
        return []
    least = 1 / len(shares) if source == RAISED and len(shares) > 1 else 0.0
    highest = shares.sort_values(ascending=False, kind="stable")[:N_NAMED_SENSORS]
    return [str(name) for name, share in highest.items() if share > least]


def run_label(index: pd.Index, row: int | np.integer[Any]) -> str:
    """Return how the run of a row is called."""
    if index.nlevels == 1:
        return "the log"
    return " / ".join(str(part) for part in index[row][:-1])


def attribute(
    model: Any, X: pd.DataFrame, events: pd.DataFrame, openings: pd.DataFrame
) -> tuple[pd.DataFrame | None, str]:
    """Return the share of each sensor in each event, None where the model does not offer it, and what shares are of."""
    inner = last_step(model)
    if not len(events) or not hasattr(inner, "attribution"):
        return None, FARTHEST
    asked, source = (openings, RAISED) if hasattr(inner, "occluded_proba") else (events, DUE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what there is to say was said when these rows were scored
            return inner.attribution(before_last(model, X), asked), source
    except ValueError:  # an estimator that scores rows as a whole, or one of before
        return None, FARTHEST


def deviations(log: ScoredLog) -> FloatArray:
    """Return how far each sensor is in each event from its median on the quiet rows of the run, in their deviations.

    For models that do not say themselves which sensors their scores are due to.
    """
    values = log.X.to_numpy(dtype=np.float64)
    first, last = log.events.measured.true_events
    runs, quiet = log.rows.runs, log.usual_quiet
    far = np.zeros((len(first), values.shape[1]))
    for run in np.unique(runs[first]):
        own = np.flatnonzero(runs == run)
        usual = values[own[quiet[own]]] if quiet[own].any() else values[own]
        middle, scale = _usual(usual)
        for event in np.flatnonzero(runs[first] == run):
            with warnings.catch_warnings():  # a sensor that is missing throughout
                warnings.simplefilter("ignore", RuntimeWarning)
                far[event] = np.nanmean(np.abs(values[first[event] : last[event] + 1] - middle) / scale, axis=0)
    return np.nan_to_num(far)


def _usual(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the median of each sensor, and its deviation: by quartiles, so that outliers do not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, middle, high = np.nanpercentile(values, (QUARTILES[0], 50, QUARTILES[1]), axis=0)
        scale, spread = (high - low) / OF_NORMAL, np.nanstd(values, axis=0)
    scale = np.where(scale > 0, scale, spread)
    return middle, np.where(scale > 0, scale, 1.0)
