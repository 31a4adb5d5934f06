"""Which sensors raise the score of a classifier of logs: by how much it falls when one of them shows nothing unusual.

Probabilities are ``(n_rows, 1 + n_sensors, n_classes)``: with all sensors, then with each in turn at its usual value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..logs.events import find_rows, row_labels
from ..logs.rows import Rows
from ..recurrent.members import SUREST
from .attribution import share_out


class OcclusionMixin:
    """`attribution` of fitted classifiers of logs that offer `occluded_proba`."""

    quiet_class_: int
    occluded_proba: Callable[..., np.ndarray]

    def attribution(self, X: Any, events: Any = None) -> pd.DataFrame:
        """Return the share of each sensor in what raises the probability of the event at each row, or in each event.

        A sensor counts with the fall of the log-odds of the event (of any class but the most frequent) when its recent
        rows are replaced by what is usual for it, see `occluded_proba`; a sensor without which they would be higher
        counts nothing.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.
        events : DataFrame, optional
            Events of this log, as `to_events` or `AlarmPolicy.to_events` tell them: the shares are then those of the
            mean fall over the rows of each, and other rows are not asked.

        Returns
        -------
        DataFrame of shape (n_rows, n_sensors) or (n_events, n_sensors)
            Shares that sum to one in each row, equal ones where no sensor raises the score; NaN for an event that has
            no row in the log.

        Raises
        ------
        ValueError
            If the model was saved by a version that did not learn what is usual.

        Notes
        -----
        A network passes over ``2 * n_sensors + 3`` rows for each that is asked in mode "stateful", over
        ``n_sensors + 1`` windows in mode "windows". On one core, 1,000 rows of 8 runs took 0.14 s with 8 sensors and
        0.41 s with 20 (default networks; of one long run 0.34 and 0.62 s), the default `EventBlend` 0.3 and 1.1 s,
        windows 0.8 and 3.1 s: 10 to 40 times as long as `predict_proba`. Few rows cost little: ten events of ten rows
        in a run of 10,000 took 0.1 to 0.4 s, in 8 runs side by side 0.5 to 1.5 s. Beyond the result, scoring takes more
        memory.

        An event is judged by all of its rows, in which those with a high score count most. In quiet logs of servers
        (ASD, one seed) the sensor that was planted was the first in 30 of 30 events, by the default `EventClassifier`
        and `EventBlend` alike. By the first third of the rows, which `AnomalyDetector` takes, it was in 28 and 30: the
        score may not have risen yet.

        Sensors are hidden one at a time. A copy of a sensor, in whatever unit, still shows what happened when the other
        is hidden, where members see sensors by themselves: copies then share what one of them would have, unequally.
        The whitened view takes the first of them and names that; a sensor that stood still in `fit` adds nothing to it.

        References
        ----------
        Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014 (occlusion).
        """
        index, names = row_labels(X), getattr(self, "feature_names_in_", None)
        n_sensors = np.shape(X)[1]
        columns = [f"x{k}" for k in range(n_sensors)] if names is None else names
        if events is None:
            falls = falls_of(self.occluded_proba(X), self.quiet_class_)
            return pd.DataFrame(share_out(falls), index=index, columns=columns)
        first, stop = find_rows(events, index)
        rows = rows_within(first, stop)
        falls = falls_of(self.occluded_proba(X, rows), self.quiet_class_)
        shares = np.full((len(events), n_sensors), np.nan)
        for k in np.flatnonzero(stop > first):
            own = slice(*np.searchsorted(rows, (first[k], stop[k])))
            shares[k] = share_out(falls[own].mean(axis=0, keepdims=True))[0]
        return pd.DataFrame(shares, index=events.index, columns=columns)


def learn_usual(log: Rows, codes: tuple[int, ...] = ()) -> tuple[int, np.ndarray]:
    """Return the most frequent class, and what is usual for each sensor on its rows: the median, or the commonest code.

    Returns
    -------
    quiet_class : int
        Its place among the classes.
    usual : ndarray of shape (n_sensors,)
        Values that have been seen.
    """
    used = np.ones(len(log.labels), dtype=bool) if log.weight is None else log.weight > 0
    _, numbers = np.unique(log.labels, return_inverse=True)
    quiet_class = int(np.bincount(numbers[used]).argmax())
    quiet = used & (numbers == quiet_class)
    columns = (column[quiet] for column in log.values.T)  # one at a time, to spare memory
    return quiet_class, np.array([_commonest(c) if k in codes else _median(c) for k, c in enumerate(columns)])


def falls_of(proba: np.ndarray, quiet_class: int) -> np.ndarray:
    """Return by how much the log-odds of the event fall without each sensor, (n_rows, n_sensors); not below zero."""
    quiet = proba[..., quiet_class]
    event = np.delete(proba, quiet_class, axis=-1).sum(axis=-1)
    odds = np.log(np.maximum(event, SUREST)) - np.log(np.maximum(quiet, SUREST))
    return np.maximum(odds[:, :1] - odds[:, 1:], 0.0)


def rows_within(first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return the rows from each first one up to each stop, rising, each once."""
    spans = [np.arange(begin, end) for begin, end in zip(first, stop, strict=True)]
    return np.unique(np.concatenate([np.empty(0, dtype=np.intp), *spans]))


def check_rows(rows: Any, n_rows: int) -> np.ndarray:
    """Return the rows that are asked, all of a log where none are named, refusing those that it does not have."""
    if rows is None:
        return np.arange(n_rows)
    asked = np.asarray(rows)
    if asked.size == 0:
        return np.empty(0, dtype=np.intp)
    if (
        asked.ndim != 1
        or asked.dtype.kind not in "iu"
        or asked[0] < 0
        or asked[-1] >= n_rows
        or (np.diff(asked) <= 0).any()
    ):
        raise ValueError(f"rows={rows!r} must be numbers of the {n_rows} rows of the log, rising: np.flatnonzero(y).")
    return asked


def refuse_unknown_usual(model: Any) -> None:
    """Refuse a model of before, which does not know what is usual for a sensor."""
    if not hasattr(model, "usual_"):
        raise ValueError(
            f"This {type(model).__name__} was saved by a version that did not learn what is usual for a sensor, which "
            "attribution needs. Fit it anew."
        )


def _median(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def _commonest(values: np.ndarray) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])
