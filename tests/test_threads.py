"""One fitted model serves several threads at once: no errors, and the bits that one thread gets."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el

N_THREADS, N_CALLS = 8, 200  # in all, for each model

W = np.random.default_rng(0).normal(size=(24, 5, 2))
LOG = el.datasets.make_sensor_log(n_machines=1, n_days=2, failures_per_machine=1, random_state=0)
X, Y = LOG.X.iloc[:, :2], LOG.y
TINY = {"hidden_size": 2, "max_epochs": 1, "min_steps": 1, "random_state": 0}
OF_LOGS = {"window_size": 4, "n_estimators": 2, "random_state": 0}


def classifier(**parameters):
    return el.EventClassifier(el.LSTMClassifier(**TINY), **OF_LOGS, **parameters)


def detector(network):
    return el.AnomalyDetector(network, threshold=3.0, **OF_LOGS)


def models():
    trees = el.EventClassifier(HistGradientBoostingClassifier(max_iter=2), mode="windows", window_size=2)
    labels = (W[:, -1, 0] > 0).astype(int)
    lstm = el.LSTMClassifier(**TINY)
    return {
        "LSTMClassifier": (lambda: lstm.fit(W, labels), W, "predict_proba"),
        "LSTMClassifier with attention": (
            lambda: el.LSTMClassifier(**TINY, pooling="multihead", num_heads=2).fit(W, labels),
            W,
            "predict_proba",
        ),
        "LSTMForecaster": (lambda: el.LSTMForecaster(**TINY).fit(W, W[:, -1]), W, "predict"),
        "LSTMTagger": (lambda: el.LSTMTagger(**TINY, crf=True).fit(W, W[..., 0] > 0), W, "predict_proba"),
        "LSTMAutoencoder": (lambda: el.LSTMAutoencoder(**TINY).fit(W), W, "anomaly_score"),
        "BalancedBaggingLSTMClassifier": (
            lambda: el.BalancedBaggingLSTMClassifier(lstm, n_estimators=2, random_state=0).fit(W, labels),
            W,
            "predict_proba",
        ),
        "EventClassifier": (lambda: classifier().fit(X, Y), X, "predict_proba"),
        "EventClassifier of windows": (lambda: classifier(mode="windows", stride=8).fit(X, Y), X[:40], "predict_proba"),
        "EventBlend": (
            lambda: el.EventBlend([("networks", classifier()), ("trees", trees)], random_state=0).fit(X, Y),
            X[:40],
            "predict_proba",
        ),
        "AnomalyDetector": (lambda: detector(el.LSTMForecaster(**TINY)).fit(X), X[:60], "anomaly_score"),
        "AnomalyDetector of windows": (
            lambda: detector(el.LSTMAutoencoder(**TINY)).set_params(stride=8).fit(X),
            X[:60],
            "anomaly_score",
        ),
        "AnomalyDetector of PCA": (lambda: detector(PCA(1)).fit(X), X[:60], "anomaly_score"),
        "Pipeline": (
            lambda: (
                make_pipeline(el.ForwardFill(), StandardScaler(), classifier()).set_output(transform="pandas").fit(X, Y)
            ),
            X[:60],
            "predict_proba",
        ),
    }


@pytest.mark.parametrize("name", models())
def test_threads_share_a_fitted_model(name):
    fit, given, method = models()[name]
    ask = getattr(fit(), method)
    alone = ask(given)
    with ThreadPoolExecutor(N_THREADS) as threads:
        for said in threads.map(lambda _: ask(given), range(N_CALLS)):
            np.testing.assert_array_equal(said, alone)
