"""Which sensors stand behind each event of a log."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable

from ..alarms.alarm_policy import N_NAMED_SENSORS, AlarmPolicy
from ..logs.events import list_events
from ..logs.shared import FloatArray
from ..metrics.matching import Events
from .scored_log import ScoredLog

DEFAULT_WINDOW = 32  # rows of history for baselines beside a model that has no `window_size`
# A deviation is told in quarters of the spread of quiet rows, so that it is one standard deviation of normal values.
QUARTILES, OF_NORMAL = (25, 75), 1.349


def score_rows(model: Any, X: Any) -> FloatArray:
    """Return a score for each row, high where abnormal.

    Raises
    ------
    ValueError
        If the classes of a classifier are not 0 and 1.
    TypeError
        If the model has no method that scores rows.
    """
    if hasattr(model, "predict_proba"):
        if list(getattr(model, "classes_", ())) != [0, 1]:
            raise ValueError(
                f"{type(model).__name__} knows the classes {list(getattr(model, 'classes_', ()))}, where 0 and 1 are "
                "wanted. Fit it on y == 'fault', say, or pass its scores: y_score=model.predict_proba(X)[:, k]."
            )
        return np.asarray(model.predict_proba(X), dtype=np.float64)[:, 1]
    last, X = _into_pipeline(model, X)
    if hasattr(last, "anomaly_score"):
        return np.asarray(last.anomaly_score(X), dtype=np.float64)
    if hasattr(last, "score_samples"):
        return -np.asarray(last.score_samples(X), dtype=np.float64)
    raise TypeError(
        f"{type(model).__name__} has neither predict_proba nor anomaly_score nor score_samples. Pass scores that rise "
        "with the danger: y_score=..."
    )


def threshold_of(model: Any) -> float | None:
    """Return the score that a row must be greater than to be flagged by the model, None where it does not say.

    A classifier flags the rows that reach its threshold: of these, it is the next smaller number.
    """
    for name in ("threshold", "best_threshold_"):
        if hasattr(model, "predict_proba") and isinstance(getattr(model, name, None), int | float):
            return float(np.nextafter(getattr(model, name), -np.inf))
    last = _last_step(model)
    if hasattr(last, "threshold_"):
        return float(last.threshold_)
    if hasattr(last, "offset_") and hasattr(last, "score_samples"):
        return float(-last.offset_)
    return None


def window_size_of(model: Any) -> int:
    """Return how many rows of history a model looks at, as far as it says so."""
    inner = _last_step(getattr(model, "estimator_", model))
    parts = [inner, *(part for _, part in getattr(inner, "estimators", None) or ())]
    sizes = [size for part in parts if isinstance(size := getattr(part, "window_size", None), int)]
    return max(sizes, default=DEFAULT_WINDOW)


def policy_of(model: Any) -> AlarmPolicy:
    """Return the default rules for alarms; none lasts over a gap that the model takes for a break."""
    inner = _last_step(getattr(model, "estimator_", model))
    longest = getattr(inner, "max_gap_", np.inf)
    if not np.isfinite(longest):
        return AlarmPolicy()
    return AlarmPolicy(max_gap=pd.Timedelta(int(longest), "ns") if inner.has_dates_ else longest)


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
    if not len(events) or not hasattr(_last_step(model), "attribution"):
        return None
    last, X = _into_pipeline(model, X)
    try:
        shares: pd.DataFrame = last.attribution(X, events)
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


def check_log(X: Any, y: Any) -> tuple[pd.DataFrame, pd.Series]:
    """Return a log and its labels as a table and a column of one index; without labels all rows are quiet."""
    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(np.asarray(X))
        X.columns = [f"x{k}" for k in range(X.shape[1])]
    if y is None:
        return X, pd.Series(0, index=X.index)
    indexable(X, y)
    if isinstance(y, pd.Series) and not y.index.equals(X.index):
        raise ValueError("y has another index than X. Align it: y = y.loc[X.index].")
    return X, pd.Series(np.asarray(y), index=X.index)


def _last_step(model: Any) -> Any:
    return model[-1] if isinstance(model, Pipeline) else model


def _into_pipeline(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the last step of a pipeline and what it is given."""
    if not isinstance(model, Pipeline):
        return model, X
    return model[-1], model[:-1].transform(X) if len(model) > 1 else X
