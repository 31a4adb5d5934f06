"""From a fitted model to the nodes that go through a log row by row: what comes before it, itself, and its parts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from ..alarms.model_scores import steps_of
from ..detectors.anomaly_detector import AnomalyDetector
from ..detectors.event_blend import EventBlend, weights_of
from ..detectors.event_classifier import EventClassifier
from ..logs.causal_features import CausalFeatures
from ..logs.checking import gap_rule_of
from ..logs.forward_fill import ForwardFill
from ..logs.shared import BoolArray, IntArray
from ..recurrent.members import mean_log_odds
from .classifiers import RowClassifier, StepClassifier, WindowClassifier
from .detectors import DetectorScore
from .moves import Fill, Views
from .slots import Node, Rows
from .stretches import Stretches
from .tables import Table

# Rows that estimators of other libraries are tried on, and which of them alone too: what is made of a row must not hang
# on the others.
N_TRIED, TRIED_ALONE = 256, (0, 1, 2, 100, 101, 254, 255)
MISSING = 0.1  # the share of values left out where missing ones are taken


class Clocks(Node):
    """The stretches of each machine by the rules of all estimators in a model, alike ones once."""

    def __init__(self) -> None:
        super().__init__()
        self.stretches: list[Stretches] = []
        self._known: dict[Any, int] = {}

    def number(self, estimator: Any) -> int:
        """Return which of the rules is that of an estimator."""
        rule = gap_rule_of(estimator)
        key = (*rule.gaps.tolist(), rule.follows_rate, estimator.has_dates_)
        if key not in self._known:
            self._known[key] = len(self.stretches)
            self.stretches.append(Stretches(rule, has_dates=estimator.has_dates_))
        return self._known[key]

    def move_on(self, rows: Rows) -> Marks:
        """Return what each rule says of the next rows."""
        return [stretches.move_on(rows) for stretches in self.stretches]


Marks = list[tuple[BoolArray, IntArray]]  # by clock: with which rows a stretch begins, and their age in it


class LogModel(Node):
    """A fitted model of logs behind the steps of its pipelines."""

    def __init__(self, model: Any, clocks: Clocks) -> None:
        super().__init__()
        *before, last = [step for step in steps_of(model) if not hasattr(step, "fit_resample")]  # of the fit alone
        self.before = [as_step(step, clocks) for step in before]
        self.first = before[0] if before else last
        self.core, self.clock = as_core(last, clocks)
        self.n_rows: int = self.core.n_rows  # of history that are looked at, this one counted

    def step(self, rows: Rows, table: Table, marks: Marks) -> tuple[np.ndarray, Table]:
        """Return what the model says of one more row, and the row as it was filled."""
        filled = table
        for step in self.before:
            table = step.step(rows, table, marks)
            filled = table if isinstance(step, FillStep) else filled
        return self._ask(rows, table, marks), filled

    def _ask(self, rows: Rows, table: Table, marks: Marks) -> np.ndarray:
        if isinstance(self.core, BlendSteps):
            return self.core.step(rows, table, marks)
        if isinstance(self.core, RowClassifier):
            return self.core.step(rows, table.as_input(self.core.model))
        assert self.clock is not None
        out: np.ndarray = self.core.step(rows, table.checked(), *marks[self.clock])
        return out


class BlendSteps(Node):
    """The parts of an `EventBlend`, those of weight zero left out."""

    def __init__(self, blend: EventBlend, clocks: Clocks) -> None:
        super().__init__()
        weights = weights_of(blend)
        self.weights = weights[weights > 0]
        self.parts = [LogModel(part, clocks) for part, w in zip(blend.estimators_, weights, strict=True) if w > 0]
        self.n_rows = max(part.n_rows for part in self.parts)

    def step(self, rows: Rows, table: Table, marks: Marks) -> np.ndarray:
        """Return the probabilities (n, n_classes) of one more row."""
        return mean_log_odds(np.stack([part.step(rows, table, marks)[0] for part in self.parts]), self.weights)


class FillStep(Node):
    """`ForwardFill` before a model."""

    def __init__(self, fill: ForwardFill, clock: int) -> None:
        super().__init__()
        self.fill, self.clock = Fill(fill), clock

    def step(self, rows: Rows, table: Table, marks: Marks) -> Table:
        """Return the rows without missing values."""
        values, last, median = self.fill.step(rows.slots, table.values.astype(np.float64), marks[self.clock][0])
        return Table(values, table.names, last, median)


class FeatureStep(Node):
    """`CausalFeatures` before a model."""

    def __init__(self, features: CausalFeatures, clock: int) -> None:
        super().__init__()
        self.views, self.clock = Views([features], features.n_features_in_, np.float64), clock
        self.names = list(features.get_feature_names_out())

    def step(self, rows: Rows, table: Table, marks: Marks) -> Table:
        """Return the features of the rows."""
        values, first = table.checked(), np.flatnonzero(marks[self.clock][0])
        self.views.begin(rows.pick(first), values[first])
        return Table(self.views.see(rows.slots, values)[0], self.names)


class RowStep(Node):
    """A step of another library, which makes something of each row by itself."""

    def __init__(self, step: Any) -> None:
        super().__init__()
        self.transformer = step
        refuse_neighbours(step, "transform")

    def step(self, rows: Rows, table: Table, marks: Marks) -> Table:
        """Return what the step makes of the rows."""
        made = self.transformer.transform(table.as_input(self.transformer))
        made = made.toarray() if hasattr(made, "toarray") else made
        return Table(np.asarray(made), list(made.columns) if isinstance(made, pd.DataFrame) else None)


def as_step(step: Any, clocks: Clocks) -> FillStep | FeatureStep | RowStep:
    """Return the node of a step before a model."""
    if isinstance(step, ForwardFill):
        return FillStep(step, clocks.number(step))
    if isinstance(step, CausalFeatures):
        return FeatureStep(step, clocks.number(step))
    return RowStep(step)


def as_core(model: Any, clocks: Clocks) -> tuple[Any, int | None]:
    """Return the node of a model itself, and by which clock it goes; None where it judges rows by themselves."""
    if is_own(model, EventBlend, "predict_proba"):
        blend = BlendSteps(model, clocks)
        return blend, next((part.clock for part in blend.parts if part.clock is not None), None)
    if is_own(model, EventClassifier, "predict_proba"):
        kind = StepClassifier if model.mode == "stateful" else WindowClassifier
        return kind(model), clocks.number(model)
    if is_own(model, AnomalyDetector, "anomaly_score"):
        return DetectorScore(model), clocks.number(model)
    if is_classifier(model) and hasattr(model, "predict_proba") and hasattr(model, "n_features_in_"):
        refuse_neighbours(model, "predict_proba")
        return RowClassifier(model), None
    raise TypeError(
        f"{type(model).__name__} is no model of logs that goes row by row. Pass a fitted EventClassifier, EventBlend "
        "or AnomalyDetector, or a pipeline that ends in one."
    )


def refuse_neighbours(step: Any, make: str) -> None:
    """Refuse an estimator of another library whose method `make` says something else of a row beside others than alone.

    It is tried on numbers, with missing ones among them and without; what takes none, such as an encoder of words, is
    let be.
    """
    rng = np.random.default_rng(0)
    tried = rng.normal(size=(N_TRIED, step.n_features_in_))
    names = list(getattr(step, "feature_names_in_", [])) or None
    for values in (tried, np.where(rng.random(tried.shape) < MISSING, np.nan, tried)):
        table = Table(values, names)
        try:
            together = _say(step, make, table)
        except (TypeError, ValueError):
            continue
        alone = [_say(step, make, table.take(np.array([k]))) for k in TRIED_ALONE]
        if len(together) != N_TRIED or not np.allclose(
            np.concatenate(alone), together[list(TRIED_ALONE)], equal_nan=True
        ):
            raise TypeError(
                f"{type(step).__name__} makes of a row what depends on other rows, so that a stream cannot be equal to "
                "batch scoring. Leave it out; CausalFeatures makes lags and differences row by row."
            )


def _say(step: Any, make: str, table: Table) -> np.ndarray:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(step, make)(table.as_input(step))
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=np.float64)


def is_own(model: Any, kind: type, method: str) -> bool:
    """Return whether a model is of a kind of ours and scores by its method, and not by one that a subclass defines."""
    return isinstance(model, kind) and getattr(type(model), method) is getattr(kind, method)
