"""``eventlstm report`` of a log that is longer than a piece: read, scored and thinned out piece by piece."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..fleets.log_columns import LogColumns, known_names
from ..fleets.log_pieces import NotInPiecesError, count_rows, read_labelled_pieces
from ..fleets.onsets import Onsets
from ..fleets.piece_models import NoPiecesError
from ..fleets.report_in_pieces import Labelled, peek, report_in_pieces
from .labels import FLAGS, Classes, find_classes, plain_value, read_classes, read_horizon
from .report_page import budget_of, title_of

# Rows of a piece: fewer than where scores alone are written, as rows are kept beside them.
PIECE_ROWS = 50_000
# Rows up to which a log is measured as a whole, beside baselines.
MOST_ROWS = 1_000_000


def report_long_log(model: Any, options: argparse.Namespace, path: Path, name: str) -> dict[str, Any] | None:
    """Write the report of a long log in memory that does not grow with it, and return its numbers.

    None where it is short, or only the whole of it can be read, and nothing is written.
    """
    event = _event(model, options)
    if not _is_plain(model, options) or (options.label is not None and event is None) or not _is_long(options.log):
        return None
    columns = LogColumns.of(model, options.time, options.run or None)

    def read_marked(columns: LogColumns) -> Iterator[Any]:
        for frame, labels in read_labelled_pieces(options.log, columns, PIECE_ROWS, options.label, options.events):
            yield frame, None if labels is None else _mark(labels, event, model, options)

    def read() -> Iterator[Labelled]:
        return read_marked(columns) if onsets is None else onsets.reach_back(read_marked(columns), horizon)

    try:
        horizon, onsets = read_horizon(getattr(model, "horizon_", "0")), None
        if horizon and (options.label or options.events):
            onsets = Onsets.find(read_marked(columns._replace(sensors=())))
        first = peek(read())
        numbers = report_in_pieces(
            model,
            _Again(first, read),
            path,
            threshold=options.threshold,
            daily_budget=budget_of(model, has_days=True),
            title=title_of(options, name),
            random_state=options.seed,
        )
    except (NotInPiecesError, NoPiecesError, StopIteration):
        return None
    return numbers


class _Again:
    """Reads a log that has been begun, and then anew each time."""

    def __init__(self, first: Iterator[Labelled], read: Any) -> None:
        self.first: Iterator[Labelled] | None = first
        self.read = read

    def __call__(self) -> Iterator[Labelled]:
        """Return the pieces."""
        first, self.first = self.first, None
        return self.read() if first is None else first


def _is_plain(model: Any, options: argparse.Namespace) -> bool:
    """Return whether a table in a file is measured as it is, without what needs all of its rows at once."""
    in_file = isinstance(options.log, Path) and options.log.is_file() and hasattr(model, "feature_names_in_")
    is_wide = (options.layout or ("long" if hasattr(model, "long_layout_") else "wide")) == "wide"
    asks_more = (options.query, options.train) != (None,) * 2
    asks_more = asks_more or _is_contradictory(options)
    spans = [options.early, options.late]
    is_timeless = known_names(model, options.time)[-1] is None if in_file else True
    return in_file and is_wide and not asks_more and not is_timeless and not any(map(read_horizon, spans))


def _is_contradictory(options: argparse.Namespace) -> bool:
    """Return whether options do not go together, which is told where the whole log is read."""
    without_label = options.label is None and options.event is not None
    return without_label or (options.label is not None and options.events is not None)


def _is_long(path: Path) -> bool:
    try:
        return count_rows(path) > MOST_ROWS
    except (OSError, ValueError, EOFError):  # which is told where the log is read
        return False


def _event(model: Any, options: argparse.Namespace) -> Any:
    """Return the class of events, None where only all labels tell it."""
    if options.events is not None:
        return FLAGS.event
    if options.event is not None:
        return plain_value(options.event)
    known = Classes.of(model)
    return None if known is None else known.event


def _mark(labels: pd.Series, event: Any, model: Any, options: argparse.Namespace) -> np.ndarray:
    """Return which rows are of an event."""
    if labels.isna().any():
        raise NotInPiecesError("A label is missing.")
    y = read_classes(labels)
    if options.event is None and options.events is None:
        find_classes(y, options, Classes.of(model))
    marked: np.ndarray = (y == event).to_numpy(dtype=np.bool_)
    return marked
