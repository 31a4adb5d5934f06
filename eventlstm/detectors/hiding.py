"""What members say of some rows of a log when one sensor after the other is hidden, standing at its usual value.

A sensor is hidden in its moves, before a view mixes it with others: whatever the members see through, it then shows
what a sensor that stands still at that value does. Probabilities are ``(n_asked, 1 + n_sensors, n_classes)``: with all
sensors, then with each hidden in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..logs.lanes import BLOCK_ROWS, LANES, lane_blocks
from ..logs.rows import Rows
from ..recurrent.members import BLOCK
from ..training.crew import crew
from .member_scores import Ensemble

# Rows where several sensors are hidden side by side: a network takes 9 lanes of 64 rows in little more time than one.
HIDDEN_ROWS = 4096


def hide_in_stretches(
    ensemble: Ensemble, log: Rows, window_size: int, usual: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Return the probabilities at some rows from members that go step by step.

    A sensor stands at its `usual` value (n_sensors,) since the block before the one that a row lies in. Beyond the
    result, memory does not grow with the log.
    """
    out, is_asked = _prepare(ensemble, log, usual, asked)
    still = ensemble.move(usual[None, None])[0]
    can_repeat = all(hasattr(member, "repeat_state") for member in ensemble.members)
    with crew(ensemble.n_jobs, len(ensemble.members)) as call:
        for rows, wanted, moves, states in _blocks_asked(ensemble, log, window_size, is_asked, call):
            places, k = np.searchsorted(asked, rows[wanted]), 0
            n_turns = max(1, HIDDEN_ROWS // moves[0][..., 0, 0].size) if can_repeat else 1
            for channels, n in _side_by_side(_hide_in_turn(ensemble, moves, still), n_turns):
                proba = ensemble.ask_steps(channels, _repeat(ensemble.members, states, n), call)[0]
                proba = proba[:, -rows.shape[1] :].reshape(n, *rows.shape, -1)
                out[places, k : k + n] = proba[:, wanted].swapaxes(0, 1)
                k += n
    return out


def hide_in_windows(
    ensemble: Ensemble, log: Rows, window_size: int, usual: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Return the probabilities at some rows from members that judge windows, in all of which a sensor is hidden."""
    out, is_asked = _prepare(ensemble, log, usual, asked)
    still = ensemble.move(usual[None, None])[0]
    with crew(ensemble.n_jobs, len(ensemble.members)) as call:
        for rows, inside, moves in _windows_asked(ensemble, log, window_size, is_asked):
            places, k = np.searchsorted(asked, rows), 0
            n_turns = max(1, HIDDEN_ROWS // (len(rows) * window_size))
            for channels, n in _side_by_side(_hide_in_turn(ensemble, moves, still), n_turns):
                windows = [_cut(seen, inside, n) for seen in channels]
                proba = ensemble.ask_windows(windows, call).reshape(n, len(rows), -1)
                out[places, k : k + n] = proba.swapaxes(0, 1)
                k += n
    return out


def _prepare(ensemble: Ensemble, log: Rows, usual: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the probabilities go, and whether a row is asked."""
    is_asked = np.zeros(len(log.values), dtype=bool)
    is_asked[asked] = True
    return np.empty((len(asked), 1 + len(usual), len(ensemble.classes))), is_asked


def _blocks_asked(
    ensemble: Ensemble, log: Rows, size: int, is_asked: np.ndarray, call: Callable[..., Any]
) -> Iterator[Any]:
    """Yield the rows of each block of lanes with a row that is asked, and which are; what moves until then.

    The latter are moves by scaler (n_lanes, 2 * size, n_moves, n_sensors) of the block before and of this one, and come
    with the states of the members before both. Blocks of `size` rows are counted from the start of a stretch; before
    the first are as many copies of its first row.
    """
    waiting: list[np.ndarray] = []
    state, n_lanes = None, min(LANES, 1 + BLOCK_ROWS // size)
    for rows, own, begins in lane_blocks(log.starts, len(log.values), warm_up=size, n_steps=size, n_lanes=n_lanes):
        waiting, state = ([], None) if begins else (waiting, state)
        waiting.append(rows)
        wanted = own & is_asked[rows]
        if waiting[:-2] and (wanted.any() or len(waiting) * rows.size > BLOCK_ROWS):
            state = ensemble.step(log.values[np.concatenate(waiting[:-2], axis=1)], state, call)[1]
            waiting = waiting[-2:]
        if wanted.any():  # never in the first block, of copies
            pasts, states = state or (None, [None] * len(ensemble.members))
            moves = ensemble.move(log.values[np.concatenate(waiting, axis=1)], pasts)[0]
            yield rows, wanted, moves, states


def _windows_asked(
    ensemble: Ensemble, log: Rows, size: int, is_asked: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    """Yield some rows that are asked, and the windows that end there: copies of its first row are before a stretch.

    Windows are places (n_rows, size) in the rows that they share, whose moves by scaler (n_shared, n_moves, n_sensors)
    come last.
    """
    pasts: Any = None
    tails: list[np.ndarray] = []
    for rows, own, begins in lane_blocks(log.starts, len(log.values), block_rows=BLOCK):
        moves, pasts = ensemble.move(log.values[rows], None if begins else pasts)
        tails = [np.repeat(seen[:, :1], size - 1, axis=1) for seen in moves] if begins else tails
        moves = [np.concatenate(parts, axis=1) for parts in zip(tails, moves, strict=True)]
        tails = [seen[:, rows.shape[1] :].copy() for seen in moves]  # views would keep the block
        lane, step = np.nonzero(own & is_asked[rows])
        for begin in range(0, len(lane), max(1, BLOCK_ROWS // size)):
            some = slice(begin, begin + max(1, BLOCK_ROWS // size))
            inside = lane[some, None] * moves[0].shape[1] + step[some, None] + np.arange(size)
            shared, places = np.unique(inside, return_inverse=True)
            seen = [lanes.reshape(-1, *lanes.shape[2:])[shared] for lanes in moves]
            yield rows[lane[some], step[some]], places.reshape(inside.shape), seen


def _cut(channels: np.ndarray, places: np.ndarray, n_turns: int) -> np.ndarray:
    """Return windows (n_turns * n_windows, size, n_channels) of channels (n_turns * n_shared, n_channels)."""
    turns = channels.reshape(n_turns, -1, channels.shape[-1])
    return turns[:, places].reshape(-1, places.shape[1], channels.shape[-1])


def _hide_in_turn(ensemble: Ensemble, moves: list[np.ndarray], still: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield channels by scaler (..., n_channels): as they are, then with each sensor in turn moving as a still one."""
    yield ensemble.to_channels(moves)
    for sensor in range(moves[0].shape[-1]):
        hidden = [seen.copy() for seen in moves]
        for seen, standing in zip(hidden, still, strict=True):
            seen[..., sensor] = standing[0, 0, :, sensor]
        yield ensemble.to_channels(hidden)


def _side_by_side(turns: Iterator[list[np.ndarray]], n_turns: int) -> Iterator[tuple[list[np.ndarray], int]]:
    """Yield the channels of some turns at a time, (n_turns * n_lanes, n_rows, n_channels), and of how many."""
    while some := list(islice(turns, n_turns)):
        yield [np.concatenate(same) for same in zip(*some, strict=True)], len(some)


def _repeat(members: list[Any], states: Any, n_turns: int) -> Any:
    """Return the states of members as those of `n_turns` times as many lanes."""
    if n_turns == 1:
        return states
    return [member.repeat_state(state, n_turns) for member, state in zip(members, states, strict=True)]
