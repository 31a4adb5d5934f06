"""The log that ``eventlstm fit`` learns from: read whole, or of a long one an excerpt."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..fleets.excerpt import MOST_ROWS, read_excerpt
from ..logs.columns import PARQUET_SUFFIXES
from ..logs.log import Log
from .labels import read_horizon
from .sources import read_to_learn

# The least that a row takes in a CSV file, in bytes: a time, a run, a label and a sensor or two.
SHORTEST_ROW = 24


def read_to_fit(options: argparse.Namespace) -> tuple[Log, np.ndarray | None]:
    """Return the log to fit on and, where it is an excerpt, how many rows of the log each of its rows stands for."""
    max_rows = MOST_ROWS if options.max_rows is None else options.max_rows
    if not _is_plain(options) or not _may_be_long(options.log, max_rows):
        return read_to_learn(options)[0], None
    excerpt = read_excerpt(
        options.log,
        time=options.time,
        run=options.run,
        label=options.label,
        events=options.events,
        drop=options.drop,
        max_rows=max_rows,
        before=read_horizon(options.horizon),
    )
    log = Log(excerpt.X, excerpt.y)
    if len(log.X) == excerpt.n_rows:
        return log, None
    print(
        f"Of {excerpt.n_rows:,} rows, {len(log.X):,} are learnt from (--max-rows): those near events, and quiet ones "
        f"that stand for up to {excerpt.sample_weight.max():.1f} each.",
        flush=True,
    )
    return log, excerpt.sample_weight.to_numpy()


def _is_plain(options: argparse.Namespace) -> bool:
    """Return whether the log is a table in a file."""
    in_file = isinstance(options.log, Path) and options.log.is_file()
    return in_file and options.query is None and options.layout in (None, "wide")


def _may_be_long(path: Path, max_rows: int) -> bool:
    if path.name.lower().endswith(PARQUET_SUFFIXES):
        import pyarrow.parquet

        return bool(pyarrow.parquet.read_metadata(path).num_rows > max_rows)
    return path.stat().st_size > SHORTEST_ROW * max_rows
