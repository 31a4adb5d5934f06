"""The scores of a log: its members heard at every row, each through the channels that it sees.

Probabilities are ``(n_rows, n_classes)``, a column for each class of the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, repeat
from typing import Any, NamedTuple

import numpy as np

from ..logs.input_scaler import InputScaler
from ..logs.lanes import walk
from ..logs.log_windows import LogWindows
from ..logs.rows import Rows
from ..recurrent.members import by_block, mean_log_odds, of_all_classes, takes_3d
from ..training.crew import crew, side_by_side


class Ensemble(NamedTuple):
    """Fitted members and what they see through."""

    members: list[Any]
    scalers: list[InputScaler | None]  # they are for the members in turn
    classes: np.ndarray  # (n_classes,) of all members
    dtype: type[np.floating]  # of the channels
    n_jobs: int | None

    def score_stretches(self, log: Rows, warm_up: int) -> np.ndarray:
        """Return the probabilities at every row from members that go step by step, `warm_up` copies before each run.

        Beyond the log and the result, memory does not grow with the log: it goes through in blocks.
        """
        out = np.empty((len(log.values), len(self.classes)))
        with crew(self.n_jobs, len(self.members)) as call:
            return walk(
                lambda lanes, state: self.step(lanes, state, call), log.values, log.starts, out, warm_up=warm_up
            )

    def step(self, lanes: np.ndarray, state: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the probabilities (n_lanes, n_rows, n_classes) at some rows of stretches, and the state after them.

        `call` is that of a crew; `lanes` are sensors (n_lanes, n_rows, n_sensors), and the state before them is None
        where stretches begin.
        """
        pasts, states = state or (repeat(None), repeat(None))
        views = [self._view(scaler, lanes, past) for scaler, past in zip(self.scalers, pasts, strict=False)]
        channels, pasts = zip(*views, strict=True)
        proba, states = zip(*call(self._score_steps, self.members, cycle(channels), states), strict=True)
        return mean_log_odds(np.stack(proba)), (pasts, states)

    def score_windows(self, log: Rows, window_size: int) -> np.ndarray:
        """Return the probabilities at every row from members that judge the window that ends there."""
        seen = [log.seen_by(scaler, self.dtype) for scaler in self.scalers]
        windows = [LogWindows.from_stretches(rows.values, rows.starts, window_size) for rows in seen]
        return mean_log_odds(np.stack(side_by_side(self._score_windows, self.n_jobs, self.members, cycle(windows))))

    def _view(self, scaler: InputScaler | None, lanes: np.ndarray, past: Any) -> tuple[np.ndarray, Any]:
        channels, past = (lanes, None) if scaler is None else scaler.transform_steps(lanes, past)
        return channels.astype(self.dtype, copy=False), past

    def _score_steps(self, member: Any, channels: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        proba, state = member.predict_proba_steps(channels, state)
        return of_all_classes(proba, member.classes_, self.classes), state

    def _score_windows(self, member: Any, windows: LogWindows) -> np.ndarray:
        score = member.predict_proba
        proba = score(windows) if takes_3d(member) else by_block(score, windows, whole=False)
        return of_all_classes(proba, member.classes_, self.classes)
