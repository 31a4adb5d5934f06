"""The rows that are looked at to tell why an event was found: the first of its alarm."""

from __future__ import annotations

import numpy as np

from ..logs.shared import IntArray
from .scored_log import ScoredLog

# Rows of an alarm that are looked at. On made logs the planted sensor was the first by the first of these in 93 to 97 %
# of events found, by ten in 96 to 100 %.
OPENING_ROWS = 10


def find_openings(log: ScoredLog, threshold: float) -> tuple[IntArray, IntArray]:
    """Return the first and the last row to look at for each event, (n_events,) both.

    Of an event that is found, these are the first ten rows of its alarm; of one that is missed, the ten of its rows
    that lead up to its highest score.
    """
    matched, (first, last) = log.at(threshold), log.events.measured.true_events
    runs, spans = log.rows.runs, []
    for begin, end, at in zip(first, last, matched.found_at, strict=True):
        if at < 0:
            peak = begin + int(np.argmax(log.scores[begin : end + 1]))
            spans.append((max(begin, peak - OPENING_ROWS + 1), peak))
        else:
            later = slice(at, at + OPENING_ROWS)
            on = matched.flags[later] & (runs[later] == runs[at])
            spans.append((at, at + int(np.argmin(np.append(on, False))) - 1))
    rows = np.array(spans, dtype=np.intp).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]
