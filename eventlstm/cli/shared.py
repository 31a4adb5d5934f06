"""What the commands share: models that fill missing values, and sensors named."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline

from ..logs.doubtful_sensors import describe_doubtful_sensors
from ..logs.forward_fill import ForwardFill

MAX_NAMES_SHOWN = 5


def with_fill(model: Any) -> Pipeline:
    """Return a model behind a step that fills missing values."""
    return make_pipeline(ForwardFill(), model).set_output(transform="pandas")


def print_doubtful_sensors(X: pd.DataFrame) -> None:
    """Print which sensors are mostly missing or stand still, a line each."""
    for doubt in describe_doubtful_sensors(X):
        print(f"Note: {doubt}")


def enumerate_first(names: Any) -> str:
    """Return the first few names in a line."""
    shown = ", ".join(map(str, names[:MAX_NAMES_SHOWN]))
    return f"{shown}, ..." if len(names) > MAX_NAMES_SHOWN else shown
