"""What a model says of rows is read in one way, whatever it is around and whichever way its own scores point."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, OneClassSVM

import eventlstm as el
from eventlstm.alarms.model_scores import (
    as_reached,
    find_threshold,
    last_step,
    make_policy,
    policy_of,
    score_rows,
    threshold_of,
)

X = np.random.default_rng(0).normal(size=(60, 2))
Y = (X[:, 0] > 0.8).astype(int)
FAR = np.array([[0.0, 0.0], [1e3, 1e3]])


class Point:
    """Has the methods it is given and no other."""

    def __init__(self, **methods):
        vars(self).update(methods)


class Far(BaseEstimator):
    """Scores as PyOD does."""

    def fit(self, X, y=None):
        """Score."""
        self.decision_scores_ = self.decision_function(X)
        return self

    def decision_function(self, X):
        """Return the distance from zero."""
        return np.abs(X).sum(axis=1)


@pytest.mark.parametrize(
    ("detector", "sign"),
    [
        (Point(anomaly_score=lambda X: X, score_samples=lambda X: -X), 1),
        (Point(decision_scores_=[], decision_function=lambda X: X), 1),
        (Point(score_samples=lambda X: X, decision_function=lambda X: X), -1),
        (Point(decision_function=lambda X: X), -1),
    ],
)
def test_scores_are_turned_so_that_high_is_abnormal(detector, sign):
    np.testing.assert_array_equal(score_rows(detector, np.arange(3.0)), sign * np.arange(3.0))


@pytest.mark.parametrize(
    "detector",
    [Far(), IsolationForest(random_state=0), OneClassSVM(), LocalOutlierFactor(novelty=True), GaussianMixture()],
    ids=lambda detector: type(detector).__name__,
)
@pytest.mark.parametrize("around", [lambda d: d, lambda d: make_pipeline(StandardScaler(), d), FrozenEstimator])
def test_what_is_far_from_all_others_has_the_higher_score(detector, around):
    model = around(detector)
    fitted = detector.fit(X) and model if isinstance(model, FrozenEstimator) else model.fit(X)
    usual, odd = score_rows(fitted, FAR)
    assert odd > usual


@pytest.mark.parametrize("classifier", [LogisticRegression(), LinearSVC()], ids=lambda model: type(model).__name__)
def test_scores_of_a_classifier_rise_with_the_event(classifier):
    quiet, event = score_rows(classifier.fit(X, Y), [[-5.0, 0.0], [5.0, 0.0]])
    assert event > quiet


def wrappers():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    return {
        "pipeline": pipeline,
        "search": GridSearchCV(pipeline, {"logisticregression__C": [1.0, 2.0]}),
        "fixed": FixedThresholdClassifier(pipeline, threshold=0.3, pos_label=1),
        "tuned": TunedThresholdClassifierCV(pipeline),
        "search over tuned": GridSearchCV(TunedThresholdClassifierCV(pipeline), {"thresholds": [10, 20]}),
        "fixed around frozen": FixedThresholdClassifier(FrozenEstimator(pipeline.fit(X, Y)), threshold=0.3),
    }


@pytest.mark.parametrize("name", wrappers())
def test_a_model_is_read_through_whatever_it_is_inside_of(name):
    model = wrappers()[name].fit(X, Y)
    assert isinstance(last_step(model), LogisticRegression)
    np.testing.assert_array_equal(score_rows(model, X), model.predict_proba(X)[:, 1])
    threshold = threshold_of(model)
    assert (threshold is None) == (name in ("pipeline", "search"))
    if threshold is not None:
        np.testing.assert_array_equal(score_rows(model, X) > threshold, model.predict(X) == 1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, np.nextafter(0.5, 0), 1.0])
def test_a_threshold_goes_into_scikit_learns_classifier_and_comes_back(threshold):
    model = LogisticRegression().fit(X, Y)
    fixed = FixedThresholdClassifier(FrozenEstimator(model), threshold=as_reached(threshold), pos_label=1).fit(X, Y)
    assert threshold_of(fixed) == threshold
    np.testing.assert_array_equal(fixed.predict(X), model.predict_proba(X)[:, 1] > threshold)


def test_a_detector_is_flagged_as_it_predicts():
    forest = IsolationForest(random_state=0, contamination=0.1).fit(X)
    np.testing.assert_array_equal(score_rows(forest, X) > threshold_of(forest), forest.predict(X) == -1)


def test_the_threshold_of_the_rules_that_a_model_keeps_is_taken_where_it_has_no_other():
    model = LogisticRegression()
    assert find_threshold(model) == 0.5
    model.alarm_policy_ = el.AlarmPolicy(threshold=0.125, k=2, n=3)
    assert make_policy(model).get_params() == model.alarm_policy_.get_params()


def test_alarms_end_at_the_gaps_that_a_model_has_learnt():
    log = el.datasets.make_sensor_log(n_machines=1, n_days=2, failures_per_machine=0, random_state=0)
    network = el.LSTMForecaster(hidden_size=2, max_epochs=1, min_steps=1)
    detector = el.AnomalyDetector(network, max_gap="40min", threshold=3.0, random_state=0).fit(log.X)
    assert str(policy_of(make_pipeline(StandardScaler(), detector)).max_gap) == "0 days 00:40:00"
    assert policy_of(LogisticRegression()).max_gap is None


@pytest.mark.parametrize("labels", [["ok", "fault"], [1, 2], [0, 2]])
def test_other_classes_than_zero_and_one_are_refused(labels):
    model = LogisticRegression().fit(X, np.array(labels)[Y])
    with pytest.raises(ValueError, match=r"knows the classes .* where 0 and 1 are wanted"):
        score_rows(model, X)


def test_what_has_no_scores_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"StandardScaler has neither anomaly_score.*Pass scores"):
        score_rows(StandardScaler().fit(X), X)
