"""Fit one small model of each public estimator and save it beside its predictions.

Run it as ``python tests/archive/make_archives.py``.

The archives hold what an earlier version wrote; `test_old_archives.py` reads them with today's. Run this only to add a
model: the old files must stay as they are.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el

FOLDER = Path(__file__).parent
TINY = {"hidden_size": 3, "max_epochs": 1, "min_steps": 1, "random_state": 0}
METHODS = ("predict_proba", "predict", "score_samples", "anomaly_score", "transform", "threshold_")


def windows() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(60, 5, 2))
    return X, (X[:, -1, 0] > 0.8).astype(int)


def log() -> tuple[pd.DataFrame, pd.Series]:
    times = pd.date_range("2024-01-01", periods=120, freq="min")
    index = pd.MultiIndex.from_product([["fan", "pump"], times], names=["machine", "time"])
    values = np.random.default_rng(1).normal(size=(240, 2)).round(3)
    X = pd.DataFrame(values, index, columns=["flow", "heat"])
    X.iloc[60:66] += 4
    X.iloc[200:206] += 4
    return X, (X["flow"].rolling(3, min_periods=1).mean() > 2).astype(int).rename("event")


def scores() -> np.ndarray:
    return np.random.default_rng(2).gumbel(size=1500)


def boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=3, max_depth=2, max_bins=8, random_state=0)


def fitted_models() -> dict[str, object]:
    """Return the fitted model of each archive by its name; `inputs_of` says what it predicts on."""
    W, w = windows()
    X, y = log()
    target = W[:, -1]
    lstm, step = el.LSTMClassifier(**TINY), {"window_size": 6, "random_state": 0}
    blend = el.EventBlend(
        [
            ("networks", el.EventClassifier(lstm, n_estimators=2, **step)),
            ("trees", el.EventClassifier(boosted(), mode="windows", **step)),
        ]
    )
    holes = X.copy()
    holes.iloc[3:5, 0] = np.nan
    quiet, labels = scores(), (scores() > 3).astype(int)
    thresholds = el.thresholds
    return {
        "LSTMClassifier": el.LSTMClassifier(**TINY, pooling="additive", loss="focal").fit(W, w),
        "LSTMClassifier_gru": el.LSTMClassifier(**TINY, cell="gru", bidirectional=True, class_weight="balanced").fit(
            W, w
        ),
        "LSTMClassifier_grid": el.LSTMClassifier(
            **TINY, cell="convlstm", grid=(1, 2), num_layers=2, layer_norm=True
        ).fit(W, w),
        "LSTMAutoencoder_grid": el.LSTMAutoencoder(**TINY, cell="convlstm", grid=(2, 1)).fit(W),
        "LSTMAutoencoder": el.LSTMAutoencoder(**TINY).fit(W),
        "LSTMForecaster": el.LSTMForecaster(**TINY).fit(W, target),
        "LSTMTagger": el.LSTMTagger(**TINY, crf=True, bidirectional=True, forbid_unseen=True).fit(
            W, (W[:, :, 0] > 0.8).astype(int)
        ),
        "BalancedBaggingLSTMClassifier": el.BalancedBaggingLSTMClassifier(lstm, n_estimators=2, random_state=0).fit(
            W, w
        ),
        "EventClassifier": el.EventClassifier(lstm, **step).fit(X, y),
        "EventClassifier_stateful": el.EventClassifier(lstm, mode="stateful", n_estimators=2, **step).fit(X, y),
        "EventClassifier_tagged": el.EventClassifier(
            el.LSTMTagger(**TINY, crf=True, decoding="filtered"), n_estimators=2, **step
        ).fit(X, y),
        "EventBlend": blend.fit(X, y),
        "AnomalyDetector": el.AnomalyDetector(el.LSTMForecaster(**TINY), **step).fit(X, y),
        "AnomalyDetector_autoencoder": el.AnomalyDetector(el.LSTMAutoencoder(**TINY), **step).fit(X, y),
        "Pipeline": make_pipeline(el.ForwardFill(), StandardScaler(), el.EventClassifier(lstm, **step))
        .set_output(transform="pandas")
        .fit(holes, y),
        "ForwardFill": el.ForwardFill().fit(holes),
        "CausalFeatures": el.CausalFeatures(lags=2, whitened_lags=1, views=("relative", "whitened")).fit(X),
        "EventClassifier_forest": el.EventClassifier(
            ExtraTreesClassifier(2, min_samples_leaf=5),
            mode="windows",
            inputs=el.CausalFeatures(lags=2),
            n_estimators=1,
            **step | {"window_size": 1},
        ).fit(X, y),
        "EventClassifier_forest_sampled": el.EventClassifier(
            ExtraTreesClassifier(2, min_samples_leaf=5, bootstrap=True, max_samples=150),
            mode="windows",
            inputs=el.CausalFeatures(lags=2),
            n_estimators=1,
            **step | {"window_size": 1},
        ).fit(X, y),
        "EventClassifier_whitened": el.EventClassifier(lstm, inputs="whitened", n_estimators=1, **step).fit(X, y),
        "FlattenWindows": el.FlattenWindows().fit(W),
        "AutoThreshold": thresholds.AutoThreshold().fit(quiet),
        "QuantileThreshold": thresholds.QuantileThreshold(0.01).fit(quiet),
        "TailThreshold": thresholds.TailThreshold(0.001).fit(quiet),
        "DynamicThreshold": thresholds.DynamicThreshold().fit(abs(quiet)),
        "LabelledThreshold": thresholds.LabelledThreshold().fit(quiet, labels),
        "TemporalOversampler": el.TemporalOversampler(random_state=0),
        "WindowSampler": el.WindowSampler(SMOTE(k_neighbors=2, random_state=0)),
        "StreamingTailThreshold": thresholds.StreamingTailThreshold(0.001),
    }


def inputs_of(model: object) -> object:
    """Return what a model is asked of: a log with holes, a log, windows, or scores."""
    X, _ = log()
    if isinstance(model, el.ForwardFill) or hasattr(model, "steps"):
        X.iloc[3:5, 0] = np.nan
        return X
    if isinstance(model, el.CausalFeatures | el.EventClassifier | el.EventBlend | el.AnomalyDetector):
        return X
    return scores() if type(model).__name__.endswith("Threshold") else windows()[0]


def answers(model: object, given: object = None) -> dict[str, np.ndarray]:
    """Return everything that a fitted model says of its input."""
    given = inputs_of(model) if given is None else given
    if isinstance(model, el.thresholds.StreamingTailThreshold):
        model.fit(given)  # its archive is of the time when one that was fitted could not be saved
    if hasattr(model, "fit_resample"):
        given = el.LogWindows(log()[0], 6) if isinstance(model, el.TemporalOversampler) else given
        made, labels = model.fit_resample(
            given, log()[1].to_numpy() if isinstance(given, el.LogWindows) else windows()[1]
        )
        return {"made": np.asarray(made), "labels": labels}
    found = {name: getattr(model, name) for name in METHODS if hasattr(model, name)}
    return {name: np.asarray(said(given) if callable(said) else said) for name, said in found.items()}


def processor() -> str:
    """Say what decides the last bit of a network's numbers: the libraries and the kind of processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"torch {torch.__version__}, numpy {np.__version__}, {torch.backends.cpu.get_cpu_capability()}, {model}"


def main() -> None:
    torch.set_num_threads(1)
    said = {}
    for name, model in fitted_models().items():
        path = FOLDER / f"{name}.eventlstm"
        if not path.exists():
            el.save(model, path)
        said |= {f"{name}.{method}": answer for method, answer in answers(el.load(path)).items()}
    np.savez_compressed(FOLDER / "answers.npz", processor=processor(), **said)


if __name__ == "__main__":
    main()
