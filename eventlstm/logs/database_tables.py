"""Tables written into databases, whichever engine they are of: found out before any work, then all or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .columns import name_faults
from .stored_table import StoredTable
from .urls import database_file, is_duckdb, show
from .whole_files import check_outputs


def check_tables(url: str, tables: Sequence[StoredTable]) -> None:
    """Refuse tables that a database cannot take, before any work.

    Raises
    ------
    ValueError
        If the database cannot be reached, or a table has other columns.
    """
    _check_place(url)
    file = database_file(url)
    if file is None or file.exists():
        with name_faults(show(url)):
            _backend(url).check(url, tables)


def write_tables(url: str, tables: Sequence[StoredTable]) -> None:
    """Write tables into a database, all or none; rows of before that have the same keys are replaced.

    Raises
    ------
    ValueError
        If the database refuses them; all its tables are then as they were.
    """
    with name_faults(show(url)):
        _backend(url).write(url, tables)


def _backend(url: str) -> Any:
    if is_duckdb(url):
        from . import duck

        return duck
    from . import sql

    return sql


def _check_place(url: str) -> None:
    file = database_file(url)
    if file is not None:
        check_outputs([file])
    elif is_duckdb(url):
        raise ValueError(f"{show(url)} is in memory, and gone at the end. Name a file: duckdb:///scores.db")
