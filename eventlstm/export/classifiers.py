"""Classifiers of logs as the graph of a step: members, blends of them, each through the channels that it sees."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from ..detectors.event_blend import EventBlend, weights_of
from ..detectors.event_classifier import ensemble_of
from ..detectors.member_scores import Ensemble
from ..recurrent.lstm_classifier import LSTMClassifier
from .graph import Tensor
from .members import proba_of_windows, refuse_tagger
from .network_step import run_step
from .probabilities import mean_log_odds, of_all_classes, to_proba
from .refusal import refuse
from .step import Step
from .trees import boosted_proba
from .views import bent_channels, count_channels, see


def classify(step: Step, row: Tensor, model: Any, n_sensors: int) -> Tensor:
    """Return the probabilities (batch, n_classes) of an `EventClassifier` at a row (batch, n_sensors)."""
    ensemble = ensemble_of(model)
    for member in ensemble.members:
        refuse_tagger(member)
    window_size = getattr(model, "window_size_", model.window_size)  # archives of before know none
    judge = _judge_steps if model.mode == "stateful" else _judge_windows
    turns = judge(step, row, ensemble, window_size, n_sensors)
    known = zip(turns, ensemble.members, strict=True)
    return mean_log_odds([of_all_classes(proba, member.classes_, model.classes_) for proba, member in known])


def blend(step: Step, row: Tensor, model: EventBlend, classify_part: Any, n_sensors: int) -> Tensor:
    """Return the probabilities (batch, n_classes) of a blend; `classify_part` does what `classify` does for a part."""
    weights = weights_of(model)
    asked = np.flatnonzero(weights)
    turns = [classify_part(step.part(model.names_[k]), row, model.estimators_[k], n_sensors) for k in asked]
    return mean_log_odds(turns, weights[asked])


def _judge_steps(step: Step, row: Tensor, ensemble: Ensemble, warm_up: int, n_sensors: int) -> list[Tensor]:
    channels = _see_all(step, row, ensemble, n_sensors)
    turns = []
    for k, (member, seen) in enumerate(zip(ensemble.members, cycle(channels), strict=False)):
        if not isinstance(member, LSTMClassifier):
            refuse(member, "only LSTMClassifier goes step by step. Set mode='windows' in EventClassifier.")
        said, _ = run_step(step.part(k), member, seen, warm_up)
        turns.append(to_proba(member, said))
    return turns


def _judge_windows(step: Step, row: Tensor, ensemble: Ensemble, window_size: int, n_sensors: int) -> list[Tensor]:
    exact = ensemble.dtype == np.float64 and isinstance(ensemble.members[0], HistGradientBoostingClassifier)
    channels = _see_all(step, row, ensemble, n_sensors, bent=not exact)
    turns = []
    for k, (scaler, seen) in enumerate(zip(ensemble.scalers, channels, strict=True)):
        size = count_channels(scaler, n_sensors)
        windows = step.part(f"view{k}").last_rows(seen, window_size, size)
        turns.append(
            (windows, (window_size, size), np.tile(bent_channels(scaler, n_sensors), window_size) if exact else None)
        )
    return [
        proba_of_windows(member, windows, shape)
        if bent is None
        else boosted_proba(member, windows.reshape(0, -1), bent)
        for member, (windows, shape, bent) in zip(ensemble.members, cycle(turns), strict=False)
    ]


def _see_all(step: Step, row: Tensor, ensemble: Ensemble, n_sensors: int, *, bent: bool = True) -> list[Tensor]:
    """Return for each scaler the channels (batch, n_channels) of a row, in the type that members get them."""
    return [see(step, row, scaler, n_sensors, bent=bent).cast(ensemble.dtype) for scaler in ensemble.scalers]
