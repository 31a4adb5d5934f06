"""An `AnomalyDetector` row by row: what its models say of each sensor, and how it becomes a score.

Rows are ``(n, n_sensors)``, one of each of some machines; a score is ``(n, 1)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np

from ..detectors.anomaly_detector import AnomalyDetector, row_scorer_of, span_of
from ..detectors.row_models import JudgedWindows, StepForecasts, View, WindowForecasts
from ..logs.shared import BoolArray, IntArray
from ..recurrent.lstm_forecaster import LSTMForecaster
from ..recurrent.targets import TargetUnits, take_median
from .classifiers import refuse_other_steps
from .moves import Lags, Views
from .networks import NetworkSteps, by_architecture
from .slots import Node, Rows, empty


class DetectorScore(Node):
    """The score of a detector: errors in units of the run, of cold starts and of quiet rows, summed and smoothed."""

    def __init__(self, model: AnomalyDetector) -> None:
        super().__init__()
        scorer = row_scorer_of(model)
        self.scorer, self.cold, self.run_scales = scorer.scorer, scorer.cold, scorer.run_scales
        self.errors: Any = next(kind for of, kind in KINDS.items() if isinstance(scorer.models, of))(scorer.models)
        self.n_rows: int = scorer.models.window_size
        n_sensors = model.n_features_in_ if scorer.models.gives_errors else 1
        self.kept = {"scale": empty(n_sensors)}
        self.smooth = Smoothing(span_of(model), model.average, model.quiet_parts_.sum(keepdims=True))

    def introduce(self, slot: int, name: str) -> None:
        """Take a new machine by the name that its run had in `fit`."""
        self.kept["scale"][slot] = self.run_scales.get(name, 1.0)

    def step(self, rows: Rows, values: np.ndarray, begins: BoolArray, age: IntArray) -> np.ndarray:
        """Return the score (n, 1) of one more row."""
        errors = self.errors.step(rows, values, begins)
        if self.run_scales:
            errors = errors / self.kept["scale"][rows.slots]
        return self.smooth.step(rows, self._parts(errors, age).sum(axis=1, keepdims=True), begins)

    def _parts(self, errors: np.ndarray, age: IntArray) -> np.ndarray:
        if self.scorer is None or self.cold is None:
            return errors
        young = age < len(self.cold)
        if young.any():
            errors = errors.copy()
            errors[young] /= self.cold[age[young]]
        parts: np.ndarray = self.scorer.parts(errors)
        return parts


class Smoothing(Node):
    """A causal mean of the scores of a stretch, before which they are as on quiet rows."""

    def __init__(self, span: float, average: str, before: np.ndarray) -> None:
        super().__init__()
        self.before, self.alpha = before, 2.0 / (span + 1.0)
        self.last = Lags(math.ceil(span), 1) if average == "window" and span > 1 else None
        self.kept = {"mean": empty(1)}

    def step(self, rows: Rows, score: np.ndarray, begins: BoolArray) -> np.ndarray:
        """Return the mean (n, 1) at one more row."""
        if self.last is not None:
            self.last.begin(rows.pick(np.flatnonzero(begins)), self.before)
            mean: np.ndarray = np.cumsum(self.last.step(rows.slots, score), axis=1)[:, -1] / self.last.n_lags
            return mean
        before = np.where(begins[:, None], self.before, self.kept["mean"][rows.slots])
        mean = self.alpha * score + (1.0 - self.alpha) * before
        self.kept["mean"][rows.slots] = mean
        return mean


class Seen(Node):
    """Inputs and levels of models of quiet rows, as `View` shows them."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view, n_sensors = view, view.levels.n_channels
        self.beside = None if view.relative is None else Views([view.relative], n_sensors, np.float64)
        self.n_channels: int = n_sensors if view.relative is None else view.relative.n_channels

    def begin(self, slots: Any, values: np.ndarray) -> None:
        """Let some machines begin as if they had always stood at these rows."""
        if self.beside is not None:
            self.beside.begin(slots, values)

    def see(self, slots: Any, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs (n, n_channels) and levels (n, n_sensors) of one more row."""
        levels = self.view.levels.to_channels(values[:, None])
        if self.beside is None:
            return np.clip(levels, -self.view.clip, self.view.clip), levels
        return self.beside.see(slots, values)[0], levels


class StepErrors(Node):
    """How far rows are from the mean forecast of networks that go step by step."""

    def __init__(self, models: StepForecasts) -> None:
        super().__init__()
        for member in models.members:
            refuse_other_steps(member, LSTMForecaster, "predict_steps")
        self.seen, self.n_warm_up = Seen(models.view), models.window_size
        targets = [target for target, _ in zip(cycle(models.targets), models.members, strict=False)]
        modules = [member.module_ for member in models.members]
        self.forecasters = [
            Forecasters([models.members[k] for k in alike], [targets[k] == "change" for k in alike], models.view.still)
            for alike in by_architecture(modules, range(len(modules)))
        ]
        self.n_members = len(modules)
        self.kept = {"expected": empty(models.view.levels.n_channels)}

    def step(self, rows: Rows, values: np.ndarray, begins: BoolArray) -> np.ndarray:
        """Return the errors (n, n_sensors) of one more row; where a stretch begins, copies of it come before."""
        if begins.any():
            first = np.flatnonzero(begins)
            slots = rows.pick(first)
            self.seen.begin(slots, values[first])
            for forecasters in self.forecasters:
                forecasters.networks.begin(slots)
            for _ in range(self.n_warm_up):
                self._advance(slots, values[first])
        return self._advance(rows.slots, values)

    def _advance(self, slots: Any, values: np.ndarray) -> np.ndarray:
        inputs, levels = self.seen.see(slots, values)
        errors = levels - self.kept["expected"][slots]
        total = sum(forecasters.step(slots, inputs, levels) for forecasters in self.forecasters)
        self.kept["expected"][slots] = total / self.n_members
        return errors


class Forecasters(Node):
    """Forecasters of one architecture."""

    def __init__(self, members: Sequence[Any], of_change: Sequence[bool], still: BoolArray) -> None:
        super().__init__()
        self.networks, self.of_change, self.still = NetworkSteps([m.module_ for m in members]), of_change, still
        self.quantiles = [member.quantiles_ for member in members]
        n = len(still)  # what is said of the first step ahead
        self.units = [TargetUnits(m.target_center_[:n], m.target_scale_[:n]) for m in members]

    def step(self, slots: Any, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Return the sum of what each forecasts of the next row, (n, n_sensors)."""
        total = np.zeros_like(levels)
        for k, out in enumerate(self.networks.step(slots, inputs)):
            n_values = levels.shape[1] * max(len(self.quantiles[k]), 1)
            forecast = take_median(self.units[k].in_units(out[:, :n_values].astype(np.float64)), self.quantiles[k])
            forecast[:, self.still] = 0.0  # the level at which they stood, or no change
            total += forecast + levels if self.of_change[k] else forecast
        return total


class WindowErrors(Node):
    """What models of windows say of the row that a window ends at, or of the one after it."""

    def __init__(self, models: JudgedWindows | WindowForecasts) -> None:
        super().__init__()
        self.models, self.seen = models, Seen(models.view)
        self.window = Lags(models.window_size, self.seen.n_channels)
        self.kept = {"expected": empty(models.view.levels.n_channels)}

    def step(self, rows: Rows, values: np.ndarray, begins: BoolArray) -> np.ndarray:
        """Return the errors (n, n_sensors), or the scores (n, 1), of one more row."""
        first = np.flatnonzero(begins)
        slots = rows.pick(first)
        self.seen.begin(slots, values[first])
        inputs, levels = self.seen.see(rows.slots, values)
        self.window.begin(slots, inputs[first])
        if isinstance(self.models, JudgedWindows):
            return self._judge(self.window.step(rows.slots, inputs), inputs, levels)
        if len(first):
            copies = np.repeat(inputs[first, None], self.window.n_lags, axis=1)
            self.kept["expected"][slots] = self._forecast(copies, levels[first])
        errors = levels - self.kept["expected"][rows.slots]
        self.kept["expected"][rows.slots] = self._forecast(self.window.step(rows.slots, inputs), levels)
        return errors

    def _judge(self, windows: np.ndarray, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        assert isinstance(self.models, JudgedWindows)
        turns = [self.models.judge(member, windows, inputs, levels) for member in self.models.members]
        mean: np.ndarray = np.mean(turns, axis=0)
        return mean

    def _forecast(self, windows: np.ndarray, levels: np.ndarray) -> np.ndarray:
        assert isinstance(self.models, WindowForecasts)
        turns = zip(self.models.members, cycle(self.models.targets), strict=False)
        mean: np.ndarray = np.mean([self.models.forecast(m, t, windows, levels) for m, t in turns], axis=0)
        return mean


KINDS: dict[type, Any] = {
    StepForecasts: StepErrors,
    JudgedWindows: WindowErrors,
    WindowForecasts: WindowErrors,
}
