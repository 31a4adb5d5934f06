"""The detector of logs as the graph of a step: errors of models by sensor, in units of quiet ones, summed and smoothed.

Errors are ``(batch, n_sensors)`` in double precision.
"""

from __future__ import annotations

import math
from itertools import cycle
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from ..detectors.anomaly_detector import AnomalyDetector, row_scorer_of
from ..detectors.error_scorer import ErrorScorer
from ..detectors.row_models import (
    OutlierScores,
    Projections,
    Reconstructions,
    RowModels,
    StepForecasts,
    WindowForecasts,
)
from ..recurrent.lstm_autoencoder import LSTMAutoencoder
from ..recurrent.lstm_forecaster import LSTMForecaster
from .graph import Tensor
from .members import forecast_of_windows, median_of, missed_last, quantiles_of, score_of_windows
from .network_step import run_step
from .refusal import refuse
from .step import Step
from .views import count_channels, see


def detect(step: Step, row: Tensor, model: AnomalyDetector, n_sensors: int) -> Tensor:
    """Return the score (batch,) of a detector at a row (batch, n_sensors), as that of a run that `fit` did not see."""
    scorer = row_scorer_of(model)
    errors = KINDS[type(scorer.models)](step, row, scorer.models, n_sensors)
    if scorer.scorer is not None and scorer.cold is not None:
        errors = _score(scorer.scorer, _warm_errors(step, errors, scorer.cold), n_sensors)
    span = getattr(model, "smoothing_", model.smoothing)  # archives of before know none
    usual = float(model.quiet_parts_.sum())
    return _smooth(step, errors.sum(1).unsqueeze(1), float(span), usual, model.average).squeeze(1)


def _see(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> tuple[Tensor, Tensor, int]:
    """Return the inputs of models, the levels of the sensors, and how many inputs there are."""
    view = models.view
    levels = see(step, row, view.levels, n_sensors)
    if view.relative is None:
        return levels.at_least(-view.clip).at_most(view.clip), levels, n_sensors
    return see(step, row, view.relative, n_sensors), levels, count_channels(view.relative, n_sensors)


def _see_windows(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return the window of inputs that ends at a row, the levels of the sensors, and the shape of the window."""
    inputs, levels, size = _see(step, row, models, n_sensors)
    return step.last_rows(inputs, models.window_size, size, "inputs"), levels, (models.window_size, size)


def _errors_of_steps(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> Tensor:
    """Return by how much the mean forecast of forecasters that go step by step misses a row."""
    inputs, levels, _ = _see(step, row, models, n_sensors)
    before = _levels_before(step, levels, models, n_sensors)
    forecasts = []
    for k, (member, target) in enumerate(zip(models.members, cycle(models.targets), strict=False)):
        if not isinstance(member, LSTMForecaster):
            refuse(member, "only LSTMForecaster goes step by step. Use it, or a regressor of windows.")
        _, said = run_step(step.part(k), member, inputs, models.window_size, keep_said=True)
        ahead = median_of(member, quantiles_of(member, said)).take(range(n_sensors), axis=1)
        ahead = ahead * (~models.view.still).astype(np.float64)
        forecasts.append(ahead + before if target == "change" else ahead)
    return levels - _mean(forecasts)


def _levels_before(step: Step, levels: Tensor, models: RowModels, n_sensors: int) -> Tensor:
    """Return the levels of the row before, where a model forecasts by how much they change."""
    if "change" not in models.targets:
        return levels
    kept, name = step.keep("levels", (n_sensors,), levels.dtype)
    step.go_on(name, levels)
    return step.first_or(levels, kept, 2)


def _errors_of_windows(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> Tensor:
    """Return the mean error of regressors that forecast a row from the window before it."""
    windows, levels, shape = _see_windows(step, row, models, n_sensors)
    forecasts = []
    for member, target in zip(models.members, cycle(models.targets), strict=False):
        ahead = forecast_of_windows(member, windows, shape).reshape(-1, n_sensors)
        forecasts.append(ahead + levels if target == "change" else ahead)
    forecast = _mean(forecasts)
    kept, name = step.keep("forecast", (n_sensors,), forecast.dtype)
    step.go_on(name, forecast)
    return levels - step.first_or(forecast, kept, 2)


def _errors_of_reconstructions(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> Tensor:
    """Return the mean error of autoencoders at the last row of the window that ends there."""
    windows, levels, _ = _see_windows(step, row, models, n_sensors)
    missed = []
    for member in models.members:
        if not isinstance(member, LSTMAutoencoder):
            refuse(member, "of autoencoders, only LSTMAutoencoder is known. Use it.")
        missed.append(missed_last(member, windows).take(range(n_sensors), axis=1))
    errors, still = _mean(missed) + _clipped_off(windows, levels, models), models.view.still
    return errors.graph.where(errors.graph.constant(still[None]), levels, errors)


def _errors_of_projections(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> Tensor:
    """Return the mean error of projections and back at the last row of the window that ends there."""
    windows, levels, (n_steps, size) = _see_windows(step, row, models, n_sensors)
    last = (n_steps - 1) * size + np.arange(n_sensors)
    flat = windows.reshape(0, -1)
    missed = [_missed_by_pca(member, flat).take(last, axis=1) for member in models.members]
    return _mean(missed) + _clipped_off(windows, levels, models)


def _missed_by_pca(pca: Any, flat: Tensor) -> Tensor:
    """Return what is left of samples without their projection."""
    if type(pca) is not PCA:
        refuse(pca, "of transformers that lead back, only PCA is known. Use it.")
    centred = flat - pca.mean_  # whitening is undone on the way back
    return centred - (centred @ pca.components_.T) @ pca.components_


def _scores(step: Step, row: Tensor, models: RowModels, n_sensors: int) -> Tensor:
    """Return the mean score (batch, 1) of detectors of outliers among windows."""
    windows, _, shape = _see_windows(step, row, models, n_sensors)
    return _mean([score_of_windows(member, windows, shape) for member in models.members])


KINDS: dict[type, Any] = {
    StepForecasts: _errors_of_steps,
    WindowForecasts: _errors_of_windows,
    Reconstructions: _errors_of_reconstructions,
    Projections: _errors_of_projections,
    OutlierScores: _scores,
}


def _clipped_off(windows: Tensor, levels: Tensor, models: RowModels) -> Tensor:
    """Return by how much levels are beyond what models are shown of them."""
    return levels - windows.take(-1, axis=1) if models.view.relative is None else levels * 0.0


def _mean(turns: list[Tensor]) -> Tensor:
    return turns[0].graph.apply("Sum", *turns) / float(len(turns))


def _warm_errors(step: Step, errors: Tensor, cold: np.ndarray) -> Tensor:
    """Return errors over what makes them larger on the first rows of a stretch; `cold` is (n_first, n_sensors)."""
    if not len(cold):
        return errors
    kept, name = step.keep("age", (), np.int64)
    age = step.first_or(step.graph.constant(np.zeros(1, dtype=np.int64)), kept, 1)
    step.go_on(name, (age + 1).at_most(len(cold)))
    larger = step.graph.constant(np.concatenate([cold, np.ones((1, cold.shape[1]))]))
    return errors / step.graph.apply("Gather", larger, age, axis=0)


def _score(scorer: ErrorScorer, errors: Tensor, n_sensors: int) -> Tensor:
    """Return what each sensor adds to the score."""
    scaled = (errors / scorer.scale_).at_least(-scorer.cap).at_most(scorer.cap)
    other = scaled if scorer.precision_ is None else scaled @ scorer.precision_
    return scaled * other / float(n_sensors)


def _smooth(step: Step, score: Tensor, span: float, usual: float, average: str) -> Tensor:
    """Return the causal mean of scores (batch, 1); before a stretch, they are as is usual."""
    if span <= 1:
        return score
    graph, before = step.graph, step.graph.constant(np.array([[usual]]))
    if average == "window":
        n_rows = math.ceil(span)
        kept, name = step.keep("scores", (n_rows - 1,), score.dtype)
        window = graph.concat([step.first_or(before, kept, 2), score], axis=1)
        step.go_on(name, window.tail(1, axis=1))
        return window.sum(1).unsqueeze(1) / float(n_rows)
    alpha = 2.0 / (span + 1.0)
    kept, name = step.keep("mean", (1,), score.dtype)
    mean = score * alpha + step.first_or(before, kept, 2) * (1.0 - alpha)
    step.go_on(name, mean)
    return mean
