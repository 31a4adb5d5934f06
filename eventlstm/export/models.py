"""Fitted models as graphs: of a step of a log, or of windows, by what kind of model it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..alarms.model_scores import last_step, steps_of
from ..detectors.anomaly_detector import AnomalyDetector
from ..detectors.event_blend import EventBlend
from ..detectors.event_classifier import EventClassifier
from ..logs.causal_features import CausalFeatures
from ..logs.forward_fill import ForwardFill
from ..recurrent.balanced_bagging_lstm_classifier import BalancedBaggingLSTMClassifier
from ..recurrent.lstm_autoencoder import LSTMAutoencoder
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.lstm_forecaster import LSTMForecaster
from .classifiers import blend, classify
from .detectors import detect
from .graph import BATCH, Graph, Tensor
from .members import (
    as_network_takes,
    codes_of,
    median_of,
    proba_of_windows,
    quantiles_of,
    refuse_tagger,
    score_of_windows,
)
from .metadata import describe_step, describe_windows
from .networks import say
from .refusal import refuse
from .sklearn_parts import transform
from .step import Step
from .views import count_channels, see

OF_LOGS = (EventClassifier, EventBlend, AnomalyDetector)
OF_WINDOWS = (LSTMClassifier, BalancedBaggingLSTMClassifier, LSTMForecaster, LSTMAutoencoder)


def to_model(model: Any) -> Any:
    """Return a fitted model as one of ONNX, checked."""
    check_is_fitted(model)
    inner = last_step(model)
    if isinstance(inner, OF_LOGS):
        return _to_step(model)
    if isinstance(inner, OF_WINDOWS):
        return _to_windows(inner)
    refuse_tagger(inner)
    refuse(inner, "it is no model of logs or of windows. Put it inside of EventClassifier or AnomalyDetector.")


def _to_step(model: Any) -> Any:
    """Return a model of logs as one whose input is a row of each machine."""
    graph, inner = Graph(), last_step(model)
    sensors = _names_in(model)
    row = graph.input("row", np.float64, BATCH, len(sensors))
    step = Step.start(graph)
    _refuse_other_stretches(model)
    if isinstance(inner, AnomalyDetector):
        row, n_channels = _prepare(step, row, steps_of(model)[:-1], len(sensors))
        graph.output("score", detect(step, row, inner, n_channels), BATCH)
    else:
        proba = _classify(step, row, model, len(sensors))
        _output_proba(graph, proba, inner)
    return graph.finish(describe_step(model, graph, sensors))


def _classify(step: Step, row: Tensor, model: Any, n_sensors: int) -> Tensor:
    """Return the probabilities (batch, n_classes) of a classifier of logs, or of a pipeline that ends in one."""
    *before, inner = steps_of(model)
    row, n_channels = _prepare(step, row, before, n_sensors)
    if isinstance(inner, EventBlend):
        return blend(step, row, inner, _classify, n_channels)
    if isinstance(inner, EventClassifier):
        return classify(step, row, inner, n_channels)
    if len(steps_of(inner)) > 1 or last_step(inner) is not inner:
        return _classify(step, row, inner, n_channels)
    refuse(inner, "it is no EventClassifier. Put it inside of one, with mode='windows'.")


def _prepare(step: Step, row: Tensor, steps: list[Any], n_sensors: int) -> tuple[Tensor, int]:
    """Return what the steps of a pipeline before the last make of a row, and how many columns that has."""
    for part in steps:
        if isinstance(part, ForwardFill):
            row = _fill_forward(step, row, part, n_sensors)
        elif isinstance(part, CausalFeatures):
            row, n_sensors = see(step, row, part, n_sensors), count_channels(part, n_sensors)
        else:
            row, n_sensors = transform(part, row, n_sensors)
    return row, n_sensors


def _fill_forward(step: Step, row: Tensor, fill: ForwardFill, n_sensors: int) -> Tensor:
    """Return a row with the last known value in place of NaN, or at first the median."""
    graph = row.graph
    kept, name = step.keep("filled", (n_sensors,), row.dtype)
    medians = graph.constant(np.asarray(fill.statistics_, dtype=np.float64)[None])
    before = step.first_or(medians, kept, 2)
    filled = graph.where(graph.apply("IsNaN", row, dtype=bool), before, row)
    step.go_on(name, filled)
    return filled


def _refuse_other_stretches(model: Any) -> None:
    """Refuse parts that would begin a stretch at other rows than the others: a graph is told once where one does."""
    cuts: dict[tuple[float, ...], Any] = {}
    for part in _all_parts(model):
        if hasattr(part, "max_gap_"):
            cuts.setdefault(tuple(getattr(part, "max_gaps_", [part.max_gap_])), part)
    if len(cuts) > 1:
        first, other = list(cuts.values())[:2]
        refuse(other, f"its max_gap is another than that of {type(first).__name__}. Give both the same, and fit again.")


def _all_parts(model: Any) -> list[Any]:
    """Return the steps of a model, and those of the parts of blends."""
    parts = []
    for step in steps_of(model):
        inside = step.estimators_ if isinstance(step, EventBlend) else []
        parts += [step, *(part for one in inside for part in _all_parts(one))]
    return parts


def _names_in(model: Any) -> list[str]:
    """Return the names of the sensors."""
    first = next(step for step in steps_of(model) if hasattr(step, "n_features_in_"))
    named = getattr(first, "feature_names_in_", None)
    return [f"x{k}" for k in range(first.n_features_in_)] if named is None else [str(name) for name in named]


def _to_windows(model: Any) -> Any:
    """Return an estimator of windows as a model whose input is windows."""
    graph, shape = Graph(), (model.n_timesteps_, model.n_channels_)
    windows = graph.input("windows", np.float64, BATCH, *shape)
    if isinstance(model, LSTMForecaster):
        _output_forecast(graph, windows, model)
    elif isinstance(model, LSTMAutoencoder):
        graph.output("score", score_of_windows(model, windows, shape).squeeze(1), BATCH)
    else:
        _output_proba(graph, proba_of_windows(model, windows, shape), model)
    return graph.finish(describe_windows(model, shape))


def _output_forecast(graph: Graph, windows: Tensor, model: LSTMForecaster) -> None:
    said = say(model.module_, as_network_takes(model, windows), codes_of(model))
    quantiles, shape = quantiles_of(model, said), getattr(model, "target_shape_", (model.horizon_, model.n_targets_))
    graph.output("forecast", median_of(model, quantiles).reshape(-1, *shape), BATCH, *shape)
    if model.quantiles_:
        full = (*shape, len(model.quantiles_))
        graph.output("quantiles", quantiles.reshape(-1, *full), BATCH, *full)


def _output_proba(graph: Graph, proba: Tensor, model: Any) -> None:
    """Make probabilities an output, and beside them the score: the probability of any class but the quiet one."""
    classes = model.classes_
    quiet = 0 if list(classes) == [0, 1] else getattr(model, "quiet_class_", 0)
    others = [k for k in range(len(classes)) if k != quiet]
    graph.output("probabilities", proba, BATCH, len(classes))
    graph.output("score", proba.take(others, axis=1).sum(1), BATCH)
