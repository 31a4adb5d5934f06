"""What a model is compared with: models quickly fitted, with labels or without, and scores that know nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from .._validation import check_is_fitted
from ..detectors.anomaly_detector import AnomalyDetector
from ..detectors.event_classifier import EventClassifier
from ..logs.shared import LARGEST_SEED, FloatArray
from ..recurrent.lstm_autoencoder import LSTMAutoencoder

RANDOM, ALL_POSITIVE, FOREST = "random scores", "every row flagged", "isolation forest"
UNTRAINED = (
    f"The {FOREST} was fitted on this very log, without its labels. Logistic regression and gradient boosting are not "
    "among them: they need rows to train on, which this report was not given (train=(X, y))."
)
IMPUTER = SimpleImputer(strategy="median", keep_empty_features=True)
RIDGE_ROWS = 8
PCA_SHARE = 0.9
# So far from quiet rows that nothing is cut: models as users know them see sensors as they are.
UNCLIPPED = 1e6


def score_baselines(
    X: pd.DataFrame,
    wanted: bool | Mapping[str, FloatArray],
    train: tuple[pd.DataFrame, pd.Series] | None,
    window_size: int,
    random_state: Any,
) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the scores of baselines on a log, and what must be said of how they were fitted.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_sensors)
        The log to score.
    wanted : bool or mapping of str to ndarray of shape (n_rows,)
        Whether to have baselines, or scores to take in place of fitted ones.
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
    if not (wanted or isinstance(wanted, Mapping)):
        return {}, []
    rng = check_random_state(random_state)
    scores = {RANDOM: rng.uniform(size=len(X)), ALL_POSITIVE: np.zeros(len(X))}
    if isinstance(wanted, Mapping):
        return {**scores, **wanted}, []
    seed = int(rng.randint(LARGEST_SEED))
    with threadpool_limits(1):  # the threads of boosted trees wait for each other by spinning
        scores[FOREST] = _score_by_forest(X, X if train is None else train[0][np.asarray(train[1]) == 0], seed)
        if train is None:
            return scores, [UNTRAINED]
        for name, model in baselines(window_size, seed).items():
            scores[name] = _score_by_classifier(model, train, X)
    return scores, [f"The baselines were fitted on the {len(train[0])} rows that were passed as training rows."]


def _score_by_forest(X: pd.DataFrame, train: pd.DataFrame, seed: int) -> FloatArray:
    forest = make_pipeline(clone(IMPUTER), IsolationForest(random_state=seed)).fit(train.to_numpy(dtype=np.float64))
    return -np.asarray(forest.score_samples(X.to_numpy(dtype=np.float64)))


def _score_by_classifier(model: Any, train: tuple[pd.DataFrame, pd.Series], X: pd.DataFrame) -> FloatArray:
    pipeline = make_pipeline(clone(IMPUTER), model).set_output(transform="pandas")
    return np.asarray(pipeline.fit(*train).predict_proba(X))[:, 1]


def baselines(window_size: int, random_state: int) -> dict[str, EventClassifier]:
    """Return a linear model and boosted trees on flattened windows of raw rows."""
    classifiers = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        # early stopping holds out rows beside those it trains on: average precision .929 with, .944 without (C-MAPSS)
        "gradient boosting": HistGradientBoostingClassifier(early_stopping=False),
    }
    raw = EventClassifier(
        mode="windows", inputs=None, n_estimators=1, window_size=window_size, random_state=random_state
    )
    return {name: clone(raw).set_params(estimator=classifier) for name, classifier in classifiers.items()}


def unlabelled_baselines(random_state: Any = None, *, autoencoder: bool = False) -> dict[str, AnomalyDetector]:
    """Return what a detector without labels has to beat.

    Forecasts and projections are scored as those of `AnomalyDetector` are by default: errors scaled by sensor, capped
    and smoothed. Without that they say little of what the networks are worth, for the scoring carries most of the
    result. Of the last two, the scores are left as users know them, neither scaled nor smoothed; all thresholds come
    from rows held out.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Seed of those that draw.
    autoencoder : bool, default=False
        Whether `LSTMAutoencoder` is among them, scored alike. It takes the longest.

    Returns
    -------
    dict of str to AnomalyDetector
        Name to detector, to be fitted.
    """
    alike: dict[str, dict[str, Any]] = {
        "ridge regression, 8 rows": {"estimator": Ridge(), "window_size": RIDGE_ROWS},
        # of levels, since the change that it forecasts is none
        "one-step difference": {"estimator": LastRow(), "window_size": 1, "n_estimators": 1, "targets": "level"},
        "PCA, .9 of the variance": {"estimator": PCA(PCA_SHARE), "window_size": 1, "n_estimators": 1},
    }
    if autoencoder:
        alike["LSTMAutoencoder"] = {"estimator": LSTMAutoencoder()}
    raw = {"window_size": 1, "n_estimators": 1, "smoothing": 1, "clip": UNCLIPPED}
    known: dict[str, dict[str, Any]] = {
        "mean absolute z, raw": {"estimator": MeanAbsoluteZ(), **raw},
        "IsolationForest, raw": {"estimator": IsolationForest(), **raw},
    }
    return {name: AnomalyDetector(random_state=random_state, **own) for name, own in (alike | known).items()}


class LastRow(RegressorMixin, BaseEstimator):
    """Forecast that nothing changes: the last values of a flattened window, as many as there are targets.

    Examples
    --------
    >>> from eventlstm.evaluation.baselines import LastRow
    >>> LastRow().fit([[1.0, 2.0, 3.0, 4.0]], [[5.0, 6.0]]).predict([[1.0, 2.0, 3.0, 4.0]])
    array([[3., 4.]])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Note how many targets there are.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Flattened windows, the last row at the end.
        y : array-like of shape (n_windows, n_targets)
            The rows after them.

        Returns
        -------
        LastRow
            The fitted regressor.
        """
        self.n_targets_ = np.shape(y)[1] if np.ndim(y) > 1 else 1
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the last row of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Flattened windows.

        Returns
        -------
        ndarray of shape (n_windows, n_targets)
            Forecasts.
        """
        check_is_fitted(self, "n_targets_")
        return np.asarray(X)[:, -self.n_targets_ :]


class MeanAbsoluteZ(OutlierMixin, BaseEstimator):
    """Score rows by the mean over sensors of how many deviations they are from the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.evaluation.baselines import MeanAbsoluteZ
    >>> quiet = np.array([[-1.0, 10.0], [1.0, 30.0]])
    >>> MeanAbsoluteZ().fit(quiet).score_samples([[0.0, 60.0]])
    array([-2.])
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn means and deviations.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_sensors)
            Quiet rows.
        y : None
            Not used.

        Returns
        -------
        MeanAbsoluteZ
            The fitted detector.
        """
        self.mean_, spread = np.mean(X, axis=0), np.std(X, axis=0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def score_samples(self, X: Any) -> npt.NDArray[Any]:
        """Return how normal each row is.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_sensors)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Low is abnormal.
        """
        check_is_fitted(self, "scale_")
        score: npt.NDArray[Any] = -np.abs((np.asarray(X) - self.mean_) / self.scale_).mean(axis=1)
        return score
