"""The rows before the events of a log that comes in pieces: where events begin is found by looking through it once."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from ..logs.events import event_onsets
from ..logs.index import RowIndex
from ..logs.shared import BoolArray, FloatArray, IntArray
from .carried import Pieces

Marked = tuple[pd.DataFrame, BoolArray]


class Onsets(NamedTuple):
    """Where events and runs begin in a log, as numbers of its rows."""

    rows: IntArray  # (n_events,)
    times: FloatArray  # (n_events,) in the unit of the index, nanoseconds of date-times
    run_starts: IntArray  # (n_runs,)

    @classmethod
    def find(cls, pieces: Iterator[Marked]) -> Self:
        """Look through the pieces of a log, each with which of its rows are of an event."""
        seen, n_rows, was_event = Pieces(), 0, False
        rows, times, run_starts = [], [], []
        for frame, events in pieces:
            piece = seen.read(frame)
            begins = event_onsets(events, piece.rows.runs)
            begins[0] &= not (piece.goes_on and was_event)
            rows.append(n_rows + np.flatnonzero(begins))
            times.append(piece.rows.times[begins])
            run_starts.append(n_rows + piece.rows.run_starts[int(piece.goes_on) :])
            n_rows, was_event = n_rows + len(frame), bool(events[-1])
        return cls(np.concatenate(rows), np.concatenate(times), np.concatenate(run_starts))

    def reach_back(self, pieces: Iterator[Marked], horizon: Any) -> Iterator[Marked]:
        """Yield pieces whose rows before an event are marked too, as `horizon_labels` does it for a whole log.

        Parameters
        ----------
        pieces : iterator
            The pieces of the log that was looked through.
        horizon : int, number or time span
            How long before an event: an int counts rows.

        Yields
        ------
        tuple of DataFrame and ndarray of bool of shape (n_rows,)
            The pieces.
        """
        seen, n_rows = Pieces(), 0
        for frame, events in pieces:
            here = seen.read(frame).rows
            yield frame, events | self._is_near(here, n_rows, horizon)
            n_rows += len(frame)

    def _is_near(self, here: RowIndex, n_before: int, horizon: Any) -> BoolArray:
        """Return whether the next event of its run begins within a horizon of each row of a piece."""
        row = n_before + np.arange(len(here.times))
        following = np.searchsorted(self.rows, row, side="right")
        end = np.append(self.run_starts, np.iinfo(np.int64).max)[np.searchsorted(self.run_starts, row, side="right")]
        exists = np.append(self.rows, np.iinfo(np.int64).max)[following] < end
        counts_rows = isinstance(horizon, Integral)
        at, own = (self.rows, row) if counts_rows else (self.times, here.times)
        span = horizon if counts_rows else here.span(horizon, "horizon")
        near = np.zeros(len(row), dtype=np.bool_)
        near[exists] = at[following[exists]] - own[exists] <= span
        return near
