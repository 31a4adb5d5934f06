"""What training minimises: a loss per labelled item, from logits."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["cross_entropy"]


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each item.

    Parameters
    ----------
    logits : Tensor of shape (..., n_classes)
        Scores of the classes before the softmax.
    target : Tensor of shape (...)
        Number of the true class, int64.

    Returns
    -------
    Tensor of shape (...)
        The negative log-likelihood of the true class.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import cross_entropy
    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([1]))
    tensor([0.6931])
    """
    flat = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1), reduction="none")
    return flat.reshape(target.shape)
