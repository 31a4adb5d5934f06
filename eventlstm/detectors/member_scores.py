"""The scores of a log: its members heard at every row, each through the channels that it sees.

Probabilities are ``(n_rows, n_classes)``, a column for each class of the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice, repeat
from typing import Any, NamedTuple

import numpy as np

from ..logs.input_scaler import InputScaler
from ..logs.lanes import BLOCK_ROWS, LANES, lane_blocks, walk
from ..logs.log_windows import LogWindows
from ..logs.rows import Rows
from ..recurrent.members import by_block, mean_log_odds, of_all_classes, takes_3d
from ..training.crew import crew, side_by_side

# Windows of each member that are asked with a sensor hidden at a time, and rows of all lanes where several sensors are
# hidden side by side: a network takes 9 lanes of 64 rows in little more time than one.
HIDDEN_WINDOWS, HIDDEN_ROWS = 1024, 4096
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
            for rows, wanted, seen, states in self._blocks_asked(log, window_size, is_asked, call):
                places, k = np.searchsorted(asked, rows[wanted]), 0
                for some in self._group(_hide_in_turn(seen, hidden), seen[0].shape[0] * seen[0].shape[1]):
                    proba = self._ask_group(some, states, call)[:, :, -rows.shape[1] :]
                    out[places, k : k + len(some)] = proba[:, wanted].swapaxes(0, 1)
                    k += len(some)
        return out

    def _blocks_asked(self, log: Rows, size: int, is_asked: np.ndarray, call: Callable[..., Any]) -> Iterator[Any]:
        """Yield the rows of each block of lanes with a row that is asked, and which are; what is seen until then.

        The latter are channels by scaler (n_lanes, 2 * size, n_channels) of the block before and of this one, and come
        with the states before both. Blocks of `size` rows are counted from the start of a stretch; before the first are
        as many copies of its first row.
        """
        waiting: list[np.ndarray] = []
        state, n_lanes = None, min(LANES, 1 + BLOCK_ROWS // size)
        for rows, own, begins in lane_blocks(log.starts, len(log.values), warm_up=size, n_steps=size, n_lanes=n_lanes):
            waiting, state = ([], None) if begins else (waiting, state)
            waiting.append(rows)
            wanted = own & is_asked[rows]
            if waiting[:-2] and (wanted.any() or len(waiting) * rows.size > BLOCK_ROWS):
                state = self.step(log.values[np.concatenate(waiting[:-2], axis=1)], state, call)[1]
                waiting = waiting[-2:]
            if wanted.any():  # never in the first block, of copies
                lanes = log.values[np.concatenate(waiting, axis=1)]
                pasts, states = state or (repeat(None), repeat(None))
                views = [self._view(scaler, lanes, past) for scaler, past in zip(self.scalers, pasts, strict=False)]
                yield rows, wanted, [channels for channels, _ in views], states

    def _group(self, turns: Iterator[list[np.ndarray]], n_rows: int) -> Iterator[list[list[np.ndarray]]]:
        """Yield as many at a time of what members are shown in turn, of `n_rows` each, as they take side by side."""
        can_repeat = all(hasattr(member, "repeat_state") for member in self.members)
        size = max(1, HIDDEN_ROWS // n_rows) if can_repeat else 1
        while some := list(islice(turns, size)):
            yield some

    def _ask_group(self, turns: list[list[np.ndarray]], states: Any, call: Callable[..., Any]) -> np.ndarray:
        """Return the probabilities (n_turns, n_lanes, n_rows, n_classes) for what members are shown in turn."""
        channels = [np.concatenate(same) for same in zip(*turns, strict=True)]  # (n_turns * n_lanes, n_rows, ...)
        if len(turns) > 1:
            states = [m.repeat_state(state, len(turns)) for m, state in zip(self.members, states, strict=False)]
        proba = self._ask(channels, states, call)[0]
        return proba.reshape(len(turns), -1, *proba.shape[1:])

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
