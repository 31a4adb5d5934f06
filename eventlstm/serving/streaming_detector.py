"""A fitted model beside the machines: for each row as it comes a score and an alarm, those of batch scoring."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.model_scores import make_policy
from ..logs.shared import BoolArray, IntArray
from .alarm_states import OF_LATE_ROW, AlarmState, AlarmStates
from .rows_read import check_run, read_runs, read_times_like
from .slots import FEWEST_SLOTS, Rows, as_slots
from .stream_files import read_stream, write_stream
from .stream_model import Scored, StreamModel
from .tables import Table

LATE = ("raise", "drop")
LATE_ROW = ("late",)
OF_OBJECTS = ("alarm", "alarm_id", "since", "status", "filled")


class Update(NamedTuple):
    """What a stream says of one row."""

    run: Any
    time: Any
    score: float
    threshold: float
    alarm: str | None
    alarm_id: str | None
    since: Any
    status: tuple[str, ...]
    filled: dict[Any, str]


class StreamingDetector:
    """Score the rows of machines as they come, and tell when alarms open and close.

    Scores are those of `predict_proba` or `anomaly_score` on the whole log, and alarms those of
    `AlarmPolicy.to_events`, whatever the pieces in which rows come. Nothing is learnt; what is kept of a machine does
    not grow.

    Parameters
    ----------
    model : estimator
        A fitted `EventClassifier` of classes 0 and 1, `EventBlend` or `AnomalyDetector`, a pipeline that ends in one,
        or a threshold or search of scikit-learn around it. Steps before the model are `ForwardFill`, `CausalFeatures`,
        and transformers that make something of each row by itself.
    policy : AlarmPolicy, default=None
        When alarms start and end. None takes the rules of the model. Without a threshold in them it is that of the
        model, and 0.5 where it has none, as in `predict` and `score_logs`.
    late : {"raise", "drop"}, default="raise"
        What to do with a row that is not later than the last of its machine: refuse it, or say that it is "late" and
        leave it out.

    Attributes
    ----------
    runs : list
        The machines seen, in the order they came.
    threshold : float
        The score that a row must be greater than for an alarm.
    metadata : dict
        What the caller wants to be saved with the state, such as the position in a file: anything that JSON holds.

    See Also
    --------
    AlarmPolicy.step : Alarms alone, of scores that come from elsewhere.
    score_logs : Whole files at once.

    Notes
    -----
    Recurrent networks go on by one step, in NumPy and in the precision of their weights: their scores differ from those
    of batch scoring by its rounding, less than 1e-6 (with `layer_norm` of few units, 1e-5). Trees and other estimators
    of scikit-learn see the same numbers as in batch scoring but for that of the last place, and give the same scores.
    Networks of windows, bidirectional ones and attention among them, are asked for the last window at each row.

    Where a stretch begins, a network first sees copies of its first row, as in batch scoring; that takes as long as
    `window_size` rows do. Trees are asked all at once for a few rows, a dozen times as fast as by scikit-learn.

    A score within a millionth of the threshold is taken for equal to it, and so is not above: thresholds are often the
    score of a row. A stream is not made for several threads: give each its own machines.

    Of River's detectors, `score_one` is the score of an ``update``, and `learn_one` has no counterpart: models here are
    fitted on logs, and a stream changes them no more.

    Examples
    --------
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=5, random_state=0)
    >>> small = el.LSTMClassifier(hidden_size=8, max_epochs=2)
    >>> model = el.EventClassifier(small, n_estimators=2, random_state=0).fit(log.X, log.y)
    >>> stream = el.StreamingDetector(model, el.AlarmPolicy(threshold=0.2))
    >>> (run, time), row = next(log.X.iterrows())
    >>> update = stream.update(row, time=time, run=run)
    >>> update.alarm, update.status
    ('off', ('unknown_run', 'warming_up'))
    >>> bool(abs(update.score - model.predict_proba(log.X)[0, 1]) < 1e-6)
    True
    """

    def __init__(self, model: Any, policy: AlarmPolicy | None = None, *, late: str = "raise") -> None:
        if late not in LATE:
            raise ValueError(f"late={late!r} is unknown. Choose 'raise' or 'drop'.")
        self.model, self.late = model, late
        self._model = StreamModel(model)
        self.policy = make_policy(model, policy)
        self.threshold = float(self.policy.threshold or 0.0)
        self.metadata: dict[str, Any] = {}
        self._slots: dict[Any, int] = {}  # by machine
        self._free: list[int] = []  # slots of machines that are gone
        self._room, self._alarms = FEWEST_SLOTS, AlarmStates(self.policy, has_dates=self._model.has_dates)

    @property
    def runs(self) -> list[Any]:
        """The machines seen, in the order they came."""
        return list(self._slots)

    def update(self, row: Any, *, time: Any, run: Any = None) -> Update:
        """Take the next row of a machine.

        Parameters
        ----------
        row : Series, mapping or array-like of shape (n_sensors,)
            The sensors, by the names in `fit`, or in their order. NaN where a value is missing, which only a
            `ForwardFill` before the model can fill.
        time : Timestamp, str or number
            When it was, as the index of the log in `fit` says it.
        run : str, number, date, Timestamp or tuple of them, default=None
            The machine; None where there is one.

        Returns
        -------
        Update
            Named tuple of `run`, `time`, `score`, `threshold`, `alarm` ("opened", "on", "closed" on the first row out
            of it, or "off"; None of a late row), `alarm_id`, `since`, `status` and `filled`. An
            alarm that opens under another id ends the one before on the row before. `status` holds words: "unknown_run"
            on the first row of a machine, "gap" on the first after a gap in time, where all begins anew, "warming_up"
            while a model has less history than it looks at, "missing" where values were filled, which `filled` names
            with "last value" or "median" where `ForwardFill` did it, "stuck" where a sensor has stood still for ten
            times as long as ever before and 60 rows, and "late".

        Raises
        ------
        ValueError
            If sensors are missing or others, values are not numbers, or the row is late. The stream is then as it was.
        """
        table, clock = self._model.read(row), read_times_like([time], has_dates=self._model.has_dates)
        if self._find_late([run], clock, [time])[0]:
            return Update(run, time, math.nan, self.threshold, *OF_LATE_ROW, LATE_ROW, {})
        with self._as_before_if_refused([run]):
            scored, (state,) = self._step([run], [time], clock, table)
        return Update(run, time, float(scored.score[0]), self.threshold, *state, scored.words()[0], scored.filled(0))

    def update_many(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Take the next rows of several machines.

        Parameters
        ----------
        frame : DataFrame of shape (n_rows, n_sensors)
            Rows with the index of a log. Machines may come in any order, the rows of each in that of time.

        Returns
        -------
        DataFrame of shape (n_rows, 7)
            "score", "threshold", "alarm", "alarm_id", "since", "status" and "filled" of each row, as `update` has them,
            with the index of `frame`.

        Raises
        ------
        ValueError
            As `update` does, before any row is taken; and if the index says no time.
        """
        table, runs, times = self._model.read_frame(frame), read_runs(frame), frame.index.get_level_values(-1)
        clock = read_times_like(times, has_dates=self._model.has_dates)
        is_late = self._find_late(runs, clock, times)
        answer = _Answer(len(runs), self.threshold)
        with self._as_before_if_refused(dict.fromkeys(runs)):
            for places in rounds(runs, np.flatnonzero(~is_late)):
                chosen = places.tolist()
                some = table.take(places)
                scored, states = self._step([runs[k] for k in chosen], times[places], clock[places], some)
                answer.put(places, scored, states)
        return answer.frame(frame.index)

    def forget(self, run: Any) -> None:
        """Drop what is known of a machine that is gone; if it comes back, it begins anew.

        Parameters
        ----------
        run : object
            The machine.

        Raises
        ------
        KeyError
            If it is none of `runs`.
        """
        self._free.append(self._slots.pop(run))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is known of all machines to a file, which is whole or not there; the model is not in it.

        Parameters
        ----------
        path : str or path-like
            The file.
        """
        write_stream(path, self._model, self._slots, self._alarms, self.metadata)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], model: Any, policy: AlarmPolicy | None = None, *, late: str = "raise"
    ) -> Self:
        """Return a stream that goes on from a saved state.

        Parameters
        ----------
        path : str or path-like
            The file.
        model : estimator
            The model of the stream that was saved.
        policy : AlarmPolicy, default=None
            As in the constructor.
        late : {"raise", "drop"}, default="raise"
            As in the constructor.

        Returns
        -------
        StreamingDetector
            The stream.

        Raises
        ------
        ValueError
            If the file holds no such state, or that of another model.
        """
        stream = cls(model, policy, late=late)
        saved = read_stream(path, stream._model)
        for run in saved.runs:
            stream._slot(run)
        saved.put_back(stream._model, stream._alarms)
        stream.metadata = saved.metadata
        return stream

    def _step(
        self, runs: Sequence[Any], times: Any, clock: np.ndarray, table: Table
    ) -> tuple[Scored, list[AlarmState]]:
        """Return what is said of the next row of each of some machines, and of their alarms."""
        is_new = np.array([run not in self._slots for run in runs])
        slots = [self._slot(run) for run in runs]
        scored = self._model.step(Rows(as_slots(slots), clock, is_new), table)
        each = zip(slots, clock.tolist(), scored.score.tolist(), runs, times, strict=True)
        return scored, [self._alarms.step(*row) for row in each]

    def _find_late(self, runs: Sequence[Any], clock: np.ndarray, times: Any) -> BoolArray:
        """Return which rows are not later than all before them of their machine, refusing them if so asked."""
        known = [k for k, run in enumerate(runs) if run in self._slots]
        last = self._model.last_times([self._slots[runs[k]] for k in known])
        latest = {runs[k]: time for k, time in zip(known, last, strict=True)}
        is_late = np.zeros(len(runs), dtype=bool)
        for k, (run, now) in enumerate(zip(runs, clock.tolist(), strict=True)):
            is_late[k] = now <= latest.get(run, -math.inf)
            latest[run] = max(now, latest.get(run, now))
        if is_late.any() and self.late == "raise":
            k = int(is_late.argmax())
            of_run = "" if runs[k] is None else f" of {runs[k]!r}"
            raise ValueError(
                f"A row{of_run} at {times[k]} came after one that is not earlier. Pass the rows of a machine in the "
                "order of time, each once, or set late='drop'."
            )
        return is_late

    @contextmanager
    def _as_before_if_refused(self, runs: Iterable[Any]) -> Iterator[None]:
        """Undo what is known of some machines by now where their rows are refused on the way, or it is interrupted."""
        known, new = [run for run in runs if run in self._slots], [run for run in runs if run not in self._slots]
        slots = [self._slots[run] for run in known]
        before, alarms = self._model.snapshot(slots), self._alarms.snapshot(slots)
        try:
            yield
        except BaseException:
            for run in new:
                if run in self._slots:
                    self.forget(run)
            self._model.put_back(slots, before)
            self._alarms.put_back(slots, alarms)
            raise

    def _slot(self, run: Any) -> int:
        """Return the slot of a machine, a new one where it has none."""
        if run not in self._slots:
            check_run(run)
            slot = self._free.pop() if self._free else len(self._slots)
            if slot >= self._room:
                self._room *= 2
                self._model.grow(self._room)
            self._alarms.introduce(slot)
            self._model.introduce(slot, run)
            self._slots[run] = slot
        return self._slots[run]


class _Answer:
    """What is said of the rows of a frame, put together from its rounds."""

    def __init__(self, n_rows: int, threshold: float) -> None:
        self.columns: dict[str, Any] = {"score": np.full(n_rows, np.nan), "threshold": threshold}
        self.columns |= {
            name: np.empty(n_rows, dtype=object) for name in ("alarm", "alarm_id", "since", "status", "filled")
        }

    def put(self, places: IntArray, scored: Scored, states: list[AlarmState]) -> None:
        """Take what is said of some of the rows."""
        self.columns["score"][places] = scored.score
        for name, values in zip(AlarmState._fields, zip(*states, strict=True), strict=True):
            self.columns[name][places] = _as_objects(values)
        self.columns["status"][places] = _as_objects(scored.words())
        self.columns["filled"][places] = [scored.filled(row) for row in range(len(places))]

    def frame(self, index: pd.Index) -> pd.DataFrame:
        """Return all of it; late rows are those that nothing was said of."""
        for k in np.flatnonzero([status is None for status in self.columns["status"]]):
            self.columns["status"][k], self.columns["filled"][k] = LATE_ROW, {}
        of_objects = {name: pd.Series(self.columns[name], index, dtype=object) for name in OF_OBJECTS}
        return pd.DataFrame(self.columns | of_objects, index=index)


def _as_objects(values: Any) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def rounds(runs: Sequence[Any], places: IntArray) -> Iterator[IntArray]:
    """Yield the places of the first row of each machine, then those of the second, and so on."""
    numbers = pd.factorize(_as_objects([runs[k] for k in places]))[0]
    order = pd.Series(numbers).groupby(numbers).cumcount().to_numpy()
    by_round = np.argsort(order, kind="stable")
    for part in np.split(by_round, np.flatnonzero(np.diff(order[by_round])) + 1):
        if len(part):
            yield places[part]
