"""Names of machines and times as JSON holds them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

READERS = {"time": pd.Timestamp, "span": pd.Timedelta, "date": date.fromisoformat}


def to_json(value: Any) -> Any:
    """Return a name or a time as JSON holds it."""
    if isinstance(value, tuple):
        return {"tuple": [to_json(part) for part in value]}
    if isinstance(value, datetime | np.datetime64):
        return {"time": pd.Timestamp(value).isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, timedelta | np.timedelta64):
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
    return READERS[kind](held)
