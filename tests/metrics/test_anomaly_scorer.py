"""The scorer of detectors takes scores with the right sign from whatever a search hands it."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from eventlstm.metrics import anomaly_average_precision

FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def data():
    """Quiet samples around the origin and a few far away in the first feature; the second says nothing."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(300, 2)), (np.arange(300) % 20 == 0).astype(int)
    X[y == 1, 0] += 5
    return X, y


class FirstFeature(OutlierMixin, BaseEstimator):
    """A detector with scores of both directions, as ours have."""

    def __init__(self, direction=1.0):
        self.direction = direction

    def fit(self, X, y=None):
        """Learn nothing."""
        self.n_features_in_ = X.shape[1]
        return self

    def anomaly_score(self, X):
        """Return scores that are high where abnormal."""
        return self.direction * X[:, 0]

    def score_samples(self, X):
        """Return the opposite."""
        return -self.anomaly_score(X)


def test_the_better_of_two_detectors_is_chosen(data):
    X, y = data
    blind = make_pipeline(FunctionTransformer(lambda X: X[:, 1:]), IsolationForest(random_state=0))
    seeing = make_pipeline(FunctionTransformer(lambda X: X[:, :1]), IsolationForest(random_state=0))
    scores = [
        cross_val_score(model, X, y, cv=FOLDS, scoring=anomaly_average_precision).mean() for model in (blind, seeing)
    ]
    assert scores[0] < 0.5 < scores[1]


def test_a_search_chooses_the_better_detector_where_the_sign_of_scikit_learn_chooses_the_worse(data):
    X, y = data
    grid = {"max_features": [1, 2], "max_samples": [2, 64]}
    ours, theirs = (
        GridSearchCV(IsolationForest(n_estimators=20, random_state=0), grid, scoring=scoring, cv=FOLDS).fit(X, y)
        for scoring in (anomaly_average_precision, "average_precision")
    )
    right = {
        name: average_precision_score(y, -search.best_estimator_.score_samples(X))
        for name, search in (("ours", ours), ("theirs", theirs))
    }
    assert ours.best_score_ > 0.7 > theirs.best_score_
    assert right["ours"] >= right["theirs"]


def test_a_detector_turned_round_is_the_worse(data):
    X, y = data
    search = GridSearchCV(FirstFeature(), {"direction": [-1.0, 1.0]}, scoring=anomaly_average_precision, cv=FOLDS)
    assert search.fit(X, y).best_params_ == {"direction": 1.0}


def test_a_detector_is_found_in_pipelines_and_searches(data):
    X, y = data
    expected = average_precision_score(y, X[:, 0])
    scaled = make_pipeline(StandardScaler(), FirstFeature())
    search = GridSearchCV(scaled, {"firstfeature__direction": [1.0]}, scoring=anomaly_average_precision, cv=FOLDS)
    for model in (FirstFeature(), scaled, make_pipeline(FirstFeature()), search, make_pipeline("passthrough", search)):
        assert anomaly_average_precision(model.fit(X, y), X, y) == pytest.approx(expected)


def test_scores_without_a_direction_of_ours_are_turned(data):
    X, y = data
    for model in (IsolationForest(random_state=0), make_pipeline(StandardScaler(), IsolationForest(random_state=0))):
        model.fit(X)
        expected = average_precision_score(y, -model.score_samples(X))
        assert anomaly_average_precision(model, X, y) == expected > 0.5
        assert average_precision_score(y, model.decision_function(X)) < 0.1


def test_without_an_abnormal_sample_nothing_is_known(data):
    X, _ = data
    assert np.isnan(anomaly_average_precision(IsolationForest(random_state=0).fit(X), X, np.zeros(len(X))))


class DistanceOnly(FirstFeature):
    """A detector whose scores point nobody knows where."""

    anomaly_score = score_samples = property()

    def decision_function(self, X):
        """Return scores."""
        return X[:, 0]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "LogisticRegression is a classifier.*scoring='average_precision'"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "LogisticRegression is a classifier"),
        (DistanceOnly(), "DistanceOnly has neither anomaly_score .* nor score_samples"),
    ],
)
def test_what_has_no_known_direction_is_refused(model, message, data):
    X, y = data
    with pytest.raises(TypeError, match=message):
        anomaly_average_precision(model.fit(X, y), X, y)


def test_labels_of_outliers_are_refused_with_the_way_out(data):
    X, y = data
    with pytest.raises(ValueError, match="y == -1 where outliers are marked by -1"):
        anomaly_average_precision(FirstFeature().fit(X), X, np.where(y, -1, 1))
