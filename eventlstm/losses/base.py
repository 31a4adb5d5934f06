"""What a loss is: parameters, a function of logits and targets prepared for a training set, and its way back.

Logits are of shape ``(..., n_classes)``, targets hold the number of the true class in shape ``(...)``, and so are the
losses of the items.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch.nn import functional as F


class Loss(BaseEstimator):
    """What training minimises, as an object with parameters that a search can set.

    A loss of one's own that is more than a function is a subclass with `_prepare`, and with `_class_factors` and
    `_restore` where probabilities can be set right again. `counts_classes` says whether it depends on the counts of the
    classes, so that it cannot be prepared for a part of the data.

    See Also
    --------
    make_loss : Takes functions and modules of torch.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from eventlstm.losses import FocalLoss
    >>> loss = FocalLoss(gamma=2.0)
    >>> prepared = loss.prepare(np.array([990.0, 10.0]), np.array([4, 3]))
    >>> prepared(torch.zeros(1, 2), torch.tensor([1]))
    tensor([0.1733])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    counts_classes: ClassVar[bool] = False

    def prepare(self, n_items: Any, n_events: Any) -> PreparedLoss:
        """Return the function to minimise on a training set.

        Parameters
        ----------
        n_items : array-like of shape (n_classes,)
            Items of each class, counted by their weight.
        n_events : array-like of shape (n_classes,)
            Independent examples of each class, such as stretches of equal label in a log: overlapping windows show
            one of them many times.

        Returns
        -------
        PreparedLoss
            Takes logits and targets, and returns the loss of each item.

        Raises
        ------
        ValueError
            If a parameter is out of its range or does not fit the number of classes, or a class that the loss has to
            count is empty.
        """
        self._validate_params()
        return self._prepare(*_checked_counts(n_items, n_events))

    def class_factors(self, n_items: Any, n_events: Any) -> np.ndarray:
        """Return by which factor the loss weighs each class over what its frequency says.

        Parameters
        ----------
        n_items : array-like of shape (n_classes,)
            As in `prepare`.
        n_events : array-like of shape (n_classes,)
            As in `prepare`.

        Returns
        -------
        ndarray of shape (n_classes,)
            Ones where the loss weighs no class; what `undo_factors` takes.

        Raises
        ------
        ValueError
            As in `prepare`.
        """
        self._validate_params()
        return self._class_factors(*_checked_counts(n_items, n_events))

    def restore(self, proba: Any) -> np.ndarray:
        """Return probabilities that only the class factors differ from the true ones.

        Parameters
        ----------
        proba : array-like of shape (..., n_classes)
            The softmax of the logits of a network trained with this loss.

        Returns
        -------
        ndarray of shape (..., n_classes)
            What the loss does to probabilities beyond weighing classes is undone.

        Raises
        ------
        ValueError
            If the loss has no closed form for it.
        """
        self._validate_params()
        return self._restore(np.asarray(proba))

    def _prepare(self, n_items: np.ndarray, n_events: np.ndarray) -> PreparedLoss:
        raise NotImplementedError(f"{type(self).__name__} has to define _prepare(n_items, n_events).")

    def _class_factors(self, n_items: np.ndarray, n_events: np.ndarray) -> np.ndarray:
        return np.ones(len(n_items))

    def _restore(self, proba: np.ndarray) -> np.ndarray:
        raise ValueError(
            f"{type(self).__name__} has no closed form that leads back to probabilities. Calibrate on held-out runs "
            "with sklearn.calibration.CalibratedClassifierCV, or switch the correction off."
        )


class PreparedLoss(partial[torch.Tensor]):
    """A function of logits and targets with all else that it needs bound by name.

    Being a partial, it can be pickled, and a fingerprint of it holds every value. `whole_batch` says whether items
    depend on each other, so that a batch may not be cut into pieces.
    """

    whole_batch: ClassVar[bool] = False

    def at(self, progress: float) -> PreparedLoss:
        """Return the loss of an epoch that begins at a progress of training from 0 to 1."""
        return self


class DeferredLoss(PreparedLoss):
    """A loss that changes with the progress of training, which its function takes by that name."""

    def at(self, progress: float) -> PreparedLoss:
        """Return the loss of an epoch that begins at a progress of training from 0 to 1."""
        return DeferredLoss(self.func, *self.args, **{**self.keywords, "progress": progress})


class WholeBatchLoss(PreparedLoss):
    """A loss of a batch as a whole, in shares for its items whose mean it is.

    Its function also takes ``weight``, the weight of each item, by which the shares are yet to be multiplied.
    """

    whole_batch: ClassVar[bool] = True


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

    See Also
    --------
    CrossEntropyLoss : The same as an object that estimators take.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.losses import cross_entropy
    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([1]))
    tensor([0.6931])
    """
    flat = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1), reduction="none")
    return flat.reshape(target.shape)


def log_rest(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the probability of all classes but one, per item; exact where that one is near sure."""
    log_p = logits.log_softmax(dim=-1)
    return log_p.scatter(-1, classes[..., None], -torch.inf).logsumexp(dim=-1)  # (...)


def of_class(values: torch.Tensor, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the value of each item's class, in the type of the logits and on their device."""
    return values.to(logits)[target]


def shares(n_items: np.ndarray) -> np.ndarray:
    """Return the share of each class, none of which may be empty."""
    refuse_empty(n_items)
    return n_items / n_items.sum()


def refuse_empty(counts: np.ndarray) -> None:
    """Raise when a class has no example."""
    if not (counts > 0).all():
        raise ValueError(
            f"Class {int(counts.argmin())} has no example with a weight in training, so this loss cannot weigh it "
            f"(counts {counts.tolist()}). Choose loss='cross_entropy', or a split that leaves each class some events."
        )


def _checked_counts(n_items: Any, n_events: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both counts as arrays of one shape."""
    n_items, n_events = np.asarray(n_items, dtype=np.float64), np.asarray(n_events, dtype=np.float64)
    for name, counts in (("n_items", n_items), ("n_events", n_events)):
        if counts.ndim != 1 or counts.shape != n_items.shape or not (np.isfinite(counts) & (counts >= 0)).all():
            raise ValueError(f"{name} is {counts.tolist()}, but a count from zero on is needed for each class.")
    return n_items, n_events
