"""What the commands share: models that fill missing values, and sensors named."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..logs.doubtful_sensors import describe_doubtful_sensors
from ..logs.forward_fill import ForwardFill
from ..logs.index import read_index
from .labels import read_horizon

MAX_NAMES_SHOWN = 5


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
