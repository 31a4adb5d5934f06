"""Models of logs as ONNX graphs of a step: their scores are ours, row by row, whatever the machines in a call."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.tree import DecisionTreeClassifier

import eventlstm as el
from eventlstm.alarms.model_scores import last_step, score_rows, threshold_of
from eventlstm.export import export_onnx
from eventlstm.export.views import unbend

from ..archive.make_archives import FOLDER as ARCHIVES
from .running import Walk, first_rows, open_model, run_log, told
from .small import AUTOENCODER, FORECASTER, NEW, SMALL, X, Y, detector, make_log, of_windows, small, stateful

ALIKE = 1e-5


def piped(*steps):
    return make_pipeline(*steps).set_output(transform="pandas")


CELLS = ("lstm", "gru", "rnn", "peephole")
STEPPING = {
    "lstm": stateful(n_estimators=4),
    "gru": stateful(small(cell="gru")),
    "rnn": stateful(small(cell="rnn"), inputs="relative"),
    "peephole": stateful(small(cell="peephole"), n_estimators=1, inputs="whitened"),
    "on a grid": stateful(small(cell="convlstm", grid=(1, 3), num_layers=2), inputs="relative", n_estimators=1),
    "double on a grid": stateful(small(cell="convlstm", grid=(3, 1), precision="float64"), inputs="level"),
    "layers": stateful(small(num_layers=3, layer_norm=True, residual=True), inputs="level", n_estimators=1),
    "as they are": stateful(inputs=None),
    "features": stateful(inputs=el.CausalFeatures(lags=2, whitened_lags=2, views=("level", "relative"), spans=(3,))),
    "weighed": stateful(small(class_weight="balanced", loss="focal", correct_prior=True)),
    "not set right": stateful(small(class_weight="balanced")),
    **{f"double {cell}": stateful(small(cell=cell, precision="float64")) for cell in CELLS},
    "double layers": stateful(small(precision="float64", num_layers=2, layer_norm=True, residual=True)),
    "adjusted": stateful(small(loss="logit_adjusted", correct_prior=True)),
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
    "network in a pipeline": of_windows(make_pipeline(StandardScaler(), small())),
    "searched trees": of_windows(GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [2]}, cv=2)),
    "bag of trees": of_windows(
        el.BalancedBaggingLSTMClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=2, random_state=0)
    ),
    "perceptron": of_windows(make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=400, tol=0.1))),
    "outliers": of_windows(IsolationForest(n_estimators=10, random_state=0)),
    "outliers of windows": of_windows(AUTOENCODER, inputs="relative"),
}
AROUND = {
    "filled": piped(el.ForwardFill(), stateful()),
    "scaled": piped(MinMaxScaler(), StandardScaler(), stateful()),
    "robust": piped(SimpleImputer(), RobustScaler(), stateful()),
    "nested": piped("passthrough", piped(StandardScaler(), MinMaxScaler()), stateful(inputs="both", n_estimators=3)),
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
    "layers of forecasts": detector(
        el.LSTMForecaster(**FORECASTER.get_params() | {"num_layers": 2, "layer_norm": True})
    ),
    "forecasts of windows": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"bidirectional": True})),
    "attending": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"pooling": "multihead"}), n_estimators=2),
    "ridge": detector(Ridge(), inputs="relative"),
    "forest of forecasts": detector(RandomForestRegressor(5, random_state=0)),
    "boosted forecasts": detector(HistGradientBoostingRegressor(max_iter=5, random_state=0)),
    "autoencoder": detector(AUTOENCODER, n_estimators=2),
    "pca": detector(PCA(3, whiten=True)),
    "novelty": detector(LocalOutlierFactor(novelty=True)),
    "whitened": detector(FORECASTER, inputs="whitened", targets="change"),
    "isolation": detector(IsolationForest(n_estimators=10, random_state=0)),
    "double": detector(el.LSTMForecaster(**FORECASTER.get_params() | {"precision": "float64"})),
    "not smoothed": detector(FORECASTER, smoothing=1),
}


QUIET = ("ignore:norm='mahalanobis'",)


@pytest.mark.parametrize("kind", [*STEPPING, *WINDOWS, *AROUND])
def test_probabilities_are_ours_at_every_row(kind, tmp_path):
    model = {**STEPPING, **WINDOWS, **AROUND}[kind].fit(X, Y)
    session, ours = open_model(model, tmp_path), model.predict_proba(NEW)
    outputs = run_log(session, model, NEW)
    assert np.abs(outputs["probabilities"] - ours).max() < ALIKE
    assert np.abs(outputs["score"] - ours[:, 1]).max() < ALIKE
    assert np.ptp(ours[:, 1]) > 100 * ALIKE  # a constant would be alike, too


@pytest.mark.filterwarnings(*QUIET)
@pytest.mark.parametrize("kind", DETECTORS)
def test_scores_of_detectors_are_ours_at_every_row_of_machines_not_met_before(kind, tmp_path):
    model = DETECTORS[kind].fit(X, Y)
    session, ours = open_model(model, tmp_path), model.anomaly_score(NEW)
    theirs = run_log(session, model, NEW)["score"]
    assert (np.abs(theirs - ours) / np.maximum(np.abs(ours), 1.0)).max() < ALIKE
    assert np.ptp(ours) > 100 * ALIKE


@pytest.mark.parametrize("kind", ["forecasts", "autoencoder", "pca"])
def test_sensors_that_stood_still_and_levels_far_off_are_judged_as_ours(kind, tmp_path):
    still, new = X.assign(mode=5.0), NEW.assign(mode=5.0)
    new.iloc[40:44, 2] = 5.5  # it moves now
    new.iloc[60, 0] = 1e4  # beyond what models are shown
    model = DETECTORS[kind].fit(still, Y)
    theirs, ours = run_log(open_model(model, tmp_path), model, new)["score"], model.anomaly_score(new)
    assert (np.abs(theirs - ours) / np.maximum(np.abs(ours), 1.0)).max() < ALIKE


@pytest.mark.parametrize("n_machines", [1, 2, 7])
def test_machines_beside_a_machine_do_not_change_its_scores(n_machines, tmp_path):
    model = AROUND["blend"].fit(X, Y)
    log, _ = make_log(7, 70, random_state=2)
    session = open_model(model, tmp_path)
    alone = run_log(session, model, log, batch=1)["score"]
    np.testing.assert_allclose(run_log(session, model, log, batch=n_machines)["score"], alone, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "forest", "boosting on features", "forecasts"])
def test_small_moves_of_sensors_at_a_high_level_are_seen(kind, tmp_path):
    """Where the level is a million and the moves are of one, single precision would lose a tenth of a move."""
    high, labels = make_log(level=1e6)
    new, _ = make_log(2, 80, level=1e6, random_state=1, prefix="new")
    model = {**STEPPING, **WINDOWS, **DETECTORS}[kind].fit(high, labels)
    ours = score_rows(model, new)
    theirs = run_log(open_model(model, tmp_path), model, new)["score"]
    assert (np.abs(theirs - ours) / np.maximum(np.abs(ours), 1.0)).max() < ALIKE


def test_missing_values_are_filled_within_a_stretch_as_forward_fill_does(tmp_path):
    model = AROUND["filled"].fit(X, Y)
    holes = NEW.mask(np.random.default_rng(0).random(NEW.shape) < 0.4)
    assert holes.isna().to_numpy()[first_rows(model, NEW)].any()
    theirs = run_log(open_model(model, tmp_path), model, holes)["score"]
    assert np.abs(theirs - model.predict_proba(holes)[:, 1]).max() < ALIKE


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A model that fills missing values, and its session."""
    parts = [("networks", stateful()), ("trees", of_windows(ExtraTreesClassifier(5, random_state=0), window_size=3))]
    model = piped(el.ForwardFill(), el.EventBlend(parts)).fit(X, Y)
    return model, open_model(model, tmp_path_factory.mktemp("filled"))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_rows=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_any_log_with_gaps_and_missing_values_is_scored_as_we_do(filled, seed, n_rows):
    rng, (model, session) = np.random.default_rng(seed), filled
    runs = np.repeat([f"run {k}" for k in range(len(n_rows))], n_rows)
    times = np.cumsum(np.where(rng.random(len(runs)) < 0.2, 600, 1))
    index = pd.MultiIndex.from_arrays([runs, pd.Timestamp("2025") + pd.to_timedelta(times, unit="min")])
    values = pd.DataFrame(rng.normal(size=(len(runs), 3)) * 3, index, columns=X.columns)
    log = values.mask(rng.random(values.shape) < 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of logs that are torn, or sampled at other rates
        ours = model.predict_proba(log)[:, 1]
    assert np.abs(run_log(session, model, log)["score"] - ours).max() < ALIKE


CODED = {
    "relative": stateful(inputs="relative", categorical_channels=["mode"]),
    "whitened": stateful(inputs="whitened", categorical_channels=["mode"]),
    "as they are": stateful(inputs=None, categorical_channels=["mode"]),
    "features": stateful(inputs=el.CausalFeatures(lags=0, views=("relative",)), categorical_channels=["mode"]),
    "features before": piped(
        el.CausalFeatures(lags=2, views=("level", "whitened"), categorical_channels=["mode"]),
        of_windows(DecisionTreeClassifier(max_depth=4, random_state=0), window_size=1, inputs=None),
    ),
}


@pytest.mark.parametrize("kind", CODED)
def test_codes_are_told_from_measurements(kind, tmp_path):
    coded, new = ((log.assign(mode=(log["mode"].round() % 4) * 10)) for log in (X, NEW))
    new.iloc[50:60, 2] = 15.0  # a code that fit has not met
    model = CODED[kind].fit(coded, Y)
    theirs = run_log(open_model(model, tmp_path), model, new)["score"]
    assert np.abs(theirs - model.predict_proba(new)[:, 1]).max() < ALIKE


@pytest.mark.parametrize("kind", ["lstm", "extra trees", "boosting", "logistic", "bag"])
def test_of_several_classes_all_but_the_quiet_one_make_the_score(kind, tmp_path):
    names = pd.Series(np.array(["ok", "leak", "jam"])[Y + (Y * (np.arange(len(Y)) % 2)).to_numpy()], Y.index)
    model = {**STEPPING, **WINDOWS}[kind].fit(X, names)
    session = open_model(model, tmp_path)
    outputs, ours = run_log(session, model, NEW), model.predict_proba(NEW)
    assert np.abs(outputs["probabilities"] - ours).max() < ALIKE
    assert np.abs(outputs["score"] - ours[:, :2].sum(axis=1)).max() < ALIKE
    assert json.loads(told(session)["classes"]) == ["jam", "leak", "ok"]


def test_a_state_of_zeros_will_do_where_all_begin(tmp_path):
    model = DETECTORS["forecasts"].fit(X, Y)
    session = open_model(model, tmp_path)
    scores = []
    for fill in (0, 3):
        walk = Walk(session, 2)
        walk.state = {name: np.full_like(value, fill) for name, value in walk.state.items()}
        scores.append(walk.step(NEW.to_numpy()[:2], np.array([True, True]))["score"])
    np.testing.assert_array_equal(*scores)


def test_the_metadata_say_what_a_runtime_has_to_know(tmp_path):
    model = AROUND["threshold"].fit(X, Y)
    session = open_model(model, tmp_path)
    said, inner = told(session), last_step(model)
    assert said["form"] == "step" and said["model"] == "EventClassifier"
    assert json.loads(said["sensors"]) == list(X.columns)
    assert json.loads(said["classes"]) == [0, 1]
    assert json.loads(said["threshold"]) == threshold_of(model)
    assert json.loads(said["window_size"]) == inner.window_size_
    assert (json.loads(said["max_gap"]), said["time_unit"]) == (inner.max_gap_, "ns")
    policy = json.loads(said["policy"])
    assert policy["merge_gap"] == inner.merge_rows_ and pd.Timedelta(policy["max_gap"]).value == inner.max_gap_
    shapes = {value.name: value.shape[1:] for value in session.get_inputs() if value.name not in ("row", "begins")}
    assert {state["input"]: state["shape"] for state in json.loads(said["state"])} == shapes
    assert {state["output"] for state in json.loads(said["state"])} < {one.name for one in session.get_outputs()}


def test_a_detector_says_that_it_knows_no_machine_by_name(tmp_path):
    model = DETECTORS["forecasts"].fit(X, Y)
    assert model.run_scales_
    assert "did not see" in told(open_model(model, tmp_path))["runs"]


def test_the_same_model_gives_the_same_bytes_whatever_saves_it(tmp_path):
    model = AROUND["blend"].fit(X, Y)
    export_onnx(model, tmp_path / "first.onnx")
    el.save(model, str(tmp_path / "second.ONNX"))
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.ONNX").read_bytes()


def test_a_loaded_model_gives_the_graph_of_the_saved_one(tmp_path):
    model = AROUND["filled"].fit(X, Y)
    el.save(model, tmp_path / "model.eventlstm")
    for name, one in (("saved", model), ("loaded", el.load(tmp_path / "model.eventlstm"))):
        export_onnx(one, tmp_path / name)
    assert (tmp_path / "saved").read_bytes() == (tmp_path / "loaded").read_bytes()


class Doubling(TransformerMixin, BaseEstimator):
    """A transformer that only its user knows."""

    def fit(self, X, y=None):
        """Learn nothing."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        """Double."""
        return 2 * X

    def get_feature_names_out(self, names=None):
        """Return the names."""
        return names


REFUSED = [
    ("FunctionTransformer", piped(FunctionTransformer(np.arctan, feature_names_out="one-to-one"), stateful())),
    ("Doubling", piped(Doubling(), stateful())),
    ("AdaBoostClassifier", of_windows(AdaBoostClassifier(n_estimators=2))),
    ("BaggingClassifier", of_windows(BaggingClassifier(n_estimators=2))),
    (
        "GradientBoostingClassifier",
        of_windows(GradientBoostingClassifier(init=DecisionTreeClassifier(), n_estimators=2)),
    ),
    ("PolynomialFeatures", of_windows(make_pipeline(PolynomialFeatures(), LogisticRegression()), window_size=1)),
    (
        "CalibratedClassifierCV",
        of_windows(CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()))),
    ),
    ("OneClassSVM", detector(OneClassSVM())),
    ("TruncatedSVD", detector(TruncatedSVD(2))),
    ("LSTMClassifier", stateful(small(precision="bfloat16"))),
    ("EventClassifier", piped(el.ForwardFill(max_gap="3h"), stateful())),
    ("EventClassifier", el.EventBlend([("wide", stateful(max_gap=None)), ("narrow", stateful())])),
]


@pytest.mark.filterwarnings(*QUIET, "ignore:.*rate", "ignore:.*steps")
@pytest.mark.parametrize(("name", "model"), REFUSED, ids=[f"{k} {name}" for k, (name, _) in enumerate(REFUSED)])
def test_what_cannot_be_exported_is_refused_by_name_and_nothing_is_written(name, model, tmp_path):
    model.fit(X, Y)
    with pytest.raises(ValueError, match=f"{name} cannot be exported to ONNX: .*[.]$") as caught:
        export_onnx(model, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 270
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_fitted_is_refused(tmp_path):
    with pytest.raises(NotFittedError, match="fit"):
        export_onnx(stateful(), tmp_path / "model.onnx")


def test_an_estimator_by_itself_that_is_not_ours_is_refused(tmp_path):
    with pytest.raises(ValueError, match="LogisticRegression cannot be exported to ONNX: it is no model of logs"):
        export_onnx(LogisticRegression().fit(X, Y), tmp_path / "model.onnx")


def test_boosted_trees_split_bent_features_as_fit_did_to_the_bit(tmp_path):
    """Sensors that stand still for rows on end make features a rounding apart, and thresholds between them."""
    rough, new = X.round(0), NEW.round(0)
    trees = HistGradientBoostingClassifier(max_iter=40, min_samples_leaf=1, random_state=0)
    features = el.CausalFeatures(lags=1, whitened_lags=1, views=("relative", "level", "whitened"), spans=(2, 4))
    model = of_windows(trees, window_size=2, inputs=features).fit(rough, Y)
    theirs = run_log(open_model(model, tmp_path), model, new)["score"]
    assert np.abs(theirs - model.predict_proba(new)[:, 1]).max() < 1e-12


def test_thresholds_before_a_bend_split_as_those_behind_it():
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.normal(size=200) * 10.0**k for k in range(-12, 60, 4)])
    thresholds = np.concatenate([np.arcsinh(numbers), rng.normal(size=200) * 30])
    before = unbend(thresholds)
    assert (np.arcsinh(before) <= thresholds).all()
    assert (np.arcsinh(np.nextafter(before, np.inf)) > thresholds).all()


@pytest.mark.filterwarnings("ignore:.*of the rows have fewer than window_size")
def test_history_is_as_long_as_the_longest_stretch_of_fit_at_most(tmp_path):
    model = stateful(window_size=500).fit(X, Y)
    assert model.window_size_ < 500
    theirs = run_log(open_model(model, tmp_path), model, NEW)["score"]
    assert np.abs(theirs - model.predict_proba(NEW)[:, 1]).max() < 1e-7


def test_a_frozen_model_is_exported(tmp_path):
    model = FrozenEstimator(stateful(window_size=1).fit(X, Y))
    theirs = run_log(open_model(model, tmp_path), model, NEW)["score"]
    assert np.abs(theirs - model.predict_proba(NEW)[:, 1]).max() < ALIKE


def test_a_log_without_index_is_one_machine_and_has_sensors_by_number(tmp_path):
    values, labels = X.to_numpy(), Y.to_numpy()
    model = stateful().fit(values, labels)
    session = open_model(model, tmp_path)
    assert np.abs(run_log(session, model, values)["score"] - model.predict_proba(values)[:, 1]).max() < ALIKE
    assert [json.loads(told(session)["sensors"]), told(session)["time_unit"]] == [["x0", "x1", "x2"], "index"]


KEPT = [path for path in sorted(ARCHIVES.glob("Event*.eventlstm")) if not path.stem.endswith("_tagged")]  # as refused


def test_taggers_are_refused_by_name(tmp_path):
    model = el.load(ARCHIVES / "EventClassifier_tagged.eventlstm")
    with pytest.raises(ValueError, match="LSTMTagger cannot be exported to ONNX"):
        el.save(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_models_that_an_earlier_version_saved_are_exported(path, tmp_path):
    model = el.load(path)
    log = make_log(2, 70)[0].iloc[:, [0, 1, 2, 0, 1, 2, 0, 1][: model.n_features_in_]]
    log = log.set_axis(model.feature_names_in_, axis=1)
    theirs = run_log(open_model(model, tmp_path), model, log)["probabilities"]
    assert np.abs(theirs - model.predict_proba(log)).max() < ALIKE
