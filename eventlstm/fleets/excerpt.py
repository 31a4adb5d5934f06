"""An excerpt of a log with more rows than a model learns from: its events, and quiet rows that stand for the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
from .log_pieces import NotInPiecesError, read_labelled_pieces, read_pieces

# Rows that a log is cut in: what comes with an event on either side is one of them at least, and history enough.
CELL_ROWS = 512
# Quiet ones that stay together, and the rows after a gap that teach nothing: there the moving averages begin anew.
CELLS_A_BLOCK, WARM_UP_ROWS = 4, 300
# Three passes over as many are 2,900 steps, and a fit takes less than a GiB for eight sensors.
MOST_ROWS = 500_000
NEAR_SHARE = 0.75  # of the rows, at most, for events and what is around them
PIECE_ROWS = 2**15
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
    label: str | None = None,
    events: str | os.PathLike[str] | None = None,
    run: str | Sequence[str] | None = None,
    sensors: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    max_rows: int = MOST_ROWS,
    before: Any = 0,
    random_state: Any = 0,
) -> Excerpt:
    """Read what there is to learn from a log, however long it is: its events whole, of its quiet rows a sample.

    A log of `max_rows` rows or fewer comes whole. Of a longer one come the rows of events and 512 rows or more before
    and after each, and blocks of other rows drawn evenly over the log, which count for those left out by their weight.
    So its probabilities and false alarms are those of the log [1]_ [2]_, in memory and time that do not grow with it.

    Parameters
    ----------
    path : str or path-like
        A Parquet or CSV file, read in pieces where the rows of each run are in the order of time; else whatever
        `read_log` reads, in memory as a whole.
    time, label, events, run, sensors, drop : object
        Columns, and a file of events instead of the label, as in `read_log`. Rows of an event are those whose label is
        not the most frequent one, or those within an event of the file.
    max_rows : int, default=500,000
        Rows to keep at most. Where events and what is around them are more than three quarters of these, they
        are drawn, too.
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
        As `read_log`; if `max_rows` is less than 4,096, two blocks of quiet rows; or if not just one of `label` and
        `events` is given.

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
    least = 2 * CELL_ROWS * CELLS_A_BLOCK
    if max_rows < least:
        raise ValueError(f"max_rows={max_rows} is too few for a block of quiet rows. Take {least:,} or more.")
    if (label is None) == (events is None):
        raise ValueError(f"label={label!r} and events={events!r} were given, where one of them is wanted.")
    runs, rng = ([run] if isinstance(run, str) else list(run or ())), check_random_state(random_state)
    columns = LogColumns(time, tuple(runs), None if sensors is None else tuple(sensors))
    source = Source(Path(path), columns, label, None if events is None else Path(events))
    try:
        survey = _survey(source, before)
        kept, weight = choose_rows(survey, max_rows=max_rows, before=before, rng=rng)
        del survey
        log = _take_pieces(source, drop, kept)
    except NotInPiecesError:
        log = read_log(path, time=time, run=run, label=label, events=events, sensors=sensors, drop=drop)
        kept, weight = choose_rows(
            _survey_of(log, before, is_marked=events is not None), max_rows=max_rows, before=before, rng=rng
        )
        log = log if kept.all() else _take(log, kept)
    assert log.y is not None
    return Excerpt(log.X, log.y, pd.Series(weight, index=log.X.index, name="sample_weight"), len(kept))


class Source(NamedTuple):
    """A log in a file."""

    path: Path
    columns: LogColumns
    label: str | None
    events: Path | None

    def read(self, *, bare: bool = False) -> Iterator[tuple[pd.DataFrame, pd.Series]]:
        """Yield its pieces with their labels, `bare` of sensors."""
        columns = self.columns._replace(sensors=()) if bare else self.columns
        if self.label is None:
            for frame, labels in read_labelled_pieces(self.path, columns, PIECE_ROWS, events=self.events):
                assert labels is not None
                yield frame, labels
            return
        asked = None if columns.sensors is None else (*columns.sensors, self.label)
        for frame in read_pieces(self.path, columns._replace(sensors=asked), PIECE_ROWS):
            labels = frame.pop(self.label)
            yield frame, labels


class Survey(NamedTuple):
    """What there is to choose from in a log."""

    run_starts: IntArray  # (n_runs,) first row of each run
    event: BoolArray  # (n_rows,)
    times: RowIndex | None  # where events are to come with some time before them


def choose_rows(
    survey: Survey, *, max_rows: int, before: Any, rng: np.random.RandomState
) -> tuple[BoolArray, FloatArray]:
    """Return which rows of a log to keep, (n_rows,), and how many rows each of these stands for, (n_kept,)."""
    n_rows = len(survey.event)
    if n_rows <= max_rows:
        return np.ones(n_rows, dtype=bool), np.ones(n_rows)
    cells, room = Cells(survey.run_starts, n_rows), max_rows // CELL_ROWS
    near = cells.near(survey, before)
    chosen = _draw(near, np.arange(cells.n_cells), int(NEAR_SHARE * room), rng)
    chosen |= _draw(~near, cells.block, (room - int(chosen.sum())) // CELLS_A_BLOCK, rng)
    kept = cells.by_row(chosen)
    told = ~(cells.first_rows(cells.after_gap(chosen)) & ~survey.event)[kept]
    of_cell = np.repeat(np.flatnonzero(chosen), (cells.stop - cells.start)[chosen])  # (n_kept,)
    return kept, np.where(told, cells.weigh(chosen, near, of_cell[told])[of_cell], 0.0)


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
        self.block = np.cumsum(number % CELLS_A_BLOCK == 0)

    def of(self, rows: IntArray) -> IntArray:
        """Return the cells that rows lie in."""
        cells: IntArray = np.searchsorted(self.start, rows, side="right") - 1
        return cells

    def near(self, survey: Survey, before: Any) -> BoolArray:
        """Return the cells with rows of an event or as long `before` it, and one more at either side."""
        first, last = find_events(survey.event, survey.run_starts)
        low, high = self.of(_lead(survey, first, before)), self.of(last)
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

    def weigh(self, chosen: BoolArray, near: BoolArray, told: IntArray) -> FloatArray:
        """Return for how many rows those of each cell stand, of which `told` are the cells: all of their kind."""
        size, weight = self.stop - self.start, np.ones(self.n_cells)
        for stratum in (near, ~near):
            if not chosen[stratum].all():
                weight[stratum] = size[stratum].sum() / max(int(stratum[told].sum()), 1)
        return weight


def _lead(survey: Survey, first: IntArray, before: Any) -> IntArray:
    """Return the first rows, within their runs, that lie no longer than `before` some others."""
    begin = survey.run_starts[np.searchsorted(survey.run_starts, first, side="right") - 1]
    if survey.times is None:
        return np.maximum(first - int(before), begin)
    times = survey.times.times
    earliest = times[first] - survey.times.span(before, "before")
    spans = zip(begin, first, earliest, strict=True)
    return np.array([start + np.searchsorted(times[start:row], time) for start, row, time in spans], dtype=np.intp)


def _draw(stratum: BoolArray, group: IntArray, n_groups: int, rng: np.random.RandomState) -> BoolArray:
    """Return which of the cells of a stratum to keep: those of so many groups at most.

    One group at random out of each of as many equal parts, so that no rhythm of the log is hit.
    """
    groups = np.unique(group[stratum])
    if len(groups) <= n_groups:
        return stratum.copy()
    places = (np.arange(n_groups) + rng.uniform(size=n_groups)) * (len(groups) / max(n_groups, 1))
    return stratum & np.isin(group, groups[np.minimum(places.astype(np.intp), len(groups) - 1)])


def _survey(source: Source, before: Any) -> Survey:
    """Look through a log in pieces, at its runs, times and labels alone."""
    pieces, n_rows, classes = Pieces(), 0, pd.Index([], dtype=np.float64)
    starts: list[IntArray] = []
    times, labels, counts = [], [], np.zeros(MOST_CLASSES, dtype=np.int64)
    for frame, label in source.read(bare=True):
        piece = pieces.read(frame)
        classes = classes.union(pd.unique(label), sort=False)
        if len(classes) > MOST_CLASSES or label.isna().any():
            raise NotInPiecesError("The labels are none.")
        starts.append(n_rows + piece.rows.run_starts[int(piece.goes_on) :])
        times.append(piece.rows.times if _needs_times(before) else np.empty(0))
        labels.append(classes.get_indexer(label).astype(np.int8))
        counts += np.bincount(labels[-1], minlength=MOST_CLASSES)
        n_rows += len(frame)
    event = np.concatenate(labels) != (counts.argmax() if source.label else classes.get_indexer([0])[0])
    clock = RowIndex(np.empty(0, np.int32), np.concatenate(times), piece.rows.is_datetime)
    return Survey(np.concatenate(starts), event, clock if _needs_times(before) else None)


def _survey_of(log: Log, before: Any, *, is_marked: bool) -> Survey:
    rows = read_index(log.X)
    event = np.asarray(log.y) == 1 if is_marked else is_event(log.y)
    return Survey(rows.run_starts, event, rows if _needs_times(before) else None)


def _needs_times(before: Any) -> bool:
    return not isinstance(before, Integral)


def _take(log: Log, kept: BoolArray) -> Log:
    return Log(log.X[kept], None if log.y is None else log.y[kept])


def _copy(index: pd.Index) -> pd.Index:
    """Return an index that holds none of the rows that it was taken from."""
    return index.remove_unused_levels() if isinstance(index, pd.MultiIndex) else index.copy()


def _take_pieces(source: Source, drop: Sequence[str], kept: BoolArray) -> Log:
    """Return some rows of a log, read in pieces."""
    n_kept, n_rows, n_done = int(np.count_nonzero(kept)), 0, 0
    X, y = np.empty((n_kept, 0)), np.empty(n_kept)
    index: list[pd.Index] = []
    for frame, told in source.read():
        own = np.flatnonzero(kept[n_rows : n_rows + len(frame)])
        sensors = frame.drop(columns=list(drop))
        if not index:
            X = np.empty((n_kept, sensors.shape[1]))
        X[n_done : n_done + len(own)] = sensors.to_numpy()[own]
        y[n_done : n_done + len(own)] = told.to_numpy()[own]
        index.append(_copy(frame.index[own]))
        n_rows, n_done = n_rows + len(frame), n_done + len(own)
    rows = index[0].append(index[1:])
    labels = y.astype(np.int64) if (y == y.round()).all() else y
    return Log(pd.DataFrame(X, rows, sensors.columns, copy=False), pd.Series(labels, rows, name=told.name))
