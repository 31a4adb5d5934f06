"""Models of logs as ONNX graphs of a step: their scores are ours, row by row, whatever the machines in a call."""


import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import eventlstm as el

from .running import open_model, run_log

ALIKE = 1e-5
N_SENSORS = 3


def make_log(n_runs=3, n_rows=90, *, level=0.0, random_state=0):
    """Return a log of several machines with gaps, its sensors at a level, and labels of three events."""
    rng = np.random.default_rng(random_state)
    parts, labels = [], []
    for run in range(n_runs):
        step = np.ones(n_rows, dtype=int)
        step[[30 + run, 31 + run, 64]] = 500  # a stretch of a single row is among them
        y = (np.arange(n_rows) // 6 % 7 == 3).astype(int)
        values = np.cumsum(rng.normal(size=(n_rows, N_SENSORS)), axis=0) * 0.3 + rng.normal(size=(n_rows, N_SENSORS))
        values[:, 1] += 2.0 * y
        index = pd.MultiIndex.from_arrays(
            [np.full(n_rows, f"m{run}"), pd.Timestamp("2024") + pd.to_timedelta(np.cumsum(step), unit="min")],
            names=["machine", "time"],
        )
        parts.append(pd.DataFrame(values + level, index, columns=["heat", "flow", "mode"]))
        labels.append(pd.Series(y, index))
    return pd.concat(parts), pd.concat(labels)


X, Y = make_log()
NEW, _ = make_log(2, 80, random_state=1)
SMALL = el.LSTMClassifier(hidden_size=4, max_epochs=1, min_steps=0, batch_size=16, random_state=0)
FORECASTER = el.LSTMForecaster(hidden_size=4, max_epochs=2, min_steps=0, random_state=0)
AUTOENCODER = el.LSTMAutoencoder(hidden_size=4, latent_size=2, max_epochs=2, min_steps=0, random_state=0)


def small(**parameters):
    return el.LSTMClassifier(**SMALL.get_params() | parameters)


def stateful(estimator=SMALL, **parameters):
    how = {"window_size": 6, "n_estimators": 2, "random_state": 0, "spans": (3, 8)}
    return el.EventClassifier(estimator, **how | parameters)


def of_windows(estimator, **parameters):
    return stateful(estimator, **{"mode": "windows", "n_estimators": 1} | parameters)


def detector(estimator, **parameters):
    return el.AnomalyDetector(estimator, **{"window_size": 5, "n_estimators": 1, "random_state": 0} | parameters)


STEPPING = {
    "lstm": stateful(n_estimators=4),
    "gru": stateful(small(cell="gru")),
    "rnn": stateful(small(cell="rnn"), inputs="relative"),
    "peephole": stateful(small(cell="peephole"), n_estimators=1, inputs="whitened"),
    "layers": stateful(small(num_layers=3, layer_norm=True, residual=True), inputs="level", n_estimators=1),
    "as they are": stateful(inputs=None),
    "features": stateful(inputs=el.CausalFeatures(lags=2, whitened_lags=2, views=("level", "relative"), spans=(3,))),
    "weighed": stateful(small(class_weight="balanced", loss="focal")),
    "unweighed": stateful(small(class_weight="balanced", correct_prior=False)),
    "adjusted": stateful(small(loss="logit_adjusted")),
}
WINDOWS = {
    "lstm of windows": of_windows(SMALL, n_estimators=2),
    "both ways": of_windows(small(bidirectional=True, pooling="mean"), inputs="relative"),
    "attention": of_windows(small(pooling="additive", cell="gru"), inputs=None),
    "bag": of_windows(el.BalancedBaggingLSTMClassifier(SMALL, n_estimators=2, random_state=0)),
    "extra trees": of_windows(ExtraTreesClassifier(8, random_state=0)),
    "forest": of_windows(RandomForestClassifier(8, max_depth=4, random_state=0), inputs=None),
    "tree": of_windows(DecisionTreeClassifier(max_depth=3, random_state=0), inputs="level"),
    "boosting": of_windows(HistGradientBoostingClassifier(max_iter=10, random_state=0), inputs=None),
    "boosting on features": of_windows(
        HistGradientBoostingClassifier(max_iter=10, random_state=0), window_size=1, inputs=el.CausalFeatures()
    ),
    "logistic": of_windows(LogisticRegression(max_iter=500), inputs="relative"),
    "scaled logistic": of_windows(make_pipeline(StandardScaler(), LogisticRegression()), inputs=None),
    "perceptron": of_windows(make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=400, tol=0.1))),
    "outliers": of_windows(IsolationForest(n_estimators=10, random_state=0)),
    "outliers of windows": of_windows(AUTOENCODER, inputs="relative"),
}
AROUND = {
    "filled": make_pipeline(el.ForwardFill(), stateful()).set_output(transform="pandas"),
    "scaled": make_pipeline(MinMaxScaler(), StandardScaler(), stateful()).set_output(transform="pandas"),
    "robust": make_pipeline(SimpleImputer(), RobustScaler(), stateful()).set_output(transform="pandas"),
    "threshold": FixedThresholdClassifier(stateful(), threshold=0.1),
    "search": GridSearchCV(stateful(), {"window_size": [4]}, cv=el.RunKFold(2), scoring="average_precision"),
    "blend": el.EventBlend(
        [
            ("networks", stateful()),
            ("trees", of_windows(ExtraTreesClassifier(5, random_state=0), window_size=2)),
            ("scaled", make_pipeline(StandardScaler(), stateful(inputs="relative")).set_output(transform="pandas")),
            ("deaf", stateful()),
        ],
        weights=[1, 2, 1, 0],
    ),
}
DETECTORS = {
    "forecasts": detector(FORECASTER, n_estimators=2),
    "relative forecasts": detector(FORECASTER, inputs="relative", norm="mahalanobis", smoothing=3.5, average="window"),
    "quantiles": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"loss": "quantile", "horizon": 2})),
    "layers": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"num_layers": 2, "layer_norm": True})),
    "forecasts of windows": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"bidirectional": True})),
    "attending": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"pooling": "multihead"}), n_estimators=2),
    "ridge": detector(Ridge(), inputs="relative"),
    "forest": detector(RandomForestRegressor(5, random_state=0)),
    "boosting": detector(HistGradientBoostingRegressor(max_iter=5, random_state=0)),
    "autoencoder": detector(AUTOENCODER, n_estimators=2),
    "pca": detector(PCA(3, whiten=True)),
    "outliers": detector(IsolationForest(n_estimators=10, random_state=0)),
    "not smoothed": detector(FORECASTER, smoothing=1),
}


@pytest.mark.filterwarnings("ignore:norm='mahalanobis'", "ignore:.*held out", "ignore:.*of the rows have fewer")
@pytest.mark.parametrize("kind", [*STEPPING, *WINDOWS, *AROUND])
def test_probabilities_are_ours_at_every_row(kind, tmp_path):
    model = fit({**STEPPING, **WINDOWS, **AROUND}[kind])
    session = open_model(model, tmp_path)
    ours = model.predict_proba(NEW)
    assert np.abs(run_log(session, model, NEW, "probabilities") - ours).max() < ALIKE
    assert np.abs(run_log(session, model, NEW) - ours[:, 1]).max() < ALIKE
    assert np.ptp(ours[:, 1]) > 100 * ALIKE  # which could else be a constant


@pytest.mark.filterwarnings("ignore:norm='mahalanobis'", "ignore:.*quiet rows", "ignore:.*threshold")
@pytest.mark.parametrize("kind", DETECTORS)
def test_scores_of_detectors_are_ours_at_every_row(kind, tmp_path):
    model = DETECTORS[kind].fit(X, Y)
    session = open_model(model, tmp_path)
    ours = model.anomaly_score(NEW.rename(index={"m0": "new", "m1": "newer"}))
    theirs = run_log(session, model, NEW)
    assert (np.abs(theirs - ours) / np.maximum(np.abs(ours), 1.0)).max() < ALIKE
    assert np.ptp(ours) > 100 * ALIKE


def fit(model):
    return model.fit(X, Y)
