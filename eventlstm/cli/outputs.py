"""The files that commands write: probed before any work, written whole, and safe to open in a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..logs import whole_files
from ..logs.sources import find_files
from ..logs.spreadsheets import as_text
from ..logs.urls import database_file

# Names of files that promise something else than the CSV that is written.
OTHER_THAN_CSV = {
    *(".parquet", ".pq", ".feather", ".arrow", ".orc", ".h5", ".xlsx", ".xls", ".ods", ".json", ".html", ".pkl"),
    *(".gz", ".bz2", ".xz", ".zip", ".zst", ".tar", ".tgz", ".7z"),
}
# Columns of the tables that are written, beside those of the run and, in scores, of the time.
SCORE_COLUMNS = ("score", "alarm")
ALARM_COLUMNS = ("start", "end", "peak", "peak_score", "sensors")


def check_outputs(
    tables: Mapping[str, Path | str | None], others: Sequence[Path | None], *inputs: Path | str | None
) -> None:
    """Refuse files that cannot be written, or that would replace an input or each other, before any work is done.

    `tables` names those that are CSV files by what they hold; URLs of databases among them are passed over.
    """
    outputs = [path for path in (*tables.values(), *others) if isinstance(path, Path)]
    whole_files.check_outputs(outputs, [file for path in inputs if path is not None for file in _files_of(path)])
    for what, path in tables.items():
        if isinstance(path, Path) and path.suffix.lower() in OTHER_THAN_CSV:
            raise ValueError(f"the {what} are written as CSV. Name the output {_as_csv(path)}.")


def _files_of(given: Path | str) -> list[Path]:
    """Return the files that an input is read from, as far as they are known and there."""
    if isinstance(given, str):
        file = database_file(given)
        return [] if file is None else [file]
    try:
        return find_files(given)
    except FileNotFoundError:  # told when it is read
        return []


def _as_csv(path: Path) -> str:
    while path.suffix.lower() in OTHER_THAN_CSV:
        path = path.with_suffix("")
    return path.name if path.suffix.lower() == ".csv" else f"{path.name}.csv"


def refuse_graph(path: Path | None) -> None:
    """Refuse to save a model that is to be read again under the name of a graph, which cannot be."""
    if path is not None and path.suffix.lower() == ".onnx":
        archive = path.with_suffix(".eventlstm")
        raise ValueError(f"a model saved as {path.name} could not be read again. Save {archive.name}, then export it.")


def refuse_names_of_outputs(names: Iterable[Any], columns: Sequence[str]) -> None:
    """Refuse runs and times that are called as one of the columns that are written beside them."""
    for name in names:
        if name in columns:
            raise ValueError(
                f"the column {name!r}, named as run or time, is called as one of the tables that are written "
                f"({', '.join(columns)}). Rename it in the log."
            )


def write_files(*writers: tuple[Path | None, Callable[[Path], None]]) -> None:
    """Write files one after the other, those that are wanted, and say which were written, whatever ends it."""
    written: list[str] = []
    try:
        for path, write in writers:
            if path is None:
                continue
            try:
                write(path)
            except BrokenPipeError:
                raise
            except (OSError, ValueError, MemoryError) as error:
                reason = getattr(error, "strerror", None) or error
                kept = ", ".join(written) or "none"
                raise OSError(f"{path} could not be written ({reason}). Written before it: {kept}.") from None
            written.append(str(path))
    finally:
        if written:
            print(f"Wrote {', '.join(written)}.")


def write_table(table: pd.DataFrame, path: Path, *, index: bool, raw: bool = False) -> None:
    """Write a CSV, whole or not at all, whose texts no spreadsheet takes for formulas unless they are wanted `raw`."""
    with whole_files.open_whole(path) as file:
        (table if raw else as_text(table)).to_csv(file, index=index)
