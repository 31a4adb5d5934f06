"""What someone has edited behind valid checksums is refused on loading, or predicts as it did."""

import json
import signal
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from imblearn.over_sampling import SMOTE
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

import eventlstm as el
from eventlstm.archive.classes import CLASSES
from eventlstm.archive.document import DIGEST
from eventlstm.archive.fitted import FITTED, known_attributes
from eventlstm.archive.nesting import DEEPEST, DEEPEST_LIST, MOST_ESTIMATORS
from eventlstm.archive.parameters import LONGEST
from eventlstm.detectors.outlier_classifier import OutlierClassifier

from .edit_archives import FAULTS, SECONDS, array_names, case, outcome, plain_node, read, seed_archive, write
from .make_archives import FOLDER, TINY, log, scores, windows

N_EDITS = 50
QUICK = {**TINY, "batch_size": None}  # one step of training
MODES = ("old", "sealed", "resealed")


@contextmanager
def at_most(seconds):
    """Raise TimeoutError in what takes longer."""

    def stop(*_):
        raise TimeoutError(f"This took more than {seconds} seconds.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("one_torch_thread")
def test_an_edited_archive_is_refused_or_predicts(mode):
    found = {}
    for number in range(N_EDITS):
        kind, said, content = case(number, mode, seed=1)
        with at_most(SECONDS):
            found[number, kind, said] = outcome(kind, content)
    assert {key: what for key, what in found.items() if what.split(":")[0] in FAULTS} == {}
    assert mode != "sealed" or set(found.values()) <= {"refused", "same"}


def test_each_class_has_a_table_of_what_a_fit_leaves():
    assert set(FITTED) == set(CLASSES)


def codes_log():
    X, y = log()
    return X.assign(gear=np.arange(len(X)) % 3.0), y


def fits():
    """Return fitted models whose fits leave all that fits can leave."""
    W, w = windows()
    X, y = log()
    coded, _ = codes_log()
    table, holes = W[:, -1], W[:, -1].copy()
    holes[::7, 0] = np.nan
    tiny, quiet = el.LSTMClassifier(**QUICK), pd.Series(scores(), pd.date_range("2024-01-01", periods=1500, freq="h"))
    frame = pd.DataFrame(table, columns=["flow", "heat"])
    trees = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=3, random_state=0)
    step = {"window_size": 4, "random_state": 0, "n_estimators": 2}
    bags = el.BalancedBaggingLSTMClassifier(tiny, n_estimators=2, oob_score=True, correct_prior=True, random_state=0)
    return {
        "networks of every option": el.LSTMClassifier(
            **QUICK,
            bidirectional=True,
            num_layers=2,
            residual=True,
            layer_norm=True,
            pooling="multihead",
            num_heads=2,
            loss="focal",
            class_weight="balanced",
            sampler=SMOTE(k_neighbors=1),
            augmentation=el.Augmentation(jitter=0.1),
            correct_prior=True,
        ).fit(W, w),
        "a network fitted in parts": el.LSTMClassifier(**QUICK).partial_fit(W, w, classes=[0, 1]),
        "a network of three classes": el.LSTMClassifier(**QUICK).fit(W, np.arange(len(w)) % 3),
        "a network of names": el.LSTMClassifier(**QUICK).fit(W, np.where(w, "fault", "ok").astype(object)),
        "a watched network": el.LSTMClassifier(**QUICK, early_stopping=True).fit(W, w),
        "a float64 network": el.LSTMClassifier(**QUICK, precision="float64").fit(W, w),
        "quantiles": el.LSTMForecaster(**QUICK, loss="quantile", horizon=1).fit(W, W[:, -1]),
        "steps ahead": el.LSTMForecaster(**QUICK, decoder="recurrent").fit(W, np.stack([W[:, -1]] * 3, axis=1)),
        "one number ahead": el.LSTMForecaster(**QUICK, cell="gru").fit(W, W[:, -1, 0]),
        "maps of numbers ahead": el.LSTMForecaster(**QUICK, cell="convlstm", grid=[2, 1]).fit(W, W[:, -1]),
        "an autoencoder of codes": el.LSTMAutoencoder(**QUICK, categorical_channels=[1]).fit(W.round(), None),
        "labels of steps": el.LSTMTagger(**QUICK, crf=True, early_stopping=True).fit(W, (W[..., 0] > 0).astype(int)),
        "labels of last steps": el.LSTMTagger(**QUICK, crf=True).fit(W, np.where(W[:, -3:, 0] > 0, "on", "off")),
        "a log labelled after the fact": el.EventClassifier(
            el.LSTMTagger(**QUICK, crf=True, bidirectional=True, forbid_unseen=True), **step
        ).fit(X, y),
        "bags": bags.fit(W, w),
        "trees in a blend": el.EventBlend(
            [("a", el.EventClassifier(tiny, **step)), ("b", "drop")], weights=[1, 0], random_state=0
        ).fit(X, y),
        "codes": el.EventClassifier(tiny, categorical_channels=["gear"], **step).fit(coded, y),
        "raw windows": el.EventClassifier(trees, mode="windows", inputs=None, **step).fit(X, y),
        "windows of a network": el.EventClassifier(tiny, mode="windows", inputs="relative", **step).fit(X, y),
        "whitened sensors": el.EventClassifier(tiny, inputs="whitened", **step).fit(X, y),
        "a forest of causal features": el.EventClassifier(
            ExtraTreesClassifier(2),
            mode="windows",
            inputs=el.CausalFeatures(lags=2, whitened_lags=1, views=("level", "whitened")),
            window_size=1,
        ).fit(X, y),
        "a random forest": RandomForestClassifier(2, random_state=0).fit(table, w),
        "errors by all views": el.AnomalyDetector(el.LSTMForecaster(**QUICK), inputs="whitened", **step).fit(X),
        "outliers": el.EventClassifier(el.LSTMAutoencoder(**QUICK), mode="windows", **step).fit(X, y),
        "an array as a log": el.EventClassifier(tiny, max_gap=None, **step).fit(X.to_numpy(), y.to_numpy()),
        "errors together": el.AnomalyDetector(
            el.LSTMForecaster(**QUICK), norm="mahalanobis", inputs="relative", threshold=3.0, trim=0.01, **step
        ).fit(X, y),
        "a share of outliers": el.AnomalyDetector(
            el.LSTMForecaster(**QUICK, pooling="mean"), contamination=0.1, targets="level", **step
        ).fit(X),
        "one sensor": el.AnomalyDetector(el.LSTMForecaster(**QUICK), average="window", **step).fit(X[["flow"]]),
        "scores of rows": OutlierClassifier(el.LSTMAutoencoder(**QUICK)).fit(W, w),
        "a fixed threshold": FixedThresholdClassifier(tiny.set_params(n_channels=2), threshold=0.3, pos_label=1).fit(
            W.reshape(len(W), -1), w
        ),
        "scalers": make_pipeline(
            SimpleImputer(add_indicator=True), StandardScaler(), MinMaxScaler(clip=True), RobustScaler()
        ).fit(holes),
        "names": make_pipeline(StandardScaler(), "passthrough", MinMaxScaler())
        .set_output(transform="pandas")
        .fit(frame),
        "nothing to scale by": StandardScaler(with_mean=False, with_std=False).fit(table),
        "an empty column": StandardScaler().fit(np.where([True, False], table, np.nan)),
        "no centre": RobustScaler(with_centering=False, with_scaling=False).fit(table),
        "a constant": SimpleImputer(strategy="constant", fill_value=0).fit(holes),
        "where values miss": MissingIndicator().fit(holes),
        "flat windows": el.FlattenWindows(n_channels=2).fit(W.reshape(len(W), -1)),
        "a day's budget": el.thresholds.AutoThreshold(20.0, merge_gap="2h").fit(quiet),
        "a stream": el.thresholds.StreamingTailThreshold(0.01).fit(quiet),
        "a stream that drifts": el.thresholds.StreamingTailThreshold(0.01, depth=20, max_excesses=10).fit(quiet),
        "a constant stream": el.thresholds.StreamingTailThreshold(0.01).fit(np.ones(100)),
    }


@pytest.fixture(scope="module")
def fitted():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows, as these have, are warned of
        models = fits()
    torch.set_num_threads(threads)
    return models


def inside(value):
    """Yield the estimators in a value, the outermost first."""
    if type(value) in CLASSES.values():
        yield value
        value = vars(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from inside(item)


def unknown_attributes(model):
    return {
        f"{type(part).__name__}.{name}"
        for part in inside(model)
        for name in vars(part).keys() - vars(clone(part)).keys() - known_attributes(type(part).__name__)
    }


def test_each_attribute_that_a_fit_leaves_is_in_the_table(fitted):
    assert {name for model in fitted.values() for name in unknown_attributes(model)} == set()
    scaler = StandardScaler().fit(np.ones((3, 1)))
    scaler.newly_learnt_ = 1.0
    assert unknown_attributes(make_pipeline(scaler)) == {"StandardScaler.newly_learnt_"}


def test_each_attribute_of_an_old_archive_is_in_the_table():
    found = {path.stem: unknown_attributes(el.load(path)) for path in FOLDER.glob("*.eventlstm")}
    assert not any(found.values())


def test_what_is_fitted_honestly_is_saved_and_loaded_with_the_same_bytes(fitted, tmp_path):
    for name, model in fitted.items():
        el.save(model, tmp_path / "model")
        el.save(el.load(tmp_path / "model"), tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes(), name


def test_each_table_has_been_met_by_a_fit(fitted):
    met = {type(part).__name__ for model in fitted.values() for part in inside(model)}
    needing = {name for name, table in FITTED.items() if table.needed}
    old = {"DynamicThreshold", "EventBlend", "ForwardFill", "LabelledThreshold", "QuantileThreshold", "TailThreshold"}
    assert needing - met <= old


@pytest.mark.parametrize("depth", [0, 1, 20])
@pytest.mark.parametrize("n_more", [0, 700])
def test_a_stream_goes_on_after_loading_as_before(depth, n_more, tmp_path):
    stream = np.random.default_rng(3).gumbel(size=2000)
    threshold = el.thresholds.StreamingTailThreshold(0.005, depth=depth, max_excesses=25).fit(stream[:1000])
    threshold.update(stream[1000 : 1000 + n_more])
    el.save(threshold, tmp_path / "model")
    loaded = el.load(tmp_path / "model")
    rest = stream[1000 + n_more :]
    np.testing.assert_array_equal(loaded.update(rest), threshold.update(rest))
    assert vars(loaded) == vars(threshold)
    assert loaded._excesses.maxlen == 25 and loaded._recent.maxlen == depth


def fields_of(node, part="attributes"):
    return {pair[0]: pair for pair in node[part]["dict"]}


def edited_model(kind, change, tmp_path, mode="old"):
    """Load an archive whose outermost node, and arrays by the end of their names, a function has changed."""
    document, arrays = read(seed_archive(kind, mode))
    change(document["model"], Arrays(arrays))
    (tmp_path / "model").write_bytes(write(document, safetensors.numpy.save(arrays)))
    return el.load(tmp_path / "model")


class Arrays(dict):
    """Arrays that are told by the end of their names."""

    def __init__(self, arrays):
        self.arrays = arrays

    def change(self, end, function):
        names = [name for name in self.arrays if name.endswith(end)]
        assert names, f"no array ends in {end}"
        self.arrays[names[0]] = np.ascontiguousarray(function(self.arrays[names[0]].copy()))


def attribute(name, value):
    return lambda model, arrays: fields_of(model)[name].__setitem__(1, value)


def parameter(name, value):
    return lambda model, arrays: fields_of(model, "parameters")[name].__setitem__(1, value)


def without(name):
    return lambda model, arrays: model["attributes"]["dict"].remove(fields_of(model)[name])


def numbers(end, function):
    return lambda model, arrays: arrays.change(end, function)


def at_first(value):
    def change(values):
        values.reshape(-1)[0] = value
        return values

    return change


NAN, INFINITY = {"float": "nan"}, {"float": "inf"}
HIDDEN = "weight_hh_l0']"
EDITS = {
    # parameters that the estimators' own tables refuse
    "no dropout": ("LSTMClassifier", parameter("dropout", 1.5)),
    "no layers": ("LSTMClassifier_gru", parameter("num_layers", 0)),
    "an unknown cell": ("LSTMForecaster", parameter("cell", "elman")),
    "text as a size": ("LSTMAutoencoder", parameter("latent_size", "16")),
    "a rate above one": ("QuantileThreshold", parameter("false_alarm_rate", 2.0)),
    "no neighbours": ("WindowSampler", lambda model, _: parameter("k_neighbors", -1)(inner(model, "sampler"), _)),
    "an unknown mode": ("EventClassifier", parameter("mode", "rows")),
    # and parameters that would cost without end, or that nothing can be done with
    "a window without end": ("EventClassifier_stateful", parameter("window_size", 10**9)),
    "a mean without end": ("AnomalyDetector", parameter("smoothing", 1e12)),
    "a mean of no span": ("AnomalyDetector", parameter("smoothing", "auto")),
    "threads without end": ("BalancedBaggingLSTMClassifier", parameter("n_jobs", 10**9)),
    "no device": ("LSTMClassifier", parameter("device", "abacus")),
    "true as a number of rows": ("StreamingTailThreshold", parameter("depth", True)),
    "no weight": ("EventBlend", parameter("weights", [0, 0])),
    "weights of others": ("EventBlend", parameter("weights", [1, 1, 1])),
    "no length of time": ("ForwardFill", parameter("max_gap", "a while")),
    "NaN as a gap": ("ForwardFill", attribute("max_gap_", NAN)),
    "a view of no kind": ("AnomalyDetector", lambda m, _: parameter("view", "side")(attribute_of(m, "levels_"), _)),
    "a norm of no kind": ("AnomalyDetector", lambda m, _: parameter("norm", "cubes")(attribute_of(m, "scorer_"), _)),
    # numbers that have to be finite, or above zero
    "NaN as a weight": ("LSTMClassifier", numbers(HIDDEN, at_first(np.nan))),
    "a weight without end": ("LSTMForecaster", numbers(HIDDEN, at_first(np.inf))),
    "a huge weight": ("LSTMAutoencoder", numbers(HIDDEN, at_first(3e38))),
    "NaN as a threshold": ("TailThreshold", attribute("threshold_", NAN)),
    "a threshold without end": ("AutoThreshold", attribute("threshold_", INFINITY)),
    "text as a threshold": ("DynamicThreshold", attribute("threshold_", "6.3")),
    "a threshold below its tail": ("TailThreshold", attribute("threshold_", 0.0)),
    "an offset of another sign": ("AnomalyDetector", attribute("offset_", 4.577489552543271)),
    "NaN as an offset": ("LSTMAutoencoder", attribute("offset_", NAN)),
    "a scale of zero": ("EventClassifier", numbers(".scale_", at_first(0.0))),
    "a negative scale": ("AnomalyDetector", numbers("scorer_.scale_", at_first(-1.0))),
    "NaN as a median": ("ForwardFill", numbers("statistics_", at_first(np.nan))),
    "a factor of zero": ("LSTMClassifier", numbers("class_factors_", at_first(0.0))),
    "a cold start below one": ("AnomalyDetector", numbers("cold_", at_first(0.0))),
    "a leaf without a value": ("EventBlend", numbers("['value']", at_first(np.nan))),
    "a split without a threshold": ("EventBlend", numbers("['num_threshold']", at_first(np.nan))),
    # shapes and types that have to agree
    "more classes": ("LSTMClassifier", numbers(".classes_", lambda values: np.arange(3))),
    "classes that fall": ("LSTMClassifier", numbers(".classes_", lambda values: values[::-1])),
    "members of other classes": ("BalancedBaggingLSTMClassifier", numbers("estimator.classes_", lambda v: v + 7)),
    "fewer channels": ("LSTMClassifier", attribute("n_channels_", 1)),
    "more steps": ("BalancedBaggingLSTMClassifier", attribute("n_timesteps_", 6)),
    "more sensors": ("ForwardFill", attribute("n_features_in_", 10**9)),
    "a true number of sensors": ("EventClassifier", attribute("n_features_in_", True)),
    "another horizon": ("LSTMForecaster", attribute("horizon_", 10**9)),
    "medians of a third sensor": ("ForwardFill", numbers("statistics_", lambda values: np.append(values, 1.0))),
    "medians in a column": ("ForwardFill", numbers("statistics_", lambda values: values[:, None])),
    "whole medians": ("ForwardFill", numbers("statistics_", lambda values: values.astype(int))),
    "still as numbers": ("AnomalyDetector", numbers("still_", lambda values: values.astype(float))),
    "a row less of scores": ("AnomalyDetector", numbers("quiet_['score']", lambda values: values[:-1])),
    "names that are numbers": ("ForwardFill", attribute("feature_names_in_", {"objects": ["flow", 1]})),
    "a quiet class alone": ("EventClassifier", lambda m, a: m["attributes"]["dict"].append(["quiet_class_", 0])),
    "a name less": ("EventClassifier", attribute("feature_names_in_", {"objects": ["flow"]})),
    "no names of the index": ("EventBlend", attribute("index_names_", [])),
    "no member": ("EventClassifier", attribute("estimators_", [])),
    "other parts": ("EventBlend", attribute("names_", ["networks", "forest"])),
    "one name twice": ("EventBlend", attribute("names_", ["trees", "trees"])),
    # attributes that lack
    "no classes": ("LSTMClassifier", without("classes_")),
    "no network": ("LSTMForecaster", without("module_")),
    "no clock": ("ForwardFill", without("has_dates_")),
    "no scorer": ("AnomalyDetector", without("scorer_")),
    "no scalers": ("EventClassifier", without("scalers_")),
    "a member that is not fitted": ("EventClassifier", lambda m, a: clear(fields_of(m)["estimators_"][1][0], a)),
    "another class": ("LSTMClassifier", lambda model, _: model.__setitem__("estimator", "LSTMAutoencoder")),
}


def inner(model, name):
    return fields_of(model, "parameters")[name][1]


def attribute_of(model, name):
    return fields_of(model)[name][1]


def clear(node, arrays):
    """Take all that a fit has left from a node."""
    for name in array_names(node["attributes"]):
        del arrays.arrays[name]
    node["attributes"]["dict"].clear()


@pytest.mark.parametrize("name", EDITS)
def test_what_no_fit_leaves_is_refused_when_it_is_loaded(name, tmp_path):
    kind, change = EDITS[name]
    with pytest.raises(ValueError, match=r"cannot be loaded: .* Pass an undamaged file") as caught:
        edited_model(kind, change, tmp_path)
    assert "\n" not in str(caught.value) and "changed since" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("LSTMClassifier", numbers(HIDDEN, at_first(0.25))),
        ("LSTMForecaster", numbers("target_center_", lambda values: values + 1)),
        ("TailThreshold", attribute("threshold_", 99.0)),
        ("QuantileThreshold", parameter("false_alarm_rate", 0.02)),
        ("EventClassifier", parameter("verbose", 1)),
        ("ForwardFill", attribute("feature_names_in_", {"objects": ["flow", "heap"]})),
        ("FlattenWindows", lambda model, arrays: model["attributes"]["dict"].clear()),
    ],
)
def test_another_model_that_a_fit_could_have_left_is_told_by_the_digest(kind, change, tmp_path):
    edited_model(kind, change, tmp_path)  # nothing in a file without a digest tells it from an honest one
    with pytest.raises(ValueError, match=r"model.json or arrays.safetensors has been changed since eventlstm.save"):
        edited_model(kind, change, tmp_path, mode="sealed")


def test_the_digest_does_not_hang_on_how_the_members_are_written(tmp_path):
    document, arrays = read(seed_archive("LSTMClassifier", "sealed"))
    assert len(document["model"][DIGEST]) == 64
    numbers = safetensors.numpy.save(dict(reversed(arrays.items())))
    (tmp_path / "model").write_bytes(write(json.loads(json.dumps(document, indent=1)), numbers))
    assert el.load(tmp_path / "model").classes_.tolist() == [0, 1]


def pipelines(n, inner, twice):
    """Return pipelines in each other, of which each may hold the one before twice."""
    node, number = inner, 0
    for k in range(n):
        steps = [{"tuple": ["a", node]}] + [{"tuple": ["b", {"same": number + k}]}] * twice
        node = plain_node("Pipeline", [["steps", steps]], [])
    return node


SHARED = {"tuple": ["p0", pipelines(1, plain_node("StandardScaler", [], []), True)]}
WIDE = [SHARED, *({"tuple": [f"p{k}", {"same": 1}]} for k in range(1, 5000))]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (pipelines(30, plain_node("StandardScaler", [], []), True), "in each other, where"),
        (pipelines(30, plain_node("TailThreshold", [], []), True), "do not go together"),
        (pipelines(DEEPEST, plain_node("StandardScaler", [], []), False), f"{MOST_ESTIMATORS} and {DEEPEST} can be"),
        (pipelines(60, plain_node("FlattenWindows", [], []), False), "in each other, where"),
        (plain_node("EventBlend", [["estimators", WIDE]], []), "holds 15001 estimators"),
    ],
    ids=["twice each", "thresholds", "one too deep", "far too deep", "wide"],
)
def test_estimators_without_end_are_refused_at_once(model, message, tmp_path):
    document, _ = read(seed_archive("TailThreshold", "old"))
    (tmp_path / "model").write_bytes(write(document | {"model": model}, safetensors.numpy.save({})))
    began = time.monotonic()
    with at_most(SECONDS), pytest.raises(ValueError, match=message):
        el.load(tmp_path / "model")
    assert time.monotonic() - began < 5


def test_lists_without_end_are_refused_on_both_ways(tmp_path):
    nested = [1]
    for _ in range(DEEPEST_LIST + 1):
        nested = [nested]
    with pytest.raises(ValueError, match="Lists are nested deeper"):
        el.save(el.EventClassifier(categorical_channels=nested), tmp_path / "model")


@pytest.mark.parametrize(
    "changes",
    [{"n_estimators": 9}, {"random_state": 7}, {"verbose": 2}, {"n_jobs": 2}, {"stride": 5}, {"max_gap": "2min"}],
    ids=str,
)
def test_a_parameter_that_was_set_anew_after_the_fit_is_kept(changes, tmp_path):
    model = el.load(FOLDER / "EventClassifier.eventlstm")
    el.save(model.set_params(**changes), tmp_path / "model")
    assert el.load(tmp_path / "model").get_params()[next(iter(changes))] == next(iter(changes.values()))


@pytest.mark.parametrize("changes", [{"mode": "windows"}, {"window_size_": LONGEST + 1}, {"clip": -1.0}], ids=str)
def test_what_load_would_refuse_is_not_saved(changes, tmp_path):
    X, y = log()
    model = el.EventClassifier(el.LSTMClassifier(**TINY), n_estimators=1, window_size=4, random_state=0).fit(X, y)
    vars(model).update(changes)
    with pytest.raises(ValueError, match="EventClassifier"):
        el.save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())
