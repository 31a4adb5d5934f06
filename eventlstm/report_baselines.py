"""What a model is compared with in a report: random scores, all rows flagged, and models that are quickly fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from .comparison import baselines

FloatArray = npt.NDArray[np.float64]

HIGHEST_SEED = 2**31 - 1
RANDOM, ALL_POSITIVE, FOREST = "random scores", "every row flagged", "isolation forest"
UNTRAINED = (
    "Logistic regression and gradient boosting are not among them: they need rows to train on, which this report was "
    "not given (train=(X, y))."
)


def score_baselines(
    X: pd.DataFrame, train: tuple[pd.DataFrame, pd.Series] | None, window_size: int, random_state: Any
) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the scores of baselines, and what must be said of how they were fitted.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_sensors)
        The log to score.
    train : tuple of (DataFrame, Series) or None
        A labelled log that the baselines are fitted on. None leaves only those that need no labels.
    window_size : int
        Rows that the classifiers see, flattened.
    random_state : int, RandomState or None
        Seed of the draws.

    Returns
    -------
    scores : dict of str to ndarray of shape (n_rows,)
        High where abnormal.
    notes : list of str
        Sentences.
    """
    scores, seed = trivial_baselines(len(X), random_state)
    on_log = X if train is None else train[0][np.asarray(train[1]) == 0]
    scores[FOREST] = _with_one_thread(_score_forest, on_log, X, seed)
    if train is None:
        return scores, [f"The {FOREST} was fitted on this very log, without its labels. {UNTRAINED}"]
    for name, model in baselines(window_size, seed).items():
        pipeline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), model)
        pipeline.set_output(transform="pandas")
        scores[name] = _with_one_thread(_score_classifier, pipeline, train, X)
    n_rows = len(train[0])
    return scores, [f"The baselines were fitted on the {n_rows} rows that were passed as training rows."]


def trivial_baselines(n_rows: int, random_state: Any) -> tuple[dict[str, FloatArray], int]:
    """Return scores that know nothing, and a seed for baselines that are fitted."""
    rng = check_random_state(random_state)
    return {RANDOM: rng.uniform(size=n_rows), ALL_POSITIVE: np.zeros(n_rows)}, int(rng.randint(HIGHEST_SEED))


def _score_forest(on_log: pd.DataFrame, X: pd.DataFrame, seed: int) -> FloatArray:
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    forest = make_pipeline(imputer, IsolationForest(random_state=seed)).fit(on_log.to_numpy(dtype=np.float64))
    return -np.asarray(forest.score_samples(X.to_numpy(dtype=np.float64)))


def _score_classifier(pipeline: Any, train: tuple[pd.DataFrame, pd.Series], X: pd.DataFrame) -> FloatArray:
    return np.asarray(pipeline.fit(*train).predict_proba(X))[:, 1]


def _with_one_thread(function: Callable[..., FloatArray], *arguments: Any) -> FloatArray:
    """Hold libraries to one thread: those of boosted trees wait for each other by spinning."""
    with threadpool_limits(1):
        return function(*arguments)
