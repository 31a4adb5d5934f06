"""The last rows of each machine, and what they say of an alarm: the sensors to blame, and past events like it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..logs.shared import FloatArray

# Rows kept of a machine. Of an alarm, its first ten tell why it came; a network needs some before, to warm up.
N_KEPT = 512
N_BEFORE, N_OPENING = 256, 10


class Recent(NamedTuple):
    """Rows of one machine in the order of time."""

    times: Any  # (n_rows,) datetime64 or numbers
    values: FloatArray  # (n_rows, n_sensors)


class RecentRows:
    """The last rows of each machine, in memory that is constant for each.

    Parameters
    ----------
    sensors : list of str
        What the columns of rows are called.
    names : list
        Names of the levels of the index: of the run, then of the time.
    """

    def __init__(self, sensors: list[str], names: list[Any]) -> None:
        self.sensors, self.names = sensors, names
        self._kept: dict[Any, Recent] = {}

    def add(self, run: Any, times: Any, values: FloatArray) -> None:
        """Take the next rows of a machine, all of which are kept until `trim`."""
        old = self._kept.get(run)
        if old is not None:
            times, values = np.concatenate([old.times, times]), np.concatenate([old.values, values])
        self._kept[run] = Recent(times, values)

    def trim(self, run: Any) -> None:
        """Forget the rows of a machine that are too long ago."""
        recent = self._kept[run]
        if len(recent.times) > N_KEPT:
            self._kept[run] = Recent(recent.times[-N_KEPT:].copy(), recent.values[-N_KEPT:].copy())

    def of_alarm(self, run: Any, since: Any, until: Any) -> AlarmRows | None:
        """Return the rows of an alarm and those before it, None where its first are no longer known."""
        recent = self._kept.get(run)
        if recent is None:
            return None
        bounds = bare_times(pd.Index([since, until]))
        first, last = np.searchsorted(recent.times, bounds)
        if first >= len(recent.times) or recent.times[first] != bounds[0]:
            return None
        stop = last + 1
        begin = max(first - N_BEFORE, 0)
        times, values = recent.times[begin:stop], recent.values[begin:stop]
        return AlarmRows(pd.DataFrame(values, index=self._index(run, times), columns=self.sensors), first - begin)

    def _index(self, run: Any, times: Any) -> pd.Index:
        level = pd.Index(times, name=self.names[-1])
        if run is None:
            return level
        parts = [pd.Index([part]) for part in (run if isinstance(run, tuple) else (run,))]
        codes = [np.zeros(len(level), dtype=int)] * len(parts)  # by its codes, as to find them takes milliseconds
        return pd.MultiIndex([*parts, level], [*codes, np.arange(len(level))], names=self.names)


def bare_times(times: pd.Index) -> Any:
    """Return times as an array, (n_rows,): numbers, or date-times in UTC where they have a zone."""
    return times.as_unit("ns").tz_localize(None).to_numpy() if isinstance(times, pd.DatetimeIndex) else times.to_numpy()


class AlarmRows(NamedTuple):
    """The rows of an alarm, and those before it."""

    X: pd.DataFrame  # (n_rows, n_sensors)
    first: int  # row on which the alarm starts; it is on to the last

    @property
    def last_opening(self) -> int:
        """The last of the rows that tell why the alarm came."""
        return min(self.first + N_OPENING, len(self.X)) - 1


class Explainer:
    """Says of an alarm which sensors are to blame and which past events looked alike, as far as either is known.

    Parameters
    ----------
    model : estimator
        A fitted model of ours.
    past : Log or None, default=None
        A log with labels of 1 on rows of events.
    names_sensors : bool, default=True
        Whether the model is asked for sensors, which takes it about a tenth of a second an alarm.
    """

    def __init__(self, model: Any, past: Any = None, *, names_sensors: bool = True) -> None:
        self.model, self.names_sensors = model, names_sensors
        self.past = None if past is None else _past_events(*past)

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to say."""
        return self.names_sensors or self.past is not None

    def explain(self, rows: AlarmRows) -> dict[str, Any]:
        """Return "sensors", the most to blame first, and "similar", the nearest first; each where it can be said."""
        told: dict[str, Any] = {}
        sensors = self._name_sensors(rows) if self.names_sensors else None
        if sensors is not None:
            told["sensors"] = sensors
        if self.past is not None:
            look = rows.X.to_numpy()[rows.first : rows.last_opening + 1]
            known = ~np.isnan(look)
            mean = np.where(known, look, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
            told["similar"] = [_plain(event) for event in self.past.nearest(mean, np.inf)]
        return told

    def _name_sensors(self, rows: AlarmRows) -> list[str] | None:
        from ..evaluation.sensors import attribute, name_highest  # at the first alarm: it loads much
        from ..logs.events import list_events

        first, last = np.array([rows.first]), np.array([len(rows.X) - 1])
        alarm = list_events(rows.X.index, first, last)
        opening = list_events(rows.X.index, first, np.array([rows.last_opening]))
        shares, source = attribute(self.model, rows.X, alarm, opening)
        return None if shares is None else name_highest(shares.iloc[0], source)


def _past_events(X: pd.DataFrame, y: pd.Series) -> Any:
    from ..evaluation.similar_events import Past

    return Past.of(X, y)


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    """Return a past event by its machine, None for the only one, its start and its distance."""
    return {"machine": event["run"], "start": event["start"], "distance": round(event["distance"], 3)}
