"""Fitted models in files without pickle: one zip of ``model.json`` and ``arrays.safetensors``.

``model.json`` holds versions and the tree of estimators, ``arrays.safetensors`` their numbers. What the zip claims is
checked before it is read.
"""

from __future__ import annotations

import io
import json
import os
import reprlib
import textwrap
import zipfile
from importlib import metadata
from typing import Any

import numpy as np
import safetensors.numpy

from ..logs.shared import warn
from ..logs.whole_files import open_whole
from .document import ARRAYS, DTYPES, MAX_JSON_BYTES, MODEL, check_size, is_sklearn, read_document, write_document

FORMAT = "eventlstm-model"
GRAPH = ".onnx"
FORMAT_VERSION = 1
LIBRARIES = ("numpy", "safetensors", "scikit-learn", "torch")
# A zip's oldest date, and Unix as its system: with those at hand, two files of one model would differ.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
ZIP_SYSTEM = 3

# Far above any model the defaults train, and below the memory of a machine that can train one.
MAX_ARCHIVE_BYTES = 2**30
# zipfile makes an object of a kilobyte of every entry, which takes 46 bytes in the file.
MAX_ZIP_ENTRIES = 100
ZIP_ENTRY_SIGN = b"PK\x01\x02"
MAX_REASON_LENGTH = 400


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator, fitted or not, to an archive without pickle, or a fitted model to an ONNX graph.

    A path that ends in ``.onnx`` gets a graph for ONNX Runtime, which `load` does not read (see
    `eventlstm.export.export_onnx`), any other an archive. It is written beside `path` and moved into place when
    complete, so a failure leaves the old file as it was. The same estimator gives the same bytes.

    Parameters
    ----------
    estimator : estimator
        An estimator of this package, a scikit-learn ``Pipeline``, ``StandardScaler``, ``MinMaxScaler``,
        ``RobustScaler``, ``SimpleImputer``, ``FixedThresholdClassifier`` or ``HistGradientBoostingClassifier``
        without categorical features, or a nesting of them. They hold
        None, bools, numbers, strings, lists, tuples, dicts, numeric dtypes, and arrays of numbers or strings.
    path : str or path
        The file to write, replaced if it exists. Any name will do.

    Raises
    ------
    TypeError
        If something inside cannot be stored, such as a function or a random generator. The message
        gives the expression that reaches it.
    ValueError
        If the estimator contains itself, is larger than `load` accepts, holds what no fit leaves, such as a parameter
        that was set anew and does not go with the rest, or caches in a folder (``memory``): joblib unpickles what it
        finds there. Of ``.onnx``, if something inside cannot be exported; it is named.
    ImportError
        If onnx or skl2onnx is missing, for ``.onnx``.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Reads an archive.
    StreamingDetector : Runs the model row by row.

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
    if os.fspath(path).lower().endswith(GRAPH):
        from ..export.onnx_file import export_onnx

        export_onnx(estimator, path)
    else:
        content = _pack(estimator)
        with open_whole(path) as file:
            file.write(content)


def load(path: str | os.PathLike[str], *, device: str | None = None) -> Any:
    """Read an estimator from an archive that `save` wrote.

    Loading is safe for files of unknown origin: nothing is unpickled, no class outside a fixed list is made,
    sizes are checked before memory is taken, and what no fit leaves is refused. Whether such a model predicts well is
    another question: a digest shows that a file is as `save` wrote it, but not who wrote it.

    Parameters
    ----------
    path : str or path
        The file to read.
    device : str, optional
        Torch device to run the networks on, in place of the one they were fitted with.

    Returns
    -------
    estimator : estimator
        As it was saved: parameters, fitted attributes and ``set_output`` configuration.

    Raises
    ------
    ValueError
        If the file is damaged or edited, is no archive of `save`, or was written by a newer version.
    OSError
        If the file cannot be opened, for instance ``FileNotFoundError``.

    Warns
    -----
    UserWarning
        If the model has parts of scikit-learn that another minor version of it wrote.

    See Also
    --------
    save : Writes the archive.
    StreamingDetector : Runs the model row by row.

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
        check_size(repr(name), size, MAX_ARCHIVE_BYTES)
        content = file.read(size)
    try:
        estimator, stale, parts = _unpack(content)
    except Exception as error:
        # A hostile archive can make every library below fail in its own way; callers get one kind of error.
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason = textwrap.shorten(f"{kind}{error}", MAX_REASON_LENGTH).rstrip(".")
        remedy = "Pass an undamaged file that eventlstm.save of this version or an older one wrote."
        raise ValueError(f"{name!r} cannot be loaded: {reason}. {remedy}") from error
    if stale:
        warn(f"{name!r}: {stale}")
    for part in parts if device is not None else ():
        if hasattr(part, "device"):
            part.device = device
    return estimator


def _pack(estimator: Any) -> bytes:
    """Turn an estimator into the bytes of an archive."""
    head = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "eventlstm": _version("eventlstm"),
        "libraries": {"dict": [[name, _version(name)] for name in LIBRARIES]},
    }
    text, arrays = write_document(head, estimator)
    check_size(ARRAYS, sum(array.nbytes for array in arrays.values()), MAX_ARCHIVE_BYTES)
    numbers = safetensors.numpy.save(arrays)
    _check_header(numbers)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((MODEL, text), (ARRAYS, numbers)):
            member = zipfile.ZipInfo(name, ZIP_DATE)
            member.create_system = ZIP_SYSTEM
            archive.writestr(member, data)
    check_size("The archive", buffer.tell(), MAX_ARCHIVE_BYTES)
    return buffer.getvalue()


def _check_header(numbers: bytes) -> None:
    """Hold safetensors' header to its limit: the file opens with its length, and parsing takes many times that."""
    check_size(f"The header of {ARRAYS}", int.from_bytes(numbers[:8], "little"), MAX_JSON_BYTES)


def _unpack(content: bytes) -> tuple[Any, str, list[Any]]:
    """Turn the bytes of an archive into an estimator, what there is to warn of, and all estimators inside."""
    text, numbers = _members(content)
    _check_version(json.loads(text))
    document, estimators = read_document(text, _arrays(numbers))
    written, installed = str(document["libraries"]["scikit-learn"]), _version("scikit-learn")
    if written.split(".")[:2] == installed.split(".")[:2] or not any(map(is_sklearn, estimators)):
        return document["model"], "", estimators
    stale = (
        f"its parts from scikit-learn were written by version {reprlib.repr(written)}, and {installed} read "
        "them. They may differ. Install the version that wrote them, or fit and save the model again."
    )
    return document["model"], stale, estimators


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
            check_size(member.filename, member.file_size, limit)
        return [archive.read(member) for member in members]


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """Read arrays of the dtypes that `save` writes."""
    _check_header(content)
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


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "0+unknown"
