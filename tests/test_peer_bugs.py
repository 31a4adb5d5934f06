"""Faults that users of other detectors, forecasters and ensembles ran into, each as the law that it broke.

More of them stand where their subject is tested: the best epoch's weights are those kept (test_training,
test_forecaster, test_forecast_steps, test_autoencoder), scores end where the log does (test_anomaly, test_detector,
test_forecast_steps), steps ahead are in their own places (test_forecaster), padding is no part of a window
(test_autoencoder), members of a bag differ and count (test_ensemble), rows without a score set no threshold
(test_thresholds).
"""

import importlib
import inspect
import pickle
import pkgutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.detectors.anomaly_detector import models_of
from eventlstm.detectors.row_models import View
from eventlstm.logs.checking import check_scoring
from eventlstm.metrics import anomaly_average_precision
from eventlstm.thresholds import QuantileThreshold

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = {"hidden_size": 4, "max_epochs": 3, "batch_size": 16, "random_state": 0, "n_jobs": 1}
RNG = np.random.default_rng(0)
WINDOWS = RNG.normal(size=(48, 6, 2))
LABELS = (WINDOWS[:, -1, 0] > 0.8).astype(int)
NEXT = WINDOWS[:, -1] * 0.5


def wave_log(n_rows=300, n_runs=2, seed=0):
    """Return a log of two sensors on waves."""
    t = np.arange(n_runs * n_rows)[:, None]
    noise = np.random.default_rng(seed).normal(size=(len(t), 2))
    index = pd.MultiIndex.from_product([range(n_runs), pd.date_range("2024", periods=n_rows, freq="min")])
    return pd.DataFrame(np.sin(t / 5 + [0, 1]) + 0.1 * noise, index=index, columns=["flow", "heat"])


LOG = wave_log()
LOG_LABELS = pd.Series((np.arange(len(LOG)) % 100 > 90).astype(int), index=LOG.index)


def detector(estimator=None, **changes):
    plain = {"window_size": 8, "threshold": 5.0, "n_jobs": 1, "random_state": 0}
    return el.AnomalyDetector(Ridge() if estimator is None else estimator, **{**plain, **changes})


NETWORKS = {
    "classifier": (el.LSTMClassifier(**SMALL), (WINDOWS, LABELS)),
    "tagger": (el.LSTMTagger(crf=True, **SMALL), (WINDOWS, (WINDOWS[..., 0] > 0.8).astype(int))),
    "autoencoder": (el.LSTMAutoencoder(latent_size=2, **SMALL), (WINDOWS,)),
    "forecaster": (el.LSTMForecaster(**SMALL), (WINDOWS, NEXT)),
    "forecaster that decodes": (el.LSTMForecaster(decoder="recurrent", cell="peephole", **SMALL), (WINDOWS, NEXT)),
}
MODELS = {
    **NETWORKS,
    "ensemble": (el.BalancedBaggingLSTMClassifier(el.LSTMClassifier(**SMALL), 2, random_state=0), (WINDOWS, LABELS)),
    "detector of events": (el.EventClassifier(el.LSTMClassifier(**SMALL), n_estimators=2), (LOG, LOG_LABELS)),
    "detector of anomalies": (detector(el.LSTMForecaster(**SMALL)), (LOG,)),
}
SCORES = ("anomaly_score", "predict_proba", "predict")


def fit(model, data):
    return clone(model).fit(*data)


def score(model, X):
    return getattr(model, next(name for name in SCORES if hasattr(model, name)))(X)


@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_epochs_are_trained_as_were_asked_the_last_one_too(name):
    model, data = NETWORKS[name]
    fits = [fit(clone(model).set_params(max_epochs=n, schedule="constant"), data) for n in (2, 3)]
    assert [len(one.history_) for one in fits] == [one.n_iter_ for one in fits] == [2, 3]
    assert fits[0].history_ == fits[1].history_[:2]
    assert not np.allclose(score(fits[0], data[0]), score(fits[1], data[0]), atol=1e-9), "the last epoch was not"


@pytest.mark.parametrize("name", MODELS)
def test_a_fitted_model_is_pickled(name):
    model, data = MODELS[name]
    fitted = fit(model, data)
    twin = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(score(twin, data[0]), score(fitted, data[0]))


def test_every_network_class_can_be_imported_by_its_name():
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(el.__path__, "eventlstm.")
        if "__main__" not in info.name
    ]
    listed = {found for module in modules for found in vars(module).values() if inspect.isclass(found)}
    for name, (model, data) in NETWORKS.items():
        for part in fit(model, data).module_.modules():
            assert type(part) in listed or type(part).__module__.startswith("torch."), (name, type(part))


@pytest.mark.parametrize("name", MODELS)
def test_fit_changes_no_parameter(name):
    model, data = MODELS[name]
    fresh = clone(model)
    before = repr(fresh.get_params())
    assert repr(fresh.fit(*data).get_params()) == before


@pytest.mark.parametrize("name", ["autoencoder", "forecaster"])
def test_weights_of_one_are_no_weights(name):
    model, data = NETWORKS[name]
    weighted = clone(model).fit(*data, sample_weight=np.ones(len(WINDOWS)))
    np.testing.assert_array_equal(score(weighted, WINDOWS), score(fit(model, data), WINDOWS))


@pytest.mark.parametrize(
    "model",
    [
        el.LSTMAutoencoder(latent_size=2, num_layers=2, **SMALL),
        el.LSTMForecaster(num_layers=2, **SMALL),
        el.LSTMForecaster(num_layers=2, decoder="recurrent", **SMALL),
    ],
    ids=str,
)
def test_what_is_decoded_comes_from_the_last_layer(model):
    model = model.fit(WINDOWS, NEXT)
    what = model.transform if hasattr(model, "transform") else model.predict
    assert np.ptp(what(WINDOWS), axis=0).min() > 0
    with torch.no_grad():
        for weights in model.module_.encoder.layers[-1].parameters():
            weights.zero_()
    np.testing.assert_allclose(what(WINDOWS), np.broadcast_to(what(WINDOWS)[:1], what(WINDOWS).shape), atol=1e-6)


class FirstOfTwo(BaseEstimator):
    """A forecaster of two steps ahead that is right in the first and far off in the second."""

    def fit_steps(self, X, sample_weight=None, **log):
        """Learn nothing."""
        return self

    def predict_steps(self, X, state=None):
        """Return the row itself, and nonsense behind it."""
        return np.stack([X, X + 1e3], axis=-2), state


def test_a_row_is_compared_with_the_first_step_ahead():
    still = LOG * 0 + 3.0 + np.random.default_rng(0).normal(size=LOG.shape)
    model = detector(FirstOfTwo(), targets="level", n_estimators=1, smoothing=1).fit(still)
    errors = models_of(model, model.estimators_).errors(check_scoring(model, still), 1)
    assert np.abs(errors).max() < 10


def test_every_member_of_a_detector_is_another_and_heard():
    model = detector(el.LSTMForecaster(**SMALL), n_estimators=3, targets="level").fit(LOG)
    members, whole = model.estimators_, model.anomaly_score(LOG)
    for k in range(3):
        others = [members[k - 1] if j == k else member for j, member in enumerate(members)]
        model.estimators_ = others
        assert np.abs(model.anomaly_score(LOG) - whole).max() > 1e-3


@pytest.mark.parametrize("estimator", [Ridge(), PCA(2), el.LSTMForecaster(**SMALL)], ids=str)
def test_a_verdict_does_not_depend_on_the_length_of_the_log(estimator):
    model = detector(estimator, threshold=QuantileThreshold(0.2)).fit(LOG)
    whole = model.predict(LOG)
    assert {*whole} == {1, -1}
    for n_rows in (50, 301, 450):
        np.testing.assert_array_equal(model.predict(LOG.iloc[:n_rows]), whole[:n_rows])


@pytest.mark.parametrize(
    "estimator", [Ridge(), PCA(2), el.LSTMForecaster(**SMALL), el.LSTMAutoencoder(**SMALL)], ids=str
)
@pytest.mark.filterwarnings("ignore:.*unbroken rows of history:UserWarning")
def test_logs_shorter_than_a_window_are_scored(estimator):
    model = detector(estimator).fit(LOG)
    whole = model.anomaly_score(LOG)
    for n_rows in (1, 2, 7):
        np.testing.assert_allclose(model.anomaly_score(LOG.iloc[:n_rows]), whole[:n_rows], rtol=1e-4)


@pytest.mark.parametrize("estimator", [Ridge(), PCA(2), el.LSTMForecaster(**SMALL)], ids=str)
def test_the_first_rows_of_a_run_have_scores_of_their_own(estimator):
    model = detector(estimator, smoothing=1).fit(LOG)
    odd = LOG.copy()
    odd.iloc[302] += 9.0  # the third row of the second run
    first = model.anomaly_score(odd)[300:308]
    assert len(np.unique(first)) == 8
    assert first.max() > 10 * model.anomaly_score(LOG)[300:308].max()
    assert model.predict(odd)[302] == -1


@pytest.mark.parametrize(
    "estimator", [Ridge(), PCA(2), el.LSTMForecaster(**SMALL), el.LSTMAutoencoder(**SMALL)], ids=str
)
def test_a_score_stands_at_the_row_it_is_of(estimator):
    odd = LOG.copy()
    odd.iloc[400] += 30.0
    model = detector(estimator, smoothing=1, targets="level").fit(LOG)
    assert model.anomaly_score(odd).argmax() == 400


def test_no_filled_in_score_is_counted_in_the_threshold():
    model = detector(threshold=QuantileThreshold(0.2)).fit(LOG)
    by_row = pd.Series(model.anomaly_score(LOG), LOG.index)
    last = pd.concat([by_row.iloc[240:300], by_row.iloc[540:600]])
    np.testing.assert_allclose(model.held_out_scores_, last, rtol=1e-9)
    assert last.nunique() == len(last)
    parts = last, model.quiet_scores_
    assert model.threshold_ == max(QuantileThreshold(0.2).fit(scores).threshold_ for scores in parts)


def test_a_threshold_is_not_that_of_the_rows_learnt_by_heart():
    log, fresh = wave_log(2000), wave_log(2000, seed=1)
    model = detector(KNeighborsRegressor(1), threshold=QuantileThreshold(0.05)).fit(log)
    learnt = np.quantile(model.anomaly_score(log).reshape(2, -1)[:, :1600], 0.95)
    assert (model.anomaly_score(fresh) > learnt).mean() > 0.5
    assert (model.predict(fresh) == -1).mean() < 0.1


def test_what_came_before_is_taken_into_account():
    for estimator in (Ridge(), PCA(2), el.LSTMForecaster(**SMALL)):
        model = detector(estimator, smoothing=1).fit(LOG)
        other = LOG.copy()
        other.iloc[47] += 1.0
        moved = model.anomaly_score(other) - model.anomaly_score(LOG)
        assert np.abs(moved[:47]).max() < 1e-6
        assert np.abs(moved[48:50]).max() > 1e-3


def test_a_log_scaled_twice_is_as_one_scaled_once():
    once = detector().fit(LOG).anomaly_score(LOG)
    twice = make_pipeline(StandardScaler(), detector()).set_output(transform="pandas").fit(LOG)
    np.testing.assert_allclose(-twice.score_samples(LOG), once, rtol=1e-6)


def test_a_search_by_the_sign_of_ours_chooses_the_detector_that_finds_more():
    X = np.concatenate([WINDOWS, WINDOWS[:6] + np.array([4.0, 0.0])])
    y = np.r_[np.zeros(48, dtype=int), np.ones(6, dtype=int)]
    order = np.random.default_rng(0).permutation(54)
    X, y = X[order], y[order]
    blind = {"hidden_size": [1], "latent_size": [1], "lr": [1e-9]}
    seeing = {"hidden_size": [8], "latent_size": [4], "lr": [0.05]}
    model = el.LSTMAutoencoder(**{**SMALL, "max_epochs": 10})
    ours = GridSearchCV(model, [blind, seeing], cv=2, scoring=anomaly_average_precision).fit(X, y)
    theirs = GridSearchCV(model, [blind, seeing], cv=2, scoring="average_precision").fit(X, y)
    assert ours.best_score_ > 0.5 > theirs.best_score_
    right = average_precision_score(y, ours.best_estimator_.anomaly_score(X))
    assert right > average_precision_score(y, ours.best_estimator_.decision_function(X))


def test_levels_are_not_clipped_where_errors_are_taken():
    model = detector().fit(LOG)
    assert isinstance(models_of(model, model.estimators_).view, View)
    far = LOG.copy()
    far.iloc[100] += 50.0
    farther = LOG.copy()
    farther.iloc[100] += 500.0
    assert model.anomaly_score(farther)[100] >= model.anomaly_score(far)[100] > 100
