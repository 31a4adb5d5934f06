"""Cross-entropies that weigh rare classes up, or ask a margin of them."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch

from .._validation import Interval
from .base import DeferredLoss, Loss, PreparedLoss, cross_entropy, of_class, refuse_empty, shares

BELOW_ONE = Interval(Real, 0, 1, closed="left")
FROM_ZERO = Interval(Real, 0, None, closed="left")
# Margins fall with the fourth root of a class's examples: the optimum of the bound for two classes (Cao et al., 2019).
MARGIN_POWER = -0.25


class ClassBalancedLoss(Loss):
    """Cross-entropy with class weights by the effective number of events.

    The weight of a class with n events is proportional to ``(1 - beta) / (1 - beta**n)``, and of mean one over the
    training items, so that the learning rate keeps its meaning.

    Parameters
    ----------
    beta : float, default=0.999
        From 0, which weighs all classes alike, to just below 1, which weighs by the inverse of the number of events.
        An event adds ever less as there are more: their effective number never goes beyond ``1 / (1 - beta)``.

    See Also
    --------
    LogitAdjustedLoss : Moves logits instead of weighing classes.
    FocalLoss : Weighs what is hard.

    References
    ----------
    Cui et al., "Class-balanced loss based on effective number of samples", 2019.

    Examples
    --------
    >>> from eventlstm.losses import ClassBalancedLoss
    >>> ClassBalancedLoss(beta=0.9).class_factors([900, 100], [30, 2]).round(2)
    array([0.71, 3.59])
    """

    counts_classes = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"beta": [BELOW_ONE]}

    def __init__(self, beta: float = 0.999) -> None:
        self.beta = beta

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        weights = torch.from_numpy(self._class_factors(n_items, n_events))
        return PreparedLoss(weighted_cross_entropy, weights=weights)

    def _class_factors(self, n_items: np.ndarray, n_events: np.ndarray) -> np.ndarray:
        return effective_weights(self.beta, n_items, n_events)

    def _restore(self, proba: np.ndarray) -> np.ndarray:
        return proba


class LogitAdjustedLoss(Loss):
    """Cross-entropy of the logits plus `tau` times the logarithm of each class's share in training.

    The network then serves the logits without that offset, as if all classes were equally frequent at ``tau=1``, and
    its largest logit is right most often in the mean over classes. In the binary case this shifts the log-odds by one
    number: another threshold and another course of training, the same ideal ranking.

    Parameters
    ----------
    tau : float, default=1.0
        Strength of the offset; 0 is cross-entropy.

    See Also
    --------
    LDAMLoss : Margins from a bound on the error.
    ClassBalancedLoss : Weighs classes instead of moving logits.

    References
    ----------
    Menon et al., "Long-tail learning via logit adjustment", 2021.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import LogitAdjustedLoss
    >>> prepared = LogitAdjustedLoss().prepare([99, 1], [3, 2])
    >>> prepared(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.0101, 4.6052])
    """

    counts_classes = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"tau": [FROM_ZERO]}

    def __init__(self, tau: float = 1.0) -> None:
        self.tau = tau

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        return PreparedLoss(shifted_cross_entropy, offsets=torch.from_numpy(self.tau * np.log(shares(n_items))))

    def _class_factors(self, n_items: np.ndarray, n_events: np.ndarray) -> np.ndarray:
        return mean_one(shares(n_items) ** -self.tau, n_items)

    def _restore(self, proba: np.ndarray) -> np.ndarray:
        return proba


class LDAMLoss(Loss):
    """Cross-entropy that asks a margin of each class, wider for rarer ones, and weighs classes late in training.

    Before the softmax, ``scale * margin`` of the true class is taken from its logit, where margins fall with the fourth
    root of the number of events. From `deferred` on, classes are weighed as in `ClassBalancedLoss`.

    Parameters
    ----------
    max_margin : float, default=0.5
        Margin of the rarest class.
    scale : float, default=1.0
        Logits are taken for `scale` times the outputs that the margin is asked of. Cao et al. take 30 with outputs that
        are cosines. A linear head has no such bound: with a margin of many logits the loss becomes a hinge, which ranks
        no two items whose events are less likely than not.
    deferred : float, default=0.8
        Share of training before classes are weighed, below 1; 160 of 200 epochs in Cao et al.
    beta : float, default=0.9999
        Of the weights, as in `ClassBalancedLoss`; 0 never weighs.

    See Also
    --------
    LogitAdjustedLoss : Margins by the frequency, and probabilities that can be set right again.

    References
    ----------
    Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", 2019.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import LDAMLoss
    >>> prepared = LDAMLoss(max_margin=1.0).prepare([90, 10], [16, 1])
    >>> prepared.at(0.0)(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.9741, 1.3133])
    """

    counts_classes = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_margin": [FROM_ZERO],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "deferred": [BELOW_ONE],
        "beta": [BELOW_ONE],
    }

    def __init__(
        self, max_margin: float = 0.5, scale: float = 1.0, deferred: float = 0.8, beta: float = 0.9999
    ) -> None:
        self.max_margin = max_margin
        self.scale = scale
        self.deferred = deferred
        self.beta = beta

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        weights = self._class_factors(n_items, n_events)
        margins = self.scale * self.max_margin * (n_events / n_events.min()) ** MARGIN_POWER
        return DeferredLoss(
            margin_loss,
            margins=torch.from_numpy(margins),
            weights=torch.from_numpy(weights),
            deferred=self.deferred,
        )

    def _class_factors(self, n_items: np.ndarray, n_events: np.ndarray) -> np.ndarray:
        return effective_weights(self.beta, n_items, n_events)


def weighted_cross_entropy(logits: torch.Tensor, target: torch.Tensor, *, weights: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each item, times the weight of its class."""
    return of_class(weights, logits, target) * cross_entropy(logits, target)


def shifted_cross_entropy(logits: torch.Tensor, target: torch.Tensor, *, offsets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of logits to which an offset of each class is added."""
    return cross_entropy(logits + offsets.to(logits), target)


def margin_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    margins: torch.Tensor,
    weights: torch.Tensor,
    deferred: float,
    progress: float = 1.0,
) -> torch.Tensor:
    """Return the cross-entropy after the margin, weighed once training is far enough."""
    margin = of_class(margins, logits, target)[..., None]  # (..., 1)
    values = cross_entropy(logits.scatter_add(-1, target[..., None], -margin), target)
    return values if progress < deferred else of_class(weights, logits, target) * values


def effective_weights(beta: float, n_items: np.ndarray, n_events: np.ndarray) -> np.ndarray:
    """Return the inverse of each class's effective number of events, of mean one over the items."""
    refuse_empty(n_items)
    refuse_empty(n_events)
    if not beta:
        return np.ones(len(n_items))
    return mean_one((1.0 - beta) / -np.expm1(n_events * np.log(beta)), n_items)


def mean_one(weights: np.ndarray, n_items: np.ndarray) -> np.ndarray:
    """Return weights of classes in proportion, whose mean over all items is one."""
    return weights / np.average(weights, weights=n_items)
