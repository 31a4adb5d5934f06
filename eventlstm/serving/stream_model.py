"""The model of a stream with all that it keeps of each machine, and what it says of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..alarms.model_scores import last_step, of_event
from ..logs.shared import BoolArray, FloatArray
from .alarm_states import run_name
from .detectors import DetectorScore
from .models import Clocks, FillStep, LogModel
from .rows_read import RowReader
from .slots import Node, Rows
from .stuck import StandStill
from .tables import Table

LAST, MEDIAN = "last value", "median"


class Scored(NamedTuple):
    """What a model says of some rows."""

    score: FloatArray  # (n,)
    flags: dict[str, BoolArray]  # (n,) by word of the status
    table: Table  # as it was filled

    def words(self) -> list[tuple[str, ...]]:
        """Return the status of each row."""
        said = {word: flags for word, flags in self.flags.items() if flags.any()}
        if not said:
            return [()] * len(self.score)
        return [tuple(word for word, flags in said.items() if flags[k]) for k in range(len(self.score))]

    def filled(self, row: int) -> dict[Any, str]:
        """Return by what the missing values of a row were replaced, by sensor."""
        last, median, names = self.table.last, self.table.median, self.table.names
        if last is None or median is None:
            return {}
        places = np.flatnonzero(last[row] | median[row])
        return {(k if names is None else names[k]): LAST if last[row, k] else MEDIAN for k in places.tolist()}


class StreamModel(Node):
    """A fitted model and what it keeps of each machine."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        last = last_step(model)
        check_is_fitted(last)
        self.source = model
        self.is_detector = hasattr(last, "anomaly_score")
        self.clocks = Clocks()
        self.model = LogModel(model, self.clocks)
        if self.model.clock is None:
            raise TypeError(
                f"{type(last).__name__} judges rows by themselves. Ask its predict_proba, and AlarmPolicy.step for "
                "alarms; a stream is for EventClassifier, EventBlend and AnomalyDetector."
            )
        if not self.is_detector:
            of_event(model, np.zeros((0, len(last.classes_))))  # refuses other classes than 0 and 1
        self.clock = self.clocks.stretches[self.model.clock]
        self.has_dates = self.clock.has_dates
        self.reader = RowReader(getattr(self.model.first, "feature_names_in_", None), self.model.first.n_features_in_)
        self.stand_still = StandStill(self.reader.n_columns)
        self.answers: list[float] | None = None  # by which it is known again, once they are asked for
        self.scores = [node for node in self.nodes() if isinstance(node, DetectorScore)]

    @property
    def fills(self) -> bool:
        """Whether missing values are filled before anything else."""
        return bool(self.model.before) and isinstance(self.model.before[0], FillStep)

    def last_times(self, slots: list[int]) -> list[Any]:
        """Return the time of the last row of each of some machines, as a number."""
        times: list[Any] = self.clock.kept["time"][slots, 0].tolist()
        return times

    def introduce(self, slot: int, run: Any) -> None:
        """Take a new machine."""
        for score in self.scores:
            score.introduce(slot, run_name(run))

    def read(self, row: Any) -> Table:
        """Return one row, refusing what no step before the model can mend."""
        return self._refuse(self.reader.read(row))

    def read_frame(self, frame: pd.DataFrame) -> Table:
        """Return the rows of a frame, refusing what no step before the model can mend."""
        return self._refuse(self.reader.read_frame(frame))

    def step(self, rows: Rows, table: Table) -> Scored:
        """Return what the model says of the next row of some machines."""
        marks = self.clocks.move_on(rows)
        begins, age = marks[self.model.clock or 0]
        out, seen = self.model.step(rows, table, marks)
        flags: dict[str, Any] = {
            "unknown_run": rows.is_new,
            "gap": begins & ~rows.is_new,
            "warming_up": age < self.model.n_rows - 1,
        }
        if table.values.dtype != object:
            flags["missing"] = np.isnan(table.values).any(axis=1)
            flags["stuck"] = self.stand_still.step(rows.slots, table.values, rows.is_new).any(axis=1)
        score = out[:, 0] if self.is_detector else out[:, 1]
        if not np.isfinite(score).all():
            raise ValueError("A row makes a score that is no number: its values are too large. Leave the row out.")
        return Scored(score, flags, seen)

    def _refuse(self, table: Table) -> Table:
        """Refuse text and infinity, and missing values that nothing fills."""
        if not self.model.before:
            table.checked()
        elif self.fills:
            table._replace(values=np.where(pd.isna(table.values), 0.0, table.values)).checked()
        return table
