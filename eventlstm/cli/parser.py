"""The command line: ``eventlstm demo``, ``fit``, ``score``, ``detect``, ``report``, ``watch`` and ``export``."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .entry import main
from .names import BLEND, MODELS
from .options import add_event, add_raw, add_rules
from .source_options import LOG, Parser, add_source_options, add_tables, source
from .watch_options import WATCH, add_watch

__all__ = ["main", "make_parser", "run_command"]

EXAMPLES = """\
A log is a CSV or Parquet file with a row per time step: a column of times, a column per sensor, and perhaps one that
names the machine; or several such files, or a query of a database. `eventlstm COMMAND --help` tells the options.

examples:
  eventlstm demo
  eventlstm fit log.csv --time time --run machine --label failure -o model.eventlstm
  eventlstm score model.eventlstm new.csv -o scores.csv
  eventlstm detect log.csv --time time --run machine --normal-until 2024-03-01 -o alarms.csv
"""
REPORT = """\
Write a page for the browser that shows what a saved model is worth on a labelled log: a verdict, measures with
intervals beside baselines, and a timeline with a threshold to move. It is one file, and needs no network.
"""
EXPORT = """\
Write a saved model as an ONNX graph, which ONNX Runtime runs beside the machines without eventlstm: at each step it
takes a row of each machine, whether a stretch begins there, and the state of the step before. The names of the sensors,
the threshold and the rules for alarms stand in its metadata. Wants: pip install 'eventlstm[onnx]'.
"""
DETECT = """\
Learn what is normal in a log without labels, score how far each row is from it, and list the alarms: when, how high,
and which sensors. Name a part of the log that is known to be quiet; the last fifth of it, of each run, is held out to
set the threshold. Labels are not learnt: rows of events are left out, and the alarms are measured by them.
"""


def run_command(options: argparse.Namespace) -> None:
    """Run the command that was chosen, and print each warning in one line."""
    shown: set[str] = set()

    def show_warning(message: Any, *_: Any) -> None:
        text = " ".join(str(message).split())
        if text not in shown:  # once, however many fits say it
            print(f"eventlstm {options.command}: warning: {text}", file=sys.stderr)
        shown.add(text)

    with warnings.catch_warnings():
        warnings.showwarning = show_warning  # type: ignore[assignment]
        command = find_command(options.run_command)
        from ..logs.sampling_checks import TornLogWarning  # now that it costs nothing: `--help` needs none of it

        warnings.simplefilter("ignore", TornLogWarning)  # a command tears no log
        command(options)


def find_command(address: str) -> Callable[[argparse.Namespace], None]:
    """Return the function of a command; its file is read only now: torch takes seconds that `--help` can spare."""
    module, name = address.split(".")
    command: Callable[[argparse.Namespace], None] = getattr(importlib.import_module(f".{module}", __package__), name)
    return command


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="eventlstm",
        description="Find rare failures in sensor logs, with labels or without.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=ShowVersion, help="show the version of eventlstm and exit")
    commands = parser.add_subparsers(dest="command", required=True, title="commands", metavar="COMMAND")
    _add_demo(commands.add_parser("demo", help="train on a log made on the spot, and compare with baselines"))
    _add_fit(commands.add_parser("fit", help="with labels: train, measure on held-out runs, save the model"))
    _add_score(commands.add_parser("score", help="score a log with a saved model"))
    _add_detect(
        commands.add_parser("detect", help="without labels: learn what is normal, list alarms", description=DETECT)
    )
    _add_report(
        commands.add_parser(
            "report", help="show in the browser what a saved model is worth on a log", description=REPORT
        )
    )
    add_watch(commands.add_parser("watch", help="alarms from rows as they come", description=WATCH))
    _add_export(commands.add_parser("export", help="write a saved model as an ONNX graph", description=EXPORT))
    return parser


class ShowVersion(argparse.Action):
    """Prints the version; what knows it is read only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, **{**settings, "nargs": 0})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and exit."""
        from importlib import metadata

        print(f"{parser.prog} {metadata.version('eventlstm')}")
        parser.exit()


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--keep", metavar="FOLDER", type=Path, help="write the log and the model into this folder")
    _add_training_options(demo)
    demo.set_defaults(merge_gap=None, min_duration="0", max_false_alarms_per_day=None, min_recall=None, cost=None)
    demo.set_defaults(no_baselines=False, run_command="fit.run_demo")


def _add_fit(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("-o", "--output", metavar="MODEL", type=Path, required=True, help="file to save the model to")
    _add_log_options(fit, of_model=False)
    _add_drop(fit)
    _add_horizon(fit)
    fit.add_argument(
        "--max-rows", metavar="N", type=int, help="rows to learn from, events whole, of a longer log (default: 500,000)"
    )
    fit.add_argument("--threshold", type=float, help="score to alarm at: nothing is held out to choose and measure it")
    alarms = fit.add_argument_group("what alarms are, and what they may cost on rows held out")
    add_rules(alarms, merge_gap="a quarter of an event, at most 15 rows")
    alarms.add_argument("--max-false-alarms-per-day", metavar="N", type=float, help="the most that are borne a machine")
    alarms.add_argument("--min-recall", metavar="SHARE", type=float, help="the least share of events to be found")
    alarms.add_argument(
        "--cost", metavar=("MISS", "FALSE"), nargs=2, type=float, help="what a missed event and a false alarm cost"
    )
    _add_no_baselines(fit)
    _add_training_options(fit)
    fit.set_defaults(run_command="fit.run_fit")


def _add_score(score: argparse.ArgumentParser) -> None:
    score.add_argument("model", metavar="MODEL", type=Path, help="file that `eventlstm fit` or `detect` has saved")
    score.add_argument(
        "-o",
        "--output",
        metavar="SCORES",
        type=source,
        required=True,
        help="CSV file to write, or a database's URL; of many logs a folder, with scores and alarms of each",
    )
    add_tables(score, table="its table that scores go to", alarms_table="its table that alarms go to, a row for each")
    _add_log_options(score, of_model=True, many=True)
    _add_workers(score)
    score.add_argument("--device", help="torch device to score on (default: the one in fit)")
    add_raw(score)
    score.set_defaults(run_command="score.run_score")


def _add_detect(detect: argparse.ArgumentParser) -> None:
    _add_log_options(detect, of_model=False, other="--fit-on")
    _add_drop(detect)
    quiet = detect.add_argument_group("what is quiet, and learnt (default: all rows)").add_mutually_exclusive_group()
    quiet.add_argument("--normal-until", metavar="TIME", help="the rows up to this time")
    quiet.add_argument("--fit-share", metavar="SHARE", type=float, help="the first share (0.3, say) of each run")
    quiet.add_argument("--fit-on", metavar="QUIETLOG", type=source, help="all rows of this log, of like columns")
    results = detect.add_argument_group("files to write")
    results.add_argument("-o", "--output", metavar="ALARMS", type=source, help="CSV file or URL, a row per alarm")
    results.add_argument(
        "--scores", metavar="SCORES", type=source, help="CSV file or URL, a score and an alarm per row"
    )
    add_tables(results, alarms_table="table for alarms at the URL of -o", scores_table="for scores at that of --scores")
    results.add_argument("--save", metavar="MODEL", type=Path, help="the model, for `eventlstm score`")
    add_raw(detect)
    add_rules(detect, merge_gap="15 rows")
    detect.add_argument(
        "--max-false-alarms-per-day",
        metavar="N",
        type=float,
        default=1.0,
        help="what may be borne for each machine, by which the threshold is set (default: 1)",
    )
    _add_horizon(detect)
    _add_no_baselines(detect)
    _add_network_options(detect, members=2, epochs="at most 60, fewer when they bring nothing")
    detect.set_defaults(run_command="detect.run_detect")


def _add_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("model", metavar="MODEL", type=Path, help="file that `eventlstm fit` or `detect` has saved")
    _add_log_options(report, of_model=True, log=f"{LOG}: rows that were not trained on", other="--train", many=True)
    _add_workers(report)
    report.add_argument(
        "-o",
        "--output",
        metavar="PAGE",
        type=Path,
        help="file to write (default: report.html); of many logs a folder (report), whose index.html leads to all",
    )
    report.add_argument(
        "--train", metavar="LOG", type=source, help="the log of the fit, to fit baselines on that need labels"
    )
    report.add_argument("--threshold", type=float, help="score to alarm at (default: that of the model)")
    report.add_argument(
        "--early", default="0", help="how long before an event an alarm may come: rows, or 2h (default: 0)"
    )
    report.add_argument("--late", default="0", help="how long after an event an alarm may come (default: 0)")
    _add_no_baselines(report)
    report.add_argument("--title", default=None, help="title of the page")
    report.add_argument("--seed", type=int, default=0, help="seed of all draws (default: 0)")
    report.add_argument("--device", help="torch device to score on (default: the one in fit)")
    report.set_defaults(run_command="report.run_report")


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("model", metavar="MODEL", type=Path, help="file that `eventlstm fit` or `detect` has saved")
    export.add_argument("-o", "--output", metavar="GRAPH", type=Path, required=True, help="ONNX file to write")
    export.set_defaults(run_command="export.run_export")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    many = parser.add_argument_group("many logs: several files, a folder or a pattern, where the output is a folder")
    many.add_argument("--jobs", metavar="N", type=int, help="processes, a log in each (default: 1; -1: one a core)")
    many.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler to send logs to instead: tcp://host:8786")


def _add_log_options(
    parser: argparse.ArgumentParser, *, of_model: bool, log: str = LOG, other: str | None = None, many: bool = False
) -> None:
    default = "the one in fit" if of_model else "none"
    if many:
        parser.add_argument("log", metavar="LOG", type=source, nargs="+", help=f"{log}; or many")
    else:
        parser.add_argument("log", metavar="LOG", type=source, help=log)
    parser.add_argument(
        "--time", required=not of_model, help=f"column of the time{f' (default: {default})' if of_model else ''}"
    )
    parser.add_argument(
        "--run", action="append", help=f"column naming the machine or run (repeatable; default: {default})"
    )
    parser.add_argument("--label", help="column of the labels, 1 on rows of an event")
    parser.add_argument(
        "--events", metavar="FILE", type=Path, help="instead of --label: intervals, start and end columns"
    )
    add_event(parser)
    add_source_options(parser, of_model=of_model, other=other)


def _add_drop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drop", metavar="COLUMN", action="append", default=[], help="leave this column out (repeatable)"
    )


def _add_horizon(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--horizon", default="0", help="rows (12) or time (6h) before an event to warn in, counted to it (default: 0)"
    )


def _add_no_baselines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-baselines", action="store_true", help="fit nothing to compare with")


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        choices=MODELS,
        default=BLEND,
        help="all parts averaged, the networks alone, or a part: networks of either view, a forest, boosted trees "
        "(default: blend)",
    )
    parser.add_argument("--folds", type=int, default=3, help="folds to measure on (default: 3)")
    _add_network_options(parser, members=None, epochs="15, more on small logs")


def _add_network_options(parser: argparse.ArgumentParser, *, members: int | None, epochs: str) -> None:
    told = "4 in the blend, 5 alone" if members is None else members
    parser.add_argument("--window-size", type=int, default=32, help="rows of history for a score (default: 32)")
    parser.add_argument(
        "--members", type=int, default=members, help=f"networks whose scores are averaged (default: {told})"
    )
    parser.add_argument("--max-epochs", type=int, help=f"passes over the log (default: {epochs})")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default: 0)")
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")
