"""What models see of a row as a graph: the channels of `InputScaler` and `CausalFeatures`, ``(batch, n_channels)``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..logs.causal_features import CausalFeatures
from ..logs.input_scaler import InputScaler
from .graph import Tensor
from .step import Step

# Beyond it one is lost beside a square in double precision.
LARGE = 1e8
# How many numbers lie between one and its arcsinh's sinh: a few at one, some 130 at 1e100.
MAX_ROUNDINGS = 200


def see(step: Step, row: Tensor, view: Any, n_sensors: int, *, bent: bool = True) -> Tensor:
    """Return the channels that a view makes of a row (batch, n_sensors) of the log and those before it.

    Where they are not `bent`, those that `bent_channels` names are as they are before ``arcsinh`` bends them.
    """
    if view is None:
        return row
    if isinstance(view, CausalFeatures):
        return _features(step, row, view, n_sensors, bent)
    return _channels(_moves(step, row, view, n_sensors), view, bent)


def count_channels(view: Any, n_sensors: int) -> int:
    """Return how many channels a view has."""
    return n_sensors if view is None else int(view.n_channels)


def bent_channels(view: Any, n_sensors: int) -> np.ndarray:
    """Return which channels of a view ``arcsinh`` bends, (n_channels,)."""
    if view is None:
        return np.zeros(n_sensors, dtype=bool)
    if isinstance(view, InputScaler):
        return np.arange(view.n_channels) < (0 if view.view == "level" else len(view.center_))
    of_views = [np.full(len(scaler.center_), scaler.view != "level") for scaler in view.scalers_[: len(view.views)]]
    bent = np.concatenate([np.zeros(0, dtype=bool), *of_views])
    after = 0 if view.lags else len(view.codes_)
    return np.pad(bent, (view.n_channels - len(bent) - after, after))


def _moves(step: Step, row: Tensor, view: InputScaler, n_sensors: int) -> list[Tensor]:
    """Return the level of each sensor, its change, and its distances to moving averages, each (batch, n_sensors)."""
    if view.view == "level":
        return [row]
    change = step.share((row.name, "change"), partial(_change, step, row, n_sensors))
    means = [step.share((row.name, span), partial(_mean, step, row, span, n_sensors)) for span in view.spans]
    return [row, change, *(row - mean for mean in means)]


def _change(step: Step, row: Tensor, n_sensors: int) -> Tensor:
    shared = step._replace(prefix="state")
    kept, name = shared.keep("row", (n_sensors,), row.dtype)
    step.go_on(name, row)
    return row - step.first_or(row, kept, 2)


def _mean(step: Step, row: Tensor, span: int, n_sensors: int) -> Tensor:
    alpha = 2.0 / (span + 1.0)
    shared = step._replace(prefix="state")
    kept, name = shared.keep(f"mean_{span}", (n_sensors,), row.dtype)
    mean = row * alpha + step.first_or(row, kept, 2) * (1.0 - alpha)
    step.go_on(name, mean)
    return mean


def _channels(moves: list[Tensor], view: InputScaler, bent: bool) -> Tensor:
    """Return what a view makes of moves: scaled, bent or clipped, and codes as they are."""
    graph, codes = moves[0].graph, list(view.categorical)
    stacked = graph.stack(moves[: 1 if view.view == "level" else None], axis=1)  # (batch, n_moves, n_sensors)
    scaled = (_measure(stacked, view).reshape(0, -1) - view.center_) / view.scale_
    if view.view == "level":
        scaled = scaled.at_least(-view.clip).at_most(view.clip)
    elif bent:
        scaled = arcsinh(scaled)
    return graph.concat([scaled, moves[0].take(codes, axis=1)], axis=1) if codes else scaled


def _measure(moves: Tensor, view: InputScaler) -> Tensor:
    """Return what is scaled of moves (batch, n_moves, n_sensors): sensors without codes, whitened where the view is."""
    if view.categorical:
        moves = moves.take(_measured(view), axis=2)
    if view.view != "whitened":
        return moves
    off = np.zeros((1 + len(view.spans) + 1, len(view.mean_)))
    off[0] = view.mean_  # what the others are less is taken off already
    return _turn(moves - off, view.whitening_)


def _whiten(rows: Tensor, view: InputScaler) -> Tensor:
    """Return rows (batch, n_rows, n_sensors) whitened."""
    sensors = rows.take(_measured(view), axis=2) if view.categorical else rows
    return _turn(sensors - view.mean_, view.whitening_)


def _turn(X: Tensor, matrix: np.ndarray) -> Tensor:
    """Return rows (batch, n_rows, n_sensors) times a matrix, to the bit as `logs.whitening.turn` does.

    Boosted trees split between values that differ by rounding: a product of matrices would send some rows elsewhere.
    """
    sensors = np.flatnonzero(matrix.any(axis=1))
    if not len(sensors):
        return X.take([0] * matrix.shape[1], axis=2) * 0.0
    columns = X.graph.apply_all("Split", len(matrix), X, axis=2, num_outputs=len(matrix))
    total, *others = (columns[k] * matrix[k] for k in sensors)
    for other in others:
        total = total + other
    return total


def _measured(view: InputScaler) -> list[int]:
    """Return the sensors that hold no codes."""
    n_moves = 1 if view.view == "level" else 2 + len(view.spans)
    n_measured = len(view.mean_) if view.view == "whitened" else len(view.center_) // n_moves
    return [k for k in range(n_measured + len(view.categorical)) if k not in view.categorical]


def _features(step: Step, row: Tensor, view: CausalFeatures, n_sensors: int, bent: bool) -> Tensor:
    """Return the last rows as they are, the last ones whitened, and the channels of views."""
    graph, parts = row.graph, []
    n_lags = max(view.lags, view.whitened_lags)
    if n_lags:
        shared = step._replace(prefix="state")
        rows = step.share((row.name, "rows", n_lags), lambda: shared.last_rows(row, n_lags, n_sensors))
    if view.lags:
        parts.append(rows.tail(-view.lags, axis=1).reshape(0, -1))
    if view.whitened_lags:
        parts.append(_whiten(rows.tail(-view.whitened_lags, axis=1), view.scalers_[-1]).reshape(0, -1))
    for scaler in view.scalers_[: len(view.views)]:
        channels = _channels(_moves(step, row, scaler, n_sensors), scaler, bent)
        parts.append(channels.take(np.arange(len(scaler.center_)), axis=1) if view.codes_ else channels)
    if view.codes_ and not view.lags:
        parts.append(row.take(view.codes_, axis=1))
    return graph.concat(parts, axis=1)


def arcsinh(x: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine, which ONNX Runtime does not have in double precision."""
    size = x.map("Abs")
    small = size.at_most(LARGE)
    of_small = (small + (small * small + 1.0).map("Sqrt")).map("Log")
    return x.map("Sign") * (of_small + (size.at_least(LARGE) / LARGE).map("Log"))


def unbend(threshold: np.ndarray) -> np.ndarray:
    """Return the largest numbers whose ``arcsinh`` is at most some thresholds, as NumPy rounds it.

    A split by it sends every value to the side to which its own ``arcsinh`` goes, whatever a runtime makes of that.
    """
    found = np.sinh(threshold)
    for _ in range(MAX_ROUNDINGS):
        found = np.where(np.arcsinh(found) > threshold, np.nextafter(found, -np.inf), found)
    for _ in range(MAX_ROUNDINGS):
        above = np.nextafter(found, np.inf)
        found = np.where(np.arcsinh(above) <= threshold, above, found)
    return found
