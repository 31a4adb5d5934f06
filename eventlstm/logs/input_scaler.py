"""What the networks see of a log: each sensor's level, and how it moves against its own recent past.

Rows are ``(n_rows, n_sensors)``; the channels made of them are ``(n_rows, n_channels)``. Everything is causal and
stays within a stretch, so that the channels of a row never depend on rows after it or on another machine.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from sklearn.base import BaseEstimator

from .lanes import walk
from .whitening import STILL, learn_whitening, turn

VIEWS = ("level", "relative", "whitened")

# The share of rows left outside on either side when the spread of a channel is measured.
TAIL = 0.1
# The 10-90 % range of a normal distribution of deviation one: by it, a range becomes a robust deviation.
NORMAL_RANGE = 2.563
LARGEST = float(np.finfo(np.float32).max)


class InputScaler(BaseEstimator):
    """Turn the sensors of a log into channels of like size that a recurrent network learns well from.

    Parameters
    ----------
    view : {"level", "relative", "whitened"}, default="relative"
        "level" is the robust z-score of each sensor, clipped. "relative" is the level, less sharply limited, beside the
        first difference and the distance to moving averages of several spans. "whitened" is the same of the sensors
        judged against each other: rotated and scaled until they have deviation one and no correlation.
    clip : float, default=3.0
        Largest absolute z-score of the level view.
    spans : tuple of int, default=(10, 60, 300)
        Spans in rows of the exponentially weighted means that all views but the level subtract.
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
    mean_ : ndarray of shape (n_measured,)
        In the whitened view, what is subtracted from each sensor that holds no codes before it is whitened.
    whitening_ : ndarray of shape (n_measured, n_whitened)
        In the whitened view, what each of these sensors adds to each whitened one. A sensor that stood still, and a
        copy of another in whatever unit, add nothing.

    Notes
    -----
    Centre and scale are the median and the 10-90 % range, so that the extremes that events are made of do not squeeze
    everything else. On rows known to be quiet the mean and the deviation are the better measure: a sensor that bursts
    now and then has a range that says nothing of its bursts.

    The relative view carried over best to logs with shifts of season and level, the level view to machines with other
    noise; members that see different views are therefore averaged.

    The whitened view brings the directions to the front in which sensors never disagree on quiet rows: slow wear under
    changing conditions, or one sensor that says other than the rest. The directions are the principal components of
    the standardised sensors, each divided by its own deviation [1]_; those with less than a ten-thousandth of a
    sensor's variance are left out, and of copies of a sensor the first is taken. For networks a rotation back to the
    sensors is as good; trees, which cut along axes, find less in it.

    References
    ----------
    .. [1] A. Kessy, A. Lewin and K. Strimmer, "Optimal whitening and decorrelation", The American Statistician 72(4),
       2018.

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
        if self.view not in VIEWS:
            raise ValueError(f"view={self.view!r} is unknown. Choose 'level', 'relative' or 'whitened'.")
        if not all(isinstance(span, int | np.integer) and span >= 1 for span in self.spans):
            raise ValueError(f"spans={self.spans!r} must be numbers of rows, 1 or more.")
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        sensors = np.delete(X, self.categorical, axis=-1) if self.categorical else X
        if self.view == "whitened":
            self.mean_, self.whitening_ = learn_whitening(sensors, weight)
        levels = self._measured(sensors[:, None])[:, 0]
        moves = np.empty((len(X), levels.shape[1] * (self._n_moves - 1)), dtype=np.float32)
        walk(self._later_moves, X, starts, moves)  # exact, and rounded only here: a second log in memory is spared
        self.center_, self.scale_ = _center_and_scale(levels, moves, weight, self.robust)
        self.center_[levels.shape[1] :] = 0.0  # zero already means "no movement" in the channels after the level
        if self.view == "level":
            self.scale_ = self.scale_ / NORMAL_RANGE
        return self

    def transform(self, X: np.ndarray, *, starts: Any, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        """Return the channels of a log.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_sensors)
            The log.
        starts : array-like of shape (n_stretches,)
            First row of each stretch.
        dtype : type, default=numpy.float64
            Type of the channels.

        Returns
        -------
        ndarray of shape (n_rows, n_channels)
            The channels: of `n_measured` sensors that hold no codes, `n_measured` in the level view and
            ``n_measured * (2 + len(spans))`` in the relative one, and alike of whitened sensors; then the codes.
        """
        return walk(self.transform_steps, X, starts, np.empty((len(X), self.n_channels), dtype=dtype))

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
        moves, state = self.move_steps(X, state)
        return self.to_channels(moves), state

    def move_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return what the channels are made of, sensor by sensor, at some rows of stretches side by side.

        Parameters
        ----------
        X : ndarray of shape (n_lanes, n_rows, n_sensors)
            Rows of the stretches.
        state : object, optional
            What the last call returned for the rows before.

        Returns
        -------
        moves : ndarray of shape (n_lanes, n_rows, n_moves, n_sensors)
            The level of each sensor and, but for the level view, its change and its distances to moving averages.
        state : object
            The last row and the moving averages of each lane.
        """
        if self.view == "level":
            return X[:, :, None], None
        past = Past(X[:, :1], [X[:, :1]] * len(self.spans)) if state is None else state
        means = [moving_mean(X, span, mean) for span, mean in zip(self.spans, past.means, strict=True)]
        moves = np.stack([X, np.diff(X, axis=1, prepend=past.row), *(X - mean for mean in means)], axis=2)
        return moves, Past(X[:, -1:].copy(), [mean[:, -1:].copy() for mean in means])  # views would keep the block

    def to_channels(self, moves: np.ndarray) -> np.ndarray:
        """Return the channels that are made of some moves.

        Parameters
        ----------
        moves : ndarray of shape (..., n_moves, n_sensors)
            What `move_steps` returns; of more moves, the first are taken.

        Returns
        -------
        ndarray of shape (..., n_channels)
            Channels.
        """
        moves = moves[..., : self._n_moves, :]
        codes = moves[..., 0, list(self.categorical)]
        sensors = np.delete(moves, self.categorical, axis=-1) if self.categorical else moves
        measured = self._measured(sensors)
        scaled = measured.reshape(*measured.shape[:-2], -1) - self.center_
        scaled /= self.scale_  # in place, as a block of many sensors is large
        if self.view == "level":
            np.clip(scaled, -self.clip, self.clip, out=scaled)
        else:
            np.arcsinh(scaled, out=scaled)
        return np.concatenate([scaled, codes], axis=-1) if self.categorical else scaled

    def whiten(self, X: np.ndarray) -> np.ndarray:
        """Return whitened sensors, of a fitted whitened view.

        Parameters
        ----------
        X : ndarray of shape (..., n_sensors)
            Rows.

        Returns
        -------
        ndarray of shape (..., n_whitened)
            Channels of deviation one without correlation.
        """
        sensors = np.delete(X, self.categorical, axis=-1) if self.categorical else X
        return turn(sensors - self.mean_, self.whitening_)

    @property
    def n_channels(self) -> int:
        """How many channels there are, codes included."""
        return len(self.center_) + len(self.categorical)

    @property
    def code_channels(self) -> list[int]:
        """The channels that hold the codes of `categorical`."""
        return [len(self.center_) + k for k in range(len(self.categorical))]

    @property
    def _n_moves(self) -> int:
        return 1 if self.view == "level" else 2 + len(self.spans)

    def _measured(self, moves: np.ndarray) -> np.ndarray:
        """Return what is scaled, (..., n_moves, n_measured), of moves without codes."""
        if self.view != "whitened":
            return moves
        level = moves[..., :1, :] - self.mean_  # what the others are less is taken off already
        return turn(np.concatenate([level, moves[..., 1:, :]], axis=-2), self.whitening_)

    def _later_moves(self, X: np.ndarray, past: Any) -> tuple[np.ndarray, Any]:
        """Return what is scaled after the level, (n_lanes, n_rows, n_measured * (n_moves - 1)), as float32 holds it."""
        moves, past = self.move_steps(X, past)
        sensors = np.delete(moves, self.categorical, axis=-1) if self.categorical else moves
        later = self._measured(sensors)[..., 1:, :]
        return np.clip(later.reshape(*later.shape[:2], -1), -LARGEST, LARGEST), past


def is_lone(scaler: Any) -> bool:
    """Return whether a fitted scaler has whitened fewer than two sensors, which then cannot be judged by each other."""
    return getattr(scaler, "view", None) == "whitened" and scaler.whitening_.shape[1] < 2


class Past(NamedTuple):
    """What the relative view knows of the rows before."""

    row: np.ndarray  # (n_lanes, 1, n_sensors)
    means: list[np.ndarray]  # for each span, (n_lanes, 1, n_sensors)


def moving_mean(X: np.ndarray, span: float, before: np.ndarray) -> np.ndarray:
    """Return the exponentially weighted mean of `span` rows of lanes, from the mean before (n_lanes, 1, n_sensors)."""
    alpha = 2.0 / (span + 1.0)
    mean, _ = lfilter([alpha], [1.0, alpha - 1.0], X, axis=1, zi=(1.0 - alpha) * before)
    return mean


def _center_and_scale(
    levels: np.ndarray, moves: np.ndarray, weight: np.ndarray, robust: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the median and the 10-90 % range; where most rows are equal, the range of a normal of that deviation.

    Without `robust`, return the mean and that range of all channels.

    What moves less than the rounding of its level has not moved.
    """
    columns = [*levels.T, *moves.T]
    statistics = [_column_statistics(column, weight) for column in columns]  # one at a time, to spare memory
    low, median, high, mean, deviation = np.reshape(statistics, (-1, 5)).T
    level = np.maximum(np.abs(low), np.abs(high))[: levels.shape[1]]
    rounding = STILL * np.resize(level, len(columns))  # again and again, as the channels go round the sensors
    usual = NORMAL_RANGE * deviation
    spread = np.where(high - low > rounding, high - low, usual) if robust else usual
    return (median if robust else mean), np.where(
        spread > rounding, spread, 1.0
    )  # a sensor that stood still keeps its unit


def _column_statistics(column: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
    """Return the low tail, the median, the high tail, the mean and the deviation of the rows with weight."""
    column, weight = column[weight > 0].astype(np.float64, copy=False), weight[weight > 0]
    alike = weight.min() == weight.max()  # without weights nothing is sorted: four times as fast
    weights = None if alike else weight
    low, median, high = np.quantile(column, [TAIL, 0.5, 1 - TAIL], weights=weights, method="inverted_cdf")
    offset = column - median  # exactly zero for a sensor that stood still, whatever the rounding of a mean
    mean = np.average(offset, weights=weight)
    return low, median, high, median + mean, np.sqrt(np.average((offset - mean) ** 2, weights=weight))
