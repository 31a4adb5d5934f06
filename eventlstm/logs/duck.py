"""DuckDB, an embedded database: queries over its files and over CSV and Parquet, and tables written into it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from .columns import read_names
from .plain_types import plain_columns
from .stored_table import StoredTable
from .urls import IN_MEMORY, duckdb_file, show

LOG = "log"  # what a query calls the files
NO_DUCKDB = 'Queries over files and DuckDB databases need duckdb. Run: pip install "eventlstm[duckdb]"'
KINDS = {
    "text": "VARCHAR",
    "whole": "BIGINT",
    "number": "DOUBLE",
    "time": "TIMESTAMP",
    "zoned time": "TIMESTAMP WITH TIME ZONE",
}
QUOTE = "'"  # around texts, where names have others
NEW, OLD, STAGED = "new_rows", "old_rows", "staged_rows"


def fetch(url: str, query: str) -> pd.DataFrame:
    """Return what a query finds in a database, in its order; nothing that it does is kept."""
    file = duckdb_file(url)
    if file is not None and not file.exists():
        raise FileNotFoundError(f"{show(url)}: There is no such database file.")
    with _open(file, is_read=True) as connection:
        return _fetch(connection, query)


def fetch_from_files(paths: Sequence[Path], query: str, text: Sequence[str] = ()) -> pd.DataFrame:
    """Return what a query finds in files of one kind, which it calls ``log``; `text` are columns whose 07 is no 7."""
    kinds = {path.name.lower().endswith((".parquet", ".pq")) for path in paths}
    if len(kinds) > 1:
        raise ValueError("A query reads files of one kind. Name the CSV files or the Parquet files alone.")
    names = ", ".join(_quote(glob.escape(str(path)), QUOTE) for path in paths)
    reader = f"read_parquet([{names}])" if kinds.pop() else f"read_csv([{names}], {_csv_settings(paths[0], text)})"
    with _open(None, is_read=True) as connection:
        connection.execute(f"CREATE VIEW {LOG} AS SELECT * FROM {reader}")
        return _fetch(connection, query)


def _csv_settings(path: Path, text: Sequence[str]) -> str:
    kinds = ", ".join(f"{_quote(name, QUOTE)}: 'VARCHAR'" for name in read_names(path) if name in text)
    return f"header = true, sample_size = -1{f', types = {{{kinds}}}' * bool(kinds)}"


def _fetch(connection: Any, query: str) -> pd.DataFrame:
    result = connection.sql(query)
    if result is None:
        raise ValueError("The query returns no table. Pass a SELECT.")
    return plain_columns(result.df())


def check(url: str, tables: Sequence[StoredTable]) -> None:
    """Refuse tables that cannot take such rows, before any work."""
    with _open(duckdb_file(url)) as connection:
        for table in tables:
            _find_columns(connection, table)


def write(url: str, tables: Sequence[StoredTable]) -> None:
    """Write tables in one transaction, which are made where they are not there; rows of the same keys are replaced."""
    with _open(duckdb_file(url)) as connection:
        connection.execute("BEGIN")
        for table in tables:
            _replace(connection, table)
        connection.execute("COMMIT")


def _replace(connection: Any, table: StoredTable) -> None:
    if not _find_columns(connection, table):
        columns = [f"{_quote(name)} {KINDS[kind]}" for name, kind in table.kinds().items()]
        keys = ", ".join(map(_quote, table.keys))
        connection.execute(f"CREATE TABLE {_address(table)} ({', '.join(columns)}, PRIMARY KEY ({keys}))")
    names = ", ".join(map(_quote, table.rows.columns))
    connection.register(NEW, table.rows)
    # In the types of the table: runs may be numbers in this log and text in others.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {STAGED} AS SELECT {names} FROM {_address(table)} LIMIT 0")
    connection.execute(f"INSERT INTO {STAGED} SELECT {names} FROM {NEW}")
    connection.execute(f"DELETE FROM {_address(table)} AS kept USING {_condition(connection, table)}")
    connection.execute(f"INSERT INTO {_address(table)} ({names}) SELECT {names} FROM {STAGED}")


def _condition(connection: Any, table: StoredTable) -> str:
    """Return what rows of before are replaced by, and where."""
    if table.spans is None:
        same = [f"kept.{_quote(name)} = {STAGED}.{_quote(name)}" for name in table.keys]
        return f"{STAGED} WHERE {' AND '.join(same)}"
    *runs, start = table.keys
    connection.register(OLD, table.spans.set_axis([*runs, "first", "last"], axis=1))
    same = [f"kept.{_quote(name)}::VARCHAR = {OLD}.{_quote(name)}::VARCHAR" for name in runs]
    within = f"kept.{_quote(start)} BETWEEN {OLD}.first AND {OLD}.last"
    return f"{OLD} WHERE {' AND '.join([*same, within])}"


def _find_columns(connection: Any, table: StoredTable) -> list[str]:
    """Return the columns of a table, none where there is no table, and refuse one of other columns."""
    asked = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND schema_name = ? AND NOT internal"
    found = connection.execute(asked, [table.table, table.schema or "main"]).fetchall()
    columns = [name for (name,) in found]
    if columns:
        table.check_columns(columns)
    return columns


def _address(table: StoredTable) -> str:
    return f"{_quote(table.schema or 'main')}.{_quote(table.table)}"


def _quote(name: Any, mark: str = '"') -> str:
    """Return a name or a text as SQL takes it, whatever it holds."""
    return f"{mark}{str(name).replace(mark, 2 * mark)}{mark}"


@contextmanager
def _open(file: Path | None, *, is_read: bool = False) -> Iterator[Any]:
    try:
        import duckdb
    except ImportError as error:
        raise ImportError(NO_DUCKDB) from error
    try:
        with duckdb.connect(IN_MEMORY if file is None else str(file), read_only=is_read and file is not None) as opened:
            yield opened
    except duckdb.Error as error:
        raise ValueError(f"DuckDB says: {' '.join(str(error).split())}") from None
