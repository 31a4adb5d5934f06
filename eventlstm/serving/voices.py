"""From what networks say to probabilities: the softmax, and the way back from how their training weighed classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..losses.choice import make_loss
from ..recurrent.members import of_all_classes


class Voices:
    """How the probabilities of some fitted `LSTMClassifier` come of their logits, as `predict_proba_steps` has them."""

    def __init__(self, members: Sequence[Any], classes: np.ndarray) -> None:
        self.classes, self.known = classes, [member.classes_ for member in members]
        self.factors = [member.class_factors_ if member.correct_prior else None for member in members]
        self.losses = [make_loss(member.loss) for member in members]

    def proba(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities (n_members, n, n_classes) of logits (n_members, n, n_outputs)."""
        odds = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
        odds /= odds.sum(axis=-1, keepdims=True)
        return np.stack([self._member(k, proba) for k, proba in enumerate(odds)])

    def _member(self, k: int, proba: np.ndarray) -> np.ndarray:
        factors = self.factors[k]
        if factors is not None:
            proba = self.losses[k].restore(proba) / factors
            proba /= proba.sum(axis=-1, keepdims=True)
        return of_all_classes(proba, self.known[k], self.classes)
