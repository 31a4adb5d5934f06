"""What became of each of many logs: a table in a file, by which work goes on where it has stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import pandas as pd

from ..logs.spreadsheets import as_text, as_text_cell
from ..logs.whole_files import open_whole

FILE = "outcomes.csv"
# What is lost where a process is killed: the outcomes of so many seconds, whose logs are then done again.
SECONDS_BETWEEN = 1.0


class Outcome(NamedTuple):
    """What became of a log that was scored; numbers are None where it failed."""

    name: str
    rows: int | None
    runs: int | None
    alarms: int | None
    seconds: float
    error: str  # empty where there is none
    key: str  # of the log, the model and what was asked for, so that a change in any is seen


def in_a_line(error: BaseException) -> str:
    """Return what an error says, in a line."""
    return " ".join(f"{error}".split()) or type(error).__name__


class Outcomes:
    """The outcomes in a folder of results, those of work before included.

    Parameters
    ----------
    path : Path
        The file of the table.
    kind : type
        A named tuple such as `Outcome`, with "name", "error" and "key" among its fields.
    """

    def __init__(self, path: Path, kind: Any) -> None:
        self.path, self.kind = path, kind
        self.before: dict[str, Any] = {old.name: old for old in _read(path, kind)}
        self.now: dict[str, Any] = {}
        self.written = time.monotonic()

    def done(self, name: str, key: str) -> Any:
        """Return the outcome of a log that was done before and has not changed since, None where there is none."""
        before = self.before.get(name)
        return before if before is not None and before.key == key else None

    def forget(self, names: Iterable[str]) -> None:
        """Forget what became before of logs that are done again, before their results are replaced."""
        if [old for name in names if (old := self.before.pop(name, None)) is not None]:
            self.write()

    def add(self, outcome: Any) -> None:
        """Take one more, and write all if some time has passed."""
        self.now[outcome.name] = outcome
        if time.monotonic() - self.written > SECONDS_BETWEEN:
            self.write()

    def write(self) -> None:
        """Write all outcomes, those of other logs that were done before among them."""
        with open_whole(self.path) as file:
            as_text(self._tabulate({**self.before, **self.now})).to_csv(file, index=False)
        self.written = time.monotonic()

    def table(self) -> pd.DataFrame:
        """Return the outcomes of this work, by name."""
        return self._tabulate(self.now)

    def _tabulate(self, outcomes: dict[str, Any]) -> pd.DataFrame:
        table = pd.DataFrame(sorted(outcomes.values()), columns=self.kind._fields)
        return table.astype({name: DTYPES[kind] for name, kind in get_type_hints(self.kind).items() if kind in DTYPES})


def _read(path: Path, kind: Any) -> Iterable[Any]:
    """Return the outcomes in a file, those of failures left out: they are tried again."""
    if not path.exists():
        return []
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.stat().st_size else pd.DataFrame()
    if tuple(table.columns) != kind._fields:
        raise ValueError(f"{path} is no table of outcomes, and would be replaced. Name another folder for the results.")
    readers = [READERS[kind] for kind in get_type_hints(kind).values()]
    done = table[table["error"] == ""].itertuples(index=False, name=None)
    return [kind(*(read(cell) for read, cell in zip(readers, row, strict=True))) for row in done]


def _read_text(cell: str) -> str:
    """Return a text as it was before it got an apostrophe, see `logs.spreadsheets`."""
    return cell[1:] if cell[:1] == "'" and as_text_cell(cell[1:]) == cell else cell


DTYPES = {int | None: "Int64", float: float}
READERS: dict[Any, Callable[[str], Any]] = {
    str: _read_text,
    float: lambda cell: float(cell or "nan"),
    int | None: int,
    bool: "True".__eq__,
}
