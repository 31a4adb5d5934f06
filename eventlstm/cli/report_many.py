"""``eventlstm report`` of many logs: a page for each, and an overview that leads to them."""

from __future__ import annotations

import argparse
import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ..archive.files import load
from ..evaluation.fleet_page import LogSummary, make_fleet_page
from ..evaluation.html_report import NO_PLOTLY
from ..fleets.named_logs import NamedLog, find_logs
from ..fleets.outcomes import Outcomes, in_a_line
from ..fleets.resumed import do_or_keep, identity_of
from ..logs.doubtful_sensors import describe_doubtful_sensors
from ..logs.log import Log
from ..logs.units import ROWS_RATED, tell_count
from ..logs.whole_files import open_whole
from .report_page import has_days, read_one, read_train, write_page
from .score_many import tell_failures, workers

OVERVIEW, PAGES, FILE = "index.html", "pages", "reports.csv"
# Options that are not seen on the page of a log, or are told by what they lead to.
UNSEEN = {"cluster", "command", "jobs", "log", "model", "output", "run_command", "train", "train_query"}
DEFAULT = Path("report.html")  # the output of one log, where none is named


class Reported(NamedTuple):
    """What became of the report of a log; numbers are None where it failed."""

    name: str
    rows: int | None
    events: int | None
    found: int | None
    false_alarms: float  # of a day, or of so many rows where times are no date-times
    duty: float  # share of the quiet time under alarm
    doubts: str  # about sensors, a list of sentences as JSON
    has_dates: bool
    error: str  # empty where there is none
    key: str  # see `fleets.outcomes.Outcome`

    def summarise(self, page: str) -> LogSummary:
        """Return what the overview tells of it, with the address of the page."""
        if self.error:
            return LogSummary(self.name, "", error=self.error)
        rows, events, found = (count or 0 for count in (self.rows, self.events, self.found))
        doubts = tuple(json.loads(self.doubts))
        return LogSummary(self.name, page, rows, events, found, self.false_alarms, self.duty, doubts)


class LogReport(NamedTuple):
    """What is done for each log, by a worker of any kind."""

    options: argparse.Namespace
    out: Path

    def do(self, shared: Any, log: tuple[NamedLog, str]) -> Reported:
        """Write the page of a log; what goes wrong becomes part of the outcome."""
        (model, train), (named, key) = shared, log
        (page,) = self.results(named)
        try:
            assert isinstance(named.source, Path)
            read = read_one(model, self.options, named.source, None, told=False)
            page.parent.mkdir(parents=True, exist_ok=True)
            numbers = write_page(model, read, train, self.options, page, named.name)
        except Exception as error:
            return self.fail(named, error)
        told = LogSummary.of(named.name, "", numbers, describe_doubtful_sensors(read.X))
        doubts = json.dumps(told.doubts)
        of_alarms = (told.rows, told.events, told.found, told.false_alarms, told.duty)
        return Reported(named.name, *of_alarms, doubts, has_days(read), "", key)

    def results(self, log: NamedLog) -> tuple[Path]:
        """Return the page of a log."""
        return (self.out / _address(log),)

    def fail(self, log: NamedLog, error: BaseException) -> Reported:
        """Return the outcome of a log that there is no page of, which says why."""
        return Reported(log.name, None, None, None, math.nan, math.nan, "[]", True, in_a_line(error), "")


def run_report_many(options: argparse.Namespace) -> None:
    """Write the reports of a saved model on many files, and an overview of them."""
    _refuse(options)
    model, out = load(options.model, device=options.device), _folder(options)
    train, logs = read_train(model, options), list(find_logs(options.log, out))
    options.no_baselines = options.no_baselines or options.train is None  # else they would be fitted on each log anew
    outcomes = Outcomes(out / FILE, Reported)
    with workers(options):
        asked = _describe(model, train, options)
        do_or_keep(LogReport(options, out), (model, train), logs, outcomes, asked, total=len(logs))
    told: list[Reported] = sorted(outcomes.now.values())
    pages = {log.name: _address(log) for log in logs}
    summaries = [one.summarise(pages[one.name]) for one in told]
    per = "day" if all(one.has_dates for one in told) else f"{ROWS_RATED:,} rows"
    title = options.title or f"{options.model.stem} on {tell_count(len(logs), 'log')}"
    with open_whole(out / OVERVIEW) as file:
        file.write(make_fleet_page(summaries, title, per).encode())
    _tell(summaries, out)


def _address(log: NamedLog) -> str:
    """Return the address of the page of a log, as the overview leads to it."""
    return f"{PAGES}/{log.stem}.html"


def _describe(model: Any, train: Log | None, options: argparse.Namespace) -> str:
    """Return all that a page depends on beside its log."""
    learnt = "" if train is None else NamedLog("train", train.X.assign(**{"": train.y})).stamp()
    asked = {name: value for name, value in vars(options).items() if name not in UNSEEN}
    return f"{identity_of(model)} {options.model.stem} {learnt} {sorted(asked.items())}"


def _refuse(options: argparse.Namespace) -> None:
    if find_spec("plotly") is None:
        raise ImportError(NO_PLOTLY)
    if options.events is not None:
        raise ValueError("--events names the events of one log, and many came. Mark them in each: --label COLUMN.")


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder of the pages, made where there is none."""
    output: Path = options.output or DEFAULT.with_suffix("")
    output.mkdir(parents=True, exist_ok=True)
    return output.absolute()


def _tell(logs: list[LogSummary], out: Path) -> None:
    tell_failures((log.name, log.error) for log in logs)
    n_done = sum(not log.error for log in logs)
    print(f"Wrote the reports of {tell_count(n_done, 'log')}: open {out / OVERVIEW} in a browser.")
