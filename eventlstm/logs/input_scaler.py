"""What the networks see of a log: each sensor's level, and how it moves against its own recent past.

Rows are ``(n_rows, n_sensors)``; the channels made of them are ``(n_rows, n_channels)``. Everything is causal and
stays within a stretch, so that the channels of a row never depend on rows after it or on another machine.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from scipy.signal import lfilter
from sklearn.base import BaseEstimator

from .lanes import walk

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
    robust : bool, default=True
        Whether centre and scale are the median and the 10-90 % range, or the mean and the deviation.
    categorical : tuple of int, default=()
        Sensors that hold codes instead of measurements. They are handed on as they are, after the scaled channels.

    Attributes
    ----------
    center_ : ndarray of shape (n_scaled,)
        What is subtracted from each channel but the codes.
    scale_ : ndarray of shape (n_scaled,)
        What each channel but the codes is divided by.

    Notes
    -----
    Centre and scale are the median and the 10-90 % range, so that the extremes that events are made of do not squeeze
    everything else. On rows known to be quiet the mean and the deviation are the better measure: a sensor that bursts
    now and then has a range that says nothing of its bursts.

    The relative view carried over best to logs with shifts of season and level, the level view to machines with other
    noise; members that see different views are therefore averaged.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.logs.input_scaler import InputScaler
    >>> X = np.array([[20.0], [21.0], [22.0], [23.0], [99.0]])
    >>> InputScaler("level", clip=1.0).fit(X, starts=[0]).transform(X, starts=[0]).round(2).ravel()
    array([-0.06, -0.03,  0.  ,  0.03,  1.  ])
    >>> InputScaler("relative").fit(X, starts=[0]).transform(X, starts=[0]).shape
    (5, 5)
    """

    def __init__(
        self,
        view: str = "relative",
        *,
        clip: float = 3.0,
        spans: tuple[int, ...] = (10, 60, 300),
        robust: bool = True,
        categorical: tuple[int, ...] = (),
    ) -> None:
        self.view = view
        self.clip = clip
        self.spans = spans
        self.robust = robust
        self.categorical = categorical

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
        measured = self._measured(X)
        n_sensors = measured.shape[1]
        channels = measured
        if self.view == "relative":
            channels = walk(self._move, measured, starts, np.empty((len(X), n_sensors * (2 + len(self.spans)))))
        self.center_, self.scale_ = _center_and_scale(channels, weight, n_sensors, self.robust)
        self.center_[n_sensors:] = 0.0  # zero already means "no movement" in the channels after the level
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
            The channels: of `n_measured` sensors that hold no codes, `n_measured` in the level view and
            ``n_measured * (2 + len(spans))`` in the other; then the codes, as they are.
        """
        return walk(self.transform_steps, X, starts, np.empty((len(X), len(self.center_) + len(self.categorical))))

    def transform_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the channels of some rows of several stretches side by side, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_lanes, n_rows, n_sensors)
            Rows of the stretches.
        state : object, optional
            What the last call returned for the rows before; by default, stretches begin here.

        Returns
        -------
        channels : ndarray of shape (n_lanes, n_rows, n_channels)
            The channels, as `transform` makes them of the whole stretches.
        state : object
            The last row and the moving averages of each lane.
        """
        moved, state = self._move(self._measured(X), state)
        scaled = moved - self.center_
        scaled /= self.scale_  # in place, as a block of many sensors is large
        if self.view == "level":
            np.clip(scaled, -self.clip, self.clip, out=scaled)
        else:
            np.arcsinh(scaled, out=scaled)
        return (np.concatenate([scaled, X[..., self.categorical]], axis=-1) if self.categorical else scaled), state

    @property
    def code_channels(self) -> list[int]:
        """The channels that hold the codes of `categorical`."""
        return [len(self.center_) + k for k in range(len(self.categorical))]

    def channels_of(self, sensor: int) -> list[int]:
        """Return the channels that are made of a sensor, and of no other."""
        if sensor in self.categorical:
            return [self.code_channels[self.categorical.index(sensor)]]
        per_sensor = 1 if self.view == "level" else 2 + len(self.spans)
        n_measured = len(self.center_) // per_sensor
        return list(range(sensor - sum(code < sensor for code in self.categorical), len(self.center_), n_measured))

    def _measured(self, X: np.ndarray) -> np.ndarray:
        """Return the sensors that hold no codes."""
        return np.delete(X, self.categorical, axis=-1) if self.categorical else X

    def _move(self, X: np.ndarray, past: Past | None) -> tuple[np.ndarray, Past | None]:
        """Return the channels of lanes (n_lanes, n_rows, n_measured) before they are scaled, and their new past."""
        if self.view == "level":
            return X, None
        if past is None:
            past = Past(X[:, :1], [X[:, :1]] * len(self.spans))
        means = [moving_mean(X, span, mean) for span, mean in zip(self.spans, past.means, strict=True)]
        moves = [np.diff(X, axis=1, prepend=past.row), *(X - mean for mean in means)]
        channels = np.concatenate([X, *moves], axis=-1)  # (n_lanes, n_rows, n_measured * (2 + n_spans))
        return channels, Past(X[:, -1:].copy(), [mean[:, -1:].copy() for mean in means])  # views would keep the block


class Past(NamedTuple):
    """What the relative view knows of the rows before."""

    row: np.ndarray  # (n_lanes, 1, n_sensors)
    means: list[np.ndarray]  # for each span, (n_lanes, 1, n_sensors)


def moving_mean(X: np.ndarray, span: int, before: np.ndarray) -> np.ndarray:
    """Return the exponentially weighted mean of `span` rows of lanes, from the mean before (n_lanes, 1, n_sensors)."""
    alpha = 2.0 / (span + 1.0)
    mean, _ = lfilter([alpha], [1.0, alpha - 1.0], X, axis=1, zi=(1.0 - alpha) * before)
    return mean


def _center_and_scale(X: np.ndarray, weight: np.ndarray, n_sensors: int, robust: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the median and the 10-90 % range; where most rows are equal, the range of a normal of that deviation.

    Without `robust`, return the mean and that range of all channels.

    The first `n_sensors` channels are the levels. What moves less than the rounding of its level has not moved.
    """
    statistics = [_column_statistics(column, weight) for column in X.T]  # a column at a time, to spare memory
    low, median, high, mean, deviation = np.reshape(statistics, (-1, 5)).T
    level = np.maximum(np.abs(low), np.abs(high))[:n_sensors]
    rounding = STILL * np.resize(level, X.shape[1])  # again and again, as the channels go round the sensors
    usual = NORMAL_RANGE * deviation
    spread = np.where(high - low > rounding, high - low, usual) if robust else usual
    return (median if robust else mean), np.where(
        spread > rounding, spread, 1.0
    )  # a sensor that stood still keeps its unit


def _column_statistics(column: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
    """Return the low tail, the median, the high tail, the mean and the deviation of the rows with weight."""
    column, weight = column[weight > 0], weight[weight > 0]
    low, median, high = np.quantile(column, [TAIL, 0.5, 1 - TAIL], weights=weight, method="inverted_cdf")
    offset = column - median  # exactly zero for a sensor that stood still, whatever the rounding of a mean
    mean = np.average(offset, weights=weight)
    return low, median, high, median + mean, np.sqrt(np.average((offset - mean) ** 2, weights=weight))
