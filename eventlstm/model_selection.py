"""Splitters that read runs and times from the index of `X`, and the choice of a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix_at_thresholds
from sklearn.utils import check_consistent_length, check_random_state

from .log_index import RowIndex, read_index
from .windows import event_onsets, is_event

__all__ = ["RunKFold", "RunTimeSplit", "choose_threshold"]

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
        event_end = self._event_ends(index, event)
        part = np.searchsorted(begins, index.times, side="right") - 1  # rows of -1 are never tested
        for k, begin in enumerate(begins):
            test = np.flatnonzero(part == k)
            train = np.flatnonzero((index.times < begin - gap) & (event_end < begin))
            self._refuse_empty(k, train, test, event)
            yield train, test

    def _event_ends(self, index: RowIndex, event: np.ndarray | None) -> np.ndarray:
        """Return the last time of the event that each row belongs to, and its own time on quiet rows."""
        if event is None:
            return index.times
        last = np.append((index.runs[1:] != index.runs[:-1]) | ~event[1:], True) | ~event
        return index.times[np.flatnonzero(last)[np.cumsum(last) - last]]

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


def choose_threshold(y_true: Any, y_score: Any, *, objective: str = "mcc") -> float:
    """Return the threshold at which ``y_score >= threshold`` does best on labelled rows held out from training.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        1 on rows of an event, else 0.
    y_score : array-like of shape (n_rows,)
        Scores that rise with the danger. Never those of the rows the model was trained on, nor of those it is tested
        on.
    objective : {"mcc", "f1"}, default="mcc"
        What is made largest: Matthews' correlation or the F1 score.

    Returns
    -------
    float
        The threshold, halfway between two neighbouring scores, so that noise in the last bit does not matter.

    Raises
    ------
    ValueError
        If `y_true` holds but one class, or `objective` is unknown.

    Examples
    --------
    >>> from eventlstm import choose_threshold
    >>> choose_threshold([0, 0, 1, 0, 1], [0.1, 0.2, 0.6, 0.4, 0.9])
    0.5
    """
    y_true, y_score = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    if objective not in OBJECTIVES:
        raise ValueError(f"objective={objective!r} is unknown. Choose one of {list(OBJECTIVES)}.")
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(f"y_true holds {np.unique(y_true)[:5]}, where 0 and 1 are wanted. Pass y == 'fault', say.")
    if len(np.unique(y_true)) < 2:
        raise ValueError("y_true holds one class only. Choose a threshold on rows with and without an event.")
    *counts, thresholds = (column[::-1] for column in confusion_matrix_at_thresholds(y_true, y_score))
    value = OBJECTIVES[objective](*counts)
    best = int(value.argmax())
    if best == 0:
        return float(thresholds[0])
    below, at = thresholds[best - 1], thresholds[best]
    middle = below + (at - below) / 2
    return float(middle if middle > below else at)  # nothing lies between two neighbouring floats


def _mcc(tn: np.ndarray, fp: np.ndarray, fn: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Return Matthews' correlation, which is 0 where all rows are flagged."""
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / np.where(spread > 0, spread, 1.0)


def _f1(tn: np.ndarray, fp: np.ndarray, fn: np.ndarray, tp: np.ndarray) -> np.ndarray:
    return 2 * tp / (2 * tp + fp + fn)


OBJECTIVES = {"mcc": _mcc, "f1": _f1}
