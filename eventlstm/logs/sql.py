"""Databases that SQLAlchemy knows, from SQLite to PostgreSQL with TimescaleDB: a query read, tables written.

Each call is one connection and one transaction: of a query nothing stays behind, of tables all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from pandas.api import types

from .columns import quote
from .plain_types import plain_columns
from .stored_table import StoredTable
from .urls import database_file, fill_in, hide, show

ROWS_AT_ONCE = 50_000  # of a result, as Python objects some 20 MB
MAX_LENGTH = 180  # of what a database says
VALUE = "value_{}"  # the name of what is bound at a place
POSTGRESQL = ("postgresql", "postgres", "timescaledb")  # as users write it; psycopg is the driver
NO_SQL = 'Databases need SQLAlchemy, PostgreSQL also psycopg. Run: pip install "eventlstm[sql]"'


def fetch(url: str, query: str) -> pd.DataFrame:
    """Return what a query finds, in its order."""
    with _transaction(url, is_read=True) as connection:
        result = connection.exec_driver_sql(query, execution_options={"no_parameters": True, "stream_results": True})
        if not result.returns_rows:
            raise ValueError("The query returns no table. Pass a SELECT.")
        names = list(result.keys())
        parts = [_to_table(rows, names) for rows in result.partitions(ROWS_AT_ONCE)]
        return plain_columns(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame(columns=names)


def _to_table(rows: Sequence[Any], names: list[str]) -> pd.DataFrame:
    return plain_columns(pd.DataFrame.from_records(list(map(tuple, rows)), columns=names))


def check(url: str, tables: Sequence[StoredTable]) -> None:
    """Refuse tables that cannot take such rows, before any work."""
    with _transaction(url, is_read=True) as connection:
        for table in tables:
            _find_types(connection, table)


def write(url: str, tables: Sequence[StoredTable]) -> None:
    """Write tables in one transaction, which are made where they are not there; rows of the same keys are replaced."""
    with _transaction(url) as connection:
        for table in tables:
            _replace(connection, table)


def _replace(connection: Any, table: StoredTable) -> None:
    sql = _import_sqlalchemy()
    found = _find_types(connection, table)
    if not found:
        _define(table, connection).create(connection)
    texts = [name for name, kind in found.items() if isinstance(kind, sql.String)]
    is_sqlite = connection.dialect.name == "sqlite"
    target = sql.table(table.table, *map(sql.column, table.rows.columns), schema=table.schema)
    old, conditions = _condition(table, target)
    values = {name: sql.bindparam(VALUE.format(k)) for k, name in enumerate(table.rows.columns)}
    for statement, rows in (
        (sql.delete(target).where(*conditions), old if found else old[:0]),
        (sql.insert(target).values(values), table.rows),
    ):
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            some = rows.iloc[begin : begin + ROWS_AT_ONCE]
            connection.execute(statement, _to_records(some, texts, is_sqlite))


def _condition(table: StoredTable, target: Any) -> tuple[pd.DataFrame, list[Any]]:
    """Return the values by which rows are replaced, and the conditions that hold for these, bound to them by place."""
    sql = _import_sqlalchemy()
    if table.spans is None:
        old, names = table.rows[table.keys], table.keys
        return old, [target.c[name] == sql.bindparam(VALUE.format(k)) for k, name in enumerate(names)]
    *runs, start = table.keys
    conditions = [target.c[name] == sql.bindparam(VALUE.format(k)) for k, name in enumerate(runs)]
    first, last = sql.bindparam(VALUE.format(len(runs))), sql.bindparam(VALUE.format(len(runs) + 1))
    return table.spans, [*conditions, target.c[start] >= first, target.c[start] <= last]


def _find_types(connection: Any, table: StoredTable) -> dict[str, Any]:
    """Return the types of the columns of a table, none where there is no table, and refuse one of other columns."""
    sql = _import_sqlalchemy()
    inspector = sql.inspect(connection)
    if not inspector.has_table(table.table, schema=table.schema):
        return {}
    found = {column["name"]: column["type"] for column in inspector.get_columns(table.table, schema=table.schema)}
    table.check_columns(list(found))
    return found


def _define(table: StoredTable, connection: Any) -> Any:
    sql = _import_sqlalchemy()
    key = sql.Text().with_variant(sql.String(255), "mysql", "mariadb", "mssql", "oracle")  # those index no long text
    kinds = {"text": key, "whole": sql.BigInteger(), "number": sql.Double()}
    is_sqlite = connection.dialect.name == "sqlite"  # which has no times
    kinds |= {
        "time": sql.Text() if is_sqlite else sql.DateTime(),
        "zoned time": sql.Text() if is_sqlite else sql.DateTime(timezone=True),
    }
    columns = [
        sql.Column(name, kinds[kind], primary_key=name in table.keys, autoincrement=False)
        for name, kind in table.kinds().items()
    ]
    return sql.Table(table.table, sql.MetaData(), *columns, schema=table.schema)


def _to_records(rows: pd.DataFrame, texts: list[str], is_sqlite: bool) -> list[dict[str, Any]]:
    """Return rows as what drivers take, named by their places; date-times as text where a database has none."""
    columns = [_to_values(rows[name], name in texts, is_sqlite) for name in rows]
    names = [VALUE.format(k) for k in range(len(columns))]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _to_values(column: pd.Series, is_text: bool, is_sqlite: bool) -> list[Any]:
    if types.is_datetime64_any_dtype(column.dtype):
        if isinstance(column.dtype, pd.DatetimeTZDtype):  # texts of one time must be the same, whatever the log's zone
            column = column.dt.tz_convert("UTC")
        times = [None if pd.isna(time) else time.to_pydatetime() for time in column.dt.as_unit("us")]
        return [time and time.isoformat(" ", "microseconds") for time in times] if is_sqlite else times
    values = [None if pd.isna(value) else value for value in column.tolist()]
    return [None if value is None else str(value) for value in values] if is_text else values


@contextmanager
def _transaction(url: str, *, is_read: bool = False) -> Iterator[Any]:
    """Open a connection; what was done is kept at the end, unless it is only to read or something failed."""
    sql = _import_sqlalchemy()
    try:
        engine = sql.create_engine(_parse(url, is_read), poolclass=sql.NullPool, hide_parameters=True)
        with engine.connect() as connection:
            _begin(connection, is_read)
            yield connection
            if not is_read:
                connection.commit()
    except sql.exc.NoSuchModuleError:
        raise ValueError(f"There is no database of the kind {quote(url.split('://')[0])}. Correct the URL.") from None
    except sql.exc.SQLAlchemyError as error:
        said = hide(str(getattr(error, "orig", None) or error), url)
        said = said if len(said) <= MAX_LENGTH else f"{said[:MAX_LENGTH]}..."
        raise ValueError(f"The database says: {said}") from None
    except ImportError as error:
        raise ImportError(f"{show(url)}: {error}. Install the driver. For PostgreSQL: {NO_SQL}") from None


def _import_sqlalchemy() -> Any:
    try:
        import sqlalchemy
    except ImportError as error:
        raise ImportError(NO_SQL) from error
    return sqlalchemy


def _begin(connection: Any, is_read: bool) -> None:
    if connection.dialect.name == "postgresql" and is_read:
        connection.execution_options(postgresql_readonly=True)
    if connection.dialect.name == "sqlite" and not is_read:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # or a new table would stay behind where the rest fails


def _parse(url: str, is_read: bool) -> Any:
    """Return the URL as SQLAlchemy has it, with what the environment knows."""
    sql = _import_sqlalchemy()
    if url.count("@") > 1:  # what stands behind the first would be taken for the host, and told
        raise ValueError("The URL has more than one @. Write one within a password as %40, or the password as ${NAME}.")
    try:
        parsed = sql.make_url(url)
    except (ValueError, sql.exc.ArgumentError):
        raise ValueError("The URL cannot be read. Write it as postgresql://user@host:5432/database.") from None
    file = database_file(url)
    if is_read and file is not None and not file.exists():
        raise FileNotFoundError(f"{show(url)}: There is no such database file.")
    scheme, _, driver = parsed.drivername.partition("+")
    if scheme in POSTGRESQL:
        parsed = parsed.set(drivername=f"postgresql+{driver or 'psycopg'}")
    parts = {name: getattr(parsed, name) for name in ("username", "password", "host", "database")}
    return parsed.set(**{name: fill_in(part) for name, part in parts.items() if part is not None})
