"""Columns of a table file, CSV (plain or gzipped) or Parquet: read, and turned into runs, labels and sensors.

All keep the order of the rows, (n_rows, ...). A message is one line that begins with the file, so that a command line
can print it, and counts the rows of data from 1, the header left out.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.errors import DtypeWarning, ParserWarning

FILE = "file"  # what names the file that a row is from, if asked for as a column
GZIP_SUFFIX = ".gz"
CSV_SUFFIXES = (".csv", GZIP_SUFFIX)
PARQUET_SUFFIXES = (".parquet", ".pq")
# How pandas names what has no name, mostly the row numbers that it wrote itself.
NAMELESS = ("Unnamed: ", "__index_level_")
FLOATS = ("float32", "float64")
# Text of which more than this share are numbers is called numbers with stray values.
NUMBERS_SHARE = 0.5
MAX_NAMES_SHOWN = 10  # stays readable on one line
MAX_CHARACTERS_SHOWN = 40  # of a cell or a name
# What cells are separated by where not by commas.
OTHER_SEPARATORS = ";\t|"
# Above it, whole numbers beside each other are one float, so that two classes would become one.
LARGEST_FLOAT_LABEL = 2**53 - 1


@contextmanager
def name_faults(path: Any) -> Iterator[None]:
    """Put the name of the file, or of another source, before whatever is wrong in it, on one line."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError, zlib.error, csv.Error, ParserWarning) as error:
        fault = str(error) if type(error) is ValueError else f"The file is damaged or of another kind: {error}"
        if isinstance(error, UnicodeDecodeError):
            fault = f"The file is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        raise ValueError(f"{path}: {' '.join(fault.splitlines())}") from error


def read_names(path: Path) -> list[str]:
    """Return the names of the columns, which stand at the head of the file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: There is no such file (the current folder is {Path.cwd()}).")
    if path.is_dir():
        raise ValueError("This is a folder. Pass one file.")
    names = _read_parquet_names(path) if _is_parquet(path) else _read_header(path)
    refuse_repeated(names, "is there twice. Rename or remove one.")
    return names


def _is_parquet(path: Path) -> bool:
    name = path.name.lower()
    if not name.endswith(CSV_SUFFIXES + PARQUET_SUFFIXES):
        known = ", ".join(CSV_SUFFIXES + PARQUET_SUFFIXES)
        raise ValueError(f"The name says neither CSV nor Parquet. Convert the file to one of {known}.")
    return name.endswith(PARQUET_SUFFIXES)


def _read_parquet_names(path: Path) -> list[str]:
    schema = _import_parquet().read_schema(path)
    return [*schema.names, *_find_ranges(schema)]


def _import_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('Parquet files need pyarrow. Run: pip install "eventlstm[parquet]"') from error
    return pyarrow.parquet


def _read_header(path: Path) -> list[str]:
    header = next(_read_rows(path), None)
    if header is None:
        raise ValueError("The file is empty. Pass one with a header and rows of data.")
    return [name or f"{NAMELESS[0]}{i}" for i, name in enumerate(header)]


def _read_rows(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each line of a CSV file but the blank ones, which pandas passes over, too."""
    opened = gzip.open if path.suffix.lower() == GZIP_SUFFIX else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from (row for row in csv.reader(file) if len(row) > 1 or "".join(row).strip())


def read_columns(path: Path, columns: list[str], text: list[str]) -> pd.DataFrame:
    """Return these columns in any order, without categories; those of `text` come as text from CSV."""
    if _is_parquet(path):
        return _read_parquet(path, columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)  # cells beyond the header would be cut off
        warnings.simplefilter("ignore", DtypeWarning)  # text among numbers is refused later, by its place
        # Without usecols, which cuts off cells beyond the header in silence.
        table = pd.read_csv(path, index_col=False, dtype=dict.fromkeys(text, "str"))
    if table.iloc[:, -1].isna().any():  # as is the end of a row cut short, which pandas fills up
        _refuse_short_rows(path, table.shape[1])
    # Dropping leaves views of what was read, selecting would copy it.
    return table.drop(columns=[name for name in table.columns if name not in columns])


def _refuse_short_rows(path: Path, n_columns: int) -> None:
    """Raise an error for the first line of data with fewer cells than the header, which was cut while being written."""
    for row, cells in enumerate(_read_rows(path)):
        if len(cells) < n_columns:
            raise ValueError(
                f"Data row {row} has {len(cells)} cells, the header {n_columns}: it was cut short. "
                "Complete or remove it."
            )


def _read_parquet(path: Path, columns: list[str]) -> pd.DataFrame:
    parquet = _import_parquet()
    ranges = _find_ranges(parquet.read_schema(path))
    stored = parquet.read_table(path, columns=[name for name in columns if name not in ranges])
    # The metadata of pandas would turn columns into an index.
    table = stored.to_pandas(ignore_metadata=True, date_as_object=False)
    table = table.assign(**{name: ranges[name] for name in columns if name in ranges})
    return table.astype({n: kind.categories.dtype for n, kind in table.dtypes.items() if kind == "category"})


def _find_ranges(schema: Any) -> dict[str, range]:
    """Return the columns that pandas stored as a mere range, as it does with an index of even numbers."""
    indexes = [i for i in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(i, dict)]
    return {i["name"]: range(i["start"], i["stop"], i["step"]) for i in indexes if i["name"]}


def check_present(names: list[str], asked: list[str], holder: str = "file") -> None:
    """Raise an error for the first column asked for that is not among `names`, which are those of the `holder`."""
    for name in asked:
        if name not in names:
            has = "have" if holder == "files" else "has"
            fault = f"There is no column {quote(name)}; the {holder} {has} {enumerate_names(names)}."
            raise ValueError(f"{fault} {_hint_at(str(name), names, may_be_separated=holder == 'file')}")


def _hint_at(name: str, names: list[str], *, may_be_separated: bool) -> str:
    """Return what may be meant by a name that no column has; cells of a file may be separated by other marks."""
    header = ",".join(names)
    for separator in OTHER_SEPARATORS * may_be_separated:
        parts = [part.strip(" \"'") for part in header.split(separator)]
        if len(parts) > 1 and (name in parts or len(names) == 1):
            return f"Separate cells with commas, not with {separator!r}."
    close = difflib.get_close_matches(name, [other for other in names if len(other) <= 2 * len(name)], n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return "Separate cells with commas." if may_be_separated and len(names) == 1 else "Name one that it has."


def refuse_repeated(names: list[str], fault: str) -> None:
    """Raise an error with `fault` for the first name that stands a second time."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"Column {quote(name)} {fault}")


def enumerate_names(names: Sequence[str]) -> str:
    """Return the names in quotes, the first few of them where there are many."""
    shown = ", ".join(map(quote, names[:MAX_NAMES_SHOWN]))
    n_more = len(names) - MAX_NAMES_SHOWN
    return f"{shown} and {n_more} more" if n_more > 0 else shown


def quote(value: Any) -> str:
    """Return a cell or a name in quotes, cut where it is long: a file that was damaged may hold one of megabytes."""
    text = str(value)
    return repr(text if len(text) <= MAX_CHARACTERS_SHOWN else f"{text[: MAX_CHARACTERS_SHOWN - 1]}…")


def parse_runs(column: pd.Series) -> pd.Series:
    """Return the runs; text becomes numbers if every name reads like one, which 07 does not."""
    refuse_missing(column)
    if not types.is_string_dtype(column.dtype):
        return column
    codes, names = pd.factorize(column)
    numbers = pd.to_numeric(names, errors="coerce")
    return pd.Series((numbers if (numbers.astype(str) == names).all() else names).take(codes), name=column.name)


def parse_labels(column: pd.Series) -> pd.Series:
    """Return whole numbers as int64, true and false as 1 and 0, and any other classes as they are."""
    refuse_missing(column)
    if types.is_object_dtype(column.dtype):  # numbers and words, or numbers beyond int64
        numbers = pd.to_numeric(column, errors="coerce")
        column = column.astype("str") if numbers.isna().any() else numbers
    if not types.is_numeric_dtype(column.dtype):
        return column
    largest = LARGEST_FLOAT_LABEL if types.is_float_dtype(column.dtype) else np.iinfo(np.int64).max
    whole = (column % 1 == 0) & (column <= largest) & (column >= -largest)
    refuse(column, ~whole, f"a whole number up to {largest} or a word", "Name another column as the label.")
    return column.astype("int64")


def parse_sensors(table: pd.DataFrame, sensors: list[str]) -> pd.DataFrame:
    """Return the sensors as finite floats, NaN where they have no value."""
    is_plain = list(table.columns) == sensors and all(kind in FLOATS for kind in table.dtypes)
    if is_plain and not any(np.isinf(table[name].to_numpy()).any() for name in sensors):
        return table
    others = [name for name in sensors if not types.is_numeric_dtype(table[name].dtype)]
    parsed = {name: _parse_numbers(table[name]) for name in others}
    not_numbers = enumerate_names([name for name, numbers in parsed.items() if numbers is None])
    if not_numbers:
        remedy = f"Turn them into numbers, name them as time, run or label, or drop {not_numbers}."
        raise ValueError(f"These columns are not numbers: {not_numbers}. {remedy}")
    table = table.assign(**parsed)
    for name in sensors:
        refuse(table[name], np.isinf(table[name]), "a finite number", "Correct it or leave the cell empty.")
    table = table.astype({name: "float64" for name in sensors if table[name].dtype not in FLOATS})
    return table if list(table.columns) == sensors else table[sensors]


def _parse_numbers(column: pd.Series) -> pd.Series | None:
    """Return floats, or None if the column is of another kind; a few strays among numbers are an error."""
    if not types.is_string_dtype(column.dtype):  # nor objects
        return column if types.is_numeric_dtype(column.dtype) else None
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    stray = numbers.isna() & column.notna()
    if stray.any() and numbers.count() <= NUMBERS_SHARE * column.count():
        return None
    refuse(column, stray, "a number", f"Clean the file or drop {column.name!r}.")
    return numbers


def refuse_missing(column: pd.Series) -> None:
    """Raise an error for the first row without a value."""
    refuse(column, column.isna(), "a value", "Fill in the cell or remove the row; words such as NA count as empty.")


def refuse(column: pd.Series, bad: Any, wanted: str, remedy: str) -> None:
    """Raise an error for the first row where `bad` is true."""
    bad = np.asarray(bad)
    if bad.any():
        row = int(bad.argmax())
        found = f"Column {quote(column.name)} holds {quote(column.iloc[row])} in data row {row + 1}"
        raise ValueError(f"{found}, where {wanted} was wanted. {remedy}")
