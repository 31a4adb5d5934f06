"""Blocks of a log drawn anew for the intervals of a report, by what each block holds instead of by its rows.

Rows of a block that nothing begins or ends in are taken together, and the rows by falling score are sorted once. A draw
of a million rows so takes milliseconds, and gives what measuring its rows would give.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ..logs.index import RowIndex
from ..logs.shared import BoolArray, FloatArray, IntArray
from ..metrics.intervals import Blocks, spread_out
from ..metrics.matching import Matched, match_alarms, place_events, reaches_of
from ..metrics.measured_rows import MeasuredRows
from .scored_log import ScoredLog


class Ranking(NamedTuple):
    """The rows of a log by falling score."""

    block: IntArray  # (n_rows,) of each row, down to the lowest score of an event
    begin: IntArray  # (n_ranks,) place after the last row with the score before, for each score of an event
    positive: IntArray  # (n_positive,) block of each row of an event
    first: IntArray  # (n_ranks,) place of the first of those with each score
    n_rows: FloatArray | None  # (n_rows,) how many rows of the log each stands for, None for itself alone
    n_positive: FloatArray | None  # (n_positive,)

    @classmethod
    def of(cls, scores: FloatArray, log: ScoredLog, block: IntArray) -> Self:
        """Return the rows of a log by some scores."""
        events, n_rows = log.events.measured.events, None if log.thinned is None else log.thinned.n_rows
        order = np.argsort(scores, kind="stable")[::-1]
        falling, places = -scores[order], np.flatnonzero(events[order])
        first = np.flatnonzero(np.append(len(places) > 0, np.diff(falling[places]) != 0))
        stop = np.searchsorted(falling, falling[places[first]], side="right")
        order, hits = order[: stop.max(initial=0)], order[places]
        weights = (None, None) if n_rows is None else (n_rows[order], n_rows[hits])
        return cls(block[order], np.append(0, stop)[:-1], block[hits], first, *weights)

    def count_rows(self, times_drawn: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows of events, and all rows, at or above each score of an event, blocks being drawn so often."""
        if not len(self.first):
            return np.zeros(1), np.ones(1)
        hits = _count_up(times_drawn[self.positive], self.n_positive, self.first)
        return hits, _count_up(times_drawn[self.block], self.n_rows, self.begin)


def _count_up(times_drawn: IntArray, n_rows: FloatArray | None, begin: IntArray) -> FloatArray:
    counts = times_drawn if n_rows is None else times_drawn * n_rows
    return np.add.reduceat(counts, begin).cumsum().astype(np.float64)


class Segments(NamedTuple):
    """Rows that stand together, within a block, an alarm or none, an event or none, and the time around one or not."""

    begin: IntArray  # (n_blocks + 1,) the first segment of each block, and the end
    times: np.ndarray  # (n_segments,) of the first row
    is_datetime: bool
    observed: FloatArray  # (n_segments,) how long they stand for
    events: BoolArray  # (n_segments,)
    flags: BoolArray  # (n_segments,)
    is_start: BoolArray  # (n_segments,) whether a stretch begins
    is_restart: BoolArray  # (n_segments,) whether the rules that raise alarms begin anew
    first: IntArray  # (n_events,) segment that each event begins at
    back: IntArray  # (n_events,) how many segments before it an alarm for it may come
    on: IntArray  # (n_events,) and how many after its last one

    @classmethod
    def of(cls, log: ScoredLog, flags: BoolArray, blocks: Blocks) -> Self:
        """Return the segments of a log with the alarms of one threshold."""
        measured = log.events.measured
        first, last = measured.true_events
        low, high = reaches_of(measured, log.spans["early"], log.spans["late"])
        changes = np.flatnonzero(flags[1:] != flags[:-1]) + 1
        parts = (blocks.first, measured.starts, log.restarts, changes, first, last + 1, low, high + 1)
        rows = np.unique(np.concatenate(parts))
        rows = rows[rows < len(flags)]

        def at(row: IntArray) -> IntArray:
            return np.searchsorted(rows, row, side="right") - 1

        return cls(
            np.append(at(blocks.first), len(rows)),
            log.rows.times[rows],
            log.rows.is_datetime,
            np.add.reduceat(log.observed, rows),
            measured.events[rows],
            flags[rows],
            np.isin(rows, measured.starts),
            np.isin(rows, log.restarts),
            at(first),
            at(first) - at(low),
            at(high) - at(last),
        )

    def match(self, block: IntArray, run: IntArray, match: str) -> Matched:
        """Return the events and alarms of some blocks, each of a run, rows being segments."""
        lengths = self.begin[block + 1] - self.begin[block]
        drawn, runs = spread_out(self.begin[block], lengths), np.repeat(run, lengths).astype(np.int32)
        index = RowIndex(runs, self.times[drawn], self.is_datetime)
        is_new = np.append(True, runs[1:] != runs[:-1])
        measured = MeasuredRows(self.events[drawn], index, np.flatnonzero(is_new | self.is_start[drawn]))
        first, last = measured.true_events
        event, stretch = np.searchsorted(self.first, drawn[first]), measured.stretch_of(first)
        low = np.maximum(first - self.back[event], measured.starts[stretch])
        high = np.minimum(last + self.on[event], measured.stops[stretch] - 1)
        events = place_events(measured, low, high, self.observed[drawn])
        return match_alarms(events, self.flags[drawn], match, np.flatnonzero(self.is_restart[drawn]))
