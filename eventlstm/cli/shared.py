"""What the commands share: files to write, models that fill missing values, and sensors named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline

from ..logs.doubtful_sensors import describe_doubtful_sensors
from ..logs.forward_fill import ForwardFill

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
