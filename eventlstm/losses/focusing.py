"""Losses that look away from what is easy: focal, asymmetric, and average precision."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch

from .._validation import Interval
from .base import Loss, PreparedLoss, WholeBatchLoss, cross_entropy, log_rest, of_class
from .priors import undo_focusing

FROM_ZERO = Interval(Real, 0, None, closed="left")
# An item's rank counts itself once, and the sigmoid of its difference to itself is one half.
OTHER_HALF = 0.5


class FocalLoss(Loss):
    """Cross-entropy times ``(1 - p)**gamma``, where p is the probability of the true class.

    Items that are already right count little. The loss makes rare events look likelier than they are, one in a thousand
    like one in fourteen at ``gamma=2``; `restore` inverts that exactly.

    Parameters
    ----------
    gamma : float, default=2.0
        How much easy items are held down; 0 is cross-entropy.
    alpha : float, array-like of shape (n_classes,) or None, default=None
        Weights of the classes. A number is that of the last of two classes, and the first gets ``1 - alpha``. None
        weighs all by one. Lin et al. find a smaller `alpha` best for a larger `gamma`, 0.25 for 2: not the inverse
        of a class's frequency.

    See Also
    --------
    AsymmetricLoss : An exponent for events, another for the quiet class.
    ClassBalancedLoss : Weighs classes, not what is hard.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", 2017.
    Charoenphakdee et al., "On focal loss for class-posterior probability estimation: A theoretical perspective", 2021.

    Examples
    --------
    >>> from eventlstm.losses import FocalLoss
    >>> FocalLoss(gamma=2.0).restore([[0.9273, 0.0727]])
    array([[0.999, 0.001]])
    >>> FocalLoss(alpha=0.25).class_factors([990, 10], [4, 3])
    array([0.75, 0.25])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "gamma": [FROM_ZERO],
        "alpha": [Interval(Real, 0, 1, closed="neither"), "array-like", None],
    }

    def __init__(self, gamma: float = 2.0, alpha: Any = None) -> None:
        self.gamma = gamma
        self.alpha = alpha

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        weights = torch.from_numpy(self._class_factors(n_items, n_events))
        return PreparedLoss(focal_loss, gamma=float(self.gamma), weights=weights)

    def _class_factors(self, n_items: np.ndarray, n_events: np.ndarray) -> np.ndarray:
        if self.alpha is None:
            return np.ones(len(n_items))
        alpha = np.asarray(self.alpha, dtype=np.float64)
        if alpha.ndim == 0:
            alpha = np.array([1.0 - alpha, alpha])
        if alpha.shape != n_items.shape or not (np.isfinite(alpha) & (alpha > 0)).all():
            raise ValueError(
                f"alpha={self.alpha!r} does not weigh {len(n_items)} classes. Pass a list of one positive weight for "
                "each class, or None to weigh all alike; a number is for two classes."
            )
        return alpha

    def _restore(self, proba: np.ndarray) -> np.ndarray:
        return undo_focusing(proba, self.gamma)


class AsymmetricLoss(Loss):
    """Focal loss with an exponent for events and another for the quiet class, which is forgiven small probabilities.

    With p the probability of the true class, an event costs ``-(1 - p)**gamma_pos * log(p)``. With p the probability
    that is left for events altogether and ``p_m = max(p - margin, 0)``, a quiet item costs
    ``-p_m**gamma_neg * log(1 - p_m)``.

    Parameters
    ----------
    gamma_pos : float, default=0.0
        Exponent of the events.
    gamma_neg : float, default=4.0
        Exponent of the quiet class.
    margin : float, default=0.05
        A quiet item whose probability of an event is below it costs nothing.

    See Also
    --------
    FocalLoss : One exponent for all classes.

    Notes
    -----
    The paper has a sigmoid for each of many labels, most of which are off. Here classes exclude each other: the most
    frequent class of training, the first of several, is where all labels are off, and each other class is a label. For
    two classes that is the paper's loss of a single label, with the log-odds as its logit.

    References
    ----------
    Ridnik et al., "Asymmetric loss for multi-label classification", 2021.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import AsymmetricLoss
    >>> prepared = AsymmetricLoss().prepare([990, 10], [4, 3])
    >>> prepared(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.0245, 0.6931])
    """

    counts_classes = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "gamma_pos": [FROM_ZERO],
        "gamma_neg": [FROM_ZERO],
        "margin": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, gamma_pos: float = 0.0, gamma_neg: float = 4.0, margin: float = 0.05) -> None:
        self.gamma_pos = gamma_pos
        self.gamma_neg = gamma_neg
        self.margin = margin

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        parameters = {name: float(value) for name, value in self.get_params().items()}
        return PreparedLoss(asymmetric_loss, quiet=int(n_items.argmax()), **parameters)


class AveragePrecisionLoss(Loss):
    """One minus the average precision of a batch, with ranks made smooth by sigmoids.

    The rank of an item is one plus the sum of ``sigmoid((s_j - s_i) / temperature)`` over the others, where s are
    log-odds; an event's precision is its rank among events over its rank among all. For two classes the last is the
    event; of more, each that the batch holds is ranked against the rest, and the mean is taken.

    It takes a batch as a whole, and one with two events at least says more than one with none, which has loss zero.
    Ranks have no scale, so that the probabilities mean nothing before they are calibrated.

    Parameters
    ----------
    temperature : float, default=1.0
        Of the sigmoids, in units of the log-odds. The smaller, the closer to average precision, and the fewer pairs
        that are near enough to learn from. Brown et al. take 0.01 for cosines.

    See Also
    --------
    sklearn.metrics.average_precision_score : What it is made to raise.
    CrossEntropyLoss : Leaves probabilities as they are.

    Notes
    -----
    Memory grows with the events times the items of a batch; with more than two classes, with the square of its items.

    References
    ----------
    Brown et al., "Smooth-AP: Smoothing the path towards large-scale image retrieval", 2020.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import AveragePrecisionLoss
    >>> prepared = AveragePrecisionLoss(temperature=0.1).prepare([3, 1], [2, 1])
    >>> logits = torch.tensor([[0.0, 3.0], [0.0, -1.0], [0.0, 2.0], [0.0, 1.0]])
    >>> prepared(logits, torch.tensor([0, 0, 1, 0])).mean()  # second of four
    tensor(0.5000)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        return WholeBatchLoss(average_precision_loss, temperature=float(self.temperature))


def focal_loss(logits: torch.Tensor, target: torch.Tensor, *, gamma: float, weights: torch.Tensor) -> torch.Tensor:
    """Return the focal loss of each item, times the weight of its class."""
    # A power of the logarithm has a finite slope at p = 1 for any gamma.
    focus = (gamma * log_rest(logits, target)).exp()
    return of_class(weights, logits, target) * focus * cross_entropy(logits, target)


def asymmetric_loss(
    logits: torch.Tensor, target: torch.Tensor, *, quiet: int, gamma_pos: float, gamma_neg: float, margin: float
) -> torch.Tensor:
    """Return the asymmetric loss of each item; `quiet` is the number of the class without events."""
    as_event = (gamma_pos * log_rest(logits, target)).exp() * cross_entropy(logits, target)
    log_margin = math.log(margin) if margin else -math.inf
    of_quiet = torch.full_like(target, quiet)
    log_p = log_rest(logits, of_quiet)  # of an event, whichever
    costly = log_p > log_margin
    forgiven = log_margin - log_p.masked_fill(~costly, 0.0)  # the part of p that the margin takes, as a logarithm
    log_p_m = log_p + (-torch.expm1(forgiven)).log()
    log_rest_m = torch.logaddexp(-cross_entropy(logits, of_quiet), logits.new_tensor(log_margin))  # of 1 - p_m
    as_quiet = torch.where(costly, (gamma_neg * log_p_m).exp() * -log_rest_m, 0.0)
    return torch.where(target == quiet, as_quiet, as_event)


def average_precision_loss(
    logits: torch.Tensor, target: torch.Tensor, *, temperature: float, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Return each item's share of the loss of the batch, for its weight to be multiplied with."""
    weight = torch.ones_like(logits[..., 0]) if weight is None else weight.to(logits)
    flat, labels, weights = logits.reshape(-1, logits.shape[-1]), target.reshape(-1), weight.reshape(-1)
    n_classes = flat.shape[1]
    ranked = [k for k in range(int(n_classes == 2), n_classes) if weights[labels == k].sum() > 0]
    values = torch.zeros_like(weights) + 0.0 * flat.sum(dim=1)  # of the graph even without an event
    for k in ranked:
        lost = _lost_precision(flat, labels == k, weights, k, temperature)
        share = len(labels) / (weights[labels == k].sum() * len(ranked))
        values = values.masked_scatter(labels == k, values[labels == k] + share * lost)
    return values.reshape(target.shape)


def _lost_precision(
    logits: torch.Tensor, is_event: torch.Tensor, weights: torch.Tensor, k: int, temperature: float
) -> torch.Tensor:
    """Return one minus the precision at each item of class `k`, (n_events,)."""
    score = logits[:, k] - log_others(logits, k)
    ahead = torch.sigmoid((score[None, :] - score[is_event, None]) / temperature) * weights  # (n_events, n_items)
    own = OTHER_HALF * weights[is_event]
    behind_others = ahead[:, ~is_event].sum(dim=1)
    return behind_others / (own + ahead.sum(dim=1)).clamp_min(torch.finfo(logits.dtype).tiny)


def log_others(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Return the logarithm of the sum of the exponentials of all logits but those of class `k`, (n_items,)."""
    return torch.cat([logits[:, :k], logits[:, k + 1 :]], dim=1).logsumexp(dim=1)
