"""What forecasters share: the shape and the units of their targets, what is held out, the loss, and quantiles.

Targets of windows are ``(n_windows, horizon * n_targets)``: those of the first step ahead, then of the second, and so
on.
"""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_consistent_length

from .._validation import Interval, StrOptions
from ..logs.log_windows import LogWindows
from ..losses.base import PreparedLoss
from ..losses.errors import ERROR_LOSSES, make_error_loss
from ..networks.forecast_net import ForecastNet
from ..training.batches import AUTO_WINDOWS, WindowBatches
from .base import RecurrentEstimator, mean_one, refuse_unusable
from .checking import CheckedWindows, check_windows

# A target whose deviation is at most this share of its mean is constant but for rounding.
STILL = 1e-12


class ForecastingEstimator(RegressorMixin, RecurrentEstimator):
    """Base of the recurrent forecasters; `LSTMForecaster` describes the parameters."""

    network_class: ClassVar[Any] = ForecastNet

    horizon: int
    decoder: str
    loss: str
    quantiles: Any
    quantiles_: tuple[float, ...]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{name: kinds for name, kinds in RecurrentEstimator._parameter_constraints.items() if name != "scoring"},
        "horizon": [Interval(Integral, 1, None, closed="left")],
        "decoder": [StrOptions({"direct", "recurrent"})],
        "loss": [StrOptions(set(ERROR_LOSSES))],
        "quantiles": ["array-like"],
    }

    def _check_fit(self, X: Any, y: Any, lengths: Any, reset: bool) -> tuple[CheckedWindows, np.ndarray]:
        """Check the input of a fit and learn its shape and codes."""
        if y is None:
            raise ValueError("LSTMForecaster requires y to be passed, but the target y is None. Pass numbers to hit.")
        if isinstance(X, LogWindows):
            windows = CheckedWindows(refuse_unusable(X, lengths)) if reset else self._check_windows(X, lengths)
            self.n_features_in_ = X.shape[1] * X.shape[2]
        else:
            windows, _ = check_windows(self, X, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        y, shape = self._check_numbers(windows, y)
        self._learn_shape((1, 1, *shape)[-2:], reset)  # the axes of steps ahead and of targets may be missing
        if reset:
            self.target_shape_ = shape
        self.n_timesteps_, self.n_channels_ = windows.values.shape[1:]
        return self._learn_codes(windows, reset), y

    def _check_validation(self, X_val: Any, y_val: Any) -> tuple[CheckedWindows, np.ndarray, np.ndarray] | None:
        if X_val is None:
            return None
        if y_val is None:
            raise ValueError("X_val came without y_val. Pass the targets of its windows as y_val.")
        windows = self._check_windows(X_val)
        y, shape = self._check_numbers(windows, y_val)
        if shape != self.target_shape_:
            raise ValueError(
                f"y_val has {shape} numbers for each window, but y has {self.target_shape_}. Pass it in that shape."
            )
        return windows, y, np.ones(len(y))

    def _check_numbers(self, windows: CheckedWindows, y: Any) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return targets as (n_windows, horizon * n_targets) in float64, and their own shape without the first axis."""
        y = check_array(y, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="y", estimator=self)
        check_consistent_length(windows.values, y)
        if y.ndim > 3:
            raise ValueError(f"y has the shape {y.shape}. Pass (n_windows, horizon, n_targets) at most.")
        return y.reshape(len(y), -1), y.shape[1:]

    def _hold_out_windows(
        self, windows: CheckedWindows, weight: np.ndarray, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of windows to train on and to hold out: of a log the end of each stretch, else any."""
        items = np.flatnonzero(weight > 0)
        try:
            if isinstance(windows.values, LogWindows):
                return hold_out_ends(windows.values, items, self.validation_fraction, self.horizon_)
            train, rest = train_test_split(items, test_size=self.validation_fraction, random_state=rng)
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold out {self.validation_fraction:.0%} of {len(items)} windows ({error}). "
                "Pass X_val and y_val, or set early_stopping=False."
            ) from None
        return train, rest

    def _learn_units(self, y: np.ndarray, weight: np.ndarray) -> None:
        """Learn the mean and the deviation of each target, over all steps ahead."""
        by_target = y.reshape(len(y), self.horizon_, self.n_targets_)
        steps = np.repeat(mean_one(weight), self.horizon_)
        flat = by_target.reshape(-1, self.n_targets_)  # (n_windows * horizon, n_targets)
        center = np.average(flat, axis=0, weights=steps)
        scale = np.sqrt(np.average((flat - center) ** 2, axis=0, weights=steps))
        still = scale <= STILL * np.abs(center)
        self.target_center_ = np.tile(center, self.horizon_)
        self.target_scale_ = np.tile(np.where(still, 1.0, scale), self.horizon_)

    def _window_batches(self, windows: CheckedWindows, y: np.ndarray, weight: np.ndarray) -> WindowBatches:
        """Return windows to train on, or to watch the loss on, with weights that are scaled to a mean of one."""
        target = ((y - self.target_center_) / self.target_scale_).astype(self._numpy_dtype())
        return WindowBatches(
            self._gather(windows),
            target,
            mean_one(weight),
            self._batch_size(len(y), AUTO_WINDOWS),
            lengths=windows.lengths,
            attention_entropy=self.attention_entropy,
        )

    def _learn_shape(self, shape: tuple[int, ...], reset: bool) -> None:
        """Learn how many steps ahead there are and how many numbers in each, or refuse others than before."""
        if reset:
            self.horizon_, self.n_targets_ = shape
        elif shape != (self.horizon_, self.n_targets_):
            raise ValueError(
                f"{shape[0]} steps ahead of {shape[1]} targets came, but training began with {self.horizon_} of "
                f"{self.n_targets_}. Pass as many, or set warm_start=False."
            )

    def _keep_units(self) -> None:
        """Leave targets in their units."""
        self.target_center_ = np.zeros(self.horizon_ * self.n_targets_)
        self.target_scale_ = np.ones(self.horizon_ * self.n_targets_)

    def _architecture(self) -> dict[str, Any]:
        return {**super()._architecture(), "horizon": self.horizon_, "decoder": self.decoder}

    def _start_forecaster(self, rng: np.random.RandomState) -> PreparedLoss:
        """Make the network, and return the loss to train it with."""
        if self.augmentation is not None and self.augmentation.time_warp:
            raise ValueError(
                f"time_warp={self.augmentation.time_warp!r} moves the steps of X, but not the values to be forecast. "
                "Set time_warp=0 in the augmentation."
            )
        quantiles = check_quantiles(self.quantiles) if self.loss == "quantile" else ()
        if self._goes_on() and len(quantiles) != len(self.quantiles_):
            raise ValueError(
                f"{len(quantiles)} quantiles came, but training began with {len(self.quantiles_)}. Keep loss and "
                "quantiles, or set warm_start=False."
            )
        self.quantiles_ = quantiles
        self._start(rng, self.horizon_ * self.n_targets_ * max(1, len(quantiles)))
        return make_error_loss(self.loss, quantiles)

    def _in_units(self, outputs: torch.Tensor) -> np.ndarray:
        """Return outputs (..., n_outputs) as (..., horizon * n_targets, n_quantiles) in units of the targets."""
        values = outputs.cpu().double().numpy()
        values = values.reshape(*values.shape[:-1], len(self.target_scale_), -1)
        return np.sort(values * self.target_scale_[:, None] + self.target_center_[:, None], axis=-1)

    def _middle(self, values: np.ndarray) -> np.ndarray:
        """Return of quantiles (..., n_quantiles) the one nearest to the median."""
        return values[..., int(np.abs(np.array(self.quantiles_ or (0.5,)) - 0.5).argmin())]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def hold_out_ends(windows: LogWindows, items: np.ndarray, share: float, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which windows to train on and which, the last of each stretch, to hold out.

    No row is forecast in both parts: windows that reach over the border with what they are to forecast are left out.
    """
    ends = windows.ends[items]
    stretch = np.searchsorted(windows.starts, ends, side="right")
    train, rest = [], []
    for part in np.split(np.arange(len(items)), np.flatnonzero(np.diff(stretch)) + 1):
        n_train = len(part) - round(share * len(part))
        border = ends[part[n_train]] if n_train < len(part) else np.inf
        train.append(items[part[:n_train]][ends[part[:n_train]] + horizon <= border])
        rest.append(items[part[n_train:]])
    if not sum(map(len, train)) or not sum(map(len, rest)):
        raise ValueError(f"they are of {len(train)} stretches, too short to be divided")
    return np.concatenate(train), np.concatenate(rest)


def check_quantiles(quantiles: Any) -> tuple[float, ...]:
    """Return quantiles as a tuple, refusing what does not rise between 0 and 1."""
    rising = (0.0, *(float(q) for q in quantiles), 1.0)
    if len(rising) < 3 or not all(low < high for low, high in pairwise(rising)):
        raise ValueError(f"quantiles={quantiles!r} must rise between 0 and 1, such as (0.1, 0.5, 0.9).")
    return rising[1:-1]
