"""The page of one log, as `eventlstm report` has been asked to write it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..alarms.model_scores import last_step
from ..evaluation.html_report import report
from ..logs.log import Log
from .labels import read_horizon
from .score import read_log_like


def write_page(
    model: Any, log: Log, train: Log | None, options: argparse.Namespace, path: Path, name: str
) -> dict[str, Any]:
    """Write the report of a model on a log of a name, and return its numbers."""
    return report(
        model,
        log.X,
        log.y,
        path,
        threshold=options.threshold,
        train=train,
        baselines=not options.no_baselines,
        budget=budget_of(model, has_days=has_days(log)),
        early=read_horizon(options.early),
        late=read_horizon(options.late),
        title=title_of(options, name),
        random_state=options.seed,
    )


def budget_of(model: Any, *, has_days: bool) -> float | None:
    """Return the false alarms a day that a model was to keep to, None where it knows none or the log has no days."""
    return getattr(last_step(model), "max_false_alarms_per_day", None) if has_days else None


def title_of(options: argparse.Namespace, name: str) -> str:
    """Return the title of the page of a log."""
    return options.title or f"{options.model.stem} on {name}"


def read_one(model: Any, options: argparse.Namespace, path: Path | str, query: str | None, *, told: bool = True) -> Log:
    """Read a log with the sensors of the fit, its labels 1 where the model is to alarm."""
    return read_log_like(model, argparse.Namespace(**{**vars(options), "log": path, "query": query}), told=told)


def read_train(model: Any, options: argparse.Namespace) -> Log | None:
    """Read the labelled log that baselines are fitted on, None where there is none."""
    train = None if options.train is None else read_one(model, options, options.train, options.train_query, told=False)
    if train is not None and train.y is None:
        raise ValueError("baselines are fitted on labels: pass --label COLUMN or --events FILE beside --train.")
    return train


def has_days(log: Log) -> bool:
    """Return whether the times of a log are date-times."""
    return log.X.index.get_level_values(-1).dtype.kind in "mM"
