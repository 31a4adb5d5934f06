"""What training minimises: a loss per labelled item, from logits.

Losses for imbalanced classes seldom rank better than cross-entropy and move probabilities; each says by how much
(`class_factors`, `restore`), so that an estimator can undo it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .base import Loss, PreparedLoss, WholeBatchLoss, cross_entropy
from .focusing import AsymmetricLoss, AveragePrecisionLoss, FocalLoss
from .weighted import ClassBalancedLoss, LDAMLoss, LogitAdjustedLoss


class CrossEntropyLoss(Loss):
    """The negative log-likelihood of the true class, whose minimum is at the true probabilities.

    See Also
    --------
    ClassBalancedLoss : The same with weights of classes.
    cross_entropy : The function by itself.

    References
    ----------
    Good, "Rational decisions", 1952.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import CrossEntropyLoss
    >>> CrossEntropyLoss().prepare([99, 1], [3, 2])(torch.zeros(1, 2), torch.tensor([1]))
    tensor([0.6931])
    """

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        return PreparedLoss(cross_entropy)

    def _restore(self, proba: np.ndarray) -> np.ndarray:
        return proba


class CallableLoss(Loss):
    """Any function of logits and targets, or module of torch, as a loss.

    Parameters
    ----------
    function : callable
        Takes logits of shape (n_items, n_classes) and the numbers of the true classes, int64 of shape (n_items,);
        returns the loss of each item, or of all as a number without axes. A number leaves weights of items without
        effect. Modules of torch itself are asked for each item's loss, whatever their `reduction`, and the weights
        of items count. A module's own parameters are moved to the device, but not trained.

    See Also
    --------
    make_loss : Wraps a function unasked.
    Loss : To subclass, where probabilities can be set right again.

    Notes
    -----
    What the loss does to probabilities is unknown, so that they can only be calibrated.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from eventlstm.losses import CallableLoss
    >>> prepared = CallableLoss(nn.CrossEntropyLoss(label_smoothing=0.1)).prepare([99, 1], [3, 2])
    >>> prepared(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor([0.2269, 0.6931])
    """

    _parameter_constraints = {"function": [callable]}

    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self.function = function

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        if not isinstance(self.function, nn.Module):
            return WholeBatchLoss(called_loss, function=self.function)
        module: Any = copy.deepcopy(self.function)
        # Without a reduction, torch's own losses treat items alone. Of others nothing is known.
        if type(module).__module__.startswith("torch.nn.") and hasattr(module, "reduction"):
            module.reduction = "none"
            return PreparedLoss(called_loss, function=module)
        return WholeBatchLoss(called_loss, function=module)


LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "focal": FocalLoss,
    "class_balanced": ClassBalancedLoss,
    "logit_adjusted": LogitAdjustedLoss,
    "asymmetric": AsymmetricLoss,
    "ldam": LDAMLoss,
    "average_precision": AveragePrecisionLoss,
}


def make_loss(loss: Any) -> Loss:
    """Loss that a name, a function or a module stands for.

    Parameters
    ----------
    loss : str, Loss, callable or nn.Module
        A name in ``LOSSES`` stands for that loss with its defaults; functions and modules are wrapped by
        `CallableLoss`.

    Returns
    -------
    Loss
        A loss given as such is returned itself.

    Raises
    ------
    ValueError
        If there is no loss of that name.
    TypeError
        If it is none of these, or a class instead of an object of it.

    See Also
    --------
    Loss : What it returns, and what to subclass.
    LOSSES : The names it knows.

    Examples
    --------
    >>> from torch import nn
    >>> from eventlstm.losses import make_loss
    >>> make_loss("focal")
    FocalLoss()
    >>> make_loss(nn.CrossEntropyLoss())
    CallableLoss(function=CrossEntropyLoss())
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"There is no loss {loss!r}. Choose one of {', '.join(map(repr, LOSSES))}.")
        return LOSSES[loss]()
    if isinstance(loss, type):
        raise TypeError(f"loss is the class {loss.__name__}, but an object of it is needed: {loss.__name__}().")
    if not callable(loss):
        raise TypeError(f"loss={loss!r} is no loss. Pass a name, a Loss, or a function of logits and targets.")
    return CallableLoss(loss)


def called_loss(
    logits: torch.Tensor, target: torch.Tensor, *, function: Any, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Return what a function says of each item, or its one number for every item."""
    if isinstance(function, nn.Module):
        function.to(logits)  # in place, and for nothing after the first call
    flat, labels = logits.reshape(-1, logits.shape[-1]), target.reshape(-1)
    try:
        values = function(flat, labels)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{_unfit(function, flat)} It raised {type(error).__name__}: {error}") from error
    if not isinstance(values, torch.Tensor) or values.shape not in ((), labels.shape):
        found = f"shape {tuple(values.shape)}" if isinstance(values, torch.Tensor) else type(values).__name__
        raise ValueError(f"{_unfit(function, flat)} It returned {found}.")
    return values.reshape(target.shape) if values.ndim else values.expand(target.shape)


def _unfit(function: Any, logits: torch.Tensor) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return (
        f"{name} does not serve as a loss. It is given logits of shape {tuple(logits.shape)} and class numbers of "
        f"shape ({len(logits)},), and has to return a loss of shape ({len(logits)},) or a number. A loss of one "
        "logit takes logits[:, 1] - logits[:, 0] and target.to(logits.dtype) inside a function of your own."
    )
