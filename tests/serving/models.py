"""Small fitted models of every kind that goes row by row, and logs that are hard on them."""

from functools import cache

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el

SENSORS = ["heat", "flow", "mode"]
TINY = {"hidden_size": 4, "max_epochs": 1, "random_state": 0}


def make_log(steps, seed=0):
    """A log of a machine for each list of steps in seconds, its values drawn by a seed."""
    rng, parts = np.random.default_rng(seed), []
    for number, own in enumerate(steps):
        times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum([0, *own]), unit="s")
        index = pd.MultiIndex.from_product([[f"m{number}"], times], names=["machine", "time"])
        values = np.cumsum(rng.normal(size=(len(times), 3)), axis=0) * [1, 5, 0] + [20, 1e4, 0]
        values[:, 2] = rng.integers(0, 3, len(times))
        parts.append(pd.DataFrame(values, index=index, columns=SENSORS))
    return pd.concat(parts)


FIT = make_log([[1] * 150, [1] * 40 + [100] + [1] * 80], seed=5)
LABELS = pd.Series((np.arange(len(FIT)) % 60 > 50).astype(int), index=FIT.index)


def classifier(estimator=None, **how):
    return el.EventClassifier(estimator, n_estimators=how.pop("n_estimators", 1), random_state=0, **how)


def network(**how):
    return el.LSTMClassifier(**(TINY | how))


def detector(estimator, **how):
    return el.AnomalyDetector(estimator, random_state=0, threshold=3.0, **how)


def blend():
    small = network()
    parts = {"relative__estimator": small, "whitened__estimator": small}
    trees = {"forest__estimator__n_estimators": 8, "boosting__estimator__max_iter": 8}
    return el.EventBlend(random_state=0).set_params(**parts, **trees)


WINDOWS = {"mode": "windows", "window_size": 5}
MAKERS = {
    "default members": lambda: classifier(network(), n_estimators=5, window_size=6),
    "gru, two layers": lambda: classifier(
        network(cell="gru", num_layers=2, residual=True, layer_norm=True), n_estimators=2, inputs="level"
    ),
    "peephole": lambda: classifier(network(cell="peephole"), inputs=("level", "relative"), n_estimators=3),
    "convlstm": lambda: classifier(
        network(cell="convlstm", grid=(3, 1), num_layers=2), inputs=("level", "relative"), n_estimators=2
    ),
    "forecasts on a grid": lambda: detector(el.LSTMForecaster(**TINY, cell="convlstm", grid=(1, 3)), window_size=6),
    "rnn, focal": lambda: classifier(network(cell="rnn", loss="focal", class_weight="balanced"), inputs=None),
    "tagger, filtered": lambda: classifier(
        el.LSTMTagger(**TINY, crf=True, decoding="filtered"), n_estimators=3, window_size=6
    ),
    "tagger without a field": lambda: classifier(el.LSTMTagger(**TINY, decoding="filtered"), inputs="level"),
    "codes": lambda: classifier(network(), categorical_channels=["mode"], n_estimators=2),
    "float64": lambda: classifier(network(precision="float64")),
    "bidirectional windows": lambda: classifier(network(bidirectional=True, pooling="additive"), **WINDOWS),
    "bagged windows": lambda: classifier(el.BalancedBaggingLSTMClassifier(network(), n_estimators=2), **WINDOWS),
    "forest of windows": lambda: classifier(ExtraTreesClassifier(8, random_state=0), **WINDOWS),
    "boosting of features": lambda: classifier(
        HistGradientBoostingClassifier(max_iter=8), mode="windows", window_size=1, inputs=el.CausalFeatures(lags=3)
    ),
    "logistic windows": lambda: classifier(
        make_pipeline(StandardScaler(), LogisticRegression()), inputs=("level", "relative"), n_estimators=2, **WINDOWS
    ),
    "blend": blend,
    "filled and scaled": lambda: make_pipeline(
        el.ForwardFill(), StandardScaler().set_output(transform="pandas"), classifier(network())
    ),
    "features before": lambda: make_pipeline(
        el.CausalFeatures(lags=2).set_output(transform="pandas"), classifier(network(), inputs="level")
    ),
    "threshold around": lambda: FixedThresholdClassifier(
        make_pipeline(el.ForwardFill(), classifier(network())), threshold=0.2, response_method="predict_proba"
    ),
    "forecasts step by step": lambda: detector(el.LSTMForecaster(**TINY), window_size=6),
    "forecasts of a decoder": lambda: detector(
        el.LSTMForecaster(**TINY, decoder="recurrent", horizon=2), inputs="relative", average="window"
    ),
    "quantiles": lambda: detector(
        el.LSTMForecaster(**TINY, loss="quantile", quantiles=(0.2, 0.5, 0.9)), inputs="whitened", norm="mahalanobis"
    ),
    "autoencoder": lambda: detector(el.LSTMAutoencoder(**TINY), window_size=5, smoothing=1),
    "regressor": lambda: detector(RandomForestRegressor(4, max_depth=3, random_state=0), window_size=4),
    "projection": lambda: detector(PCA(2), window_size=4, inputs="relative"),
    "outliers": lambda: detector(IsolationForest(n_estimators=8, random_state=0), window_size=3),
}


@cache
def fitted(name):
    """Return a fitted model, the same at each call."""
    return MAKERS[name]().fit(FIT, LABELS)


def accepts_missing(name):
    return name in ("filled and scaled", "threshold around")
