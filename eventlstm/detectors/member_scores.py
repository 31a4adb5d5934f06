"""The scores of a log: its members heard at every row, each through the channels that it sees.

Probabilities are ``(n_rows, n_classes)``, a column for each class of the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, repeat
from typing import Any, NamedTuple

import numpy as np

from ..logs.causal_features import with_lags
from ..logs.input_scaler import InputScaler
from ..logs.lanes import walk
from ..logs.log_windows import LogWindows
from ..logs.rows import Rows
from ..recurrent.members import BLOCK, as_input, mean_log_odds, of_all_classes, takes_3d
from ..training.crew import crew, side_by_side


class Ensemble(NamedTuple):
    """Fitted members and what they see through."""

    members: list[Any]
    scalers: list[InputScaler | None]  # they are for the members in turn
    classes: np.ndarray  # (n_classes,) of all members
    dtype: type[np.floating]  # of the channels
    n_jobs: int | None

    @property
    def looks_ahead(self) -> bool:
        """Whether members that go step by step judge a row by those after it, too."""
        return any(getattr(member, "looks_ahead", False) for member in self.members)

    def refuse_to_look_ahead(self, what: str, error: type[Exception] = ValueError) -> None:
        """Refuse members that judge a row by those after it, where `what` takes rows as they come."""
        if self.looks_ahead:
            raise error(
                f"{type(self.members[0]).__name__} with bidirectional=True or decoding='smoothed' judges a row by "
                f"later ones, which {what} cannot. Set decoding='filtered' and bidirectional=False; whole logs are "
                "labelled after the fact by predict_proba."
            )

    def score_stretches(self, log: Rows, warm_up: int) -> np.ndarray:
        """Return the probabilities at every row from members that go step by step, `warm_up` copies before each run.

        Beyond the log and the result, memory does not grow with the log: it goes through in blocks, unless members look
        ahead, who get each stretch as a whole.
        """
        out = np.empty((len(log.values), len(self.classes)))
        whole = {"n_lanes": 1, "block_rows": warm_up + len(log.values)} if self.looks_ahead else {}
        with crew(self.n_jobs, len(self.members)) as call:
            return walk(
                lambda lanes, state: self.step(lanes, state, call),
                log.values,
                log.starts,
                out,
                warm_up=warm_up,
                **whole,
            )

    def step(self, lanes: np.ndarray, state: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the probabilities (n_lanes, n_rows, n_classes) at some rows of stretches, and the state after them.

        `call` is that of a crew; `lanes` are sensors (n_lanes, n_rows, n_sensors), and the state before them is None
        where stretches begin.
        """
        pasts, states = state or (None, repeat(None))
        moves, pasts = self.move(lanes, pasts)
        proba, states = self.ask_steps(self.to_channels(moves), states, call)
        return proba, (pasts, states)

    def score_windows(self, log: Rows, window_size: int) -> np.ndarray:
        """Return the probabilities at every row from members that judge the window that ends there."""
        if not any(map(takes_3d, self.members)):
            return self._score_flat(log, window_size)
        seen = [log.seen_by(scaler, self.dtype) for scaler in self.scalers]
        windows = [LogWindows.from_stretches(rows.values, rows.starts, window_size) for rows in seen]
        return mean_log_odds(np.stack(side_by_side(self._score_windows, self.n_jobs, self.members, cycle(windows))))

    def _score_flat(self, log: Rows, window_size: int) -> np.ndarray:
        """Return the probabilities at every row from members that take a window as a row: block by block."""
        out = np.empty((len(log.values), len(self.classes)))
        with crew(self.n_jobs, len(self.members)) as call:
            return walk(
                lambda lanes, state: self.window_step(lanes, state, window_size, call),
                log.values,
                log.starts,
                out,
                block_rows=BLOCK,
            )

    def window_step(
        self, lanes: np.ndarray, state: Any, window_size: int, call: Callable[..., list[Any]]
    ) -> tuple[np.ndarray, Any]:
        """Return the probabilities at some rows of stretches of members that judge the window that ends at each.

        The state after them is the rows and views to go on from.
        """
        rows, pasts = state or ([None] * len(self.scalers), None)
        moves, pasts = self.move(lanes, pasts)
        seen = self.to_channels(moves)
        flat = [with_lags(channels, window_size, before) for channels, before in zip(seen, rows, strict=True)]
        windows = [
            lagged.reshape(-1, window_size, channels.shape[-1])
            for (lagged, _), channels in zip(flat, seen, strict=True)
        ]
        proba = self.ask_windows(windows, call)
        return proba.reshape(*lanes.shape[:2], -1), ([before for _, before in flat], pasts)

    def move(self, lanes: np.ndarray, pasts: Any = None) -> tuple[list[np.ndarray], list[Any]]:
        """Return for each scaler the moves (n_lanes, n_rows, n_moves, n_sensors) of lanes, and what it goes on from.

        `pasts` are what the last call returned of the latter, None where stretches begin.
        """
        seen = [_move(scaler, lanes, past) for scaler, past in zip(self.scalers, pasts or repeat(None), strict=False)]
        return [moves for moves, _ in seen], [past for _, past in seen]

    def to_channels(self, moves: list[np.ndarray]) -> list[np.ndarray]:
        """Return for each scaler the channels (..., n_channels) that are made of some moves."""
        return [self._to_channels(scaler, seen) for scaler, seen in zip(self.scalers, moves, strict=True)]

    def ask_steps(self, channels: Any, states: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the probabilities (n_lanes, n_rows, n_classes) of members that go step by step, and their states."""
        proba, states = zip(*call(self._score_steps, self.members, cycle(channels), states), strict=True)
        return mean_log_odds(np.stack(proba)), states

    def ask_windows(self, channels: list[np.ndarray], call: Callable[..., list[Any]]) -> np.ndarray:
        """Return the probabilities (n_windows, n_classes) of windows (n_windows, window_size, n_channels) by scaler."""
        return mean_log_odds(np.stack(call(self._score_windows, self.members, cycle(channels))))

    def _to_channels(self, scaler: InputScaler | None, moves: np.ndarray) -> np.ndarray:
        channels = moves[..., 0, :] if scaler is None else scaler.to_channels(moves)
        return channels.astype(self.dtype, copy=False)

    def _score_steps(self, member: Any, channels: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        proba, state = member.predict_proba_steps(channels, state)
        return of_all_classes(proba, member.classes_, self.classes), state

    def _score_windows(self, member: Any, windows: LogWindows | np.ndarray) -> np.ndarray:
        return of_all_classes(member.predict_proba(as_input(member, windows)), member.classes_, self.classes)


def _move(scaler: InputScaler | None, lanes: np.ndarray, past: Any) -> tuple[np.ndarray, Any]:
    """Return what a scaler makes channels of; without one, the values themselves."""
    return (lanes[:, :, None], None) if scaler is None else scaler.move_steps(lanes, past)
