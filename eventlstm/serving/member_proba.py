"""From what networks say to probabilities: the softmax, and the way back from how their training weighed classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..losses.choice import make_loss
from ..recurrent.members import of_all_classes


class MemberProba:
    """How the probabilities of some fitted networks come of their logits, as `predict_proba_steps` has them."""

    def __init__(self, members: Sequence[Any], classes: np.ndarray) -> None:
        self.classes, self.known = classes, [member.classes_ for member in members]
        self.know_all = all(np.array_equal(known, classes) for known in self.known)
        corrects = getattr(members[0], "correct_prior", False)  # members are clones of one; taggers correct nothing
        self.loss = make_loss(members[0].loss) if corrects else None
        factors = [member.class_factors_ for member in members] if corrects else [1.0]
        self.factors = np.stack(factors)[:, None]  # (n_members, 1, n_outputs)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities (n_members, n, n_classes) of logits (n_members, n, n_outputs)."""
        odds = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
        odds /= odds.sum(axis=-1, keepdims=True)
        if self.loss is not None:
            odds = self.loss.restore(odds) / self.factors
            odds /= odds.sum(axis=-1, keepdims=True)
        if self.know_all:
            return odds
        return np.stack([of_all_classes(own, known, self.classes) for own, known in zip(odds, self.known, strict=True)])
