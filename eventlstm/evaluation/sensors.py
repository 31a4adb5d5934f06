"""Which sensors stand behind each event of a log."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.alarm_policy import N_NAMED_SENSORS
from ..alarms.model_scores import before_last, last_step
from ..logs.events import list_events
from ..logs.shared import FloatArray
from ..metrics.matching import Events
from .scored_log import ScoredLog

# A deviation is told in quarters of the spread of quiet rows, so that it is one standard deviation of normal values.
QUARTILES, OF_NORMAL = (25, 75), 1.349


def describe_events(model: Any, log: ScoredLog) -> dict[str, Any]:
    """Return the events with the sensors that stand out in each, and where these names come from."""
    first, last = log.events.measured.true_events
    table = list_events(log.y.index, first, last, log.scores)
    shares, source = attribute(model, log.X, table), "Sensors the score is due to"
    if shares is None:
        shares = pd.DataFrame(deviations(log.X, log.events), columns=log.X.columns)
        source = "Sensors farthest from their usual values"
    order = np.argsort(-shares.to_numpy(), axis=1)[:, :N_NAMED_SENSORS]
    events = [
        {
            "run": run_label(log.y.index, first[k]),
            "start": str(table["start"][k]),
            "end": str(table["end"][k]),
            "peak_score": float(table["peak_score"][k]),
            "sensors": [str(shares.columns[sensor]) for sensor in order[k]],
        }
        for k in range(len(table))
    ]
    return {"events": events, "sensors_from": source}


def run_label(index: pd.Index, row: int | np.integer[Any]) -> str:
    """Return how the run of a row is called."""
    if index.nlevels == 1:
        return "the log"
    return " / ".join(str(part) for part in index[row][:-1])


def attribute(model: Any, X: Any, events: pd.DataFrame) -> pd.DataFrame | None:
    """Return the share of each sensor in each event, None where the model does not offer it."""
    if not len(events) or not hasattr(last_step(model), "attribution"):
        return None
    try:
        shares: pd.DataFrame = last_step(model).attribution(before_last(model, X), events)
    except ValueError:  # an estimator that scores rows as a whole
        return None
    return shares


def deviations(X: pd.DataFrame, events: Events) -> FloatArray:
    """Return how far each sensor is in each event from its median on the quiet rows of the run, in their deviations.

    For models that do not say themselves which sensors their scores are due to.
    """
    values = X.to_numpy(dtype=np.float64)
    first, last = events.measured.true_events
    runs, quiet = events.measured.rows.runs, ~events.measured.events
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
