"""Targets of forecasts: their shape, the units in which a network learns them, and its quantiles.

Targets of windows are ``(n_windows, horizon * n_targets)``: those of the first step ahead, then of the second, and so
on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from .checking import CheckedWindows, mean_one

# A target whose deviation is at most this share of its mean is constant but for rounding.
STILL = 1e-12


class TargetUnits(NamedTuple):
    """By what targets are scaled for the network, step by step ahead."""

    center: np.ndarray  # (horizon * n_targets,)
    scale: np.ndarray  # (horizon * n_targets,)

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Return targets (n_windows, horizon * n_targets) as the network learns them."""
        return (y - self.center) / self.scale

    def restored(self, outputs: torch.Tensor) -> np.ndarray:
        """Return outputs (..., n_outputs) as (..., horizon * n_targets, n_quantiles) in units of the targets."""
        return self.in_units(outputs.cpu().double().numpy())

    def in_units(self, values: np.ndarray) -> np.ndarray:
        """Return what `restored` does, of outputs in float64."""
        values = values.reshape(*values.shape[:-1], len(self.scale), -1)
        return np.sort(values * self.scale[:, None] + self.center[:, None], axis=-1)


def learn_units(y: np.ndarray, weight: np.ndarray, shape: tuple[int, int]) -> TargetUnits:
    """Return the mean and the deviation of each target over all steps ahead; `shape` is (horizon, n_targets)."""
    horizon, n_targets = shape
    flat = y.reshape(-1, n_targets)  # (n_windows * horizon, n_targets)
    steps = np.repeat(mean_one(weight), horizon)
    center = np.average(flat, axis=0, weights=steps)
    scale = np.sqrt(np.average((flat - center) ** 2, axis=0, weights=steps))
    still = scale <= STILL * np.abs(center)
    return TargetUnits(np.tile(center, horizon), np.tile(np.where(still, 1.0, scale), horizon))


def raw_units(shape: tuple[int, int]) -> TargetUnits:
    """Return units that leave targets as they are; `shape` is (horizon, n_targets)."""
    return TargetUnits(np.zeros(shape[0] * shape[1]), np.ones(shape[0] * shape[1]))


def check_window_targets(y: Any, windows: CheckedWindows, estimator: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return targets as (n_windows, horizon * n_targets) in float64, and their own shape without the first axis."""
    y = check_array(y, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="y", estimator=estimator)
    check_consistent_length(windows.values, y)
    if y.ndim > 3:
        raise ValueError(f"y has the shape {y.shape}. Pass (n_windows, horizon, n_targets) at most.")
    return y.reshape(len(y), -1), y.shape[1:]


def check_row_targets(X: np.ndarray, Y: Any, *, codes: tuple[int, ...]) -> np.ndarray:
    """Return what is to be forecast beside rows `X`, (n_rows, n_targets): without `Y` the rows themselves."""
    if Y is None:
        if codes:
            raise ValueError("Codes of categorical_channels are not forecast. Pass the other channels as Y.")
        return X
    Y = check_array(Y, dtype=X.dtype, input_name="Y")
    check_consistent_length(X, Y)
    return Y


def refuse_other_targets(shape: tuple[int, int], known: tuple[int, int]) -> None:
    """Refuse targets of another shape (horizon, n_targets) than training began with."""
    if shape != known:
        raise ValueError(
            f"{shape[0]} steps ahead of {shape[1]} targets came, but training began with {known[0]} of "
            f"{known[1]}. Pass as many, or set warm_start=False."
        )


def check_quantiles(quantiles: Any) -> tuple[float, ...]:
    """Return quantiles as a tuple, refusing what does not rise between 0 and 1."""
    rising = (0.0, *(float(q) for q in quantiles), 1.0)
    if len(rising) < 3 or not all(low < high for low, high in pairwise(rising)):
        raise ValueError(f"quantiles={quantiles!r} must rise between 0 and 1, such as (0.1, 0.5, 0.9).")
    return rising[1:-1]


def take_median(values: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Return of quantiles (..., n_quantiles) the one nearest to the median."""
    return values[..., int(np.abs(np.array(quantiles or (0.5,)) - 0.5).argmin())]
