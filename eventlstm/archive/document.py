"""Estimators as a JSON text and arrays, and back.

The text holds the tree of estimators with their parameters and fitted attributes; numbers are set aside in arrays,
under the path of what holds them. Reading runs no code that the text names: a class is looked up in ``CLASSES``, and
what the text says is checked before it is used: against what a fit leaves, and against a digest where it holds one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import reprlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier

from ..logs.window_size import WindowSize
from .boosted_trees import flatten_trees, restore_trees
from .classes import CLASSES
from .fitted import check_fitted
from .forests import flatten_forest, restore_forest
from .nesting import Nesting
from .network_state import check_network
from .parameters import check_parameters


class Compiled(NamedTuple):
    """How a compiled state becomes arrays, and these a state."""

    flatten: Callable[[Any, dict[str, Any]], dict[str, Any]]
    restore: Callable[[Any, dict[str, Any]], dict[str, Any]]


# The files of an archive, as messages name them.
MODEL, ARRAYS = "model.json", "arrays.safetensors"
# Python needs some thirty times the bytes of a JSON text of empty lists. Arrays of strings keep to it too:
# NumPy pads them to the longest, so that a short text can describe a long array.
MAX_JSON_BYTES = 2**24
# The field of the outermost estimator that holds the digest of it and of the arrays; files of before have none.
DIGEST = "sha256"
# The fitted attribute that is a network, kept as its architecture and its weights.
NETWORK = "module_"
# What scikit-learn adds to the state of its own estimators.
SKLEARN_VERSION = "_sklearn_version"
# Estimators whose state is compiled, by how it is laid out in arrays and made anew.
BOOSTED, FOREST = Compiled(flatten_trees, restore_trees), Compiled(flatten_forest, restore_forest)
TREES: dict[type, Compiled] = {
    ExtraTreesClassifier: FOREST,
    HistGradientBoostingClassifier: BOOSTED,
    RandomForestClassifier: FOREST,
}
CHARACTER_BYTES = np.dtype("U1").itemsize
DTYPES = frozenset({"bool", "float16", "float32", "float64"}).union(
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
)


def write_document(head: dict[str, Any], estimator: Any) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return the text of `head` with the tree of an estimator as its "model", and the arrays set aside.

    By the field "format" in `head`, reading tells the document from the values in it.
    """
    if type(estimator) not in CLASSES.values():
        raise TypeError(_refusal(estimator, "estimator"))
    encoder = _Encoder()
    try:
        model = encoder.encode(estimator, "estimator")
        model |= {DIGEST: digest_of(model, encoder.arrays)}
        text = json.dumps(head | {"model": model}, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("The estimator contains itself, or nests too deep: flatten it.") from None
    check_size(MODEL, len(text), MAX_JSON_BYTES)
    return text, encoder.arrays


def read_document(text: bytes, arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], list[Any]]:
    """Return the document with the estimator as its "model", and all estimators in it; `arrays` is emptied.

    Raises
    ------
    ValueError
        If the document or the arrays are not as they were written, or no fit leaves what they hold.
    """
    check_digest(json.loads(text)["model"], arrays)
    decoder = _Decoder(arrays)
    document = json.loads(text, object_pairs_hook=decoder.decode)
    model = document["model"]
    if type(model) not in CLASSES.values():
        raise ValueError(f"{MODEL} describes a {type(model).__name__} instead of an estimator")
    if any(sealed is not model for sealed in decoder.sealed):
        raise ValueError(f"{MODEL} holds a whole model inside of another")
    if arrays:
        raise ValueError(f"{ARRAYS} holds {reprlib.repr(min(arrays))}, which {MODEL} does not use")
    return document, decoder.made


def check_digest(model: Any, arrays: dict[str, np.ndarray]) -> None:
    """Refuse a model or arrays that have been changed since they were written, where the model holds a digest."""
    if not isinstance(model, dict) or DIGEST not in model:
        return
    written = {name: value for name, value in model.items() if name != DIGEST}
    if model[DIGEST] != digest_of(written, arrays):
        raise ValueError(f"{MODEL} or {ARRAYS} has been changed since eventlstm.save wrote it")


def digest_of(model: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Return the digest of a model, as JSON tells it, and of all arrays.

    It shows changes by accident or by hand; who changes the digest as well is not kept from it.
    """
    digest = hashlib.sha256(json.dumps(model).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def check_size(what: str, size: int, limit: int) -> None:
    """Hold a size to its limit, on saving as on loading."""
    if size > limit:
        raise ValueError(f"{what} has {size} bytes, more than the {limit} that eventlstm.load accepts")


def is_sklearn(estimator: Any) -> bool:
    """Return whether an estimator is scikit-learn's own, whose state may change with its version."""
    return type(estimator).__module__.startswith("sklearn.")


class _Encoder:
    """Turns values into what JSON holds and sets numbers aside; `path` is what reaches a value in Python."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.string_bytes = 0
        # By identity, with the estimators themselves: the identity of one that is gone may come again.
        self.written: dict[int, tuple[int, Any]] = {}
        self.nesting = Nesting()

    def encode(self, value: Any, path: str) -> Any:
        # Exact types, since a subclass (an enum, a named tuple, a masked array) would come back as its base.
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is WindowSize:
            return int(value)  # what it was read from tells of a choice, not of the model
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind in (list, tuple):
            items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return items if kind is list else {"tuple": items}
        if kind is deque:
            return {"deque": self.encode(list(value), path), "longest": value.maxlen}
        if kind is dict:
            # Pairs keep the types of the keys; the fields of a JSON object are strings.
            pairs = enumerate(value.items())
            return {
                "dict": [
                    (self.encode(key, f"{path}.keys()[{i}]"), self.encode(item, f"{path}[{key!r}]"))
                    for i, (key, item) in pairs
                ]
            }
        if kind in CLASSES.values():
            return self._estimator(value, path)
        if kind is pd.Timedelta:
            return {"timedelta": value.isoformat()}
        if kind is np.str_:
            return {"numpy_str": str(value)}
        if isinstance(value, np.dtype) and value.name in DTYPES:
            return {"dtype": value.name}
        if kind in (np.ndarray, np.memmap) or isinstance(value, np.generic):
            return self._array(value, path)
        raise TypeError(_refusal(value, path))

    def _array(self, value: Any, path: str) -> dict[str, Any]:
        if value.dtype.name in DTYPES:
            name = f"{len(self.arrays)} {path}"
            # safetensors copies memory as it lies, so a transposed array has to be laid out first.
            self.arrays[name] = np.asarray(value, dtype=value.dtype.newbyteorder("<"), order="C")
            return {"scalar" if isinstance(value, np.generic) else "array": name}
        if value.ndim == 1 and value.dtype.kind == "O":
            return {"objects": [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]}
        if value.ndim == 1 and value.dtype.kind == "U":
            self.string_bytes += value.nbytes
            check_size("All arrays of strings", self.string_bytes, MAX_JSON_BYTES)
            return {"strings": value.tolist(), "width": value.dtype.itemsize // CHARACTER_BYTES}
        raise TypeError(_refusal(value, path))

    def _estimator(self, estimator: Any, path: str) -> dict[str, Any]:
        if id(estimator) in self.written:
            return {"same": self.written[id(estimator)][0]}
        state = dict(estimator.__getstate__())  # a copy, since it may be the live __dict__
        state.pop(SKLEARN_VERSION, None)
        if type(estimator) in TREES:
            state = TREES[type(estimator)].flatten(estimator, state)
        known = inspect.signature(type(estimator)).parameters.keys()
        # Parameters first, as in the text: by its order the decoder numbers estimators.
        parameters = {name: self.encode(state[name], f"{path}.{name}") for name in sorted(state.keys() & known)}
        attributes = {name: self.encode(state[name], f"{path}.{name}") for name in sorted(state.keys() - known)}
        _check_state(type(estimator), parameters, attributes)
        if NETWORK in state and hasattr(estimator, "network_class"):
            check_network(estimator, state[NETWORK])
        self.nesting.add(estimator, list(state.values()))
        check_parameters(estimator)
        check_fitted(estimator)
        self.written[id(estimator)] = len(self.written), estimator
        return {
            "estimator": type(estimator).__name__,
            "parameters": {"dict": list(parameters.items())},
            "attributes": {"dict": list(attributes.items())},
        }


class _Decoder:
    """Turns the objects of a JSON text into the values they stand for, and uses each array once."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.made: list[Any] = []
        self.sealed: list[Any] = []  # those with a digest, which only the outermost has
        self.nesting = Nesting()
        self.string_bytes = 0

    def decode(self, pairs: list[tuple[str, Any]]) -> Any:
        match fields := _unique(pairs):
            case {"format": _}:
                return fields
            case {"float": str(text)}:
                return float(text)
            case {"tuple": list(items)}:
                return tuple(items)
            case {"deque": list(items), "longest": int() | None as longest}:
                return deque(items, maxlen=longest)
            case {"dict": list(items)}:
                return _unique(items)
            case {"timedelta": str(text)}:
                return pd.Timedelta(text)
            case {"numpy_str": str(text)}:
                return np.str_(text)
            case {"dtype": str(name)} if name in DTYPES:
                return np.dtype(name)
            case {"scalar": str(name)} if name in self.arrays and self.arrays[name].ndim == 0:
                return self.arrays.pop(name)[()]
            case {"array": str(name)} if name in self.arrays:
                return self.arrays.pop(name)
            case {"objects": list(items)}:
                return np.fromiter(items, dtype=object, count=len(items))
            case {"strings": list(texts), "width": int(width)} if width > 0 and {*map(type, texts)} <= {str}:
                self.string_bytes += len(texts) * width * CHARACTER_BYTES
                check_size("All arrays of strings", self.string_bytes, MAX_JSON_BYTES)
                return np.array(texts, dtype=f"<U{width}")
            case {"same": int(number)} if 0 <= number < len(self.made):
                return self.made[number]
            case {"estimator": str(name), "parameters": dict(parameters), "attributes": dict(attributes)}:
                estimator = self._estimator(name, parameters, attributes)
                self.sealed += [estimator] if DIGEST in fields else []
                return estimator
        raise ValueError(f"{MODEL} holds {reprlib.repr(fields)}, which is unknown, or missing or used twice")

    def _estimator(self, name: str, parameters: dict[Any, Any], attributes: dict[Any, Any]) -> Any:
        if name not in CLASSES:
            raise ValueError(f"{MODEL} asks for {reprlib.repr(name)}, which is none of {', '.join(CLASSES)}")
        cls: Any = CLASSES[name]
        _check_state(cls, parameters, attributes)
        estimator = cls(**parameters)
        self.nesting.add(estimator, [*parameters.values(), *attributes.values()])
        check_parameters(estimator)
        if NETWORK in attributes and hasattr(estimator, "network_class"):
            check_network(estimator, attributes[NETWORK])
        if cls in TREES:
            attributes = TREES[cls].restore(estimator, attributes)
        state = parameters | attributes
        if is_sklearn(estimator):
            # Without it scikit-learn takes the state for one older than 0.18, and says so for every part.
            state[SKLEARN_VERSION] = sklearn.__version__
        estimator.__setstate__(state)
        check_fitted(estimator)
        self.made.append(estimator)
        return estimator


def _check_state(cls: type, parameters: dict[Any, Any], attributes: dict[Any, Any]) -> None:
    """Hold the names in an estimator's state to what its class may have, on saving as on loading."""
    known = set(inspect.signature(cls).parameters)
    for name in parameters:
        if name not in known:
            raise ValueError(f"{cls.__name__} has no parameter {reprlib.repr(name)}")
    taken = known.union(*map(vars, cls.__mro__))
    for name in attributes:
        if not (isinstance(name, str) and name.isidentifier()) or name.startswith("__") or name in taken:
            raise ValueError(f"{cls.__name__} may not have a fitted attribute {reprlib.repr(name)}")
    if parameters.get("memory") is not None:
        raise ValueError(f"{cls.__name__} has a memory, from which joblib unpickles: set memory=None")


def _unique(pairs: list[Any]) -> dict[Any, Any]:
    """Return a dict of pairs none of which overwrites another."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError(f"{MODEL} names a field twice among {reprlib.repr([key for key, _ in pairs])}")
    return fields


def _refusal(value: Any, path: str) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    dtype = f" of dtype {value.dtype}" if isinstance(value, np.ndarray) else ""
    return (
        f"{path} is a {kind}{dtype}, which an archive without pickle cannot hold. It holds None, bools, "
        "numbers, strings, lists, tuples, queues, dicts, numeric dtypes, arrays of numbers or (1-D) strings, and the "
        f"estimators {', '.join(CLASSES)}. Use one of these (an int as random_state), or joblib.dump, "
        "whose files are to be loaded only if you trust who wrote them."
    )
