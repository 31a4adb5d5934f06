"""What the channels of a row are made of, row by row: changes, moving averages, lags, and values carried forward.

Rows are ``(n, n_sensors)``, one of each of some machines; `begins` says which of them are first in their stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..logs.causal_features import CausalFeatures
from ..logs.input_scaler import InputScaler
from ..logs.shared import BoolArray
from .slots import Node, as_type, empty


class Moves(Node):
    """The level, the change and the distances to moving averages of each sensor, as `InputScaler.move_steps` tells."""

    def __init__(self, n_sensors: int, spans: Sequence[int]) -> None:
        super().__init__()
        self.weight = (2.0 / (np.array(spans, dtype=np.float64) + 1.0))[:, None, None]  # of the row, against the mean
        self.kept = {"row": empty(n_sensors), "means": empty(len(spans), n_sensors)}

    def begin(self, slots: Any, rows: np.ndarray) -> None:
        """Let some machines begin as if they had always stood at these rows."""
        self.kept["row"][slots] = rows
        self.kept["means"][:, slots] = rows

    def step(self, slots: Any, rows: np.ndarray) -> np.ndarray:
        """Return the moves (n, n_moves, n_sensors)."""
        means = self.weight * rows + (1.0 - self.weight) * self.kept["means"][:, slots]
        moves = np.empty((len(rows), 2 + len(means), rows.shape[1]))
        moves[:, 0] = rows
        np.subtract(rows, self.kept["row"][slots], out=moves[:, 1])
        np.subtract(rows, means, out=moves[:, 2:].swapaxes(0, 1))
        self.kept["row"][slots], self.kept["means"][:, slots] = rows, means
        return moves


class Lags(Node):
    """The last rows of each machine, the oldest first; before the first of a stretch there are copies of it."""

    def __init__(self, n_lags: int, n_channels: int, dtype: Any = np.float64) -> None:
        super().__init__()
        self.kept = {"rows": empty(max(n_lags - 1, 0), n_channels, dtype=dtype)}
        self.n_lags = n_lags

    def begin(self, slots: Any, rows: np.ndarray) -> None:
        """Let some machines begin as if they had always stood at these rows."""
        self.kept["rows"][:, slots] = rows

    def step(self, slots: Any, rows: np.ndarray) -> np.ndarray:
        """Return the rows (n, n_lags, n_channels) up to these."""
        seen = np.concatenate([self.kept["rows"][:, slots], rows[None]])
        self.kept["rows"][:, slots] = seen[1:]
        return seen[len(seen) - self.n_lags :].swapaxes(0, 1)


class Channels(Node):
    """What one view shows of a row: an `InputScaler`, `CausalFeatures`, or the sensors themselves."""

    def __init__(self, scaler: Any, n_sensors: int, moves: dict[tuple[int, ...], Moves], dtype: Any) -> None:
        super().__init__()
        self.scaler, self.dtype, self.lags, self.moves = scaler, dtype, None, None
        self.n_channels: int = n_sensors if scaler is None else scaler.n_channels
        self.n_lags, mover = 1, scaler
        if isinstance(scaler, CausalFeatures):
            self.lags, self.n_lags, mover = Lags(scaler.n_lags, n_sensors), max(scaler.n_lags, 1), scaler.mover()
        if isinstance(mover, InputScaler) and mover.view != "level":
            spans = tuple(mover.spans)
            self.moves = moves.setdefault(spans, Moves(n_sensors, spans))  # views of the same spans share them

    def see(self, slots: Any, rows: np.ndarray, moves: dict[int, np.ndarray]) -> np.ndarray:
        """Return the channels (n, n_channels); `moves` are those of this step, by what made them."""
        if self.scaler is None:
            return as_type(rows, self.dtype)
        seen = rows[:, None] if self.moves is None else moves[id(self.moves)]
        if self.lags is not None:
            seen = np.concatenate([self.lags.step(slots, rows), seen], axis=1)
        return as_type(self.scaler.to_channels(seen), self.dtype)


class Views(Node):
    """All that the members of an ensemble see of a row."""

    def __init__(self, scalers: Sequence[Any], n_sensors: int, dtype: Any) -> None:
        super().__init__()
        shared: dict[tuple[int, ...], Moves] = {}
        self.channels = [Channels(scaler, n_sensors, shared, dtype) for scaler in scalers]
        self.moves = list(shared.values())

    def begin(self, slots: Any, rows: np.ndarray) -> None:
        """Let some machines begin as if they had always stood at these rows."""
        for moves in self.moves:
            moves.begin(slots, rows)
        for channels in self.channels:
            if channels.lags is not None:
                channels.lags.begin(slots, rows)

    def see(self, slots: Any, rows: np.ndarray) -> list[np.ndarray]:
        """Return for each view the channels (n, n_channels) of one more row."""
        moves = {id(node): node.step(slots, rows) for node in self.moves}
        return [channels.see(slots, rows, moves) for channels in self.channels]


class Fill(Node):
    """`ForwardFill` row by row."""

    def __init__(self, fill: Any) -> None:
        super().__init__()
        self.medians = np.asarray(fill.statistics_, dtype=np.float64)
        self.kept = {"values": empty(len(self.medians))}

    def step(self, slots: Any, rows: np.ndarray, begins: BoolArray) -> tuple[np.ndarray, BoolArray, BoolArray]:
        """Return rows without missing values, and which were filled with the last value and with the median."""
        missing = np.isnan(rows)
        known = np.where(begins[:, None], np.nan, self.kept["values"][slots])
        values = np.where(missing, known, rows)
        self.kept["values"][slots] = values
        unknown = np.isnan(values)
        return np.where(unknown, self.medians, values), missing & ~unknown, unknown
