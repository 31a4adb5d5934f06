"""Samplers of imbalanced-learn made to fit the data at hand: few windows of a class, channels of codes, seeds.

A sampler is anything with ``fit_resample(X, y)``; a table has a row for each window, ``(n_windows, n_columns)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import (
    ADASYN,
    SMOTE,
    SMOTEN,
    SMOTENC,
    SVMSMOTE,
    BorderlineSMOTE,
    KMeansSMOTE,
    RandomOverSampler,
)
from imblearn.under_sampling import NearMiss, RandomUnderSampler
from imblearn.utils import check_sampling_strategy
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..logs.shared import LARGEST_SEED, warn

COMBINED = (SMOTEENN, SMOTETomek)
INTERPOLATING = (SMOTE, BorderlineSMOTE, SVMSMOTE, KMeansSMOTE, ADASYN)
# What these look at is the class they add to and nothing else, so that no other window need be copied for them.
OF_ONE_CLASS = (SMOTE, SMOTENC)
# How imbalanced-learn's messages begin when a method finds no place to make windows at, where plain SMOTE would.
NO_PLACE = ("Not any neigbours", "No samples will be generated", "No clusters found", "All support vectors")


def adapt_sampler(
    sampler: Any, y: np.ndarray, columns: Sequence[int] = (), n_columns: int = 0, random_state: Any = None
) -> Any:
    """Return a copy of a sampler that can do with these labels, warning of each change.

    `columns` are those of the table that hold codes, of `n_columns` in all. A sampler without a seed gets one drawn
    from `random_state`, if there is one.
    """
    _refuse_one_class(sampler, y)
    sampler = clone(sampler, safe=False)
    if random_state is not None:
        _seed(sampler, check_random_state(random_state))
    if isinstance(sampler, COMBINED):
        smote = sampler.smote or SMOTE(sampling_strategy=sampler.sampling_strategy, random_state=sampler.random_state)
        smote = _adapt_interpolating(smote, y, columns, n_columns)
        return sampler.set_params(smote=smote) if isinstance(smote, SMOTE) else smote
    if isinstance(sampler, INTERPOLATING):
        return _adapt_interpolating(sampler, y, columns, n_columns)
    if isinstance(sampler, NearMiss):
        _limit(sampler, "n_neighbors", int(np.unique(y, return_counts=True)[1].min()))
    return sampler


def run_sampler(sampler: Any, X: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return the rows and labels that a sampler makes of a table, and the sampler that made them.

    Where a relative of SMOTE finds no place to make rows at, plain SMOTE takes over, with a warning.
    """
    try:
        table, labels = sampler.fit_resample(X, y)[:2]
        if not _made_nothing(sampler, y, labels):
            return table, labels, sampler
        reason = "none lies at the border of its class"
    except (RuntimeError, ValueError) as error:
        if not isinstance(sampler, INTERPOLATING) or not str(error).startswith(NO_PLACE):
            raise
        reason = str(error).split(".")[0]
    warn(
        f"{_name(sampler)} found no windows to start from ({reason}), so plain SMOTE made the windows. Take SMOTE to "
        "be rid of this warning."
    )
    plain = _smote_like(SMOTE, sampler)
    return *plain.fit_resample(X, y)[:2], plain


def draws_blindly(sampler: Any) -> bool:
    """Return whether a sampler chooses windows without looking at them."""
    return isinstance(sampler, RandomOverSampler | RandomUnderSampler) and chooses_rows(sampler)


def chooses_rows(sampler: Any) -> bool:
    """Return whether a sampler only chooses among rows and, once it has run, tells which."""
    tags = sampler.__sklearn_tags__() if hasattr(sampler, "__sklearn_tags__") else None
    says = getattr(getattr(tags, "sampler_tags", None), "sample_indices", False)
    return says and getattr(sampler, "shrinkage", None) is None  # shrinkage moves what RandomOverSampler draws


def _made_nothing(sampler: Any, y: Any, labels: Any) -> bool:
    """Return whether a relative of SMOTE was asked for rows and made none, as BorderlineSMOTE silently does."""
    if not isinstance(sampler, INTERPOLATING) or len(labels) > len(y):
        return False
    return any(n > 0 for n in sampler.sampling_strategy_.values())


def _refuse_one_class(sampler: Any, y: np.ndarray) -> None:
    """Refuse labels that are all the same."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"All {len(y)} windows to train on are of one class, {classes.tolist()}, so that {_name(sampler)} has "
            "nothing to even out. If this is a fold of a cross-validation, no event fell into its training part: "
            "take fewer folds or RunKFold, or sampler=None."
        )


def _seed(sampler: Any, rng: np.random.RandomState) -> None:
    """Give every part of a sampler that has no seed one of its own."""
    params = sampler.get_params() if hasattr(sampler, "get_params") else {}
    for name in sorted(params):
        if name.split("__")[-1] == "random_state" and params[name] is None:
            sampler.set_params(**{name: rng.randint(LARGEST_SEED)})


def _adapt_interpolating(sampler: Any, y: np.ndarray, columns: Sequence[int], n_columns: int) -> Any:
    """Return a sampler that makes rows between neighbours with no more neighbours than there are, and no new codes."""
    fewest = _fewest_added_to(sampler, y)
    if fewest == 1:
        warn(
            f"A class to be sampled has one window only, which has no neighbours: {_name(sampler)} gives way to "
            "RandomOverSampler, which repeats it. Label more events, or take RandomOverSampler."
        )
        return RandomOverSampler(sampling_strategy=sampler.sampling_strategy, random_state=sampler.random_state)
    if len(columns):
        sampler = _keep_codes(sampler, columns, n_columns)
    for name in ("k_neighbors", "n_neighbors"):
        _limit(sampler, name, fewest - 1)
    _limit(sampler, "m_neighbors", len(y) - 1)
    return sampler


def _fewest_added_to(sampler: Any, y: np.ndarray) -> int:
    """Return the size of the smallest class that an over-sampler adds to; of all rows if it adds to none."""
    n_added = check_sampling_strategy(sampler.sampling_strategy, y, "over-sampling")
    sizes = [int(np.count_nonzero(y == label)) for label, n in n_added.items() if n > 0]
    return min(sizes, default=len(y))


def _keep_codes(sampler: Any, columns: Sequence[int], n_columns: int) -> Any:
    """Return the sampler that does what another does, but takes codes from neighbours instead of mixing them."""
    if isinstance(sampler, SMOTENC | SMOTEN):
        return sampler
    kind = SMOTEN if len(columns) == n_columns else SMOTENC
    if type(sampler) is not SMOTE:
        warn(
            f"{_name(sampler)} would make values between the codes of categorical channels: {kind.__name__} takes its "
            "place. Take SMOTE, which does so without this warning, or a sampler that only chooses windows."
        )
    return _smote_like(kind, sampler, **({} if kind is SMOTEN else {"categorical_features": list(columns)}))


def _smote_like(kind: Any, sampler: Any, **params: Any) -> Any:
    """Return a member of SMOTE's family with the ratio, the seed and the neighbours of another."""
    neighbors = sampler.n_neighbors if isinstance(sampler, ADASYN) else sampler.k_neighbors
    return kind(
        sampling_strategy=sampler.sampling_strategy,
        random_state=sampler.random_state,
        k_neighbors=neighbors,
        **params,
    )


def _limit(sampler: Any, name: str, most: int) -> None:
    """Lower a number of neighbours to what there is."""
    params = sampler.get_params()
    if name not in params:
        return
    key = name
    if not isinstance(params[name], Integral):  # a NearestNeighbors counts the window itself
        key, most = f"{name}__n_neighbors", most + 1
    if params.get(key, 0) > most:
        warn(
            f"{_name(sampler)} looks for {key}={params[key]} neighbours, but the windows at hand give at most {most}: "
            f"{key}={most} is used. Label more events, or lower {key}."
        )
        sampler.set_params(**{key: most})


def _name(sampler: Any) -> str:
    return type(sampler).__name__
