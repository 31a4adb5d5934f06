"""Probabilities as a graph: from the logits of networks, and the mean opinion of several members.

They are ``(batch, n_classes)`` in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..losses.choice import make_loss
from ..losses.focusing import FocalLoss
from ..losses.priors import TINY
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.members import SUREST
from .graph import Tensor
from .refusal import refuse


def to_proba(member: LSTMClassifier, logits: Tensor) -> Tensor:
    """Return the probabilities of a classifier's logits, freed from what training weighed or bent."""
    proba = logits.cast(np.float64).map("Softmax", axis=-1)
    if not member.correct_prior:
        return proba
    return undo_factors(_restore(member, proba), member.class_factors_)


def undo_factors(proba: Tensor, factors: np.ndarray) -> Tensor:
    """Return probabilities freed from the factor with which training saw each class."""
    return normalize(proba / np.asarray(factors, dtype=np.float64))


def normalize(odds: Tensor) -> Tensor:
    """Return odds over their sum."""
    return odds / odds.sum(-1).unsqueeze(-1)


def mean_log_odds(proba: Sequence[Tensor], weights: np.ndarray | None = None) -> Tensor:
    """Return the members' opinion of their probabilities, as `recurrent.members.mean_log_odds` does."""
    if len(proba) == 1:
        return proba[0]
    shares = np.full(len(proba), 1.0 / len(proba)) if weights is None else weights / np.sum(weights)
    logs = [one.at_least(SUREST).map("Log") * float(share) for one, share in zip(proba, shares, strict=True)]
    return proba[0].graph.apply("Sum", *logs).map("Softmax", axis=-1)


def of_all_classes(proba: Tensor, known: np.ndarray, classes: np.ndarray) -> Tensor:
    """Return a member's probabilities, of the classes `known` to it, with a column for each of all."""
    if np.array_equal(known, classes):
        return proba
    places = np.zeros((len(known), len(classes)))
    places[np.arange(len(known)), np.searchsorted(classes, known)] = 1.0
    return proba @ places


def _restore(member: Any, proba: Tensor) -> Tensor:
    """Return probabilities without what the loss does to them beyond weighing classes."""
    loss = make_loss(member.loss)
    if isinstance(loss, FocalLoss):
        return _undo_focusing(proba, loss.gamma, len(member.classes_))
    probe = np.full((1, len(member.classes_)), 1.0)
    probe[0, 0] = 2.0
    if not np.array_equal(loss.restore(probe / probe.sum()), probe / probe.sum()):
        refuse(member, f"what {type(loss).__name__} restores of probabilities is not known here. Use another loss.")
    return proba


def _undo_focusing(proba: Tensor, gamma: float, n_classes: int) -> Tensor:
    """Return what `losses.priors.undo_focusing` does."""
    graph = proba.graph
    rest = proba @ (1.0 - np.eye(n_classes))
    values, rest = proba.at_least(TINY).at_most(1.0), rest.at_least(TINY).at_most(1.0)
    of_large = (rest.at_most(0.5) * -1.0 + 1.0).map("Log")
    logs = values.map("Log")
    log_values = graph.where(graph.apply("Greater", values, rest, dtype=bool), of_large, logs)
    log_slope = rest.map("Log") * (gamma - 1.0) + (rest - values * log_values * gamma).map("Log") - logs
    return (log_slope * -1.0).map("Softmax", axis=-1)
