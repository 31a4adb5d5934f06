"""Scores and alarms as tables of a database: refused before any work, written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..logs.database_tables import check_tables, write_tables
from ..logs.stored_table import StoredTable
from ..logs.urls import show
from .outputs import ALARM_COLUMNS, SCORE_COLUMNS

Output = Path | str | None


def check_targets(targets: Mapping[str, tuple[Output, str | None]], names: list[Any]) -> None:
    """Refuse tables that cannot be written; `targets` are outputs and tables by option, `names` the columns."""
    for option, (output, table) in targets.items():
        if isinstance(output, str) and not table:
            raise ValueError(f"{show(output)} is a database. Name the table in it too: {option} NAME.")
        if not isinstance(output, str) and table:
            raise ValueError(f"{option} {table} names a table, but the output is no database. Pass its URL.")
    wanted = [(output, table) for output, table in targets.values() if isinstance(output, str)]
    for k, target in enumerate(wanted):
        if target in wanted[:k]:
            raise ValueError(f"two outputs have the same table, {target[1]}. Name a table for each of them.")
    columns = {"--table": SCORE_COLUMNS, "--scores-table": SCORE_COLUMNS, "--alarms-table": ALARM_COLUMNS}
    for option, (output, table) in targets.items():
        if isinstance(output, str) and table:
            keys = names if columns[option] is SCORE_COLUMNS else names[:-1]
            empty = pd.DataFrame(columns=[*keys, *columns[option]])
            check_tables(output, [StoredTable(table, empty, keys)])


def write_all(*tables: tuple[Output, StoredTable | None]) -> None:
    """Write tables, those of one database in one transaction, and say which were written."""
    urls = dict.fromkeys(output for output, table in tables if isinstance(output, str) and table is not None)
    for url in urls:
        own = [table for output, table in tables if output == url and table is not None]
        write_tables(url, own)
        told = ", ".join(f"{len(table.rows)} rows of {table.name}" for table in own)
        print(f"Wrote {told} to {show(url)}.")


def scores_table(name: str | None, scores: pd.DataFrame) -> StoredTable | None:
    """Return scores as a table to store, whose rows replace those of the same run and time."""
    return None if name is None else StoredTable(name, scores.reset_index(), list(scores.index.names))


def alarms_table(name: str | None, alarms: pd.DataFrame, index: pd.Index) -> StoredTable | None:
    """Return alarms of a log as a table to store; they replace all that began in the time of its runs."""
    if name is None:
        return None
    runs, times = list(index.names[:-1]), index.get_level_values(-1).to_series(index=index)
    spans = pd.DataFrame({"first": [times.min()], "last": [times.max()]})
    if runs:
        spans = times.groupby(level=list(range(len(runs))), sort=False).agg(first="min", last="max").reset_index()
    return StoredTable(name, _like(alarms, index), [*runs, "start"], spans)


def _like(alarms: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Return alarms whose columns are of the types of the log also where there is none."""
    kinds = {name: index.get_level_values(-1).dtype for name in ("start", "end", "peak")}
    kinds |= {name: index.get_level_values(name).dtype for name in index.names[:-1]}
    return alarms.astype({**kinds, "peak_score": "float64", "sensors": "str"})
