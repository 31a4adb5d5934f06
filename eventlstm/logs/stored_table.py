"""A table to be written into a database: its rows, and which rows of before they take the place of."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from pandas.api import types

from .columns import enumerate_names, quote


class StoredTable(NamedTuple):
    """Rows that replace those of the same keys, or of the same spans of time, in a table of a database."""

    name: str  # may begin with a schema and a point
    rows: pd.DataFrame  # its columns are those of the table
    keys: list[str]  # of the runs and the time, which tell rows apart
    # (n_runs, n_keys + 1) runs, first and last time: what begins in between is replaced; None: rows of the same keys
    spans: pd.DataFrame | None = None

    @property
    def schema(self) -> str | None:
        """The schema, None where the name says none."""
        return self.name.rpartition(".")[0] or None

    @property
    def table(self) -> str:
        """The name without the schema."""
        return self.name.rpartition(".")[2]

    def kinds(self) -> dict[str, str]:
        """Return what each column holds, in words."""
        return {str(name): _kind_of(column) for name, column in self.rows.items()}

    def check_columns(self, found: list[str]) -> None:
        """Refuse a table of other columns."""
        missing = [str(name) for name in self.rows.columns if name not in found]
        if missing:
            raise ValueError(
                f"The table {quote(self.name)} has no column {quote(missing[0])}; it has {enumerate_names(found)}. "
                "Name another table."
            )


def _kind_of(column: pd.Series) -> str:
    kind = column.dtype
    if types.is_datetime64_any_dtype(kind):
        return "time" if column.dt.tz is None else "zoned time"
    if types.is_bool_dtype(kind) or types.is_integer_dtype(kind):
        return "whole"
    return "number" if types.is_numeric_dtype(kind) else "text"
