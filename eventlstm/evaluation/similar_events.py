"""Which earlier events an alarm is most like: nearest neighbours among what sensors showed, in units of quiet rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer

from ..logs.events import find_events
from ..logs.index import read_index
from ..logs.shared import FloatArray, IntArray
from ..logs.whitening import learn_whitening, turn
from .scored_log import ScoredLog
from .sensors import run_label

N_SIMILAR = 3
# Quiet rows that the units of sensors are learnt from, evenly spread, and how many a sensor it takes at least: a
# covariance is worth little below.
MOST_QUIET, FEWEST_QUIET = 10_000, 10
# Units are learnt anew once there are as many more quiet rows.
GROWTH = 1.05


def find_similar(
    log: ScoredLog, begin: IntArray, end: IntArray, train: tuple[pd.DataFrame, pd.Series] | None
) -> list[list[dict[str, Any]]]:
    """Return for each event up to three earlier ones that looked most alike, the nearest first.

    Earlier events are those of the log that had ended before the rows `begin` to `end` of this one, which are looked
    at, and those of `train`. The mean of each sensor over these rows is compared, whitened by the quiet rows before, of
    both (the last twentieth of them may be left out). Where the index has no date-times, runs have clocks of their own:
    the order of the rows stands for time, and `train` is all before.

    Returns
    -------
    list of list of dict
        By event: "event", the number of the earlier one in the log, None for one of `train`; its "run" and "start", and
        the "distance" in deviations of quiet rows. Empty where no event or few quiet rows came before.
    """
    own = Past.of_log(log, begin, end)
    past = own if train is None or not _fits(train[0], log) else own.beside(*train, log)
    return [past.nearest(own.looks[k], own.when[begin_k]) for k, begin_k in enumerate(begin)]


@dataclass(frozen=True)
class Past:
    """Events that are known, and quiet rows, each with when it was."""

    when: Any  # (n_rows,) of the log: times, or numbers of rows
    names: list[dict[str, Any]]  # (n_events,)
    looks: FloatArray  # (n_events, n_sensors)
    ended: Any  # (n_events,)
    quiet: FloatArray  # (n_quiet, n_sensors)
    quiet_when: Any  # (n_quiet,)

    @cached_property
    def units(self) -> Units:
        """The units of quiet rows before a time."""
        return Units(self.quiet, self.quiet_when)

    @classmethod
    def of_log(cls, log: ScoredLog, begin: IntArray, end: IntArray) -> Self:
        """Return the events of a scored log, by the rows that are looked at."""
        first, last = log.events.measured.true_events
        when = log.rows.times if _has_dates(log.y.index) else np.arange(len(log.y))
        names = [{"event": k, **name} for k, name in enumerate(_names(log.y.index[first]))]
        quiet = _spread(np.flatnonzero(log.usual_quiet))
        ended = when[np.maximum(last, end)]
        return cls(when, names, _looks(log.X, begin, end), ended, _values(log.X, quiet), when[quiet])

    @classmethod
    def of(cls, X: pd.DataFrame, y: pd.Series, when: Any = None, left_out: pd.Index | None = None) -> Self:
        """Return the events of a labelled log, by all of their rows, but for those that begin on a row left out.

        `when` tells the time of each row; without it, all of them are past.
        """
        rows, flags = read_index(X), y.to_numpy() == 1
        when = np.full(len(X), -1) if when is None else when
        first, last = find_events(flags, rows.run_starts)
        if left_out is not None:
            new = ~X.index[first].isin(left_out)
            first, last = first[new], last[new]
        quiet = _spread(np.flatnonzero(~flags))
        names = [{"event": None, **name} for name in _names(X.index[first])]
        return cls(when, names, _looks(X, first, last), when[last], _values(X, quiet), when[quiet])

    def beside(self, X: pd.DataFrame, y: pd.Series, log: ScoredLog) -> Past:
        """Return these beside the events of another log, but for those that are rows of this one."""
        other = Past.of(X, y, read_index(X).times if _has_dates(log.y.index) else None, log.y.index)
        return Past(
            self.when,
            [*self.names, *other.names],
            np.concatenate([self.looks, other.looks]),
            np.append(self.ended, other.ended),
            np.concatenate([self.quiet, other.quiet]),
            np.append(self.quiet_when, other.quiet_when),
        )

    def nearest(self, look: FloatArray, now: Any) -> list[dict[str, Any]]:
        """Return the events before a time that look most like `look` (n_sensors,)."""
        known = np.flatnonzero(self.ended < now)
        whitened = self.units.before(now, np.concatenate([look[None], self.looks[known]])) if len(known) else None
        if whitened is None or not whitened.size:  # few rows, or no sensor moved
            return []
        distances = np.linalg.norm(whitened[1:] - whitened[0], axis=1)
        places = np.argsort(distances, kind="stable")[:N_SIMILAR]
        return [{**self.names[known[place]], "distance": float(distances[place])} for place in places]


class Units:
    """The units of quiet rows before a time, in which sensors do not hang together and have deviation one.

    Missing values are the median of quiet rows.
    """

    def __init__(self, quiet: FloatArray, when: Any) -> None:
        order = np.argsort(when, kind="stable")
        self.quiet, self.when = quiet[order], when[order]
        self.learnt: dict[int, tuple[FloatArray, FloatArray, FloatArray]] = {}

    def before(self, now: Any, values: FloatArray) -> FloatArray | None:
        """Return values (n, n_sensors) in units of before, (n, n_whitened); None where few rows are known."""
        n_known = int(np.searchsorted(self.when, now))
        if n_known < FEWEST_QUIET * self.quiet.shape[1]:
            return None
        n_rows = n_known
        if n_known < len(self.quiet):
            n_rows = int(GROWTH ** np.floor(np.log(n_known) / np.log(GROWTH)))
        if n_rows not in self.learnt:
            self.learnt[n_rows] = self._learn(self.quiet[:n_rows])
        usual, center, matrix = self.learnt[n_rows]
        whitened: FloatArray = turn(np.where(np.isfinite(values), values, usual) - center, matrix)
        return whitened

    @staticmethod
    def _learn(quiet: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        fill = SimpleImputer(strategy="median", keep_empty_features=True)
        filled = fill.fit_transform(quiet)
        return fill.statistics_, *learn_whitening(filled, np.ones(len(quiet)))


def _names(index: pd.Index) -> list[dict[str, Any]]:
    """Return how the run and the time of rows are called."""
    times = index.get_level_values(-1)
    return [{"run": run_label(index, k), "start": str(time)} for k, time in enumerate(times)]


def _looks(X: pd.DataFrame, first: IntArray, last: IntArray) -> FloatArray:
    """Return the mean of each sensor over some rows of each event, (n_events, n_sensors)."""
    with warnings.catch_warnings():  # a sensor that is missing throughout
        warnings.simplefilter("ignore", RuntimeWarning)
        means = [np.nanmean(_values(X, slice(a, b + 1)), axis=0) for a, b in zip(first, last, strict=True)]
    return np.array(means, dtype=np.float64).reshape(-1, X.shape[1])


def _values(X: pd.DataFrame, rows: Any) -> FloatArray:
    values = X.iloc[rows].to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _spread(rows: IntArray) -> IntArray:
    return rows[:: 1 + len(rows) // MOST_QUIET]


def _fits(X: pd.DataFrame, log: ScoredLog) -> bool:
    """Return whether another log has the sensors and the kind of clock of this one."""
    return list(X.columns) == list(log.X.columns) and _has_dates(X.index) == _has_dates(log.y.index)


def _has_dates(index: pd.Index) -> bool:
    return isinstance(index.get_level_values(-1), pd.DatetimeIndex)
