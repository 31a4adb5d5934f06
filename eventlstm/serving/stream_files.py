"""The state of a stream in a file: arrays of NumPy and JSON, without pickle; the model is not in it."""

from __future__ import annotations

import io
import json
import os
from typing import Any, NamedTuple

import numpy as np

from ..alarms.machine import AlarmMachine
from ..logs.whole_files import open_whole
from .alarm_states import AlarmState, AlarmStates, is_off
from .answers import answers
from .stream_json import from_json, to_json
from .stream_model import StreamModel

FORMAT = "eventlstm stream 1"
HEAD = "head"
# Two processors round in other ways, and two fits differ by more.
SAME = 1e-5


class SavedStream(NamedTuple):
    """What a file holds."""

    runs: list[Any]
    arrays: list[np.ndarray]
    alarms: list[Any]
    metadata: dict[str, Any]

    def put_back(self, stream: StreamModel, alarms: AlarmStates) -> None:
        """Let a stream know it."""
        stream.put_back(slice(0, len(self.runs)), self.arrays)
        for slot, (state, is_open) in enumerate(self.alarms):
            alarms.machines[slot] = AlarmMachine(state)
            if is_open is not None:
                alarms.open[slot] = AlarmState(*map(from_json, is_open))


def write_stream(
    path: str | os.PathLike[str],
    stream: StreamModel,
    slots: dict[Any, int],
    alarms: AlarmStates,
    metadata: dict[str, Any],
) -> None:
    """Write the state of a stream."""
    head = {
        "format": FORMAT,
        "answers": _answers(stream),
        "runs": [to_json(run) for run in slots],
        "alarms": [
            (
                alarms.machines[slot].state(),
                None if is_off(alarms.open[slot]) else list(map(to_json, alarms.open[slot])),
            )
            for slot in slots.values()
        ],
        "metadata": metadata,
    }
    arrays = {f"{k}": array for k, array in enumerate(stream.snapshot(list(slots.values())))}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{HEAD: np.frombuffer(_dump(head), dtype=np.uint8)}, **arrays)
    with open_whole(path) as file:
        file.write(content.getbuffer())


def read_stream(path: str | os.PathLike[str], stream: StreamModel) -> SavedStream:
    """Return the state in a file, refusing that of another model."""
    with open(path, "rb") as file:
        written = io.BytesIO(file.read())  # NumPy leaves a damaged file open
    try:
        with np.load(written, allow_pickle=False) as content:
            head = json.loads(content[HEAD].tobytes())
            arrays = [content[f"{k}"] for k in range(len(content.files) - 1)]
        if head["format"] != FORMAT:
            raise ValueError(head["format"])
        runs = [from_json(run) for run in head["runs"]]
        saved = SavedStream(runs, arrays, head["alarms"], head["metadata"])
        told = np.array(head["answers"], dtype=np.float64)
    except Exception as error:  # what a damaged archive raises has no end
        raise ValueError(f"{os.fspath(path)} holds no state of a stream ({error}). Delete it to begin anew.") from None
    shapes = [(*array.shape[:-2], len(runs), array.shape[-1]) for array in stream.snapshot(slice(0, 0))]
    own = np.array(_answers(stream))
    same = told.shape == own.shape and np.allclose(told, own, rtol=SAME, atol=SAME)
    if not same or shapes != [array.shape for array in arrays]:
        raise ValueError(
            f"{os.fspath(path)} holds the state of a stream of another model. Load it with the model that it was saved "
            "with, or delete it to begin anew."
        )
    return saved


def _answers(stream: StreamModel) -> list[float]:
    if stream.answers is None:
        stream.answers = answers(stream.source)
    return stream.answers


def _dump(head: dict[str, Any]) -> bytes:
    try:
        return json.dumps(head).encode()
    except TypeError as error:
        raise TypeError(
            f"The state of the stream cannot be written: {error}. Keep in metadata what JSON holds."
        ) from None
