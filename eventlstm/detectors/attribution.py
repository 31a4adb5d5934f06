"""Which sensors a score is due to: shares ``(n_rows, n_sensors)`` that sum to one in each row."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..logs.events import find_rows

# The first part of an event, by which its sensors are judged: the published evaluation of attributions takes it, since
# a fault spreads (Garg et al., "An evaluation of anomaly detection and diagnosis in multivariate time series", 2021).
FIRST_PART = 1 / 3


def share_out(parts: np.ndarray) -> np.ndarray:
    """Return the share of each sensor in the score of each row; equal shares where the score is nothing.

    Parameters
    ----------
    parts : ndarray of shape (n_rows, n_sensors)
        What each sensor adds to the score; what it takes off counts as nothing.

    Returns
    -------
    ndarray of shape (n_rows, n_sensors)
        Shares.
    """
    positive = np.maximum(parts, 0.0)
    total = positive.sum(axis=1, keepdims=True)
    return np.divide(positive, total, out=np.full(parts.shape, 1.0 / parts.shape[1]), where=total > 0)


def share_of_events(shares: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Return the mean shares over the first third of each event.

    Parameters
    ----------
    shares : DataFrame of shape (n_rows, n_sensors)
        Shares by row, with the index of the log.
    events : DataFrame of shape (n_events, n_columns)
        Events of that log, with "run", "start" and "end".

    Returns
    -------
    DataFrame of shape (n_events, n_sensors)
        Shares, with the index of `events`; NaN for an event that has no row in the log.
    """
    first, stop = find_rows(events, shares.index)
    values, means = shares.to_numpy(), np.full((len(events), shares.shape[1]), np.nan)
    for k in np.flatnonzero(stop > first):
        n_rows = int(np.ceil((stop[k] - first[k]) * FIRST_PART))
        means[k] = values[first[k] : first[k] + n_rows].mean(axis=0)
    return pd.DataFrame(means, index=events.index, columns=shares.columns)
