"""A log that comes piece by piece: where its stretches begin, and steps that carry a state along the one that goes on.

Rows are ``(n_rows, n_sensors)``. Of a piece, the first stretch may go on from the piece before, and the last goes on in
the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..logs.causal_gaps import GapRule
from ..logs.index import RowIndex, read_index, run_names
from ..logs.lanes import BLOCK_ROWS, Step, walk
from ..logs.shared import IntArray
from ..logs.steps import BLOCK_ROWS as STEPS_AT_ONCE


class Piece(NamedTuple):
    """What the index of a piece says."""

    rows: RowIndex
    names: list[str]  # of its runs
    goes_on: bool  # whether its first run is the last one of the piece before


class Pieces:
    """Reads the index of one piece after the other, each of which goes on where the one before has ended."""

    def __init__(self) -> None:
        self.last: tuple[Any, Any] | None = None  # run and time of the last row
        self.known: set[Any] = set()

    def read(self, frame: pd.DataFrame) -> Piece:
        """Return what the index of the next piece says, refusing one that is not in the order of run and time."""
        rows = read_index(frame)
        first = np.flatnonzero(np.diff(rows.runs, prepend=-1))
        runs = [_run_of(frame.index, row) for row in first.tolist()]
        goes_on = self.last is not None and self.last[0] == runs[0]
        again = next((run for run in runs[goes_on:] if run in self.known), None)
        if again is not None or (goes_on and self.last is not None and rows.times[0] <= self.last[1]):
            raise ValueError(
                f"A piece begins at {frame.index[0]}, which is not after the one before. Pass the rows of a run "
                "together and in the order of time."
            )
        self.known.update(runs)
        self.last = runs[-1], rows.times[-1]
        return Piece(rows, run_names(frame), goes_on)


class Cut(NamedTuple):
    """The stretches of a piece."""

    starts: IntArray  # (n_stretches,) their first rows, the first being 0
    goes_on: bool  # whether the first has begun in a piece before
    age: int  # how many rows of it came before


class Cutter:
    """Cuts pieces into stretches by the rule of an estimator, as `cut_causally` cuts the whole log."""

    def __init__(self, rule: GapRule) -> None:
        self.rule, self.pace = rule, rule.start(1)
        self.time, self.age = np.empty(0), 0

    def cut(self, piece: Piece) -> Cut:
        """Return the stretches of the next piece."""
        times, first = piece.rows.times, piece.rows.run_starts
        begins = np.zeros(len(times), dtype=bool)
        for k, (begin, stop) in enumerate(zip(first, np.append(first[1:], len(times)), strict=True)):
            goes_on = piece.goes_on and not k
            before = self.time if goes_on else times[:0]
            if not goes_on:
                self.pace, begins[begin] = self.rule.start(1), True
            own = np.concatenate([before, times[begin:stop]])
            begins[stop - len(own) + 1 : stop] |= self._find(own)
        self.time = times[-1:].copy()
        cut = Cut(np.union1d(0, np.flatnonzero(begins)), not begins[0], 0 if begins[0] else self.age)
        self.age = len(times) - int(cut.starts[-1]) + (cut.age if len(cut.starts) == 1 else 0)
        return cut

    def _find(self, times: np.ndarray) -> np.ndarray:
        """Return whether a stretch begins at each row of a run after the first that is given."""
        begins = np.zeros(max(len(times) - 1, 0), dtype=bool)
        for block in range(0, len(times) - 1, STEPS_AT_ONCE):
            part = times[None, block : block + STEPS_AT_ONCE + 1]
            is_gap, self.pace = self.rule.find(np.diff(part), part[:, 1:], self.pace)
            begins[block : block + part.shape[1] - 1] = is_gap[0]
        return begins


def go_on(
    step: Step,
    values: np.ndarray,
    cut: Cut,
    state: Any,
    out: np.ndarray,
    *,
    warm_up: int = 0,
    block_rows: int = BLOCK_ROWS,
) -> Any:
    """Write what `step` makes of the rows of a piece into `out`, as `walk` does, and return the state after them."""
    stops, last = np.append(cut.starts[1:], len(values)), len(cut.starts) - 1

    def carry(stretch: int, state: Any, age: int) -> Any:
        rows = slice(cut.starts[stretch], stops[stretch])
        return _carry(
            step, values[rows], state, out[rows], 0 if age else warm_up, age + warm_up * (age > 0), block_rows
        )

    if cut.goes_on:
        state = carry(0, state, cut.age)
    whole = cut.starts[int(cut.goes_on) : last]  # these begin and end here, and go side by side
    if len(whole):
        rows = slice(whole[0], cut.starts[last])
        walk(step, values[rows], whole - whole[0], out[rows], warm_up=warm_up, block_rows=block_rows)
    return state if cut.goes_on and not last else carry(last, None, 0)


def _carry(
    step: Step, values: np.ndarray, state: Any, out: np.ndarray, warm_up: int, past: int, block_rows: int
) -> Any:
    """Go through rows of one stretch, of which `past` steps came before, in the blocks that `walk` would take."""
    begin = -warm_up
    while begin < len(values):
        stop = min(begin + block_rows - (begin + warm_up + past) % block_rows, len(values))
        rows = np.maximum(np.arange(begin, stop), 0)
        result, state = step(values[None, rows], state)
        out[max(begin, 0) : stop] = result[0, max(-begin, 0) :]
        begin = stop
    return state


def _run_of(index: pd.Index, row: int) -> Any:
    """Return what names the run of a row."""
    return index[row][:-1] if index.nlevels > 1 else ()
