"""Members as graphs: what a fitted estimator says of windows ``(batch, n_timesteps, n_channels)``.

`shape` is ``(n_timesteps, n_channels)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..alarms.model_scores import last_step, steps_of
from ..detectors.outlier_classifier import OutlierClassifier
from ..recurrent.balanced_bagging_lstm_classifier import BalancedBaggingLSTMClassifier
from ..recurrent.base import RecurrentEstimator
from ..recurrent.codes import Codes, check_channels
from ..recurrent.lstm_autoencoder import LSTMAutoencoder
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.lstm_forecaster import LSTMForecaster
from ..recurrent.lstm_tagger import LSTMTagger
from ..training.devices import computes_in_bfloat16
from .graph import Tensor
from .networks import reconstruct, reconstruct_last, say
from .probabilities import mean_log_odds, of_all_classes, to_proba, undo_factors
from .refusal import refuse
from .sklearn_parts import forecast_of_samples, proba_of_samples, score_of_samples, transform_all
from .views import arcsinh

Shape = tuple[int, int]
CPU = torch.device("cpu")


def refuse_tagger(model: Any) -> None:
    """Refuse a tagger, whose labels of all steps no graph holds."""
    if isinstance(model, LSTMTagger):
        refuse(model, "no graph is made of a label at every step. Use LSTMClassifier.")


def proba_of_windows(member: Any, windows: Tensor, shape: Shape) -> Tensor:
    """Return the probabilities (batch, n_classes) of a classifier."""
    last = last_step(member)
    if isinstance(last, BalancedBaggingLSTMClassifier):
        return _bagged_proba(last, _behind_steps(member, windows, shape), shape)
    if isinstance(last, OutlierClassifier):
        return _outlier_proba(last, score_of_windows(last.detector_, _behind_steps(member, windows, shape), shape))
    if isinstance(last, LSTMClassifier):
        seen = as_network_takes(last, _behind_steps(member, windows, shape))
        return to_proba(last, say(last.module_, seen, codes_of(last)))
    return proba_of_samples(member, *flatten(windows, shape))


def forecast_of_windows(member: Any, windows: Tensor, shape: Shape) -> Tensor:
    """Return the forecast (batch, n_values) of a regressor, in the units of its targets."""
    last = last_step(member)
    if not isinstance(last, LSTMForecaster):
        return forecast_of_samples(member, *flatten(windows, shape))
    seen = as_network_takes(last, _behind_steps(member, windows, shape))
    quantiles = quantiles_of(last, say(last.module_, seen, codes_of(last)))
    return median_of(last, quantiles)


def score_of_windows(detector: Any, windows: Tensor, shape: Shape) -> Tensor:
    """Return how abnormal a detector of outliers finds windows, (batch, 1)."""
    last = last_step(detector)
    if not isinstance(last, LSTMAutoencoder):
        return score_of_samples(detector, *flatten(windows, shape))
    seen = _behind_steps(detector, windows, shape)
    missed = missed_last(last, seen).unsqueeze(1) if last.error == "last" else _missed(last, seen, shape[0])
    n_values = len(last.module_.measured) * (1 if last.error == "last" else shape[0])
    return (missed * missed).reshape(0, -1).sum(1).unsqueeze(1) / float(n_values)


def missed_last(member: LSTMAutoencoder, windows: Tensor) -> Tensor:
    """Return by how much an autoencoder misses the last step of windows, (batch, n_measured)."""
    seen = as_network_takes(member, windows)
    written = reconstruct_last(member.module_, seen, codes_of(member))
    return (seen.take(-1, axis=1).take(member.module_.measured, axis=1) - written).cast(np.float64)


def _missed(member: LSTMAutoencoder, windows: Tensor, n_steps: int) -> Tensor:
    """Return by how much an autoencoder misses windows, (batch, n_steps, n_measured)."""
    seen = as_network_takes(member, windows)
    written = reconstruct(member.module_, seen, codes_of(member), n_steps)
    return (seen.take(member.module_.measured, axis=2) - written).cast(np.float64)


def quantiles_of(member: LSTMForecaster, said: Tensor) -> Tensor:
    """Return outputs (batch, n_outputs) of a forecaster in units of the targets, (batch, n_values, n_quantiles)."""
    n_values, n_quantiles = len(member.target_scale_), max(1, len(member.quantiles_))
    values = said.cast(np.float64).reshape(0, n_values, n_quantiles)
    values = values * member.target_scale_[:, None] + member.target_center_[:, None]
    if n_quantiles == 1:
        return values
    return values.graph.apply_all("TopK", 2, values, np.array([n_quantiles]), axis=-1, largest=0, sorted=1)[0]


def median_of(member: LSTMForecaster, quantiles: Tensor) -> Tensor:
    """Return of quantiles (batch, n_values, n_quantiles) the one nearest to the median, (batch, n_values)."""
    return quantiles.take(int(np.abs(np.array(member.quantiles_ or (0.5,)) - 0.5).argmin()), axis=2)


def as_network_takes(member: RecurrentEstimator, x: Tensor) -> Tensor:
    """Return values in the type that a network computes in."""
    if member.precision == "bfloat16" or (member.precision == "auto" and computes_in_bfloat16(CPU)):
        refuse(member, f"precision={member.precision!r} rounds to bfloat16 here. Set precision='float32'.")
    return x.cast(np.float64 if member.precision == "float64" else np.float32)


def codes_of(member: RecurrentEstimator) -> Codes:
    """Return the channels of a network that hold codes, and the codes it knows."""
    return Codes(check_channels(member.categorical_channels, member.n_channels_), member.categories_)


def flatten(windows: Tensor, shape: Shape) -> tuple[Tensor, int]:
    """Return windows as the rows that scikit-learn's estimators take, and how many features these have."""
    return windows.reshape(0, -1).cast(np.float64), shape[0] * shape[1]


def _behind_steps(member: Any, windows: Tensor, shape: Shape) -> Tensor:
    """Return what the last step of a pipeline is given of windows; of any other estimator, the windows."""
    *before, last = steps_of(member)
    if not before:
        return windows
    flat, n_features = transform_all(before, *flatten(windows, shape))
    if n_features != shape[0] * shape[1]:
        refuse(last, "the steps before it change the shape of windows. Leave them out.")
    return flat.reshape(0, *shape)


def _bagged_proba(bagged: BalancedBaggingLSTMClassifier, windows: Tensor, shape: Shape) -> Tensor:
    turns = []
    for member, factors in zip(bagged.estimators_, bagged.class_factors_, strict=True):
        proba = proba_of_windows(member, windows, shape)
        if bagged.correct_prior:
            proba = undo_factors(proba, factors[np.searchsorted(bagged.classes_, member.classes_)])
        turns.append(of_all_classes(proba, member.classes_, bagged.classes_))
    return mean_log_odds(turns)


def _outlier_proba(member: OutlierClassifier, score: Tensor) -> Tensor:
    """Return the probabilities (batch, 2) by the score (batch, 1) of a classifier's detector."""
    odds = arcsinh((score - float(member.border_)) / float(member.spread_))
    proba = [odds.map("Sigmoid"), (odds * -1.0).map("Sigmoid")]
    return score.graph.concat(proba if member.quiet_class_ else proba[::-1], axis=1)
