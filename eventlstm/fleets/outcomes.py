"""What became of each of many logs: a table in a file, by which work goes on where it has stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..logs.spreadsheets import as_text
from ..logs.whole_files import open_whole

FILE = "outcomes.csv"
# What is lost where a process is killed: the outcomes of so many seconds, whose logs are then scored again.
SECONDS_BETWEEN = 1.0


class Outcome(NamedTuple):
    """What became of a log; numbers are None where it failed."""

    name: str
    rows: int | None
    runs: int | None
    alarms: int | None
    seconds: float
    error: str  # empty where there is none
    key: str  # of the log, the model and what was asked for, so that a change in any is seen


class Outcomes:
    """The outcomes in a folder of results, those of work before included."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.before = _read(self.path)
        self.now: dict[str, Outcome] = {}
        self.written = time.monotonic()

    def done(self, key: str) -> Outcome | None:
        """Return the outcome of a log that was done before and has not changed since, None where there is none."""
        return self.before.get(key)

    def add(self, outcome: Outcome) -> None:
        """Take one more, and write all if some time has passed."""
        self.now[outcome.name] = outcome
        if time.monotonic() - self.written > SECONDS_BETWEEN:
            self.write()

    def write(self) -> None:
        """Write all outcomes, those of other logs that were done before among them."""
        others = [old for old in self.before.values() if old.name not in self.now]
        with open_whole(self.path) as file:
            as_text(as_table([*self.now.values(), *others])).to_csv(file, index=False)
        self.written = time.monotonic()

    def table(self) -> pd.DataFrame:
        """Return the outcomes of this work, by name."""
        return as_table(list(self.now.values()))


def as_table(outcomes: list[Outcome]) -> pd.DataFrame:
    """Return outcomes as a table, sorted by name."""
    table = pd.DataFrame(sorted(outcomes), columns=Outcome._fields)
    return table.astype({"rows": "Int64", "runs": "Int64", "alarms": "Int64", "seconds": float})


def _read(path: Path) -> dict[str, Outcome]:
    """Return the outcomes in a file by their keys, those of failures left out: they are tried again."""
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.stat().st_size else pd.DataFrame()
    if tuple(table.columns) != Outcome._fields:
        raise ValueError(f"{path} is no table of outcomes, and would be replaced. Name another folder for the results.")
    return {row[-1]: _parse(row) for row in table.itertuples(index=False, name=None) if not row[5]}


def _parse(row: tuple[str, ...]) -> Outcome:
    name, rows, runs, alarms, seconds, error, key = row
    return Outcome(name.removeprefix("'"), int(rows), int(runs), int(alarms), float(seconds), error, key)
