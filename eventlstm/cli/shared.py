"""What the commands share: labels and lengths of time as they are typed, and models that fill gaps."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline

from ..logs.forward_fill import ForwardFill, describe_doubtful_sensors
from ..logs.horizons import horizon_labels

MAX_NAMES_SHOWN = 5


def find_event(y: pd.Series) -> Any:
    """Return the class that marks events: 1 beside 0, else the rarer of two."""
    classes = y.value_counts()
    if len(classes) != 2:
        raise ValueError(
            f"the label has {len(classes)} classes ({', '.join(map(str, classes.index[:5]))}); two are wanted: quiet "
            "rows and rows of an event. Label at least one event, and mark all kinds of events alike."
        )
    return 1 if set(classes.index) == {0, 1} else classes.index[-1]


def read_labels(y: pd.Series, event: Any, horizon: str) -> pd.Series:
    """Return 1 on rows of an event and within the horizon before one, else 0."""
    return horizon_labels((y == event).astype(int), read_horizon(horizon))


def read_horizon(text: str) -> int | float | str:
    """Return rows, a number in the unit of the time, or a length of time such as 6h."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text


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
