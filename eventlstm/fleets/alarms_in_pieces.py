"""The alarms of a log that is scored piece by piece, with a state along the run that goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..alarms.machine import AlarmMachine, Rules, cut_at_gaps
from ..logs.events import find_events, list_events
from ..logs.index import RowIndex
from ..logs.shared import IntArray
from .carried import Piece, Pieces

COLUMNS = ("run", "start", "end", "peak", "peak_score")


class AlarmsInPieces:
    """The flags of the rows of pieces, and the list of the alarms, as `AlarmPolicy` has them of the whole log."""

    def __init__(self, policy: AlarmPolicy) -> None:
        self.policy, self.pieces = policy, Pieces()
        self.machine, self.time = AlarmMachine(), np.empty(0)
        self.closed: list[pd.DataFrame] = []
        self.open: pd.DataFrame | None = None  # the alarm that the last row is under

    def flag(self, score: pd.Series) -> IntArray:
        """Return 1 on the rows of the next piece that are under alarm, else 0."""
        piece = self.pieces.read(score)
        rules = rules_of(self.policy, piece.rows.is_datetime)
        starts, flags = cut_at_gaps(piece.rows, rules.max_gap), np.empty(len(score), dtype=bool)
        goes_on = self._goes_on(piece, rules)
        for k, (begin, stop) in enumerate(zip(starts, np.append(starts[1:], len(flags)), strict=True)):
            if k or not goes_on:
                self.machine = AlarmMachine()
            see = self.machine.see
            told = zip(piece.rows.times[begin:stop].tolist(), score.to_numpy()[begin:stop].tolist(), strict=True)
            flags[begin:stop] = [see(rules, time, value) for time, value in told]
        self._list(score, flags, starts, goes_on)
        self.time = piece.rows.times[-1:].copy()
        return flags.astype(np.int64)

    def to_events(self) -> pd.DataFrame:
        """Return the alarms of all pieces, as `AlarmPolicy.to_events` does."""
        parts = [part for part in [*self.closed, self.open] if part is not None and len(part)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)

    def _goes_on(self, piece: Piece, rules: Rules) -> bool:
        """Return whether the last stretch goes on in the next piece."""
        if not piece.goes_on:
            return False
        times = np.concatenate([self.time, piece.rows.times[:1]])
        between = RowIndex(np.zeros(2, dtype=piece.rows.runs.dtype), times, piece.rows.is_datetime)
        return len(cut_at_gaps(between, rules.max_gap)) == 1

    def _list(self, score: pd.Series, flags: np.ndarray, starts: IntArray, goes_on: bool) -> None:
        first, last = find_events(flags, starts)
        events = list_events(score.index, first, last, score.to_numpy())
        if self.open is not None and goes_on and flags[0]:
            events = _joined(self.open, events)
        elif self.open is not None:
            self.closed.append(self.open)
        is_open = len(events) > 0 and bool(flags[-1])
        self.closed.append(events.iloc[: len(events) - is_open])
        self.open = events.iloc[-1:] if is_open else None


def _joined(before: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Return events whose first one has begun in the piece before."""
    kept: list[Any] = ["start"]
    if not events["peak_score"].iloc[0] > before["peak_score"].iloc[0]:
        kept += ["peak", "peak_score"]
    events = events.copy()
    for name in kept:
        events[name] = pd.concat([before[name].iloc[:1], events[name].iloc[1:]]).to_numpy()
    return events
