"""Options that say where a log comes from and where tables go: patterns, queries, long tables, databases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from .secrets import hide_users

LOG = "CSV, CSV.gz or Parquet file, a row per time step; a folder, a pattern ('logs/*.csv'), a database's URL"


class Parser(argparse.ArgumentParser):
    """A parser that repeats no password where it complains."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        super().error(hide_users(message))


def source(text: str) -> Path | str:
    """Return a path, or the URL of a database as text, which a path would break."""
    return text if "://" in text else Path(text)


def add_source_options(parser: Any, *, of_model: bool, other: str | None = None) -> None:
    """Add the options of a log; `other` is the option of a second log, which has a query of its own."""
    kept = "; what is not said is as in fit" * of_model
    group = parser.add_argument_group(f"a log that is a query, or a long table with a row per reading{kept}")
    group.add_argument(
        "--query", metavar="SQL", help="its result is the log: at a URL in that database, else over the files, as log"
    )
    if other is not None:
        group.add_argument(f"{other}-query", metavar="SQL", help=f"the same of the log of {other}")
    group.add_argument("--layout", choices=("wide", "long"), default=None if of_model else "wide", help="default: wide")
    group.add_argument("--sensor", metavar="COLUMN", help="column of a long table that names the sensor")
    group.add_argument("--value", metavar="COLUMN", help="column of what it read")
    group.add_argument("--step", metavar="SPAN", help="from row to row: 10s (default: that of the fastest sensor)")
    group.add_argument("--max-age", metavar="SPAN", help="how old a value may be in a row (default: however old)")
    group.add_argument("--ages", action="store_true", default=None, help="take the ages of values for sensors, too")


def add_tables(parser: Any, **tables: str) -> None:
    """Add options that name tables of a database, which take rows where outputs are URLs."""
    for name, told in tables.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TABLE", help=told)
