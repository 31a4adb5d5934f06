"""Saved models come back as they were, and files that are damaged or hostile are refused in one line."""

import io
import json
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from eventlstm.archive import document as archive_tree
from eventlstm.archive import files as persistence
from eventlstm.archive.files import load, save
from eventlstm.detectors.event_classifier import EventClassifier
from eventlstm.recurrent.lstm_classifier import LSTMClassifier

N_DAMAGES = 200
MEBIBYTE = 2**20


class Keeper(BaseEstimator):
    """Keeps whatever it is given, so that a test can put any value into an archive."""

    def __init__(self, payload=None, random_state=None):
        self.payload = payload
        self.random_state = random_state

    def predict(self, X):
        return X


@pytest.fixture
def known_keeper(monkeypatch):
    monkeypatch.setitem(archive_tree.CLASSES, "Keeper", Keeper)


def sensors(n_rows: int = 40) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(n_rows, 3)), columns=["flow", "heat", "noise"])


def gappy() -> pd.DataFrame:
    X = sensors()
    X.iloc[::7, 0] = np.nan
    return X


def windows_and_labels() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(24, 5, 2))
    return X, np.where(X[:, -1, 0] > 0, "fault", "ok")


def tiny_lstm(**parameters) -> LSTMClassifier:
    return LSTMClassifier(hidden_size=3, max_epochs=1, min_steps=1, random_state=0, **parameters)


def fitted_lstm(**parameters) -> LSTMClassifier:
    return tiny_lstm(**parameters).fit(*windows_and_labels())


def labelled_log() -> tuple[pd.DataFrame, pd.Series]:
    times = pd.date_range("2024-01-01", periods=60, freq="min")
    index = pd.MultiIndex.from_product([["pump", "fan"], times], names=["machine", "time"])
    X = sensors(120).set_index(index)
    return X, (X["flow"] > 1.0).astype(int)


def round_trip(estimator, folder: Path):
    save(estimator, folder / "model")
    return load(folder / "model")


def content_of(estimator, folder: Path) -> bytes:
    save(estimator, folder / "model")
    return (folder / "model").read_bytes()


def loaded_from(content: bytes, folder: Path):
    (folder / "model").write_bytes(content)
    return load(folder / "model")


def members_of(content: bytes) -> tuple[bytes, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("model.json"), archive.read("arrays.safetensors")


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def archive(model: object, arrays: dict[str, np.ndarray] | bytes = b"", **changes: object) -> bytes:
    """Return an archive with valid checksums around a tree that `save` need not have written."""
    document = {
        "format": "eventlstm-model",
        "format_version": 1,
        "eventlstm": "0.1",
        "libraries": {"dict": [["scikit-learn", persistence._version("scikit-learn")]]},
        "model": model,
    }
    text = json.dumps(document | changes).encode()
    numbers = arrays if isinstance(arrays, bytes) and arrays else safetensors.numpy.save(dict(arrays or {}))
    return zipped(("model.json", text), ("arrays.safetensors", numbers))


def node(name: str, parameters: dict | None = None, attributes: dict | None = None) -> dict:
    return {
        "estimator": name,
        "parameters": {"dict": list((parameters or {}).items())},
        "attributes": {"dict": list((attributes or {}).items())},
    }


def assert_same(found, wanted) -> None:
    """Assert equality that tells 1 from True, 1.0 and np.float64(1), and a tuple from a list."""
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray | np.generic):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, BaseEstimator):
        assert_same(dict(sorted(found.__getstate__().items())), dict(sorted(wanted.__getstate__().items())))
    elif isinstance(wanted, dict):
        assert_same(list(found.items()), list(wanted.items()))
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for left, right in zip(found, wanted, strict=True):
            assert_same(left, right)
    else:
        assert found == wanted or (found != found and wanted != wanted)


VALUES = {
    "plain": [None, True, False, 0, -1, 2**80, "", "Größe \ud800 \n", 0.1, -0.0, 1e308, 5e-324],
    "not finite": [float("nan"), float("inf"), -float("inf")],
    "nested": {"a": [(), [], {}, ((1,), [2])], "": {"b": (None,)}},
    "keys": {1: "int", "1": "str", 2.5: "float", -1: "negative", None: "none", np.int64(7): "numpy"},
    "order": {"z": 1, "a": 2, "m": 3},
    "like a tag": {"array": "0 estimator.payload", "tuple": [1]},
    "numpy scalars": [np.float32(0.1), np.int8(-3), np.bool_(True), np.uint64(2**64 - 1), np.str_("fault")],
    "numpy nan": np.float64("nan"),
    "dtypes": [np.dtype("float64"), np.dtype("int32"), np.dtype(bool)],
    "no elements": [
        np.zeros((0, 3)),
        np.zeros(0, dtype=bool),
        np.array([], dtype=object),
        np.array([], dtype=str),
    ],
    "no dimensions": np.array(2.5),
    "strings": [np.array(["b", "ä"]), np.array(["b", "a"], dtype="<U9"), np.array(["b", ""], dtype=object)],
    "objects": np.array([0.5, None, "a", np.float32(1.0), (1,)], dtype=object),
    "estimators": [StandardScaler(), (StandardScaler(with_mean=False),), {"inner": Keeper([1, (2,)])}],
} | {name: np.arange(6).reshape(2, 3).astype(name) for name in sorted(archive_tree.DTYPES)}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_with_its_type(name, known_keeper, tmp_path):
    keeper = Keeper(VALUES[name])
    keeper.learned_ = VALUES[name]
    loaded = round_trip(keeper, tmp_path)
    assert_same(loaded.payload, VALUES[name])
    assert_same(loaded.learned_, VALUES[name])


@pytest.mark.parametrize(
    "lay_out", [np.asfortranarray, lambda a: a[::2, ::-1], lambda a: a.T, lambda a: a.astype(">f8")]
)
def test_an_array_comes_back_whatever_its_memory_layout(lay_out, known_keeper, tmp_path):
    array = lay_out(np.arange(24.0).reshape(4, 6))
    loaded = round_trip(Keeper(array), tmp_path).payload
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == np.float64
    assert loaded.flags.writeable


def test_an_array_mapped_from_disk_is_saved(known_keeper, tmp_path):
    joblib.dump(Keeper(np.arange(5.0)), tmp_path / "mapped")
    mapped = joblib.load(tmp_path / "mapped", mmap_mode="r")
    assert isinstance(mapped.payload, np.memmap)
    assert_same(round_trip(mapped, tmp_path).payload, np.arange(5.0))


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        MinMaxScaler((-1, 1), clip=True),
        RobustScaler(quantile_range=(10.0, 90.0)),
        SimpleImputer(),
        SimpleImputer(strategy="constant", fill_value=0.5, add_indicator=True),
        make_pipeline(SimpleImputer(strategy="median"), "passthrough", RobustScaler()),
    ],
    ids=repr,
)
def test_a_fitted_transformer_comes_back_equal(transformer, tmp_path):
    transformer.set_output(transform="pandas").fit(gappy() if "Imputer" in repr(transformer) else sensors())
    loaded = round_trip(transformer, tmp_path)
    assert_same(loaded, transformer)
    pd.testing.assert_frame_equal(loaded.transform(gappy()), transformer.transform(gappy()))


def test_an_unfitted_estimator_comes_back_unfitted(tmp_path):
    loaded = round_trip(StandardScaler(with_std=False), tmp_path)
    assert loaded.get_params() == {"copy": True, "with_mean": True, "with_std": False}
    with pytest.raises(NotFittedError, match="not fitted"):
        loaded.transform(sensors())


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_classifier_of_windows_predicts_the_same_after_loading(precision, tmp_path):
    X, _ = windows_and_labels()
    classifier = fitted_lstm(precision=precision)
    loaded = round_trip(classifier, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))


def test_a_loaded_classifier_trains_on_as_the_saved_one_would(tmp_path):
    X, y = windows_and_labels()
    # Without dropout and batches there is nothing to draw, so that only the optimizer's memory can differ.
    classifier = tiny_lstm(dropout=0.0, batch_size=None).partial_fit(X, y, classes=["fault", "ok"])
    loaded = round_trip(classifier, tmp_path)
    loaded.partial_fit(X, y)
    classifier.partial_fit(X, y)
    assert loaded.n_iter_ == 2
    np.testing.assert_allclose(loaded.predict_proba(X), classifier.predict_proba(X), rtol=1e-5)


def test_a_pipeline_on_a_log_predicts_the_same_after_loading(tmp_path):
    X, y = labelled_log()
    events = EventClassifier(tiny_lstm(), window_size=4, n_estimators=3, random_state=0)
    model = make_pipeline(StandardScaler(), events).set_output(transform="pandas").fit(X, y)
    np.testing.assert_array_equal(round_trip(model, tmp_path).predict_proba(X), model.predict_proba(X))


def test_a_fixed_threshold_comes_back_with_its_decisions(tmp_path):
    X, y = windows_and_labels()
    X = X.reshape(len(X), -1)
    model = FixedThresholdClassifier(tiny_lstm(n_channels=2), pos_label="fault").fit(X, y)
    model.set_params(threshold=float(np.median(model.predict_proba(X)[:, 0])))
    decisions = model.predict(X)
    assert set(decisions) == {"fault", "ok"}
    np.testing.assert_array_equal(round_trip(model, tmp_path).predict(X), decisions)


def test_an_estimator_used_twice_is_still_one_estimator(known_keeper, tmp_path):
    first, second = StandardScaler(), StandardScaler()
    keeper = Keeper([first, second, first])
    keeper.learned_ = second
    loaded = round_trip(keeper, tmp_path)
    assert loaded.payload[0] is loaded.payload[2]
    assert loaded.payload[1] is loaded.learned_
    assert loaded.payload[0] is not loaded.payload[1]


def test_the_same_estimator_gives_the_same_bytes_also_after_loading(tmp_path):
    model = make_pipeline(SimpleImputer(), StandardScaler()).fit(sensors())
    for estimator in (model, fitted_lstm()):
        content = content_of(estimator, tmp_path)
        assert content_of(estimator, tmp_path) == content
        assert content_of(load(tmp_path / "model"), tmp_path) == content


def test_saving_leaves_the_estimator_as_it_was(tmp_path):
    X, _ = windows_and_labels()
    classifier = fitted_lstm()
    before = classifier.predict_proba(X)
    save(classifier, tmp_path / "model")
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


REFUSED = {
    "random state": (
        Keeper(random_state=np.random.RandomState(0)),
        r"estimator\.random_state is a numpy.*RandomState",
    ),
    "in a step": (
        Pipeline(
            [
                ("scale", StandardScaler()),
                ("model", tiny_lstm().set_params(random_state=np.random.RandomState(0))),
            ]
        ),
        r"estimator\.steps\[1\]\[1\]\.random_state is a numpy.*an int as random_state",
    ),
    "function": (Keeper({"loss": max}), r"estimator\.payload\['loss'\] is a builtin_function_or_method"),
    "foreign estimator": (Keeper([LogisticRegression()]), r"payload\[0\] is a sklearn\..*LogisticRegression"),
    "subclass": (Keeper(OrderedDict(a=1)), r"payload is a collections\.OrderedDict"),
    "set": (Keeper({1, 2}), r"payload is a set"),
    "key": (Keeper({frozenset(): 1}), r"payload\.keys\(\)\[0\] is a frozenset"),
    "time": (Keeper(pd.Timestamp("2024-01-01")), r"payload is a .*Timestamp"),
    "complex": (Keeper(np.ones(2, dtype=complex)), r"payload is a numpy\.ndarray of dtype complex128"),
    "date array": (Keeper(np.zeros(2, dtype="M8[s]")), r"payload is a numpy\.ndarray of dtype datetime64"),
    "object in an array": (Keeper(np.array(["ok", {1}], dtype=object)), r"payload\[1\] is a set"),
    "object matrix": (
        Keeper(np.array([["ok", 1]], dtype=object)),
        r"payload is a numpy\.ndarray of dtype object",
    ),
    "object dtype": (Keeper(np.dtype(object)), r"payload is a numpy\.dtypes\.ObjectDType"),
    "masked array": (Keeper(np.ma.masked_array([1.0], [True])), r"payload is a numpy\.ma.*MaskedArray"),
    "frame": (Keeper(sensors(2)), r"payload is a pandas.*DataFrame"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_named_by_the_expression_that_reaches_it(name, known_keeper, tmp_path):
    estimator, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        save(estimator, tmp_path / "model")


@pytest.mark.parametrize("thing", [5, LogisticRegression(), StandardScaler])
def test_only_known_estimators_are_saved(thing, tmp_path):
    with pytest.raises(TypeError, match=r"^estimator is a .* joblib\.dump, whose files"):
        save(thing, tmp_path / "model")


def test_an_estimator_that_contains_itself_is_refused(known_keeper, tmp_path):
    keeper = Keeper([])
    keeper.payload.append(keeper)
    with pytest.raises(ValueError, match="contains itself"):
        save(keeper, tmp_path / "model")


def test_a_cache_that_joblib_unpickles_from_is_refused_both_ways(tmp_path):
    with pytest.raises(ValueError, match="set memory=None"):
        save(Pipeline([("scale", StandardScaler())], memory=str(tmp_path)), tmp_path / "model")
    with pytest.raises(ValueError, match="set memory=None"):
        loaded_from(archive(node("Pipeline", {"steps": [], "memory": "/tmp/cache"})), tmp_path)


def test_a_model_too_large_to_load_is_not_saved(known_keeper, tmp_path):
    with pytest.raises(ValueError, match=r"model\.json has .* more than"):
        save(Keeper("x" * archive_tree.MAX_JSON_BYTES), tmp_path / "model")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(known_keeper, tmp_path):
    content = content_of(Keeper(1), tmp_path)
    with pytest.raises(TypeError, match="payload is a set"):
        save(Keeper({1}), tmp_path / "model")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        save(Keeper(1), tmp_path / "folder")
    assert (tmp_path / "model").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "model"]


def test_a_missing_file_is_reported_as_such(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.model"):
        load(tmp_path / "absent.model")


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    X, _ = windows_and_labels()
    classifier = fitted_lstm()
    wanted, content = classifier.predict_proba(X), content_of(classifier, tmp_path)
    rng = np.random.default_rng(0)
    n_refused = 0
    for position in rng.integers(len(content), size=N_DAMAGES):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        for damaged in (bytes(flipped), content[:position]):
            n_refused += refused_or_harmless(damaged, wanted, X, tmp_path)
    assert n_refused > 1.8 * N_DAMAGES


def refused_or_harmless(content: bytes, wanted: np.ndarray, X: np.ndarray, folder: Path) -> bool:
    try:
        loaded = loaded_from(content, folder)
    except ValueError as error:
        assert "\n" not in str(error)
        return True
    np.testing.assert_array_equal(loaded.predict_proba(X), wanted)
    return False


def test_damage_behind_valid_checksums_raises_nothing_but_value_errors(tmp_path):
    parts = members_of(content_of(fitted_lstm(), tmp_path))
    rng = np.random.default_rng(1)
    n_refused = 0
    for _ in range(N_DAMAGES):
        damaged = [bytearray(part) for part in parts]
        part = damaged[int(rng.integers(2))]
        # Mostly in the header, where a changed byte of the numbers would only be another number.
        part[int(rng.integers(min(len(part), 600)))] = int(rng.integers(256))
        text, numbers = map(bytes, damaged)
        try:
            loaded_from(zipped(("model.json", text), ("arrays.safetensors", numbers)), tmp_path)
        except ValueError:
            n_refused += 1
    assert n_refused > N_DAMAGES / 2


def huge_member(name: str, content: bytes) -> bytes:
    """Return the archive with the size of a member declared as nearly 4 GiB, in its entry at the end."""
    start = content.rindex(name.encode()) - 46
    sizes = struct.pack("<2L", 2**32 - 2, 2**32 - 2)
    return content[: start + 20] + sizes + content[start + 28 :]


def hostile_archives() -> dict[str, tuple[bytes, str]]:
    good = archive(node("StandardScaler"))
    text, numbers = members_of(good)
    model, arrays = ("model.json", text), ("arrays.safetensors", numbers)
    bomb = ("arrays.safetensors", bytes(64 * MEBIBYTE))
    return {
        "empty file": (b"", "not a zip file"),
        "no zip": (b"\x80\x04\x95 a pickle", "not a zip file"),
        "more members": (zipped(model, arrays, ("model.pkl", b"")), "instead of model.json and arrays"),
        "fewer members": (zipped(model), "instead of model.json and arrays"),
        "a path outside": (
            zipped(model, ("../arrays.safetensors", numbers)),
            "instead of model.json and arrays",
        ),
        "other order": (zipped(arrays, model), "instead of model.json and arrays"),
        "many members": (zipped(*((str(i), b"") for i in range(101))), "other things than"),
        "zip bomb": (zipped(model, bomb, compression=zipfile.ZIP_DEFLATED), "is compressed"),
        "size declared": (huge_member("arrays.safetensors", good), "arrays.safetensors has 4294967294 bytes"),
        "text declared": (huge_member("model.json", good), "model.json has 4294967294 bytes"),
        "encrypted": (
            good.replace(b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"),
            "encrypted",
        ),
        "no JSON": (zipped(("model.json", b"{"), arrays), "Expecting property name"),
        "no UTF-8": (zipped(("model.json", b'"\xff"'), arrays), "codec can't decode"),
        "deep": (zipped(("model.json", b"[" * 10**6), arrays), "RecursionError"),
        "no object": (zipped(("model.json", b"[]"), arrays), "does not describe a model"),
        "long number": (zipped(("model.json", b"9" * 10**5), arrays), "digits"),
    }


def hostile_trees() -> dict[str, tuple[bytes, str]]:
    ones = {"a": np.ones(2)}
    known = node("StandardScaler")
    twice = '"estimator": "StandardScaler", '
    text, numbers = members_of(archive(known))
    doubled = text.decode().replace(twice, 2 * twice).encode()
    keys = {"dict": [[1, 2], [1, 3]]}
    return {
        "duplicate field": (
            zipped(("model.json", doubled), ("arrays.safetensors", numbers)),
            "names a field twice",
        ),
        "duplicate key": (archive(node("StandardScaler", {"copy": keys})), "names a field twice"),
        "other format": (archive(known, format="skops"), "does not describe a model of eventlstm"),
        "newer format": (
            archive(known, format_version=2, eventlstm="9.0"),
            r"newer eventlstm, '9\.0': update eventlstm",
        ),
        "version zero": (archive(known, format_version=0), "does not describe a model of eventlstm"),
        "no estimator": (archive([1, 2]), "describes a list instead of an estimator"),
        "class by name": (
            archive(node("os.system", {"command": "true"})),
            "asks for 'os.system', which is none of",
        ),
        "unknown tag": (archive({"pickle": "gASVAAAA"}), "unknown"),
        "unknown parameter": (
            archive(node("StandardScaler", {"evil": 1})),
            "StandardScaler has no parameter 'evil'",
        ),
        "missing parameter": (archive(node("FixedThresholdClassifier")), "TypeError.*missing 1 required"),
        "shadowed method": (
            archive(node("StandardScaler", {}, {"transform": 1})),
            "may not have .* 'transform'",
        ),
        "shadowed property": (
            archive(node("Pipeline", {"steps": []}, {"classes_": 1})),
            "may not have .* 'classes_'",
        ),
        "parameter learned": (archive(node("StandardScaler", {}, {"copy": 1})), "may not have .* 'copy'"),
        "dunder": (archive(node("StandardScaler", {}, {"__dict__": 1})), "may not have .* '__dict__'"),
        "private dunder": (
            archive(node("StandardScaler", {}, {"__reduce_": 1})),
            "may not have .* '__reduce_'",
        ),
        "no name": (
            archive({**known, "attributes": {"dict": [[1, 2]]}}),
            "may not have a fitted attribute 1",
        ),
        "missing array": (
            archive(node("StandardScaler", {}, {"mean_": {"array": "a"}})),
            "unknown, or missing or used twice",
        ),
        "array twice": (
            archive(node("StandardScaler", {}, {"mean_": [{"array": "a"}, {"array": "a"}]}), ones),
            "unknown, or missing or used twice",
        ),
        "array unused": (archive(known, ones), "holds 'a', which model.json does not use"),
        "array as number": (
            archive(node("StandardScaler", {}, {"mean_": {"scalar": "a"}}), ones),
            "missing or used twice",
        ),
        "object dtype": (archive(node("StandardScaler", {}, {"mean_": {"dtype": "O"}})), "unknown"),
        "later estimator": (archive(node("StandardScaler", {}, {"mean_": {"same": 0}})), "unknown"),
        "complex array": (
            archive(known, {"a": np.ones(1, "complex64")}),
            "is of complex64, which eventlstm.save never",
        ),
        "no string": (archive(node("StandardScaler", {}, {"x": {"strings": [1], "width": 1}})), "unknown"),
        "string bomb": (
            archive(node("StandardScaler", {}, {"x": [{"strings": [""], "width": MEBIBYTE}] * 1000})),
            "All arrays of strings has .* more than",
        ),
        "bytes of a mask": (
            archive(known, flat_header("BOOL", [1], b"\7")),
            "other bytes than those of True and False",
        ),
        "short header": (archive(known, b"\1"), "SafetensorError"),
        "long header": (archive(known, b"\xff" * 8), "The header of arrays.safetensors has"),
        "shape beyond data": (archive(known, flat_header("F32", [2**40], bytes(4))), "SafetensorError"),
        "shape overflow": (archive(known, flat_header("F32", [2**62, 2**62], bytes(4))), "SafetensorError"),
        "unknown dtype": (archive(known, flat_header("F8_E4M3", [1], b"a")), "KeyError"),
    }


def flat_header(dtype: str, shape: list[int], data: bytes) -> bytes:
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


HOSTILE = hostile_archives() | hostile_trees()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line_and_little_memory(name, tmp_path):
    content, message = HOSTILE[name]
    (tmp_path / "model").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            load(tmp_path / "model")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert "Pass an undamaged file" in str(caught.value)
    assert peak < 32 * MEBIBYTE + 8 * len(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 4},
        {"hidden_size": 10**12},
        {"num_layers": 10**12},
        {"num_layers": 0},
        {"cell": "gru"},
        {"cell": "nn.Transformer"},
        {"bidirectional": True},
        {"extra": 1},
    ],
    ids=repr,
)
def test_weights_that_do_not_fit_the_architecture_are_refused(changes, known_keeper, tmp_path):
    state = fitted_lstm().__getstate__()
    state["module_"]["architecture"].update(changes)
    with pytest.raises(ValueError, match="cannot be loaded"):
        loaded_from(as_classifier(state, tmp_path), tmp_path)


@pytest.mark.parametrize("network", [None, 5, {}, {"architecture": {}}, {"architecture": {}, "weights": []}], ids=repr)
def test_what_is_no_network_is_refused(network, known_keeper, tmp_path):
    state = {**fitted_lstm().__getstate__(), "module_": network}
    content = as_classifier(state, tmp_path)
    with pytest.raises(ValueError, match="cannot be loaded"):
        loaded_from(content, tmp_path)


def as_classifier(state: dict, folder: Path) -> bytes:
    """Return an archive that claims a state, whether or not a classifier can have it, for LSTMClassifier."""
    keeper = Keeper()
    keeper.__dict__.update(state)
    text, numbers = members_of(content_of(keeper, folder))
    document = json.loads(text)
    fields = dict(document["model"]["parameters"]["dict"] + document["model"]["attributes"]["dict"])
    own = {name: fields.pop(name) for name in LSTMClassifier().get_params() if name in fields}
    fields.pop("payload", None)
    document["model"] = node("LSTMClassifier", own, fields)
    return zipped(("model.json", json.dumps(document).encode()), ("arrays.safetensors", numbers))


def written_by(version: str, estimator, folder: Path) -> bytes:
    text, numbers = members_of(content_of(estimator, folder))
    document = json.loads(text)
    document["libraries"]["dict"] = [["scikit-learn", version]]
    return zipped(("model.json", json.dumps(document).encode()), ("arrays.safetensors", numbers))


@pytest.mark.parametrize("version", ["0.24.2", "99.1", "", "\n"])
def test_parts_of_another_version_of_scikit_learn_load_with_a_warning(version, tmp_path):
    scaler = StandardScaler().fit(sensors())
    content = written_by(version, scaler, tmp_path)
    with pytest.warns(UserWarning, match=r"written by version '.*', and .* read them. They may differ"):
        loaded = loaded_from(content, tmp_path)
    assert_same(loaded, scaler)


def test_another_patch_of_scikit_learn_or_none_of_its_parts_loads_in_silence(tmp_path):
    installed = persistence._version("scikit-learn").split(".")
    loaded_from(written_by(".".join([*installed[:2], "99"]), StandardScaler(), tmp_path), tmp_path)
    loaded_from(written_by("0.24.2", fitted_lstm(), tmp_path), tmp_path)


def test_a_library_that_is_not_installed_has_a_version_of_its_own():
    assert persistence._version("no-such-library-of-ours") == "0+unknown"


def test_an_estimator_that_is_a_key_and_a_value_stays_one(tmp_path):
    first, second = StandardScaler(), StandardScaler(with_mean=False)
    model = Pipeline([("kept", StandardScaler())])
    model.table_ = {first: 0, second: first}
    save(model, tmp_path / "model")
    (key, _), (_, value) = load(tmp_path / "model").table_.items()
    assert value is key
    assert key.with_mean


def test_what_load_would_refuse_for_its_size_is_not_saved(tmp_path):
    model = StandardScaler()
    model.many_ = [np.float64(0)] * 200_000
    with pytest.raises(ValueError, match="header of arrays"):
        save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_lengths_of_time_come_back_equal(tmp_path):
    model = EventClassifier(horizon=pd.Timedelta("6h"), max_gap=pd.Timedelta("90s"))
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.horizon, again.max_gap) == (pd.Timedelta("6h"), pd.Timedelta("90s"))


def test_a_model_can_be_loaded_for_another_device(tmp_path):
    model = Pipeline([("model", EventClassifier(LSTMClassifier(device="cuda")))])
    save(model, tmp_path / "model")
    assert load(tmp_path / "model")["model"].estimator.device == "cuda"
    assert load(tmp_path / "model", device="cpu")["model"].estimator.device == "cpu"
