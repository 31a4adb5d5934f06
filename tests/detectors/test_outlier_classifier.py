"""A detector of outliers made a classifier ranks the rare class on top, whichever way its own scores point."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import eventlstm as el
from eventlstm import EventClassifier, LogWindows, LSTMAutoencoder, LSTMClassifier
from eventlstm.detectors.outlier_classifier import OutlierClassifier

EXACT = {"precision": "float64", "batch_size": None, "dropout": 0.0}
# The members of what checks seed are seeded by themselves.
CHECKED = OutlierClassifier(
    LSTMAutoencoder(hidden_size=4, latent_size=2, max_epochs=3, lr=0.05, random_state=0, **EXACT)
)
FOREST = OutlierClassifier(IsolationForest(n_estimators=10, random_state=0))
WEIGHT_CHECK = {
    "check_sample_weight_equivalence_on_dense_data": "copies of a sample change which of them each tree draws"
}

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@parametrize_with_checks([CHECKED])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@parametrize_with_checks([FOREST], expected_failed_checks=lambda _: WEIGHT_CHECK, xfail_strict=True)
def test_around_a_forest_it_fails_no_check_but_the_one_that_forests_fail(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_forty_checks_for_it():
    assert len(list(estimator_checks_generator(CHECKED))) > 40


def burst_log(n_runs=3, n_rows=120, seed=0):
    """Return a log in which a sensor leaves its wave now and then, and labels of that."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_rows) + rng.uniform(0, 30, (n_runs, 1))
    values = np.stack([np.sin(t / 3), np.cos(t / 3)], axis=2) + rng.normal(0, 0.1, (n_runs, n_rows, 2))
    label = np.zeros((n_runs, n_rows), dtype=int)
    for run in range(n_runs):
        begin = rng.integers(30, n_rows - 10)
        values[run, begin : begin + 6, 1] += 2.0
        label[run, begin : begin + 6] = 1
    times = pd.date_range("2024-01-01", periods=n_rows, freq="min")
    index = pd.MultiIndex.from_product([[f"m{k}" for k in range(n_runs)], times], names=["machine", "time"])
    return pd.DataFrame(values.reshape(-1, 2), index=index, columns=["flow", "heat"]), pd.Series(label.ravel(), index)


X, y = burst_log()
X_TEST, Y_TEST = burst_log(seed=1)
SMALL = {"hidden_size": 8, "max_epochs": 15, "lr": 0.03, "batch_size": 32, "n_jobs": 1}
DETECTORS = {
    "autoencoder": LSTMAutoencoder(latent_size=4, **SMALL),
    "isolation forest": IsolationForest(n_estimators=30),
    "local outlier factor": LocalOutlierFactor(novelty=True),
    "pipeline": make_pipeline(StandardScaler(), LSTMAutoencoder(latent_size=4, **SMALL)),
}
each_detector = pytest.mark.parametrize("name", DETECTORS)


def of_log(detector, **changes):
    plain = {"mode": "windows", "window_size": 4, "inputs": "level", "n_estimators": 1, "n_jobs": 1, "random_state": 0}
    return EventClassifier(detector, **{**plain, **changes})


@each_detector
@pytest.mark.parametrize("names", [{0: 0, 1: 1}, {0: "ok", 1: "fault"}, {0: 1, 1: 0}], ids=str)
def test_inside_a_classifier_of_logs_events_rank_on_top_whatever_they_are_called(name, names):
    model = of_log(DETECTORS[name]).fit(X, y.map(names))
    proba = model.predict_proba(X_TEST)
    event = list(model.classes_).index(names[1])
    assert average_precision_score(Y_TEST, proba[:, event]) > 0.5
    assert average_precision_score(Y_TEST, proba[:, 1 - event]) < 0.1
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)


@each_detector
def test_only_the_frequent_class_is_learnt(name):
    wild = X.where(y == 0, 1e3)
    models = [OutlierClassifier(DETECTORS[name]) for _ in range(2)]
    scores = []
    for model, log in zip(models, (X, wild), strict=True):
        for parameter in model.get_params():
            if parameter.endswith("random_state"):
                model.set_params(**{parameter: 0})
        scores.append(model.fit(log.to_numpy(), y).predict_proba(X_TEST.to_numpy()))
    np.testing.assert_array_equal(*scores)


class Given(OutlierMixin, BaseEstimator):
    """Its score of a sample is the first feature."""

    def fit(self, X, y=None):
        """Learn nothing."""
        self.fitted_ = True
        return self

    def score_samples(self, X):
        """Return the opposite, as scikit-learn wants it."""
        return -X[:, 0]


def test_the_probability_rises_with_the_score_however_high_it_is():
    quiet = np.linspace(0, 1, 101)[:, None]
    model = OutlierClassifier(Given()).fit(np.append(quiet, [[9.0]], axis=0), np.r_[np.zeros(101), 1])
    assert (model.border_, model.spread_) == (0.99, 0.49)
    proba = model.predict_proba(np.array([[-1e9], [0.0], [0.5], [0.99], [1.0], [1e3], [1e6], [2e9], [1e12]]))[:, 1]
    assert (np.diff(proba) > 0).all()
    assert proba[3] == 0.5
    assert model.predict(np.array([[0.98], [1.0]])).tolist() == [0.0, 1.0]


def test_scores_that_are_all_the_same_do_no_harm():
    model = OutlierClassifier(Given()).fit(np.ones((10, 1)), np.arange(10) > 7)
    assert np.isfinite(model.predict_proba(np.array([[1.0], [2.0]]))).all()


def test_weights_are_counted_and_those_of_zero_are_not_there():
    values, labels = np.linspace(0, 1, 40)[:, None], np.arange(40) % 4 == 0
    weight = (np.arange(40) % 3 > 0) * 2.0
    model, other = (OutlierClassifier(IsolationForest(n_estimators=5, random_state=0)) for _ in range(2))
    model.fit(values, ~labels, weight), other.fit(values[weight > 0], ~labels[weight > 0], weight[weight > 0])
    np.testing.assert_array_equal(model.predict_proba(values), other.predict_proba(values))
    assert OutlierClassifier(Given()).fit(values, labels).quiet_class_ == 0


def test_windows_come_in_any_form():
    windows = LogWindows(X, 4)
    model = OutlierClassifier(LSTMAutoencoder(random_state=0, **SMALL))
    of_log, of_array = (model.fit(form, y).predict_proba(windows[:]) for form in (windows, windows[:]))
    np.testing.assert_array_equal(of_log, of_array)
    assert model.n_features_in_ == 8


def test_a_search_over_detectors_and_classifiers_ranks_them_rightly():
    upside_down = make_pipeline(StandardScaler(), Given())  # blind to the sensor that bursts
    grid = {"estimator": [upside_down, IsolationForest(n_estimators=30, random_state=0)]}
    search = GridSearchCV(of_log(None), grid, scoring="average_precision", cv=el.RunKFold(3)).fit(X, y)
    assert isinstance(search.best_params_["estimator"], IsolationForest)
    assert search.cv_results_["mean_test_score"][1] > 0.3 > search.cv_results_["mean_test_score"][0]
    assert average_precision_score(Y_TEST, search.predict_proba(X_TEST)[:, 1]) > 0.3


def test_several_members_are_seeded_and_pooled():
    model = of_log(IsolationForest(n_estimators=10), n_estimators=3, inputs="both").fit(X, y)
    seeds = {member.detector_.random_state for member in model.estimators_}
    assert len(seeds) == 3
    assert average_precision_score(Y_TEST, model.predict_proba(X_TEST)[:, 1]) > 0.3
    again = of_log(IsolationForest(n_estimators=10), n_estimators=3, inputs="both").fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X_TEST), model.predict_proba(X_TEST))


def test_a_pickle_and_an_archive_predict_the_same(tmp_path):
    model = of_log(LSTMAutoencoder(latent_size=4, **SMALL)).fit(X, y)
    el.save(model, tmp_path / "model")
    for twin in (el.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict_proba(X_TEST), model.predict_proba(X_TEST))
        assert repr(twin) == repr(model)


def test_classifiers_are_left_as_they_are():
    small = LSTMClassifier(hidden_size=4, max_epochs=1)
    assert all(isinstance(member, LSTMClassifier) for member in of_log(small).fit(X, y).estimators_)


@pytest.mark.parametrize(
    ("labels", "weight", "message"),
    [
        (np.arange(len(X)) % 3, None, "Only binary classification is supported: IsolationForest tells normal from"),
        (np.zeros(len(X)), None, "of one class; two are wanted. Label an event"),
        (y.to_numpy(), (y == 0).to_numpy(float), "of one class; two are wanted"),
        (None, None, "requires y to be passed, but the target y is None. Pass a class each"),
        (y.to_numpy()[1:], None, "inconsistent numbers of samples"),
    ],
)
def test_what_is_not_two_classes_is_refused(labels, weight, message):
    with pytest.raises(ValueError, match=message):
        OutlierClassifier(IsolationForest()).fit(X.to_numpy(), labels, weight)


def test_weights_are_refused_where_the_detector_takes_none():
    weight = np.where(np.arange(len(X)) % 2, 1.0, 2.0)
    with pytest.raises(ValueError, match=r"LocalOutlierFactor takes no sample_weight in fit\. Leave it out"):
        OutlierClassifier(LocalOutlierFactor(novelty=True)).fit(X.to_numpy(), y.to_numpy(), weight)


def test_step_by_step_a_detector_of_windows_is_refused():
    with pytest.raises(ValueError, match="IsolationForest cannot train step by step, which mode='stateful' needs"):
        EventClassifier(IsolationForest()).fit(X, y)


def test_weights_do_not_say_which_class_is_normal():
    values, labels = np.linspace(0, 1, 60)[:, None], np.arange(60) >= 54
    model = OutlierClassifier(IsolationForest(n_estimators=5, random_state=0))
    assert model.fit(values, labels, np.where(labels, 50.0, 1.0)).quiet_class_ == 0
