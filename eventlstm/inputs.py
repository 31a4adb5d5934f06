"""What the networks see of a log: each sensor's level, and how it moves against its own recent past.

Rows are ``(n_rows, n_sensors)``; the channels made of them are ``(n_rows, n_channels)``. Everything is causal and
stays within a stretch, so that the channels of a row never depend on rows after it or on another machine.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.signal import lfilter
from sklearn.base import BaseEstimator

__all__ = ["InputScaler"]

# The share of rows left outside on either side when the spread of a channel is measured.
TAIL = 0.1
# The 10-90 % range of a normal distribution of deviation one: by it, a range becomes a robust deviation.
NORMAL_RANGE = 2.563
# A spread below this share of the sensor's level is rounding: a moving mean of 300 rows is off by up to 150 of them.
STILL = 1e-12


class InputScaler(BaseEstimator):
    """Turn the sensors of a log into channels of like size that a recurrent network learns well from.

    Parameters
    ----------
    view : {"level", "relative"}, default="relative"
        "level" is the robust z-score of each sensor, clipped. "relative" is the level, less sharply limited, beside the
        first difference and the distance to moving averages of several spans.
    clip : float, default=3.0
        Largest absolute z-score of the level view.
    spans : tuple of int, default=(10, 60, 300)
        Spans in rows of the exponentially weighted means that the relative view subtracts.

    Attributes
    ----------
    center_ : ndarray of shape (n_channels,)
        What is subtracted from each channel.
    scale_ : ndarray of shape (n_channels,)
        What each channel is divided by.

    Notes
    -----
    Centre and scale are the median and the 10-90 % range, so that the extremes that events are made of do not squeeze
    everything else. The relative view carried over best to logs with shifts of season and level, the level view to
    machines with other noise; members that see different views are therefore averaged.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.inputs import InputScaler
    >>> X = np.array([[20.0], [21.0], [22.0], [23.0], [99.0]])
    >>> InputScaler("level", clip=1.0).fit(X, starts=[0]).transform(X, starts=[0]).round(2).ravel()
    array([-0.06, -0.03,  0.  ,  0.03,  1.  ])
    >>> InputScaler("relative").fit(X, starts=[0]).transform(X, starts=[0]).shape
    (5, 5)
    """

    def __init__(self, view: str = "relative", *, clip: float = 3.0, spans: tuple[int, ...] = (10, 60, 300)) -> None:
        self.view = view
        self.clip = clip
        self.spans = spans

    def fit(self, X: np.ndarray, *, starts: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Learn the centre and the scale of each channel.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_sensors)
            The log.
        starts : array-like of shape (n_stretches,)
            First row of each stretch.
        sample_weight : ndarray of shape (n_rows,), optional
            Weight of each row in the statistics.

        Returns
        -------
        InputScaler
            The fitted scaler.
        """
        if self.view not in ("level", "relative"):
            raise ValueError(f"view={self.view!r} is unknown. Choose 'level' or 'relative'.")
        if not all(isinstance(span, int | np.integer) and span >= 1 for span in self.spans):
            raise ValueError(f"spans={self.spans!r} must be numbers of rows, 1 or more.")
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        self.center_, self.scale_ = _center_and_scale(self._channels(X, starts), weight, X.shape[1])
        self.center_[X.shape[1] :] = 0.0  # zero already means "no movement" in the channels after the level
        if self.view == "level":
            self.scale_ = self.scale_ / NORMAL_RANGE
        return self

    def transform(self, X: np.ndarray, *, starts: Any) -> np.ndarray:
        """Return the channels of a log.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_sensors)
            The log.
        starts : array-like of shape (n_stretches,)
            First row of each stretch.

        Returns
        -------
        ndarray of shape (n_rows, n_channels)
            The channels, `n_sensors` of them in the level view and ``n_sensors * (2 + len(spans))`` in the other.
        """
        channels = (self._channels(X, starts) - self.center_) / self.scale_
        return np.clip(channels, -self.clip, self.clip) if self.view == "level" else np.arcsinh(channels)

    def _channels(self, X: np.ndarray, starts: Any) -> np.ndarray:
        if self.view == "level":
            return X
        moves = [_difference(X, starts), *(X - moving_mean(X, starts, span) for span in self.spans)]
        return np.concatenate([X, *moves], axis=1)  # (n_rows, n_sensors * (2 + n_spans))


def _difference(X: np.ndarray, starts: Any) -> np.ndarray:
    """Return the first difference, zero on the first row of each stretch."""
    difference = np.diff(X, axis=0, prepend=X[:1])
    difference[starts] = 0.0
    return difference


def moving_mean(X: np.ndarray, starts: Any, span: int) -> np.ndarray:
    """Return the exponentially weighted mean of `span` rows, begun anew at each stretch with its first row."""
    alpha = 2.0 / (span + 1.0)
    mean = np.empty(X.shape, dtype=np.result_type(X, np.float32))
    for start, stop in zip(starts, [*starts[1:], len(X)], strict=True):
        stretch = X[start:stop]
        mean[start:stop], _ = lfilter([alpha], [1.0, alpha - 1.0], stretch, axis=0, zi=(1.0 - alpha) * stretch[:1])
    return mean


def _center_and_scale(X: np.ndarray, weight: np.ndarray, n_sensors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the median and the 10-90 % range; where most rows are equal, the range of a normal of that deviation.

    The first `n_sensors` channels are the levels. What moves less than the rounding of its level has not moved.
    """
    statistics = [_column_statistics(column, weight) for column in X.T]  # a column at a time, to spare memory
    low, median, high, deviation = np.array(statistics).T
    level = np.maximum(np.abs(low), np.abs(high))[:n_sensors]
    rounding = STILL * np.tile(level, X.shape[1] // n_sensors)
    spread = np.where(high - low > rounding, high - low, NORMAL_RANGE * deviation)
    return median, np.where(spread > rounding, spread, 1.0)  # a sensor that stood still keeps its unit


def _column_statistics(column: np.ndarray, weight: np.ndarray) -> tuple[float, float, float, float]:
    """Return the low tail, the median, the high tail and the deviation of the rows with weight."""
    column, weight = column[weight > 0], weight[weight > 0]
    low, median, high = np.quantile(column, [TAIL, 0.5, 1 - TAIL], weights=weight, method="inverted_cdf")
    offset = column - median  # exactly zero for a sensor that stood still, whatever the rounding of a mean
    mean = np.average(offset, weights=weight)
    return low, median, high, np.sqrt(np.average((offset - mean) ** 2, weights=weight))
