"""``eventlstm score`` of a log that is longer than a piece: read, scored and written piece by piece."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..alarms.model_scores import find_threshold, make_policy
from ..fleets.fleet import CHUNK_ROWS
from ..fleets.log_columns import LogColumns, known_names
from ..fleets.log_scoring import LogScoring, score_long
from ..logs.units import tell_count


def score_long_log(model: Any, options: argparse.Namespace) -> bool:
    """Score a long log in memory that does not grow with it, and return whether this was done.

    A short one, and one that is not in the order of run and time, is left to those who read it whole.
    """
    if not _is_plain(model, options) or not hasattr(model, "feature_names_in_"):
        return False
    if known_names(model, options.time)[-1] is None:
        return False  # which is refused there
    columns = LogColumns.of(model, options.time, options.run or None)
    scoring = LogScoring(make_policy(model), columns, options.output.parent, None, options.raw, CHUNK_ROWS)
    counts = score_long(model, scoring, options.log, options.output, None)
    if counts is None:
        return False
    rows, runs, alarms = counts
    print(f"Wrote {rows} scores to {options.output}, in pieces of {tell_count(CHUNK_ROWS, 'row')}.")
    print(f"Alarms: {alarms} on {tell_count(runs, 'run')}, at a threshold of {find_threshold(model):.4f}.")
    return True


def _is_plain(model: Any, options: argparse.Namespace) -> bool:
    """Return whether scores of a table in a file go into a file, without labels to measure them by."""
    in_files = isinstance(options.log, Path) and options.log.is_file() and isinstance(options.output, Path)
    is_wide = (options.layout or ("long" if hasattr(model, "long_layout_") else "wide")) == "wide"
    asks_more = (options.label, options.events, options.query, options.table, options.alarms_table) != (None,) * 5
    return in_files and is_wide and not asks_more
