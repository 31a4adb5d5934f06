"""``eventlstm report``: a page for the browser of what a saved model is worth on a labelled log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..alarms.model_scores import last_step
from ..archive.files import load
from ..evaluation.html_report import report
from ..logs.log import Log
from .score import read_log_like
from .shared import check_output, read_horizon, read_labels

DESCRIPTION = """\
Write a page for the browser that shows what a saved model is worth on a labelled log: a verdict, measures with
intervals beside baselines, and a timeline with a threshold to move. It is one file, and needs no network.
"""


def add_parser(commands: Any) -> None:
    """Add the command to those of the program."""
    parser = commands.add_parser(
        "report", help="show in the browser what a saved model is worth on a log", description=DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="file that `eventlstm fit` or `detect` has saved")
    parser.add_argument("log", metavar="LOG", type=Path, help="CSV or Parquet file: rows that were not trained on")
    parser.add_argument("-o", "--output", metavar="PAGE", type=Path, default=Path("report.html"), help="file to write")
    parser.add_argument("--time", help="column of the time (default: the one in fit)")
    parser.add_argument("--run", action="append", help="column naming the machine or run (default: the one in fit)")
    parser.add_argument("--label", help="column of the labels, 1 on rows of an event")
    parser.add_argument(
        "--events", metavar="FILE", type=Path, help="instead of --label: intervals, start and end columns"
    )
    parser.add_argument(
        "--train", metavar="LOG", type=Path, help="the log of the fit, to fit baselines on that need labels"
    )
    parser.add_argument("--threshold", type=float, help="score to alarm at (default: that of the model)")
    parser.add_argument(
        "--early", default="0", help="how long before an event an alarm may come: rows, or 2h (default: 0)"
    )
    parser.add_argument("--late", default="0", help="how long after an event an alarm may come (default: 0)")
    parser.add_argument("--no-baselines", action="store_true", help="fit nothing to compare with")
    parser.add_argument("--title", default=None, help="title of the page")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default: 0)")
    parser.add_argument("--device", help="torch device to score on (default: the one in fit)")
    parser.set_defaults(run_command=run_report)


def run_report(options: argparse.Namespace) -> None:
    """Write the report of a saved model on a file."""
    check_output(options.output, options.log, options.events, options.model, options.train)
    model = load(options.model, device=options.device)
    log = _read(model, options, options.log)
    train = None if options.train is None else _read(model, options, options.train)
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
        title=options.title or f"{options.model.stem} on {options.log.name}",
        random_state=options.seed,
    )
    print(numbers["verdict"])
    for warning in numbers["warnings"]:
        print(f"Note: {warning}")
    print(f"Wrote {options.output}: open it in a browser.")


def _read(model: Any, options: argparse.Namespace, path: Path) -> Log:
    """Read a log with the sensors of the fit, its labels 1 where the model is to alarm."""
    told = argparse.Namespace(**{**vars(options), "log": path})
    X, y = read_log_like(model, told)
    if y is None:
        return Log(X, None)
    event, horizon = getattr(model, "event_label_", 1), getattr(model, "horizon_", "0")
    return Log(X, read_labels(y, 1 if options.events else event, horizon))


def _has_days(log: Log) -> bool:
    return log.X.index.get_level_values(-1).dtype.kind in "mM"
