"""Splitters that read runs and times from the index of `X`, and a rule for refitting after a search over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state

from .events import event_onsets, is_event
from .index import RowIndex, read_index

Split = tuple[np.ndarray, np.ndarray]


class RunKFold:
    """Folds of whole runs, with events spread evenly over them.

    The runs are read from the index of `X`, which every splitter's user hands on, so that there is no `groups` to
    lose in nested searches, calibration or threshold tuning.

    Parameters
    ----------
    n_splits : int, default=5
        Folds.
    shuffle : bool, default=False
        Whether runs alike in events and length are dealt out in random order.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling.

    Raises
    ------
    ValueError
        In `split`, when a fold can hold no run or no event: fewer runs, or fewer runs with events, than `n_splits`.

    See Also
    --------
    RunTimeSplit : Folds in time, for one run or for forecasts of the same machines.

    Notes
    -----
    Runs are dealt out one by one, those with most events first, each to the fold with the fewest events, then the
    fewest rows; runs without events go where the rows are fewest. It is what
    `sklearn.model_selection.StratifiedGroupKFold` does for rows of a class, for events.
    An event is an unbroken stretch of rows that do not carry the most frequent label.

    scikit-learn's default folds leak neighbouring rows into training. Estimators of logs warn of shuffled rows; folds
    that cut a run here and there they cannot see.

    Examples
    --------
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=4, n_days=5, random_state=0)
    >>> for train, test in el.RunKFold(2).split(log.X, log.y):
    ...     print(log.X.index[test].unique("machine").tolist())  # doctest: +ELLIPSIS
    ['...', '...']
    ['...', '...']
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def __repr__(self) -> str:
        return f"RunKFold(n_splits={self.n_splits}, shuffle={self.shuffle}, random_state={self.random_state})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Yield the rows to train and to test on.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_sensors)
            A log with a MultiIndex of run and time.
        y : Series or array-like of shape (n_rows,), optional
            Labels; without them, folds are alike in rows only.
        groups : object
            Ignored: runs come from the index.

        Yields
        ------
        train : ndarray
            Row numbers.
        test : ndarray
            Row numbers.
        """
        fold_of_row = self._deal(X, y)
        rows = np.arange(len(fold_of_row))
        for fold in range(self.n_splits):
            yield rows[fold_of_row != fold], rows[fold_of_row == fold]

    def _deal(self, X: Any, y: Any) -> np.ndarray:
        """Return the fold of each row."""
        if self.n_splits < 2:
            raise ValueError(f"n_splits={self.n_splits} leaves nothing to train on. Take at least 2.")
        check_consistent_length(X, y)
        runs = read_index(X).runs
        n_rows = np.bincount(runs)
        if len(n_rows) < self.n_splits:
            raise ValueError(
                f"The index of X holds {len(n_rows)} runs, fewer than n_splits={self.n_splits}. Lower n_splits, use "
                "RunTimeSplit, or name the runs in the first levels of a MultiIndex: X.set_index(['machine', 'time'])."
            )
        n_events = np.zeros(len(n_rows), dtype=int)
        if y is not None:
            n_events = np.bincount(runs[event_onsets(is_event(y), runs)], minlength=len(n_rows))
            self._refuse_folds_without_event(n_events)
        return self._fold_of_run(n_events, n_rows)[runs]

    def _refuse_folds_without_event(self, n_events: np.ndarray) -> None:
        with_events = int((n_events > 0).sum())
        if with_events < self.n_splits:
            raise ValueError(
                f"{with_events} runs have events, fewer than n_splits={self.n_splits}: a fold would hold none. Lower "
                f"n_splits{f' to at most {with_events}' if with_events > 1 else ', or use RunTimeSplit'}."
            )

    def _fold_of_run(self, n_events: np.ndarray, n_rows: np.ndarray) -> np.ndarray:
        order = np.arange(len(n_rows))
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(order)
        order = order[np.lexsort((-n_rows[order], -n_events[order]))]
        fold = np.zeros(len(n_rows), dtype=int)
        load = np.zeros((self.n_splits, 2), dtype=int)  # events and rows of each fold
        for run in order:
            fold[run] = np.lexsort((load[:, 1], load[:, 0]))[0] if n_events[run] else load[:, 1].argmin()
            load[fold[run]] += n_events[run], n_rows[run]
        return fold


class RunTimeSplit:
    """Folds in time over all runs: train on what came before, test on what follows.

    Parameters
    ----------
    n_splits : int, default=5
        Folds; the log is cut in `n_splits` + 1 parts with as many rows each.
    gap : number or time span, default=0
        Time left out between training and test rows, in the unit of the index: a string such as "12h" or a Timedelta
        for date-times, else a number. Take at least the `horizon` of the labels.

    Raises
    ------
    ValueError
        In `split`, when the rows before or in a fold hold no event, or the gap leaves nothing to train on.

    See Also
    --------
    EventTimeSplit : Folds in time with an event each, wherever the events lie.
    RunKFold : Folds of whole runs, for machines not seen in training.

    Notes
    -----
    An event that lasts into the test part is left out of the training part whole, so that none stands on both sides.

    Time is the clock of the index. Where each run counts its own time from zero, rows of one age are split from
    rows of another, which is seldom what is wanted: use `RunKFold` there.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import RunTimeSplit
    >>> for train, test in RunTimeSplit(2, gap=1).split(np.zeros((9, 1))):
    ...     print(train, test)
    [0 1] [3 4 5]
    [0 1 2 3 4] [6 7 8]
    """

    def __init__(self, n_splits: int = 5, *, gap: Any = 0) -> None:
        self.n_splits = n_splits
        self.gap = gap

    def __repr__(self) -> str:
        return f"RunTimeSplit(n_splits={self.n_splits}, gap={self.gap!r})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Yield the rows to train and to test on.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_sensors)
            A log whose index carries the time.
        y : Series or array-like of shape (n_rows,), optional
            Labels; with them, folds without an event are refused.
        groups : object
            Ignored.

        Yields
        ------
        train : ndarray
            Row numbers.
        test : ndarray
            Row numbers.
        """
        check_consistent_length(X, y)
        index = read_index(X)
        event = None if y is None else is_event(y)
        gap = 0 if self.gap == 0 else index.span(self.gap, "gap")
        begins = self._begins(index)
        event_end = index.times if event is None else _event_ends(index, event)
        part = np.searchsorted(begins, index.times, side="right") - 1  # rows of -1 are never tested
        for k, begin in enumerate(begins):
            test = np.flatnonzero(part == k)
            train = np.flatnonzero((index.times < begin - gap) & (event_end < begin))
            self._refuse_empty(k, train, test, event)
            yield train, test

    def _begins(self, index: RowIndex) -> np.ndarray:
        """Return the times at which test parts begin."""
        times = np.sort(index.times)
        if self.n_splits < 1 or len(np.unique(times)) <= self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} does not fit {len(np.unique(times))} points in time. Take 1 or more, fewer "
                "than there are points in time."
            )
        return times[len(times) * np.arange(1, self.n_splits + 1) // (self.n_splits + 1)]

    def _refuse_empty(self, k: int, train: np.ndarray, test: np.ndarray, event: np.ndarray | None) -> None:
        if not len(train) or not len(test):
            raise ValueError(f"Fold {k} has nothing to train or test on. Lower gap={self.gap!r} or n_splits.")
        for name, rows in (("trains", train), ("tests", test)):
            if event is not None and not event[rows].any():
                raise ValueError(
                    f"Fold {k} {name} on rows without an event. Lower n_splits={self.n_splits}, or use RunKFold."
                )


class EventTimeSplit:
    """Folds in time that begin between events, with an event in each: train on what came before.

    Parameters
    ----------
    n_splits : int, default=5
        Folds; the events are cut in `n_splits` + 1 parts, as even in number as can be.
    gap : number or time span, default=0
        Time left out between training and test rows, in the unit of the index: a string such as "12h" or a Timedelta
        for date-times, else a number. Take at least the `horizon` of the labels.

    Raises
    ------
    ValueError
        In `split`, when there are too few events apart in time for `n_splits`, or the gap leaves no event to train
        on.

    See Also
    --------
    RunTimeSplit : Folds in time of as many rows each, which may hold no event.
    RunKFold : Folds of whole runs, for machines not seen in training.

    Notes
    -----
    Events of all runs share one clock, and events that overlap in time stay in one part. A part begins halfway
    between the last event before it and its own first. Training rows end before the gap, and an event that reaches
    into the gap is left out of them whole. So a fold never cuts an event, and scores of an event need rows of one
    fold only.

    An event is an unbroken stretch of rows that do not carry the most frequent label.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import EventTimeSplit
    >>> y = [0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0]
    >>> for train, test in EventTimeSplit(2).split(np.zeros((12, 1)), y):
    ...     print(train, test)
    [0 1 2 3 4] [5 6 7 8]
    [0 1 2 3 4 5 6 7 8] [ 9 10 11]
    """

    def __init__(self, n_splits: int = 5, *, gap: Any = 0) -> None:
        self.n_splits = n_splits
        self.gap = gap

    def __repr__(self) -> str:
        return f"EventTimeSplit(n_splits={self.n_splits}, gap={self.gap!r})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.n_splits

    def split(self, X: Any, y: Any, groups: Any = None) -> Iterator[Split]:
        """Yield the rows to train and to test on.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_sensors)
            A log whose index carries the time.
        y : Series or array-like of shape (n_rows,)
            Labels.
        groups : object
            Ignored.

        Yields
        ------
        train : ndarray
            Row numbers.
        test : ndarray
            Row numbers.
        """
        check_consistent_length(X, y)
        index = read_index(X)
        event = is_event(y)
        gap = 0 if self.gap == 0 else index.span(self.gap, "gap")
        event_end = _event_ends(index, event)
        last_before, first_after = self._borders(index, event, event_end)
        between = first_after - last_before
        ends = last_before + (between / 2 if between.dtype.kind == "f" else between // 2)  # of what comes before
        part = np.searchsorted(ends, index.times, side="left") - 1  # rows of -1 are never tested
        for k, end in enumerate(ends):
            train = np.flatnonzero(event_end <= end - gap)
            if not event[train].any():
                raise ValueError(f"gap={self.gap!r} leaves fold {k} no event to train on. Lower it, or n_splits.")
            yield train, np.flatnonzero(part == k)

    def _borders(self, index: RowIndex, event: np.ndarray, event_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the times of the last event row before, and of the first event row after the borders of parts."""
        first, counts, last = _spells(index.times, event_onsets(event, index.runs), event_end)
        n_parts = self.n_splits + 1
        if self.n_splits < 1 or len(first) < n_parts:
            raise ValueError(
                f"n_splits={self.n_splits} needs {max(n_parts, 2)} events apart in time, one to train and one to test "
                f"on; y holds {len(first)}. Take from 1 to one less than there are, or use RunKFold."
            )
        before = np.cumsum(counts)[:-1]  # events up to each border between two spells
        wanted = before[-1:] + counts[-1:]
        border = np.empty(self.n_splits, dtype=int)
        for k in range(self.n_splits):
            least, most = (border[k - 1] + 1 if k else 0), len(before) - self.n_splits + k
            border[k] = least + np.abs(before[least : most + 1] - wanted * (k + 1) / n_parts).argmin()
        return last[border], first[border + 1]


def _event_ends(index: RowIndex, event: np.ndarray) -> np.ndarray:
    """Return the last time of the event that each row belongs to, and its own time on quiet rows."""
    last = np.append((index.runs[1:] != index.runs[:-1]) | ~event[1:], True) | ~event
    return index.times[np.flatnonzero(last)[np.cumsum(last) - last]]


def _spells(times: np.ndarray, onset: np.ndarray, event_end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return begin, number of events and end of each spell: events of any run that overlap in time."""
    order = np.argsort(times[onset], kind="stable")
    begin, end = times[onset][order], np.maximum.accumulate(event_end[onset][order])
    new = np.flatnonzero(np.append(len(begin) > 0, begin[1:] > end[:-1]))
    return begin[new], np.diff(new, append=len(begin)), end[np.append(new[1:], len(begin))[: len(new)] - 1]
