"""What recurrent classifiers share: classes, what they weigh in training, and the way back to honest probabilities."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length
from torch import nn

from .._validation import HasMethods, StrOptions, check_sample_weight
from ..logs.log_windows import LogWindows
from ..losses.base import DeferredLoss, Loss, PreparedLoss
from ..losses.choice import LOSSES, make_loss
from ..losses.priors import undo_factors
from ..sampling.resampling import resample
from ..training.loop import Batches
from ..training.monitor import ScoreMonitor
from .base import RecurrentEstimator, refuse_unusable, weigh_classes
from .checking import CheckedWindows, check_windows
from .insight import InsightMixin

# A class that is not there in training begins with this share under `prior_bias`.
SMALLEST_PRIOR = 1e-6


class Plan(NamedTuple):
    """What training on labels takes."""

    weight: np.ndarray  # (n_items,), those of the classes in them
    loss: PreparedLoss
    seen: np.ndarray  # (n_classes,) factors of sampler and weights; items held out count by them too
    first_guess: np.ndarray  # (n_classes,) the classes in proportion, as training begins to weigh them


class LabelledEstimator(ClassifierMixin, InsightMixin, RecurrentEstimator):
    """Base of recurrent classifiers; `LSTMClassifier` describes the parameters."""

    classes_: np.ndarray

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RecurrentEstimator._parameter_constraints,
        "loss": [StrOptions(set(LOSSES)), Loss, nn.Module, callable],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "sampler": [HasMethods("fit_resample"), None],
        "balanced_batches": ["boolean"],
        "prior_bias": ["boolean"],
        "correct_prior": ["boolean"],
    }

    def _check_fit(
        self, X: Any, y: Any, sample_weight: Any, lengths: Any, *, reset: bool, classes: Any = None
    ) -> tuple[CheckedWindows, np.ndarray, np.ndarray]:
        """Check the input of a fit and learn its shape, classes and codes."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Pass a class per window."
            )
        if isinstance(X, LogWindows):
            windows = CheckedWindows(refuse_unusable(X, lengths)) if reset else self._check_windows(X, lengths)
            y, self.n_features_in_ = column_or_1d(y), X.shape[1] * X.shape[2]
        else:
            windows, y = check_windows(self, X, y, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        check_consistent_length(windows.values, y)
        check_classification_targets(y)
        self._learn_classes(y if classes is None else classes, reset)
        self.n_timesteps_, self.n_channels_ = windows.values.shape[1:]
        windows = self._learn_codes(windows, reset)
        weight = check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
        return windows, y, weight

    def _check_validation(self, X_val: Any, y_val: Any) -> tuple[CheckedWindows, np.ndarray, np.ndarray] | None:
        if X_val is None:
            return None
        if y_val is None:
            raise ValueError("X_val came without y_val. Pass the classes of its windows as y_val.")
        windows, labels = self._check_windows(X_val), column_or_1d(y_val)
        check_consistent_length(windows.values, labels)
        return windows, labels, np.ones(len(labels))

    def _sample(
        self, windows: CheckedWindows, y: np.ndarray, weight: np.ndarray, rng: np.random.RandomState
    ) -> tuple[CheckedWindows, np.ndarray, np.ndarray]:
        """Return what the sampler leaves and makes of the windows to train on."""
        if self.sampler is None:
            return windows, y, weight
        new = resample(
            self.sampler,
            windows.values,
            y,
            weight,
            lengths=windows.lengths,
            categorical_channels=self._code_channels(),
            random_state=rng,
        )
        return CheckedWindows(new.values, new.lengths), new.y, np.asarray(new.weight)

    def _plan(self, y: np.ndarray, weight: np.ndarray, n_events: np.ndarray, counts: np.ndarray) -> Plan:
        """Return how to train on these classes, and learn by which factor training sees each.

        `n_events` are the events of each class, and `counts` its weight before any sampling.
        """
        weight = weigh_classes(y, weight, self.class_weight)
        n_items = self._count(y, weight)
        loss = make_loss(self.loss)
        if self.correct_prior:
            loss.restore(np.full((1, len(n_items)), 1 / len(n_items)))  # refuses what cannot be undone
        given = self.class_weight if isinstance(self.class_weight, dict) else {}
        seen = np.array([given.get(label, 1.0) for label in self.classes_.tolist()], dtype=np.float64)
        np.divide(n_items, counts, out=seen, where=counts > 0)  # a part of the data may lack a class
        factors, prepared = loss.class_factors(n_items, n_events), loss.prepare(n_items, n_events)
        self.class_factors_ = np.where(seen > 0, seen, 1.0) * factors  # nothing leads back from a class left out
        deferred = isinstance(prepared, DeferredLoss)
        return Plan(weight, prepared, seen, n_items if deferred else n_items * factors)

    def _refuse_parts(self) -> None:
        """Refuse what has to see all of the data before it can weigh a part of them."""
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' cannot be known from a part of the data. Take a dict of weights.")
        if self.sampler is not None:
            raise ValueError("A sampler cannot balance what comes in parts. Set sampler=None, or call fit.")
        if make_loss(self.loss).counts_classes:
            raise ValueError(
                f"loss={self.loss!r} counts the classes, which a part of the data does not tell. Take a dict as "
                "class_weight with loss='cross_entropy' or 'focal', or call fit."
            )

    def _count(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the weight of each class, (n_classes,)."""
        return np.bincount(self._encode(y), weights=weight, minlength=len(self.classes_))

    def _count_events(self, windows: Any, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the events of each class in a log; windows of an array count by themselves."""
        if not isinstance(windows, LogWindows):
            return np.bincount(self._encode(y[weight > 0]), minlength=len(self.classes_))
        return self._count_runs(y, np.searchsorted(windows.starts, windows.ends, side="right"), weight)

    def _count_runs(self, y: np.ndarray, stretch: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return how many events each class has, given the number of the stretch that each item is in.

        The most frequent class has few stretches, but long ones: it counts as many as events would fit into it. Items
        without weight are left out.
        """
        numbers, stretch = self._encode(y[weight > 0]), stretch[weight > 0]
        begins = np.append(True, (np.diff(numbers) != 0) | (np.diff(stretch) != 0))
        n_items = np.bincount(numbers, minlength=len(self.classes_))
        n_runs = np.bincount(numbers[begins], minlength=len(self.classes_)).astype(float)
        quiet = n_items.argmax()
        others = np.delete(n_items, quiet).sum(), np.delete(n_runs, quiet).sum()
        if others[1]:
            n_runs[quiet] = max(n_runs[quiet], n_items[quiet] * others[1] / others[0])
        return n_runs

    def _start_classifier(self, rng: np.random.RandomState, first_guess: np.ndarray) -> None:
        """Make the network; under `prior_bias` its first guess is the share of each class."""
        fresh = not self._goes_on()
        self._start(rng, len(self.classes_))
        if fresh and self.prior_bias:
            prior = np.maximum(first_guess / first_guess.sum(), SMALLEST_PRIOR)
            with torch.no_grad():
                self.module_.head.bias.copy_(torch.from_numpy(np.log(prior)))

    def _train_watched(self, loss: PreparedLoss, batches: Batches, watched: Any, weight: np.ndarray | None) -> Self:
        """Train the network, watched by a scorer when one is named: it counts items by `weight`, not by their class."""
        if watched is None or self.scoring == "loss":
            return self._train(batches, loss, watched)
        judged = copy(watched)
        judged.weight = torch.as_tensor(weight).to(watched.weight)
        monitor = ScoreMonitor(self.scoring, self.module_, judged, self.classes_, self.precision, self._proba)
        return self._train(batches, loss, watched, monitor)

    def _proba(self, logits: torch.Tensor) -> np.ndarray:
        """Return probabilities in float64: in float32 the surest rows would all tie at one."""
        proba = logits.cpu().double().softmax(dim=-1).numpy()
        if not self.correct_prior:
            return proba
        return undo_factors(make_loss(self.loss).restore(proba), self.class_factors_)

    def _learn_classes(self, y: np.ndarray, reset: bool) -> None:
        check_classification_targets(y)
        classes = np.unique(y)
        if reset:
            self.classes_ = classes
        elif not np.isin(classes, self.classes_).all():
            raise ValueError(f"y has the classes {classes}, but training began with {self.classes_}. Fit anew.")

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Return the number of each label's class, refusing classes that `fit` has not seen."""
        y = np.asarray(y)
        if not np.isin(y, self.classes_).all():
            raise ValueError(
                f"Labels {np.unique(y)} came, but the classes are {self.classes_}. Leave the others out, name them in "
                "the first call of partial_fit, or, if they are in validation data only, hold out other windows."
            )
        return np.searchsorted(self.classes_, y)
