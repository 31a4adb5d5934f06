"""Logs as commands read them: by queries and long tables too, told by options or by what a model was fitted on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from ..logs.files import read_log_and_clock
from ..logs.log import Log
from ..logs.long_tables import CARRIED, STEP, LongLayout
from ..logs.times import Clock

FIELDS = ("sensor", "value", "step", "max_age", "ages")


def read_source(
    path: Path | str, options: argparse.Namespace, *, model: Any = None, told: bool = True, **arguments: Any
) -> tuple[Log, Clock]:
    """Return a log and how its times are written; of a long table it is told what became of it."""
    long = _find_layout(options, model)
    log, clock = read_log_and_clock(path, long=long, **arguments)
    if long is not None and told:
        print(describe_step(log.X))
    return log, clock


def read_to_learn(options: argparse.Namespace) -> tuple[Log, Clock]:
    """Return the log that a command is to learn from, and how its times are written."""
    named = {name: getattr(options, name) for name in ("query", "time", "run", "label", "events", "drop")}
    return read_source(options.log, options, **named)


def _find_layout(options: argparse.Namespace, model: Any) -> LongLayout | None:
    """Return the layout that options say, or else that of the log that a model was fitted on."""
    said = {name: getattr(options, name) for name in FIELDS if getattr(options, name) is not None}
    known = getattr(model, "long_layout_", None)
    layout = options.layout or ("long" if known else "wide")
    return LongLayout.of(layout, **({**(known or {}), **said} if layout == "long" else said))


def keep_layout(model: Any, X: pd.DataFrame, options: argparse.Namespace) -> None:
    """Keep in a model how its log was read from a long table, with the step that was learnt."""
    long = _find_layout(options, None)
    if long is not None:
        told = {name: value for name, value in long._asdict().items() if value is not None}
        model.long_layout_ = {**told, "step": X.attrs[STEP]}


def describe_step(X: pd.DataFrame) -> str:
    """Say how long it is from row to row, and how many values are older than that."""
    shares = X.attrs[CARRIED].values()
    carried = sum(shares) / max(len(shares), 1)
    return f"A row every {X.attrs[STEP]}; {carried:.1%} of the values are carried forward from the row before."
