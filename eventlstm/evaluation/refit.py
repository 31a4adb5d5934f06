"""A rule for refitting after a search whose folds may hold no event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np


def refit_nanmean(metric: str | None = None) -> Callable[[Mapping[str, Any]], int]:
    """Return a rule for the `refit` of a search: the best mean over the folds that could be scored.

    Parameters
    ----------
    metric : str, default=None
        The name of the scorer where there are several, else None.

    Returns
    -------
    callable
        Takes the `cv_results_` of a search, and returns the number of the best candidate, the first of equals.

    Raises
    ------
    ValueError
        When the rule is applied: if no fold could be scored, every candidate failed on one, or the scorer is
        unknown.

    See Also
    --------
    RunKFold : Folds of whole runs.
    EventTimeSplit : Folds in time with an event in each.

    Notes
    -----
    A fold without an event has no recall and no average precision: an honest scorer returns NaN, and with it the mean
    that scikit-learn ranks by is NaN for all candidates. The rule leaves out the folds that are NaN for every
    candidate. A candidate that is NaN on another fold has failed there, and is passed over.

    Better still, see to it that every fold has an event: `RunKFold` and `EventTimeSplit` do.

    Examples
    --------
    >>> from eventlstm import refit_nanmean
    >>> nan = float("nan")
    >>> results = {"split0_test_score": [nan, nan, nan], "split1_test_score": [0.4, nan, 0.6]}
    >>> refit_nanmean()(results)
    2
    """
    return partial(_best_candidate, metric="score" if metric is None else metric)


def _best_candidate(results: Mapping[str, Any], metric: str) -> int:
    names = [name for name in results if name.startswith("split") and name.endswith(f"_test_{metric}")]
    if not names:
        known = sorted({name.split("_test_", 1)[1] for name in results if name.startswith("split0_test_")})
        raise ValueError(f"metric={metric!r} was not scored. Pass one of {known}; None stands for 'score'.")
    scores = np.array([results[name] for name in names], dtype=np.float64)  # (n_folds, n_candidates)
    total = scores[~np.isnan(scores).all(axis=1)].sum(axis=0)
    if np.isnan(scores).all() or np.isnan(total).all():
        raise ValueError(
            "No candidate was scored on every fold that has a score. Take fewer folds, so that each has an event, and "
            "see with error_score='raise' why candidates fail."
        )
    return int(np.nanargmax(total))
