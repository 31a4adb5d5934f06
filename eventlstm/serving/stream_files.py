"""The state of a stream in a file: arrays of NumPy and JSON, without pickle; the model is not in it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..alarms.machine import AlarmMachine
from ..alarms.model_scores import last_step
from ..logs.whole_files import open_whole
from .alarm_states import AlarmState, AlarmStates
from .watched import Watched

FORMAT = "eventlstm stream 1"
HEAD = "head"


class SavedStream(NamedTuple):
    """What a file holds."""

    runs: list[Any]
    arrays: list[np.ndarray]
    alarms: list[Any]
    metadata: dict[str, Any]

    def put_back(self, watched: Watched, alarms: AlarmStates) -> None:
        """Let a stream know it."""
        watched.put_back(slice(0, len(self.runs)), self.arrays)
        for slot, (state, is_open) in enumerate(self.alarms):
            alarms.machines[slot] = AlarmMachine(state)
            if alarms.rules is not None and is_open is not None:
                alarms.open[slot] = AlarmState(*map(from_json, is_open))


def write_stream(
    path: str | os.PathLike[str], watched: Watched, runs: list[Any], alarms: AlarmStates, metadata: dict[str, Any]
) -> None:
    """Write the state of a stream."""
    head = {
        "format": FORMAT,
        "model": identity(watched.source),
        "runs": [to_json(run) for run in runs],
        "alarms": [
            (machine.state(), None if state.alarm_id is None else [to_json(part) for part in state])
            for machine, state in zip(alarms.machines, alarms.open, strict=True)
        ],
        "metadata": metadata,
    }
    arrays = {f"{k}": array for k, array in enumerate(watched.snapshot(slice(0, len(runs))))}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{HEAD: np.frombuffer(_dump(head), dtype=np.uint8)}, **arrays)
    with open_whole(path) as file:
        file.write(content.getbuffer())


def read_stream(path: str | os.PathLike[str], watched: Watched) -> SavedStream:
    """Return the state in a file, refusing that of another model."""
    try:
        with np.load(path, allow_pickle=False) as content:
            head = json.loads(content[HEAD].tobytes())
            arrays = [content[f"{k}"] for k in range(len(content.files) - 1)]
        if head["format"] != FORMAT:
            raise ValueError(head["format"])
        runs = [from_json(run) for run in head["runs"]]
        saved = SavedStream(runs, arrays, head["alarms"], head["metadata"])
        kind = head["model"]
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{os.fspath(path)} holds no state of a stream ({error}). Delete it to begin anew.") from None
    expected = [(array.dtype, array.shape) for array in watched.snapshot(slice(0, 0))]
    found = [(array.dtype, (*array.shape[:-2], 0, array.shape[-1])) for array in arrays]
    if kind != identity(watched.source) or expected != found:
        raise ValueError(
            f"{os.fspath(path)} holds the state of a stream of another model. Load it with the model that it was saved "
            "with, or delete it to begin anew."
        )
    return saved


def identity(model: Any) -> str:
    """Return what tells a fitted model from others: its kind, its parameters, and the rows it was fitted on."""
    last = last_step(model)
    told = [type(last).__name__, repr(last.get_params()), getattr(last, "fingerprint_", None)]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def to_json(value: Any) -> Any:
    """Return a name or a time as JSON holds it."""
    if isinstance(value, tuple):
        return {"tuple": [to_json(part) for part in value]}
    if isinstance(value, pd.Timestamp | np.datetime64):
        return {"time": pd.Timestamp(value).isoformat()}
    if isinstance(value, pd.Timedelta | np.timedelta64):
        return {"span": pd.Timedelta(value).isoformat()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"A machine or time is {value!r} of type {type(value).__name__}. Use text, numbers or Timestamps.")


def from_json(value: Any) -> Any:
    """Return what `to_json` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tuple":
        return tuple(from_json(part) for part in held)
    return pd.Timestamp(held) if kind == "time" else pd.Timedelta(held)


def _dump(head: dict[str, Any]) -> bytes:
    try:
        return json.dumps(head).encode()
    except TypeError as error:
        raise TypeError(
            f"The state of the stream cannot be written: {error}. Keep in metadata what JSON holds."
        ) from None
