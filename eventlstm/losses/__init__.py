"""What training minimises: a loss per labelled item, from logits.

Losses for imbalanced classes seldom rank better than cross-entropy and move probabilities; each says by how much
(`class_factors`, `restore`), so that an estimator can undo it.
"""

from .base import Loss, cross_entropy
from .choice import LOSSES, CallableLoss, CrossEntropyLoss, make_loss
from .focusing import AsymmetricLoss, AveragePrecisionLoss, FocalLoss
from .weighted import ClassBalancedLoss, LDAMLoss, LogitAdjustedLoss

__all__ = [
    "LOSSES",
    "AsymmetricLoss",
    "AveragePrecisionLoss",
    "CallableLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "Loss",
    "cross_entropy",
    "make_loss",
]
