"""What recurrent classifiers know of classes: their numbers and counts, their weights in training, and the way back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from ..logs.log_windows import LogWindows
from ..losses.base import DeferredLoss, PreparedLoss
from ..losses.choice import make_loss
from ..losses.priors import undo_factors

# A class that is not there in training begins with this share under `prior_bias`.
SMALLEST_PRIOR = 1e-6


class Classes(NamedTuple):
    """The classes of a classifier."""

    labels: np.ndarray  # (n_classes,) rising

    def encode(self, y: Any) -> np.ndarray:
        """Return the number of each label's class, refusing classes that `fit` has not seen."""
        y = np.asarray(y)
        if not np.isin(y, self.labels).all():
            raise ValueError(
                f"Labels {np.unique(y)} came, but the classes are {self.labels}. Leave the others out, name them in "
                "the first call of partial_fit, or, if they are in validation data only, hold out other windows."
            )
        return np.searchsorted(self.labels, y)

    def weigh(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the weight of each class in all, (n_classes,)."""
        return np.bincount(self.encode(y), weights=weight, minlength=len(self.labels))

    def count_windows(self, windows: Any, y: np.ndarray, weight: np.ndarray) -> ClassCounts:
        """Count classes in windows: those of an array are events by themselves, those of a log in runs."""
        if isinstance(windows, LogWindows):
            return self.count_rows(y, np.searchsorted(windows.starts, windows.ends, side="right"), weight)
        n_events = np.bincount(self.encode(y[weight > 0]), minlength=len(self.labels))
        return ClassCounts(n_events, self.weigh(y, weight))

    def count_rows(self, y: np.ndarray, stretch: np.ndarray, weight: np.ndarray) -> ClassCounts:
        """Count classes in rows, or windows that end at them, given the number of the stretch that each is in."""
        return ClassCounts(self._count_runs(y[weight > 0], stretch[weight > 0]), self.weigh(y, weight))

    def _count_runs(self, y: np.ndarray, stretch: np.ndarray) -> np.ndarray:
        """Return how many events each class has.

        The most frequent class has few stretches, but long ones: it counts as many as events would fit into it.
        """
        numbers = self.encode(y)
        begins = np.append(True, (np.diff(numbers) != 0) | (np.diff(stretch) != 0))
        n_items = np.bincount(numbers, minlength=len(self.labels))
        n_runs = np.bincount(numbers[begins], minlength=len(self.labels)).astype(float)
        quiet = n_items.argmax()
        others = np.delete(n_items, quiet).sum(), np.delete(n_runs, quiet).sum()
        if others[1]:
            n_runs[quiet] = max(n_runs[quiet], n_items[quiet] * others[1] / others[0])
        return n_runs


class ClassCounts(NamedTuple):
    """How much of each class there is in the data, before any sampling."""

    n_events: np.ndarray  # (n_classes,)
    weight: np.ndarray  # (n_classes,)


class Plan(NamedTuple):
    """What training on labels takes."""

    weight: np.ndarray  # (n_items,), those of the classes in them
    loss: PreparedLoss
    seen: np.ndarray  # (n_classes,) factors of sampler and weights; items held out count by them too
    factors: np.ndarray  # (n_classes,) factors of sampler, weights and loss
    first_guess: np.ndarray  # (n_classes,) the classes in proportion, as training begins to weigh them


class ClassWeighing(NamedTuple):
    """By what training weighs classes, and the way back to honest probabilities."""

    class_weight: Any
    loss: Any
    correct_prior: bool

    def plan(self, classes: Classes, y: np.ndarray, weight: np.ndarray, before: ClassCounts) -> Plan:
        """Return how to train on these items; `before` any sampling the classes had other counts."""
        loss = make_loss(self.loss)
        weight = weigh_classes(y, weight, self.class_weight)
        n_items = classes.weigh(y, weight)
        if self.correct_prior:
            loss.restore(np.full((1, len(n_items)), 1 / len(n_items)))  # refuses what cannot be undone
        given = self.class_weight if isinstance(self.class_weight, dict) else {}
        seen = np.array([given.get(label, 1.0) for label in classes.labels.tolist()], dtype=np.float64)
        np.divide(n_items, before.weight, out=seen, where=before.weight > 0)  # a part of the data may lack a class
        of_loss, prepared = loss.class_factors(n_items, before.n_events), loss.prepare(n_items, before.n_events)
        factors = np.where(seen > 0, seen, 1.0) * of_loss  # nothing leads back from a class left out
        first_guess = n_items if isinstance(prepared, DeferredLoss) else n_items * of_loss
        return Plan(weight, prepared, seen, factors, first_guess)

    def refuse_parts(self) -> None:
        """Refuse what has to see all of the data before it can weigh a part of them."""
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' cannot be known from a part of the data. Take a dict of weights.")
        if make_loss(self.loss).counts_classes:
            raise ValueError(
                f"loss={self.loss!r} counts the classes, which a part of the data does not tell. Take a dict as "
                "class_weight with loss='cross_entropy' or 'focal', or call fit."
            )

    def leads_back(self, n_classes: int) -> bool:
        """Return whether there is a way back from what the loss does to probabilities."""
        try:
            make_loss(self.loss).restore(np.full((1, n_classes), 1 / n_classes))
        except ValueError:
            return False
        return True

    def proba(self, logits: torch.Tensor, factors: np.ndarray) -> np.ndarray:
        """Return probabilities in float64, in float32 the surest rows would all tie at one; freed from the factors."""
        proba = logits.cpu().double().softmax(dim=-1).numpy()
        return undo_factors(make_loss(self.loss).restore(proba), factors) if self.correct_prior else proba


def weigh_classes(y: np.ndarray, weight: np.ndarray, class_weight: Any) -> np.ndarray:
    """Return the weights of items times those of their classes."""
    if class_weight is None:
        return weight
    used = weight > 0
    present = np.unique(y[used])
    of_class = compute_class_weight(class_weight, classes=present, y=y[used], sample_weight=weight[used])
    weight = weight.copy()
    weight[used] *= of_class[np.searchsorted(present, y[used])]
    return weight


def learn_classes(y: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Return the classes of labels, or those `known` before, refusing others."""
    check_classification_targets(y)
    classes = np.unique(y)
    if known is None:
        return classes
    if not np.isin(classes, known).all():
        raise ValueError(f"y has the classes {classes}, but training began with {known}. Fit anew.")
    return known


def set_prior(module: Any, first_guess: np.ndarray) -> None:
    """Let a network begin with the guess that each class has its share."""
    prior = np.maximum(first_guess / first_guess.sum(), SMALLEST_PRIOR)
    with torch.no_grad():
        module.head.bias.copy_(torch.from_numpy(np.log(prior)))
