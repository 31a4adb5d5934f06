"""A scikit-learn scorer as the judge of early stopping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from torch import nn

from .devices import autocast
from .loop import Batches


class ScoreMonitor:
    """The score of a network on data held out, by any scorer of scikit-learn that looks at classes or probabilities.

    Items without weight, such as the padding of chunks, are left out. `proba` makes probabilities of logits, as the
    classifier will.
    """

    def __init__(
        self,
        scoring: Any,
        module: nn.Module,
        held_out: Batches,
        classes: np.ndarray,
        precision: str,
        proba: Callable[[torch.Tensor], np.ndarray],
    ) -> None:
        self.scoring = scoring
        self.scorer = get_scorer(scoring)
        self.module = module
        self.held_out = held_out
        self.classes = classes
        self.precision = precision
        self.proba = proba

    @torch.no_grad()
    def __call__(self) -> float:
        """Return the score; higher is better."""
        parts = [self._judge(batch) for batch in self.held_out.epoch(None)]
        logits, *told = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        target, weight = (part.numpy() for part in told)
        judged = _Judged(self.classes)
        sample_weight = {} if (weight == weight[0]).all() else {"sample_weight": weight}
        return float(self.scorer(judged, self.proba(logits), self.classes[target], **sample_weight))

    def contents(self) -> list[Any]:
        """Return all that decides which scorer it is, for a fingerprint."""
        scoring = repr(self.scoring) if hasattr(self.scoring, "get_metadata_routing") else self.scoring
        return [scoring, self.proba(torch.arange(len(self.classes))[None])]

    def _judge(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with autocast(self.precision, batch.x.device):
            logits, _ = self.held_out.forward(self.module, batch, None)
        kept = batch.weight > 0
        return logits[kept], batch.target[kept], batch.weight[kept]


class _Judged(ClassifierMixin, BaseEstimator):
    """A classifier whose input is its probabilities: what a scorer is shown."""

    def __init__(self, classes: Any = None) -> None:
        self.classes = classes

    @property
    def classes_(self) -> np.ndarray:
        return self.classes

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return X

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.classes[X.argmax(axis=1)]
