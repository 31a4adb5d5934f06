"""What training on numbers minimises: a loss per item, the mean over the numbers that it is to hit.

Targets are ``(..., n_targets)``, outputs ``(..., n_targets)`` or flattened over more axes than one, and losses are of
the shape of the targets without their last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from .base import PreparedLoss

# Where Huber's loss goes over from squares to lines, in units of the target as the network sees it.
HUBER_DELTA = 1.0


def squared(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return squared errors, whose least mean is at the conditional mean."""
    return (outputs - target) ** 2


def huber(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return squares of small errors and lines for large ones, so that outliers do not rule."""
    return F.huber_loss(outputs, target, reduction="none", delta=HUBER_DELTA)


def absolute(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return absolute errors, whose least mean is at the conditional median."""
    return (outputs - target).abs()


def pinball(outputs: torch.Tensor, target: torch.Tensor, quantiles: tuple[float, ...]) -> torch.Tensor:
    """Return the pinball loss of each quantile along the last axis, least in the mean at the true quantile."""
    q = outputs.new_tensor(quantiles)
    above = target - outputs  # (..., n_quantiles)
    return torch.maximum(q * above, (q - 1.0) * above)


ERROR_LOSSES = {"squared": squared, "huber": huber, "absolute": absolute, "quantile": pinball}


def make_error_loss(name: str, quantiles: tuple[float, ...] = ()) -> PreparedLoss:
    """Return the loss of that name.

    Parameters
    ----------
    name : {"squared", "huber", "absolute", "quantile"}
        Which loss.
    quantiles : tuple of float, default=()
        For "quantile", what the outputs of each target stand for.

    Returns
    -------
    PreparedLoss
        Takes outputs and targets, and returns the loss of each item.

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964; Koenker and Bassett, "Regression quantiles", 1978.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses.errors import make_error_loss
    >>> make_error_loss("squared")(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))
    tensor([5.])
    >>> make_error_loss("quantile", (0.1, 0.9))(torch.zeros(1, 2), torch.tensor([[10.0]]))
    tensor([5.])
    """
    told = {"quantiles": tuple(quantiles)} if name == "quantile" else {}
    return PreparedLoss(mean_error, error=ERROR_LOSSES[name], **told)


def mean_error(
    outputs: torch.Tensor, target: torch.Tensor, *, error: Callable[..., torch.Tensor], **told: Any
) -> torch.Tensor:
    """Return the mean error over the last axis of the targets, and over the outputs that each of them has."""
    values = error(outputs.reshape(*target.shape, -1), target[..., None], **told)  # (..., n_targets, n_outputs)
    return values.mean(dim=(-2, -1))
