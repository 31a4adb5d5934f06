"""A member of a balanced ensemble: trained on a bag of windows ``(n_windows, n_timesteps, n_channels)``, and heard."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from ..logs.log_windows import LogWindows
from ..losses.priors import undo_factors
from ..sampling.adapt import draws_blindly
from ..sampling.bags import Bag, draw_bag
from ..sampling.resampling import Resampled, resample
from .checking import CheckedWindows
from .members import as_input, by_block, of_all_classes, set_n_channels, stops_early, takes_3d


class Trained(NamedTuple):
    """A fitted member, and what it was trained on."""

    member: Any
    samples: np.ndarray  # (n_trained_on,) numbers of windows, those that were made left out
    counts: np.ndarray  # (n_classes,) windows of each class, those that were made counted
    factors: np.ndarray  # (n_classes,) weight of each class over that in all windows
    rest: np.ndarray  # (n_rest,) numbers of the windows out of its bag


class TrainingSet(NamedTuple):
    """What the members of an ensemble are trained on, each on a part of its own."""

    windows: CheckedWindows
    y: np.ndarray  # (n_windows,)
    weight: np.ndarray | None  # (n_windows,)
    used: np.ndarray  # (n_used,) numbers of the windows with a weight
    unit: np.ndarray  # (n_used,) which of these are drawn together
    sampler: Any
    categorical_channels: tuple[int, ...]

    @property
    def classes(self) -> np.ndarray:
        """The classes, (n_classes,)."""
        return np.unique(self.y)

    def train(self, member: Any, rng: np.random.RandomState, max_samples: Any, bootstrap: bool) -> Trained:
        """Draw a bag, balance it, and train a member on it."""
        bag = draw_bag(self.unit, self.y[self.used], rng, max_samples=max_samples, bootstrap=bootstrap)
        bag = Bag(self.used[bag.drawn], self.used[bag.rest])
        new = self.balance(bag.drawn, rng)
        set_n_channels(member, new.values)
        arguments = self._watch(member, bag) | self._weigh(member, new)
        windows = CheckedWindows(new.values, new.lengths)
        member.fit(as_input(member, windows.values), new.y, **arguments, **lengths_of(member, windows))
        chosen = new.origin[new.origin >= 0]
        return Trained(member, chosen, self._count(new.y), self._factors(new), bag.rest)

    def balance(self, drawn: np.ndarray, rng: np.random.RandomState) -> Resampled:
        """Return what the sampler makes of the windows drawn; its origins are numbers among all windows."""
        y, weight = self.y[drawn], None if self.weight is None else self.weight[drawn]
        if draws_blindly(self.sampler):  # the windows that it chooses are the only ones copied
            new = resample(self.sampler, drawn[:, None, None], y, weight, random_state=rng)
            chosen = self.windows.take(drawn[new.origin])
            new = new._replace(values=chosen.values, lengths=chosen.lengths)
        else:
            windows = self.windows.take(drawn)
            new = resample(
                self.sampler,
                windows.values,
                y,
                weight,
                lengths=windows.lengths,
                categorical_channels=self.categorical_channels,
                random_state=rng,
            )
        return new._replace(origin=np.where(new.origin < 0, -1, drawn[new.origin]))

    def _watch(self, member: Any, bag: Bag) -> dict[str, Any]:
        """Return the windows out of the bag for a member that stops early.

        A part of the bag, which it would hold out itself, holds copies of windows that it is trained on.
        """
        wanted = stops_early(member) and has_fit_parameter(member, "X_val")
        if not wanted or (not len(bag.rest) and not isinstance(self.windows.values, LogWindows)):
            return {}
        if not len(bag.rest):
            raise ValueError(
                "early_stopping of a member would hold out windows that overlap those trained on, as its bag leaves no "
                "other. Set early_stopping=False; or bootstrap=True, with a log of several runs or events."
            )
        return {"X_val": as_input(member, self.windows.take(bag.rest).values), "y_val": self.y[bag.rest]}

    def _weigh(self, member: Any, new: Resampled) -> dict[str, Any]:
        if new.weight is None:
            return {}
        if not has_fit_parameter(member, "sample_weight"):
            raise ValueError(
                f"{type(member).__name__} takes no sample_weight in fit. Leave it out, or use another estimator."
            )
        return {"sample_weight": new.weight}

    def _factors(self, new: Resampled) -> np.ndarray:
        """Return by which factor the member sees the weight of each class; one for a class that has none."""
        before, after = self._count(self.y, self.weight), self._count(new.y, new.weight)
        return np.divide(after, before, out=np.ones(len(before)), where=before > 0)

    def _count(self, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """Return the windows of each class, or their weight, (n_classes,)."""
        return np.bincount(np.searchsorted(self.classes, y), weights=weight, minlength=len(self.classes))


def score(member: Any, windows: CheckedWindows, classes: np.ndarray, factors: np.ndarray | None) -> np.ndarray:
    """Return a member's probabilities of all classes, freed from `factors` where these are given."""
    ask = partial(member.predict_proba, **lengths_of(member, windows))
    proba = ask(windows.values) if takes_3d(member) else by_block(ask, windows.values, whole=False)
    if factors is not None:
        proba = undo_factors(proba, factors[np.searchsorted(classes, member.classes_)])
    return of_all_classes(proba, member.classes_, classes)


def lengths_of(member: Any, windows: CheckedWindows) -> dict[str, np.ndarray]:
    """Return the lengths of windows that differ in it, for members that take windows."""
    if windows.lengths is None:
        return {}
    if not takes_3d(member):
        raise ValueError(
            f"{type(member).__name__} takes no windows of different lengths. Fill the missing steps, or use "
            "LSTMClassifier."
        )
    return {"lengths": windows.lengths}
