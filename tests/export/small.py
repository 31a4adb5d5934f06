"""A small log of machines with gaps, and small estimators, for the tests of exported models."""

import numpy as np
import pandas as pd

import eventlstm as el

N_SENSORS = 3


def make_log(n_runs=3, n_rows=90, *, level=0.0, random_state=0, prefix="m"):
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
            [np.full(n_rows, f"{prefix}{run}"), pd.Timestamp("2024") + pd.to_timedelta(np.cumsum(step), unit="min")],
            names=["machine", "time"],
        )
        parts.append(pd.DataFrame(values + level, index, columns=["heat", "flow", "mode"]))
        labels.append(pd.Series(y, index))
    return pd.concat(parts), pd.concat(labels)


X, Y = make_log()
NEW, _ = make_log(2, 80, random_state=1, prefix="new")
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
    return el.AnomalyDetector(
        estimator, **{"window_size": 5, "n_estimators": 1, "threshold": 3.0, "random_state": 0} | parameters
    )
