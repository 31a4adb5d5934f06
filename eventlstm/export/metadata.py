"""What a graph says of itself beside its numbers: texts by key, JSON where they are more than a name or a number."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.model_scores import last_step, policy_of, threshold_of, window_size_of
from .graph import Graph


def describe_step(model: Any, graph: Graph, sensors: list[str]) -> dict[str, str]:
    """Return the metadata of a model of logs."""
    inner = last_step(model)
    cut_by = _first_part(model)
    said = _common(model, "step") | {
        "sensors": sensors,
        "policy": policy_of(model).get_params(),
        "window_size": getattr(inner, "window_size_", window_size_of(model)),
        "max_gap": _finite(cut_by.max_gap_),
        "time_unit": "ns" if cut_by.has_dates_ else "index",
        "state": [
            {"input": name, "output": f"new_{name}", "shape": list(shape), "dtype": dtype, "initial": 0}
            for name, shape, dtype in graph.states
        ],
    }
    if getattr(inner, "run_scales_", None):
        said["runs"] = "All are scored as runs that fit did not see: by the scale of errors common to all."
    return _as_texts(said)


def describe_windows(model: Any, shape: tuple[int, int]) -> dict[str, str]:
    """Return the metadata of an estimator of windows of shape (n_timesteps, n_channels)."""
    return _as_texts(_common(model, "window") | {"n_timesteps": shape[0], "n_channels": shape[1]})


def _common(model: Any, form: str) -> dict[str, Any]:
    inner = last_step(model)
    classes = getattr(inner, "classes_", None)
    said: dict[str, Any] = {"form": form, "model": type(inner).__name__, "eventlstm": metadata.version("eventlstm")}
    said |= {"threshold": threshold_of(model)}
    return said | ({} if classes is None else {"classes": classes.tolist()})


def _first_part(model: Any) -> Any:
    """Return the part of a model that knows what ends a stretch: of a blend, the first, as all of them do."""
    inner = last_step(model)
    return inner if hasattr(inner, "max_gap_") else _first_part(inner.estimators_[0])


def _finite(number: float) -> float | None:
    """Return a number, None in place of infinity, which JSON does not know."""
    return number if np.isfinite(number) else None


def _as_texts(said: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value, default=_plain) for key, value in said.items()}


def _plain(value: Any) -> Any:
    """Return what JSON takes for a value: numbers of NumPy as numbers, lengths of time as text."""
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, pd.Timedelta) else repr(value)
