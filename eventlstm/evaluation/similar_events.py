"""Which earlier events an alarm is most like: nearest neighbours among what sensors showed, in units of quiet rows."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors

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


def find_similar(
    log: ScoredLog, begin: IntArray, end: IntArray, train: tuple[pd.DataFrame, pd.Series] | None
) -> list[list[dict[str, Any]]]:
    """Return for each event up to three earlier ones that looked most alike, the nearest first.

    Earlier events are those of the log that had ended before the rows `begin` to `end` of this one, which are looked
    at, and those of `train`. The mean of each sensor over these rows is compared, whitened by the quiet rows before, of
    both. Where the index has no date-times, runs have clocks of their own: the order of the rows stands for time, and
    `train` is all before.

    Returns
    -------
    list of list of dict
        By event: "event", the number of the earlier one in the log, None for one of `train`; its "run" and "start", and
        the "distance" in deviations of quiet rows. Empty where no event or few quiet rows came before.
    """
    own = Past.of_log(log, begin, end)
    past = own if train is None or not _fits(train[0], log) else own.beside(*train, log)
    return [past.nearest(own.looks[k], own.when[begin_k]) for k, begin_k in enumerate(begin)]


class Past(NamedTuple):
    """Events that are known, and quiet rows, each with when it was."""

    when: Any  # (n_rows,) of the log: times, or numbers of rows
    names: list[dict[str, Any]]  # (n_events,)
    looks: FloatArray  # (n_events, n_sensors)
    ended: Any  # (n_events,)
    quiet: FloatArray  # (n_quiet, n_sensors)
    quiet_when: Any  # (n_quiet,)

    @classmethod
    def of_log(cls, log: ScoredLog, begin: IntArray, end: IntArray) -> Self:
        """Return the events of a scored log, by the rows that are looked at."""
        first, last = log.events.measured.true_events
        when = log.rows.times if _has_dates(log.y.index) else np.arange(len(log.y))
        names = [
            {"event": k, "run": run_label(log.y.index, row), "start": str(log.y.index.get_level_values(-1)[row])}
            for k, row in enumerate(first)
        ]
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
        names = [
            {"event": None, "run": run_label(X.index, row), "start": str(X.index.get_level_values(-1)[row])}
            for row in first
        ]
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
        known, quiet = np.flatnonzero(self.ended < now), self.quiet[self.quiet_when < now]
        if not len(known) or len(quiet) < FEWEST_QUIET * quiet.shape[1]:
            return []
        whitened = whiten(quiet, np.concatenate([look[None], self.looks[known]]))
        if not whitened.size:  # no sensor moved
            return []
        search = NearestNeighbors(n_neighbors=min(N_SIMILAR, len(known))).fit(whitened[1:])
        distances, places = search.kneighbors(whitened[:1])
        return [
            {**self.names[known[place]], "distance": float(distance)}
            for distance, place in zip(distances[0], places[0], strict=True)
        ]


def whiten(quiet: FloatArray, values: FloatArray) -> FloatArray:
    """Return values (n, n_sensors) as (n, n_whitened) that on quiet rows do not hang together and have deviation one.

    Missing values are the median of quiet rows.
    """
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    center, matrix = learn_whitening(fill.fit_transform(quiet), np.ones(len(quiet)))
    return turn(fill.transform(values) - center, matrix)


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
