"""``eventlstm report`` of many logs: a page for each, and an overview that leads to them."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..archive.files import load
from ..evaluation.fleet_page import LogSummary, make_fleet_page
from ..evaluation.html_report import NO_PLOTLY
from ..fleets.each_log import do_for_each
from ..fleets.named_logs import NamedLog, find_logs
from ..logs.doubtful_sensors import describe_doubtful_sensors
from ..logs.units import ROWS_RATED, tell_count
from ..logs.whole_files import open_whole
from .report_page import has_days, read_one, read_train, write_page
from .score_many import tell_failures, workers

OVERVIEW, PAGES = "index.html", "pages"
DEFAULT = Path("report.html")  # the output of one log, where none is named


class LogReport(NamedTuple):
    """What is done for each log, by a worker of any kind."""

    options: argparse.Namespace
    out: Path

    def write(self, shared: Any, log: NamedLog) -> tuple[LogSummary, bool]:
        """Write the page of a log, and return what the overview tells of it, and whether its times are date-times."""
        (model, train), page = shared, f"{PAGES}/{log.stem}.html"
        try:
            assert isinstance(log.source, Path)
            read = read_one(model, self.options, log.source, None, told=False)
            (self.out / page).parent.mkdir(parents=True, exist_ok=True)
            numbers = write_page(model, read, train, self.options, self.out / page, log.name)
        except Exception as error:
            return LogSummary(log.name, "", error=" ".join(f"{error}".split()) or type(error).__name__), True
        return LogSummary.of(log.name, page, numbers, describe_doubtful_sensors(read.X)), has_days(read)


def run_report_many(options: argparse.Namespace) -> None:
    """Write the reports of a saved model on many files, and an overview of them."""
    _refuse(options)
    model, out = load(options.model, device=options.device), _folder(options)
    shared, logs = (model, read_train(model, options)), list(find_logs(options.log, out))
    options.no_baselines = options.no_baselines or options.train is None  # else they would be fitted on each log anew
    job = LogReport(options, out)
    with workers(options), tqdm(total=len(logs), unit="log", disable=None) as bar:
        told = []
        for summary in do_for_each(job.write, shared, logs, None, out):
            told.append(summary)
            bar.update()
    summaries = sorted((summary for summary, _ in told), key=lambda summary: summary.name)
    per = "day" if all(dated for _, dated in told) else f"{ROWS_RATED:,} rows"
    title = options.title or f"{options.model.stem} on {tell_count(len(logs), 'log')}"
    with open_whole(out / OVERVIEW) as file:
        file.write(make_fleet_page(summaries, title, per).encode())
    _tell(summaries, out)


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
