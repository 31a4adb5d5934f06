"""Which columns of a file a fitted model reads a log from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import pandas as pd

from ..alarms.model_scores import last_step
from ..logs.files import read_log


class LogColumns(NamedTuple):
    """The columns of run, time and sensors."""

    time: str
    runs: tuple[str, ...]
    sensors: tuple[str, ...] | None  # None where the model was fitted on an array: all others

    @classmethod
    def of(cls, model: Any, time: str | None = None, run: str | Sequence[str] | None = None) -> Self:
        """Return the columns that a model was fitted on, but for those that are named here."""
        *runs, known = known_names(model, time)
        if known is None:
            raise ValueError("The model does not know the column of the time. Name it: time='time', say (--time).")
        runs = ([run] if isinstance(run, str) else list(run)) if run else runs
        sensors = getattr(model, "feature_names_in_", None)
        return cls(known, tuple(runs), None if sensors is None else tuple(sensors))

    def read(self, path: str | os.PathLike[str], **labels: Any) -> Any:
        """Return the log in a file; `labels` are what `read_log` takes to find them."""
        sensors = None if self.sensors is None else list(self.sensors)
        return read_log(path, time=self.time, run=list(self.runs) or None, sensors=sensors, **labels)

    def pick(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the sensors of a frame, as far as they are known."""
        known = self.sensors is not None and set(self.sensors) <= set(frame.columns)
        return frame[list(self.sensors)] if known and self.sensors is not None else frame


def known_names(model: Any, time: str | None = None) -> list[Any]:
    """Return the columns of the index, runs first: those that a model was fitted on, but for the time if it is named.

    The time is None where nobody has named it.
    """
    *runs, known = getattr(model, "index_columns_", None) or getattr(last_step(model), "index_names_", None) or [None]
    return [*runs, time or known]
