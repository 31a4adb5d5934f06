"""``eventlstm report``: a page for the browser of what a saved model is worth on a labelled log."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from ..alarms.model_scores import last_step
from ..archive.files import load
from ..evaluation.html_report import report
from ..logs.log import Log
from ..logs.urls import name_source
from .labels import read_horizon
from .outputs import check_outputs
from .score import read_log_like


def run_report(options: argparse.Namespace) -> None:
    """Write the report of a saved model on a file."""
    check_outputs({}, [options.output], options.log, options.events, options.model, options.train)
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise ValueError(f"--threshold {options.threshold:g} is no score to alarm at. Pass a finite number.")
    model = load(options.model, device=options.device)
    log = _read(model, options, options.log, options.query)
    train = None if options.train is None else _read(model, options, options.train, options.train_query, told=False)
    if train is not None and train.y is None:
        raise ValueError("baselines are fitted on labels: pass --label COLUMN or --events FILE beside --train.")
    numbers = report(
        model,
        log.X,
        log.y,
        options.output,
        threshold=options.threshold,
        train=train,
        baselines=not options.no_baselines,
        budget=getattr(last_step(model), "max_false_alarms_per_day", None) if _has_days(log) else None,
        early=read_horizon(options.early),
        late=read_horizon(options.late),
        title=options.title or f"{options.model.stem} on {name_source(options.log)}",
        random_state=options.seed,
    )
    print(numbers["verdict"])
    for warning in numbers["warnings"]:
        print(f"Note: {warning}")
    print(f"Wrote {options.output}: open it in a browser.")


def _read(model: Any, options: argparse.Namespace, path: Path | str, query: str | None, *, told: bool = True) -> Log:
    """Read a log with the sensors of the fit, its labels 1 where the model is to alarm."""
    return read_log_like(model, argparse.Namespace(**{**vars(options), "log": path, "query": query}), told=told)


def _has_days(log: Log) -> bool:
    return log.X.index.get_level_values(-1).dtype.kind in "mM"
