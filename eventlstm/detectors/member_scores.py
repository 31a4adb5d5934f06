"""The scores of a log: its members heard at every row, each through the channels that it sees.

Probabilities are ``(n_rows, n_classes)``, a column for each class of the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, repeat
from typing import Any, NamedTuple

import numpy as np

from ..logs.input_scaler import InputScaler
from ..logs.lanes import BLOCK_ROWS, LANES, lane_blocks, walk
from ..logs.log_windows import LogWindows
from ..logs.rows import Rows
from ..recurrent.members import by_block, mean_log_odds, of_all_classes, takes_3d
from ..training.crew import crew, side_by_side

# Windows of each member that are asked with a sensor hidden at a time.
HIDDEN_WINDOWS = 1024
# For each scaler, which channels are of a sensor, and what they are at its usual value.
Hidden = list[tuple[list[int], np.ndarray]]


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
        proba, states = self._ask(channels, states, call)
        return proba, (pasts, states)

    def score_windows(self, log: Rows, window_size: int) -> np.ndarray:
        """Return the probabilities at every row from members that judge the window that ends there."""
        seen = [log.seen_by(scaler, self.dtype) for scaler in self.scalers]
        windows = [LogWindows.from_stretches(rows.values, rows.starts, window_size) for rows in seen]
        return mean_log_odds(np.stack(side_by_side(self._score_windows, self.n_jobs, self.members, cycle(windows))))

    def hide_in_stretches(self, log: Rows, window_size: int, usual: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Return the probabilities (n_asked, 1 + n_sensors, n_classes) at some rows, of members that go step by step.

        First with all sensors, then with each in turn at its `usual` value (n_sensors,) since the block before the one
        that a row lies in. Beyond the result, memory does not grow with the log.
        """
        out = np.empty((len(asked), 1 + len(usual), len(self.classes)))
        hidden, is_asked = self._hidden_channels(usual), np.zeros(len(log.values), dtype=bool)
        is_asked[asked] = True
        with crew(self.n_jobs, len(self.members)) as call:
            for rows, own, seen, states in self._pairs_of_blocks(log, window_size, call):
                wanted = own & is_asked[rows]
                places = np.searchsorted(asked, rows[wanted])
                for k, shown in enumerate(_hide_in_turn(seen, hidden) if len(places) else ()):
                    out[places, k] = self._ask(shown, states, call)[0][:, -rows.shape[1] :][wanted]
        return out

    def _pairs_of_blocks(self, log: Rows, size: int, call: Callable[..., list[Any]]) -> Iterator[Any]:
        """Yield the rows of each block of lanes, and which are a lane's own; what is seen of it and of the one before.

        The latter are channels by scaler (n_lanes, 2 * size, n_channels), and come with the states before them. Blocks
        of `size` rows are counted from the start of a stretch; before the first are as many copies of its first row.
        """
        no_states: Iterable[Any] = repeat(None)
        pasts, older, states = no_states, no_states, no_states
        before: Iterable[np.ndarray] = ()
        n_lanes = min(LANES, 1 + BLOCK_ROWS // size)
        for rows, own, begins in lane_blocks(log.starts, len(log.values), warm_up=size, n_steps=size, n_lanes=n_lanes):
            pasts, states = (no_states, no_states) if begins else (pasts, states)
            lanes = log.values[rows]
            views = [self._view(scaler, lanes, past) for scaler, past in zip(self.scalers, pasts, strict=False)]
            channels, pasts = zip(*views, strict=True)
            if not begins:
                yield rows, own, [np.concatenate(pair, axis=1) for pair in zip(before, channels, strict=True)], older
            before, older = channels, states
            states = self._ask(channels, states, call)[1]

    def hide_in_windows(self, log: Rows, window_size: int, usual: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Return what `hide_in_stretches` does of members that judge windows, in all of which a sensor is hidden."""
        out = np.empty((len(asked), 1 + len(usual), len(self.classes)))
        hidden, seen = self._hidden_channels(usual), [log.seen_by(scaler, self.dtype) for scaler in self.scalers]
        windows = [LogWindows.from_stretches(rows.values, rows.starts, window_size) for rows in seen]
        with crew(self.n_jobs, len(self.members)) as call:
            for begin in range(0, len(asked), HIDDEN_WINDOWS):
                rows = slice(begin, begin + HIDDEN_WINDOWS)
                cut = [view[asked[rows]] for view in windows]  # one window ends at each row
                for k, shown in enumerate(_hide_in_turn(cut, hidden)):
                    out[rows, k] = mean_log_odds(np.stack(call(self._score_windows, self.members, cycle(shown))))
        return out

    def _hidden_channels(self, usual: np.ndarray) -> list[Hidden]:
        """Return for each sensor and scaler which channels are of the sensor, and what they are at its usual value."""
        still = [self._view(scaler, usual[None, None], None)[0][0, 0] for scaler in self.scalers]
        own = [
            [[sensor] if scaler is None else scaler.channels_of(sensor) for scaler in self.scalers]
            for sensor in range(len(usual))
        ]
        return [[(some, values[some]) for some, values in zip(channels, still, strict=True)] for channels in own]

    def _ask(self, channels: Any, states: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the probabilities (n_lanes, n_rows, n_classes) of members that go step by step, and their states."""
        proba, states = zip(*call(self._score_steps, self.members, cycle(channels), states), strict=True)
        return mean_log_odds(np.stack(proba)), states

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


def _hide_in_turn(seen: list[np.ndarray], hidden: list[Hidden]) -> Iterator[list[np.ndarray]]:
    """Yield channels by scaler (..., n_channels): as they are, then with each sensor in turn at its usual value."""
    yield seen
    for sensor in hidden:
        shown = [channels.copy() for channels in seen]
        for channels, (own, values) in zip(shown, sensor, strict=True):
            channels[..., own] = values
        yield shown
