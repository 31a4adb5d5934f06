"""A table written to a file part by part, which is whole at the end or not there."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pandas as pd

from ..logs.spreadsheets import as_text
from ..logs.whole_files import open_whole

KINDS = {"csv": ".csv", "parquet": ".parquet"}


class TableWriter:
    """Writes the parts of a table as Parquet where the file is called so, else as CSV.

    Parameters
    ----------
    path : Path
        The file, which takes its place when the ``with`` ends without an error.
    raw : bool, default=False
        Leave texts in CSV that spreadsheets would run as formulas.
    """

    def __init__(self, path: Path, *, raw: bool = False) -> None:
        self.path, self.raw = path, raw
        self._open, self._is_new = ExitStack(), True
        self._parquet: Any = None

    def __enter__(self) -> Self:
        self._file = self._open.enter_context(open_whole(self.path))
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, table: pd.DataFrame) -> None:
        """Write the next rows, of the same columns as those before."""
        if self.path.suffix == KINDS["parquet"]:
            self._write_parquet(table)
        else:
            (table if self.raw else as_text(table)).to_csv(self._file, index=False, header=self._is_new)
        self._is_new = False

    def _write_parquet(self, table: pd.DataFrame) -> None:
        import pyarrow.parquet

        schema = None if self._parquet is None else self._parquet.schema
        part = pyarrow.Table.from_pandas(table, schema=schema, preserve_index=False)
        if self._parquet is None:
            self._parquet = self._open.enter_context(pyarrow.parquet.ParquetWriter(self._file, part.schema))
        self._parquet.write_table(part)
