"""Fitted models in files without pickle: one zip of ``model.json`` and ``arrays.safetensors``.

``model.json`` holds versions and the tree of estimators with their parameters and fitted attributes; numbers
lie in ``arrays.safetensors`` under the path of what holds them. Loading runs no code that the file names: a
class is looked up in ``_CLASSES``, and what the file says is checked before it is used.
"""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import reprlib
import textwrap
import uuid
import warnings
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import sklearn
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from .classifier import LSTMClassifier
from .detector import EventClassifier
from .inputs import InputScaler

__all__ = ["load", "save"]

_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        EventClassifier,
        FixedThresholdClassifier,
        InputScaler,
        LSTMClassifier,
        MinMaxScaler,
        MissingIndicator,
        Pipeline,
        RobustScaler,
        SimpleImputer,
        StandardScaler,
    )
}

FORMAT = "eventlstm-model"
FORMAT_VERSION = 1
MODEL, ARRAYS = "model.json", "arrays.safetensors"
LIBRARIES = ("numpy", "safetensors", "scikit-learn", "torch")
# A zip's oldest date, and Unix as its system: with those at hand, two files of one model would differ.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
ZIP_SYSTEM = 3

# Far above any model the defaults train, and below the memory of a machine that can train one.
MAX_ARCHIVE_BYTES = 2**30
# Python needs some thirty times the bytes of a JSON text of empty lists. Arrays of strings keep to it too:
# NumPy pads them to the longest, so that a short text can describe a long array.
MAX_JSON_BYTES = 2**24
# zipfile makes an object of a kilobyte of every entry, which takes 46 bytes in the file.
MAX_ZIP_ENTRIES = 100
ZIP_ENTRY_SIGN = b"PK\x01\x02"
MAX_REASON_LENGTH = 400

# What scikit-learn adds to the state of its own estimators.
SKLEARN_VERSION = "_sklearn_version"
CHARACTER_BYTES = np.dtype("U1").itemsize
DTYPES = frozenset({"bool", "float16", "float32", "float64"}).union(
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
)


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator, fitted or not, to an archive without pickle.

    The archive is written beside `path` and moved into place when complete, so a failure leaves the old file
    as it was. The same estimator gives the same bytes.

    Parameters
    ----------
    estimator : estimator
        An estimator of this package, a scikit-learn ``Pipeline``, ``StandardScaler``, ``MinMaxScaler``,
        ``RobustScaler``, ``SimpleImputer`` or ``FixedThresholdClassifier``, or a nesting of them. They hold
        None, bools, numbers, strings, lists, tuples, dicts, numeric dtypes, and arrays of numbers or strings.
    path : str or path
        The file to write, replaced if it exists. Any name will do.

    Raises
    ------
    TypeError
        If something inside cannot be stored, such as a sampler, a function or a random generator. The message
        gives the expression that reaches it.
    ValueError
        If the estimator contains itself, is larger than `load` accepts, or caches in a folder (``memory``):
        joblib unpickles what it finds there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from eventlstm import load, save
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> X = np.array([[20.0, 1.0], [22.0, 3.0], [27.0, 2.0]])
    >>> model = make_pipeline(StandardScaler(), MinMaxScaler()).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, Path(folder) / "model.eventlstm")
    ...     loaded = load(Path(folder) / "model.eventlstm")
    >>> bool((loaded.transform(X) == model.transform(X)).all())
    True
    """
    content = _pack(estimator)
    target = Path(path)
    unfinished = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Any:
    """Read an estimator from an archive that `save` wrote.

    Loading is safe for files of unknown origin: nothing is unpickled, no class outside a fixed list is made,
    and sizes are checked before memory is taken. Whether such a model predicts well is another question.

    Parameters
    ----------
    path : str or path
        The file to read.

    Returns
    -------
    estimator : estimator
        As it was saved: parameters, fitted attributes and ``set_output`` configuration.

    Raises
    ------
    ValueError
        If the file is damaged, is no archive of `save`, or was written by a newer version.
    OSError
        If the file cannot be opened, for instance ``FileNotFoundError``.

    Warns
    -----
    UserWarning
        If the model has parts of scikit-learn that another minor version of it wrote.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from eventlstm import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "notes.txt"
    ...     _ = path.write_text("bearing replaced on Tuesday")
    ...     load(path)
    Traceback (most recent call last):
        ...
    ValueError: '...notes.txt' cannot be loaded: BadZipFile: File is not a zip file. Pass an undamaged ...
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(repr(name), size, MAX_ARCHIVE_BYTES)
        content = file.read(size)
    try:
        estimator, stale = _unpack(content)
    except Exception as error:
        # A hostile archive can make every library below fail in its own way; callers get one kind of error.
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason = textwrap.shorten(f"{kind}{error}", MAX_REASON_LENGTH).rstrip(".")
        remedy = "Pass an undamaged file that eventlstm.save of this version or an older one wrote."
        raise ValueError(f"{name!r} cannot be loaded: {reason}. {remedy}") from error
    if stale:
        warnings.warn(f"{name!r}: {stale}", UserWarning, stacklevel=2)
    return estimator


def _pack(estimator: Any) -> bytes:
    """Turn an estimator into the bytes of an archive."""
    if type(estimator) not in _CLASSES.values():
        raise TypeError(_refusal(estimator, "estimator"))
    encoder = _Encoder()
    document: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "eventlstm": _version("eventlstm"),
        "libraries": {"dict": [[name, _version(name)] for name in LIBRARIES]},
    }
    try:
        document["model"] = encoder.encode(estimator, "estimator")
        text = json.dumps(document, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("The estimator contains itself, or nests too deep: flatten it.") from None
    _check_size(MODEL, len(text), MAX_JSON_BYTES)
    _check_size(ARRAYS, sum(array.nbytes for array in encoder.arrays.values()), MAX_ARCHIVE_BYTES)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((MODEL, text), (ARRAYS, safetensors.numpy.save(encoder.arrays))):
            member = zipfile.ZipInfo(name, ZIP_DATE)
            member.create_system = ZIP_SYSTEM
            archive.writestr(member, data)
    _check_size("The archive", buffer.tell(), MAX_ARCHIVE_BYTES)
    return buffer.getvalue()


def _unpack(content: bytes) -> tuple[Any, str]:
    """Turn the bytes of an archive into an estimator and what there is to warn of."""
    text, numbers = _members(content)
    _check_version(json.loads(text))
    decoder = _Decoder(_arrays(numbers))
    document = json.loads(text, object_pairs_hook=decoder.decode)
    model = document["model"]
    if type(model) not in _CLASSES.values():
        raise ValueError(f"{MODEL} describes a {type(model).__name__} instead of an estimator")
    if decoder.arrays:
        raise ValueError(f"{ARRAYS} holds {reprlib.repr(min(decoder.arrays))}, which {MODEL} does not use")
    written, installed = str(document["libraries"]["scikit-learn"]), _version("scikit-learn")
    stale = written.split(".")[:2] != installed.split(".")[:2]
    if not (stale and any(map(_is_sklearn, map(type, decoder.made)))):
        return model, ""
    return model, (
        f"its parts from scikit-learn were written by version {reprlib.repr(written)}, and {installed} read "
        "them. They may differ. Install the version that wrote them, or fit and save the model again."
    )


class _Encoder:
    """Turns values into what JSON holds and sets numbers aside; `path` is what reaches a value in Python."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.string_bytes = 0
        # By identity, with the estimators themselves: the identity of one that is gone may come again.
        self.written: dict[int, tuple[int, Any]] = {}

    def encode(self, value: Any, path: str) -> Any:
        # Exact types, since a subclass (an enum, a named tuple, a masked array) would come back as its base.
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind in (list, tuple):
            items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return items if kind is list else {"tuple": items}
        if kind is dict:
            # Pairs keep the types of the keys; the fields of a JSON object are strings.
            keys = [self.encode(key, f"{path}.keys()[{i}]") for i, key in enumerate(value)]
            items = [self.encode(item, f"{path}[{key!r}]") for key, item in value.items()]
            return {"dict": list(zip(keys, items, strict=True))}
        if kind in _CLASSES.values():
            return self._estimator(value, path)
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
            _check_size("All arrays of strings", self.string_bytes, MAX_JSON_BYTES)
            return {"strings": value.tolist(), "width": value.dtype.itemsize // CHARACTER_BYTES}
        raise TypeError(_refusal(value, path))

    def _estimator(self, estimator: Any, path: str) -> dict[str, Any]:
        if id(estimator) in self.written:
            return {"same": self.written[id(estimator)][0]}
        state = dict(estimator.__getstate__())  # a copy, since it may be the live __dict__
        state.pop(SKLEARN_VERSION, None)
        known = inspect.signature(type(estimator)).parameters
        # In the order of the text, by which the decoder numbers estimators.
        names = sorted(state, key=lambda name: (name not in known, name))
        encoded = {name: self.encode(state[name], f"{path}.{name}") for name in names}
        parameters = {name: encoded.pop(name) for name in names if name in known}
        _check_state(type(estimator), parameters, encoded)
        self.written[id(estimator)] = len(self.written), estimator
        return {
            "estimator": type(estimator).__name__,
            "parameters": {"dict": list(parameters.items())},
            "attributes": {"dict": list(encoded.items())},
        }


class _Decoder:
    """Turns the objects of a JSON text into the values they stand for, and uses each array once."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.made: list[Any] = []
        self.string_bytes = 0

    def decode(self, pairs: list[tuple[str, Any]]) -> Any:
        match fields := _unique(pairs):
            case {"format": _}:
                return fields
            case {"float": str(text)}:
                return float(text)
            case {"tuple": list(items)}:
                return tuple(items)
            case {"dict": list(items)}:
                return _unique(items)
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
                _check_size("All arrays of strings", self.string_bytes, MAX_JSON_BYTES)
                return np.array(texts, dtype=f"<U{width}")
            case {"same": int(number)} if 0 <= number < len(self.made):
                return self.made[number]
            case {"estimator": str(name), "parameters": dict(parameters), "attributes": dict(attributes)}:
                return self._estimator(name, parameters, attributes)
        raise ValueError(f"{MODEL} holds {reprlib.repr(fields)}, which is unknown, or missing or used twice")

    def _estimator(self, name: str, parameters: dict[Any, Any], attributes: dict[Any, Any]) -> Any:
        if name not in _CLASSES:
            raise ValueError(f"{MODEL} asks for {reprlib.repr(name)}, which is none of {', '.join(_CLASSES)}")
        cls: Any = _CLASSES[name]
        _check_state(cls, parameters, attributes)
        estimator = cls(**parameters)
        state = parameters | attributes
        if _is_sklearn(cls):
            # Without it scikit-learn takes the state for one older than 0.18, and says so for every part.
            state[SKLEARN_VERSION] = sklearn.__version__
        estimator.__setstate__(state)
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


def _members(content: bytes) -> list[bytes]:
    """Return the text and the numbers from a zip that holds these two and nothing else."""
    if content.count(ZIP_ENTRY_SIGN) > MAX_ZIP_ENTRIES:
        raise ValueError(f"it holds other things than {MODEL} and {ARRAYS}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if names != [MODEL, ARRAYS]:
            raise ValueError(f"it holds {reprlib.repr(names)} instead of {MODEL} and {ARRAYS}")
        for member, limit in zip(members, (MAX_JSON_BYTES, len(content)), strict=True):
            # Stored as they are, members cannot unpack to more than the file itself.
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise ValueError(f"{member.filename} is compressed, which eventlstm.save never does")
            _check_size(member.filename, member.file_size, limit)
        return [archive.read(member) for member in members]


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """Read arrays of the dtypes that `save` writes."""
    # The file opens with the length of its header, whose parser would take many times that from memory.
    _check_size(f"The header of {ARRAYS}", int.from_bytes(content[:8], "little"), MAX_JSON_BYTES)
    arrays: dict[str, np.ndarray] = safetensors.numpy.load(content)
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise ValueError(f"{reprlib.repr(name)} is of {array.dtype}, which eventlstm.save never writes")
        # NumPy relies on it: with another byte in a mask it reads or writes past the end of an array.
        if array.dtype == bool and array.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"{reprlib.repr(name)} holds other bytes than those of True and False")
    return arrays


def _check_version(document: Any) -> None:
    fields = document if isinstance(document, dict) else {}
    version, complete = fields.get("format_version"), fields.keys() >= {"libraries", "model"}
    if fields.get("format") != FORMAT or not isinstance(version, int) or version < 1 or not complete:
        raise ValueError(f"{MODEL} does not describe a model of eventlstm")
    if version > FORMAT_VERSION:
        writer = f"a newer eventlstm, {reprlib.repr(fields.get('eventlstm'))}"
        raise ValueError(f"its format version {version} was written by {writer}: update eventlstm")


def _unique(pairs: list[Any]) -> dict[Any, Any]:
    """Return a dict of pairs none of which overwrites another."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError(f"{MODEL} names a field twice among {reprlib.repr([key for key, _ in pairs])}")
    return fields


def _check_size(what: str, size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"{what} has {size} bytes, more than the {limit} that eventlstm.load accepts")


def _refusal(value: Any, path: str) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    dtype = f" of dtype {value.dtype}" if isinstance(value, np.ndarray) else ""
    return (
        f"{path} is a {kind}{dtype}, which an archive without pickle cannot hold. It holds None, bools, "
        "numbers, strings, lists, tuples, dicts, numeric dtypes, arrays of numbers or (1-D) strings, and the "
        f"estimators {', '.join(_CLASSES)}. Use one of these (an int as random_state), or joblib.dump, "
        "whose files are to be loaded only if you trust who wrote them."
    )


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _is_sklearn(cls: type) -> bool:
    return cls.__module__.startswith("sklearn.")
