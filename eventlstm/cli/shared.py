"""What the commands share: labels and lengths of time as they are typed, files to write, and saved models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..logs.forward_fill import ForwardFill, describe_doubtful_sensors
from ..logs.horizons import horizon_labels
from ..logs.index import read_index

MAX_NAMES_SHOWN = 5
OTHER_THAN_CSV = (".parquet", ".pq", ".gz")


def check_output(path: Path, *inputs: Path | None) -> None:
    """Refuse an output that cannot be written, or that would replace an input, before any work is done."""
    if path.exists() and any(given is not None and given.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"the output {str(path)!r} is also an input, and would be replaced. Name another file.")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {str(path.parent)!r} of the output does not exist. Make it first.")
    if path.is_dir():
        raise ValueError(f"the output {str(path)!r} is a folder. Pass the name of a file.")


def check_table_output(path: Path, what: str, *inputs: Path | None) -> None:
    """Refuse a table under another name than CSV, too."""
    check_output(path, *inputs)
    if path.suffix in OTHER_THAN_CSV:
        raise ValueError(f"the {what} are written as CSV. Name the output {path.with_suffix('.csv').name}.")


def write_table(table: pd.DataFrame, path: Path, *, index: bool) -> None:
    """Write a CSV beside `path` and move it into place, so that nothing is left half-written."""
    part = path.with_name(path.name + ".part")
    try:
        table.to_csv(part, index=index)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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


def read_rules(options: argparse.Namespace, y: Any, merge_gap: int) -> AlarmPolicy:
    """Return the rules for alarms on the rows of `y`, of which `merge_gap` is the default, checked before any work."""
    policy = AlarmPolicy(
        merge_gap=merge_gap if options.merge_gap is None else read_horizon(options.merge_gap),
        min_duration=read_horizon(options.min_duration),
    )
    rules_of(clone(policy).set_params(threshold=0.0), read_index(y).is_datetime)
    return policy


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
