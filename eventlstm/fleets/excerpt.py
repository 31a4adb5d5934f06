"""An excerpt of a log with more rows than a model learns from: its events, and quiet rows that stand for the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..logs.events import find_events, is_event
from ..logs.files import read_log
from ..logs.index import RowIndex, read_index
from ..logs.log import Log
from ..logs.shared import BoolArray, FloatArray, IntArray
from .carried import Pieces
from .log_columns import LogColumns
from .log_pieces import NotInPiecesError, read_pieces

# Rows that stay together: several windows of history, and the longest moving average of a view.
CELL_ROWS = 2048
# Rows after a skipped part that teach nothing: the moving averages of the views begin there anew.
WARM_UP_ROWS = 300
# Labels that a network sees by default before its steps end are fewer.
MOST_ROWS = 600_000
PIECE_ROWS = 2**17
MOST_CLASSES = 100


class Excerpt(NamedTuple):
    """Some rows of a log, and how many rows each stands for."""

    X: pd.DataFrame  # (n_kept, n_sensors)
    y: pd.Series  # (n_kept,)
    sample_weight: pd.Series  # (n_kept,)
    n_rows: int  # of the log


def read_excerpt(
    path: str | os.PathLike[str],
    *,
    time: str,
    label: str,
    run: str | Sequence[str] | None = None,
    sensors: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    max_rows: int = MOST_ROWS,
    before: Any = 0,
    random_state: Any = 0,
) -> Excerpt:
    """Read what there is to learn from a log, however long it is: its events whole, of its quiet rows a sample.

    A log of `max_rows` rows or fewer comes whole. Of a longer one come the rows of events and some thousand rows before
    and after each, and blocks of other rows drawn evenly over the log, which count for those left out by their weight.
    So its probabilities and false alarms are those of the log [1]_ [2]_, in memory and time that do not grow with it.

    Parameters
    ----------
    path : str or path-like
        A Parquet or CSV file, read in pieces where its rows are in the order of run and time; else whatever
        `read_log` reads, in memory as a whole.
    time, label, run, sensors, drop : object
        Columns, as in `read_log`. Rows of an event are those whose label is not the most frequent one.
    max_rows : int, default=600,000
        Rows to keep, or about half as many where events alone are more.
    before : int, number or time span, default=0
        Rows, or time, before each event that are to come with it, for a `horizon` of as much.
    random_state : int, RandomState or None, default=0
        Which blocks of quiet rows are drawn.

    Returns
    -------
    Excerpt
        ``(X, y, sample_weight, n_rows)``: a log as `read_log` has it, with gaps where rows were left out; how many rows
        of the log each row stands for, zero where it only leads up to others after a gap; and the rows of the log.

    Raises
    ------
    ValueError
        As `read_log`; or if `max_rows` is less than two blocks of 2,048 rows.

    See Also
    --------
    read_log : A log as a whole.
    EventClassifier : ``fit(X, y, sample_weight=sample_weight)``.
    choose_threshold : Counts by `sample_weight`, too.

    References
    ----------
    .. [1] D. G. Horvitz and D. J. Thompson, "A generalization of sampling without replacement from a finite universe",
       Journal of the American Statistical Association 47(260), 1952.
    .. [2] G. King and L. Zeng, "Logistic regression in rare events data", Political Analysis 9(2), 2001.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=200, failures_per_machine=1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "log.csv")
    ...     log.X.assign(failure=log.y).reset_index().to_csv(path, index=False)
    ...     excerpt = el.read_excerpt(path, time="time", run="machine", label="failure", max_rows=30_000)
    >>> len(excerpt.X) <= 30_000 < excerpt.n_rows == len(log.X)
    True
    >>> bool(excerpt.y.sum() == log.y.sum())
    True
    """
    if max_rows < 2 * CELL_ROWS:
        raise ValueError(
            f"max_rows={max_rows} is too few: blocks have {CELL_ROWS:,} rows. Take {2 * CELL_ROWS:,} or more."
        )
    runs, rng = ([run] if isinstance(run, str) else list(run or ())), check_random_state(random_state)
    columns = LogColumns(time, tuple(runs), None if sensors is None else (*sensors, label))
    try:
        survey = _survey(Path(path), columns._replace(sensors=(label,)))
        kept, weight = choose_rows(*survey, max_rows=max_rows, before=before, rng=rng)
        log = _take_pieces(Path(path), columns, label, drop, kept)
    except NotInPiecesError:
        log = read_log(path, time=time, run=run, label=label, sensors=sensors, drop=drop)
        kept, weight = choose_rows(read_index(log.X), is_event(log.y), max_rows=max_rows, before=before, rng=rng)
        log = log if kept.all() else _take(log, kept)
    assert log.y is not None
    return Excerpt(log.X, log.y, pd.Series(weight, index=log.X.index, name="sample_weight"), len(kept))


def choose_rows(
    rows: RowIndex, event: BoolArray, *, max_rows: int, before: Any, rng: np.random.RandomState
) -> tuple[BoolArray, FloatArray]:
    """Return which rows of a log to keep, (n_rows,), and how many rows each of these stands for, (n_kept,)."""
    if len(event) <= max_rows:
        return np.ones(len(event), dtype=bool), np.ones(len(event))
    cells, room = Cells(rows.run_starts, len(event)), max_rows // CELL_ROWS
    near = cells.near(rows, event, before)
    n_near = min(int(near.sum()), room // 2)
    chosen = np.zeros(cells.n_cells, dtype=bool)
    for stratum, n_chosen in ((near, n_near), (~near, min(int((~near).sum()), room - n_near))):
        chosen[np.flatnonzero(stratum)[_spread(int(stratum.sum()), n_chosen, rng)]] = True
    kept = cells.by_row(chosen)
    told = kept & ~(cells.first_rows(cells.after_gap(chosen)) & ~event)
    return kept, np.where(told, cells.by_row(cells.weigh(chosen, near, told)), 0.0)[kept]


class Cells:
    """Blocks of rows that a log is cut in, run by run, the last of each the shorter."""

    def __init__(self, run_starts: IntArray, n_rows: int) -> None:
        lengths = np.diff(np.append(run_starts, n_rows))
        own = -(-lengths // CELL_ROWS)
        self.n_rows, self.n_cells = n_rows, int(own.sum())
        self.run = np.repeat(np.arange(len(own)), own)
        number = np.arange(self.n_cells) - np.repeat(np.cumsum(own) - own, own)
        self.start = np.repeat(run_starts, own) + CELL_ROWS * number
        self.stop = np.append(self.start[1:], n_rows)
        self.begins_run = number == 0

    def of(self, rows: IntArray) -> IntArray:
        """Return the cells that rows lie in."""
        cells: IntArray = np.searchsorted(self.start, rows, side="right") - 1
        return cells

    def near(self, rows: RowIndex, event: BoolArray, before: Any) -> BoolArray:
        """Return the cells with rows of an event or as long `before` it, and one more at either side."""
        first, last = find_events(event, rows.run_starts)
        low, high = self.of(_lead(rows, first, before)), self.of(last)
        low = np.where(self.begins_run[low], low, low - 1)
        ends_run = np.append(self.begins_run[1:], True)
        high = np.where(ends_run[high], high, high + 1)
        change = np.bincount(low, minlength=self.n_cells + 1) - np.bincount(high + 1, minlength=self.n_cells + 1)
        is_near: BoolArray = np.cumsum(change)[: self.n_cells] > 0
        return is_near

    def after_gap(self, chosen: BoolArray) -> BoolArray:
        """Return the chosen cells whose run goes on from one that is not chosen."""
        return chosen & ~np.append(True, chosen[:-1]) & ~self.begins_run

    def by_row(self, values: np.ndarray) -> np.ndarray:
        """Return the value of its cell for each row, (n_rows,)."""
        return np.repeat(values, self.stop - self.start)

    def first_rows(self, chosen: BoolArray) -> BoolArray:
        """Return the first rows of some cells, (n_rows,)."""
        mask = np.zeros(self.n_rows, dtype=bool)
        for start, stop in zip(self.start[chosen], self.stop[chosen], strict=True):
            mask[start : min(start + WARM_UP_ROWS, stop)] = True
        return mask

    def weigh(self, chosen: BoolArray, near: BoolArray, told: BoolArray) -> FloatArray:
        """Return for how many rows the `told` ones of each cell stand: all of their kind, near events or not."""
        weight = np.ones(self.n_cells)
        for stratum in (near, ~near):
            if not chosen[stratum].all():
                rows = self.by_row(stratum)
                weight[stratum] = rows.sum() / max(int((told & rows).sum()), 1)
        return weight


def _lead(rows: RowIndex, first: IntArray, before: Any) -> IntArray:
    """Return the first rows, within their runs, that lie no longer than `before` some others."""
    starts = rows.run_starts
    begin = starts[rows.runs[first]]
    if isinstance(before, Integral):
        return np.maximum(first - int(before), begin)
    earliest = rows.times[first] - rows.span(before, "before")
    found = [
        start + np.searchsorted(rows.times[start:row], time)
        for start, row, time in zip(begin, first, earliest, strict=True)
    ]
    return np.array(found, dtype=np.intp)


def _spread(n_items: int, n_chosen: int, rng: np.random.RandomState) -> IntArray:
    """Return one item at random out of each of as many equal parts as are wanted: no rhythm of the log is hit."""
    places = (np.arange(n_chosen) + rng.uniform(size=n_chosen)) * (n_items / max(n_chosen, 1))
    return np.arange(n_items) if n_chosen == n_items else np.minimum(places.astype(np.intp), n_items - 1)


def _survey(path: Path, columns: LogColumns) -> tuple[RowIndex, BoolArray]:
    """Return the runs and times of a log, and which rows are of an event, read in pieces."""
    pieces, n_runs, classes = Pieces(), 0, pd.Index([], dtype=np.float64)
    runs, times, labels = [], [], []
    for frame in read_pieces(path, columns, PIECE_ROWS):
        piece, label = pieces.read(frame), frame.iloc[:, 0]
        found = pd.unique(label)
        classes = classes.union(found, sort=False)
        if len(classes) > MOST_CLASSES or label.isna().any():
            raise NotInPiecesError("The labels are none.")
        runs.append(piece.rows.runs + np.int32(n_runs - piece.goes_on))
        times.append(piece.rows.times)
        labels.append(classes.get_indexer(label).astype(np.int8))
        n_runs = int(runs[-1][-1]) + 1
    codes = np.concatenate(labels)
    quiet = np.bincount(codes).argmax()
    return RowIndex(np.concatenate(runs), np.concatenate(times), piece.rows.is_datetime), codes != quiet


def _take(log: Log, kept: BoolArray) -> Log:
    return Log(log.X[kept], None if log.y is None else log.y[kept])


def _take_pieces(path: Path, columns: LogColumns, label: str, drop: Sequence[str], kept: BoolArray) -> Log:
    """Return some rows of a log, read in pieces."""
    parts, n_rows = [], 0
    for frame in read_pieces(path, columns, PIECE_ROWS):
        own = kept[n_rows : n_rows + len(frame)]
        parts.append(frame.drop(columns=list(drop))[own])
        n_rows += len(frame)
    X = pd.concat(parts)
    y = X.pop(label)
    return Log(X, y.astype(np.int64) if (y == y.round()).all() else y)
