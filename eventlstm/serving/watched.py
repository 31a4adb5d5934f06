"""The model of a stream with all that it keeps of each machine, and what it says of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..alarms.model_scores import last_step, of_event
from ..logs.causal_gaps import GapRule
from ..logs.shared import BoolArray, FloatArray
from .alarm_states import run_name
from .classifiers import RowClassifier
from .detectors import DetectorScore
from .models import Clocks, FillStep, LogModel
from .rows_read import RowReader
from .slots import Node, Rows
from .stretches import Stretches
from .stuck import StandStill
from .tables import Table

LAST, MEDIAN = "last value", "median"


class Told(NamedTuple):
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


class Watched(Node):
    """A fitted model and what it keeps of each machine."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        last = last_step(model)
        check_is_fitted(last)
        self.source = model
        self.is_detector = hasattr(last, "anomaly_score")
        self.clocks = Clocks()
        self.model = LogModel(model, self.clocks)
        if isinstance(self.model.core, RowClassifier):
            raise TypeError(
                f"{type(last).__name__} judges rows by themselves. Ask its predict_proba, and AlarmPolicy.step for "
                "alarms; a stream is for EventClassifier, EventBlend and AnomalyDetector."
            )
        if not self.is_detector:
            of_event(model, np.zeros((0, len(last.classes_))))  # refuses other classes than 0 and 1
        if not self.clocks.stretches:
            self.clocks.stretches.append(Stretches(GapRule(np.array([np.inf]), False), has_dates=False))
        self.clock = self.clocks.stretches[self.model.clock]
        n_columns = self.model.first.n_features_in_
        self.reader = RowReader(getattr(self.model.first, "feature_names_in_", None), n_columns)
        self.stand_still = StandStill(n_columns)
        self.scores = [node for node in self.nodes() if isinstance(node, DetectorScore)]
        self.is_foreign: bool = any(isinstance(node, LogModel) and node.is_foreign for node in self.nodes())

    @property
    def has_dates(self) -> bool:
        """Whether times are date-times."""
        return self.clock.kept["time"].dtype.kind == "i"

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

    def step(self, rows: Rows, table: Table) -> Told:
        """Return what the model says of the next row of some machines."""
        marks = self.clocks.move_on(rows)
        begins, age = marks[self.model.clock]
        out, seen = self.model.step(rows, table, marks)
        flags: dict[str, Any] = {
            "unknown_run": rows.is_new,
            "gap": begins & ~rows.is_new,
            "warming_up": age < self.model.n_warm_up,
        }
        if seen.last is not None and seen.median is not None:
            flags["missing"] = (seen.last | seen.median).any(axis=1)
        if table.values.dtype != object:
            flags["stuck"] = self.stand_still.step(rows.slots, table.values, rows.is_new).any(axis=1)
        return Told(out[:, 0] if self.is_detector else out[:, 1], flags, seen)

    def _refuse(self, table: Table) -> Table:
        """Refuse text and infinity, and missing values that nothing fills."""
        if self.is_foreign:
            return table
        fills = bool(self.model.before) and isinstance(self.model.before[0], FillStep)
        known = np.isnan(table.values) if fills and table.values.dtype != object else False
        table._replace(values=np.where(known, 0.0, table.values)).checked()
        return table
