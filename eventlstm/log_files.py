"""Sensor logs from files: CSV (plain or gzipped) and Parquet in, a `Log` out.

`X` holds (n_rows, n_sensors) floats, `y` the (n_rows,) labels or None; both share one sorted index, the time
or (run, ..., time). A message is one line that begins with the file, so that a command line can print it, and
counts the rows of data from 1, the header left out.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import os
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
from pandas.tseries.api import guess_datetime_format

from .datasets import Log

__all__ = ["read_log"]

GZIP_SUFFIX = ".gz"
CSV_SUFFIXES = (".csv", GZIP_SUFFIX)
PARQUET_SUFFIXES = (".parquet", ".pq")
# How pandas names what has no name, mostly the row numbers that it wrote itself.
NAMELESS = ("Unnamed: ", "__index_level_")
BOUNDS = ["start", "end"]
FLOATS = ("float32", "float64")
# Text of which more than this share are numbers is called numbers with stray values.
NUMBERS_SHARE = 0.5
MAX_NAMES_SHOWN = 10  # stays readable on one line
# A time zone at the end of an ISO date-time; the day of a date alone, as in 2024-05-31, is none.
TIME_ZONE = r"\d[T ]\d.*(?:Z|[+-]\d{2}:?(?:\d{2})?)$"
FILL_IN = "Fill in the cell or remove the row; words such as NA count as empty."
WRITE_ALIKE = "Write all times alike, as numbers or like 2024-05-31T13:00:00."


def read_log(
    path: str | os.PathLike[str],
    *,
    time: str,
    run: str | Sequence[str] | None = None,
    label: str | None = None,
    events: str | os.PathLike[str] | None = None,
    sensors: Sequence[str] | None = None,
    drop: Sequence[str] = (),
) -> Log:
    r"""Read a sensor log from a CSV or Parquet file.

    Parameters
    ----------
    path : str or path-like
        The file, a row per time step and a column per sensor: ``.csv``, ``.csv.gz``, ``.gz`` (a gzipped CSV),
        ``.parquet`` or ``.pq``. A CSV file has a header, commas between cells and points in numbers. Parquet
        needs ``pip install "eventlstm[parquet]"``.
    time : str
        Column of the time. Numbers stay numbers, in their own unit; text is read as date-times, best in ISO
        form (``2024-05-31T13:00:00``, with or without a time zone): a file in which day and month could be
        swapped is refused. Where offsets from UTC differ, as over a change to summer time, all become UTC.
    run : str or list of str, default=None
        Column, or columns, naming the run (machine, engine, batch) of each row. None: a single run.
    label : str, default=None
        Column of the labels: 0 and 1, true and false (read as 1 and 0), or any other classes; none missing.
    events : str or path-like, default=None
        Instead of `label`: a CSV or Parquet file with a row per event, its columns ``start`` and ``end`` and,
        where `run` is given, the columns of the same names. Rows of the log with ``start <= time <= end``, to
        the microsecond, are labelled 1, all others 0. An event that holds no row gives a UserWarning.
    sensors : list of str, default=None
        Columns to use, in this order. None: all that have a name and are not the time, a run, the label or
        dropped. Labels that are not named as `label` would then be a sensor that gives the answer away.
    drop : list of str, default=()
        Columns to ignore.

    Returns
    -------
    log : Log
        ``log.X`` is a DataFrame of shape (n_rows, n_sensors): float32 where a Parquet file says so, else
        float64; missing values are kept as NaN. Its index is the time for a single run, else a MultiIndex of
        the run columns and the time, and is named after them. Rows are sorted by run, then time. ``log.y`` is
        a Series of the same index, named after the label column or ``"event"``; None without either.

    Raises
    ------
    FileNotFoundError
        If `path` or `events` does not exist.
    ImportError
        If the file is Parquet and pyarrow is not installed.
    ValueError
        If a file is empty or damaged; a column is missing or asked for twice; a time, run or label is missing
        or unreadable; a sensor is not a finite number; two rows share run and time; or an event names a run
        that the log does not have or ends before it starts.

    Notes
    -----
    Cells such as ``NA`` or ``None`` in a CSV file are missing values. Text that names runs becomes numbers if
    every name reads like one, which ``07`` does not; an event finds its run by the text of the name.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from eventlstm import read_log
    >>> rows = "machine,hour,temperature,failure\nA,0,20.5,0\nA,1,35.0,1\nB,0,19.5,0\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "log.csv")
    ...     _ = path.write_text(rows)
    ...     log = read_log(path, time="hour", run="machine", label="failure")
    >>> log.X
                  temperature
    machine hour
    A       0            20.5
            1            35.0
    B       0            19.5
    >>> log.y.tolist()
    [0, 1, 0]
    """
    if label is not None and events is not None:
        raise ValueError(f"label={label!r} and events={str(events)!r} are both given. Pass one of them.")
    path, runs, labels = Path(path), _as_list(run), _as_list(label)
    with _naming(path):
        chosen = _choose_sensors(_read_names(path), [time, *runs, *labels], sensors, _as_list(drop))
        table = _read_columns(path, [time, *runs, *labels, *chosen], text=runs)
        if table.empty:
            raise ValueError("The file has no row of data. Pass one with at least one row.")
        index = _make_index([_parse_runs(table.pop(name)) for name in runs], _parse_times(table.pop(time)))
        y = None if label is None else _parse_labels(table.pop(label)).set_axis(index)
        X = _parse_sensors(table, chosen).set_axis(index)
    if not index.is_monotonic_increasing:
        order = index.argsort()
        X, y = X.take(order), None if y is None else y.take(order)
    return Log(X, y if events is None else _label_by_events(X.index, Path(events), runs))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of the file before whatever is wrong in it, on one line."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError, zlib.error, csv.Error, ParserWarning) as error:
        fault = str(error) if type(error) is ValueError else f"The file is damaged or of another kind: {error}"
        raise ValueError(f"{path}: {' '.join(fault.splitlines())}") from error


def _as_list(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _choose_sensors(
    names: list[str], keys: list[str], sensors: str | Sequence[str] | None, drop: list[str]
) -> list[str]:
    """Return the sensors in the order asked for, after a check that columns exist and have one use each."""
    asked = [*keys, *_as_list(sensors), *drop]
    _check_present(names, asked)
    _refuse_repeated(asked, "is asked for twice. Name it once: as time, run, label, sensor or drop.")
    others = [name for name in names if name not in asked and not name.startswith(NAMELESS)]
    chosen = others if sensors is None else _as_list(sensors)
    if not chosen:
        raise ValueError(f"No column is left for a sensor. The file has {_enumerate(names)}; name one.")
    return chosen


def _check_present(names: list[str], asked: list[str]) -> None:
    for name in asked:
        if name in names:
            continue
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = "Separate cells with commas." if len(names) == 1 else "Name one that it has."
        hint = f"Did you mean {close[0]!r}?" if close else hint
        raise ValueError(f"There is no column {name!r}; the file has {_enumerate(names)}. {hint}")


def _refuse_repeated(names: list[str], fault: str) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"Column {name!r} {fault}")


def _enumerate(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:MAX_NAMES_SHOWN]))
    n_more = len(names) - MAX_NAMES_SHOWN
    return f"{shown} and {n_more} more" if n_more > 0 else shown


def _read_names(path: Path) -> list[str]:
    """Return the names of the columns, which stand at the head of the file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: There is no such file (the current folder is {Path.cwd()}).")
    if path.is_dir():
        raise ValueError("This is a folder. Pass one file.")
    schema = _import_parquet().read_schema(path) if _is_parquet(path) else None
    names = _read_header(path) if schema is None else [*schema.names, *_find_ranges(schema)]
    _refuse_repeated(names, "is there twice. Rename or remove one.")
    return names


def _is_parquet(path: Path) -> bool:
    name = path.name.lower()
    if not name.endswith(CSV_SUFFIXES + PARQUET_SUFFIXES):
        known = ", ".join(CSV_SUFFIXES + PARQUET_SUFFIXES)
        raise ValueError(f"The name says neither CSV nor Parquet. Convert the file to one of {known}.")
    return name.endswith(PARQUET_SUFFIXES)


def _import_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('Parquet files need pyarrow. Run: pip install "eventlstm[parquet]"') from error
    return pyarrow.parquet


def _read_header(path: Path) -> list[str]:
    opened = gzip.open if path.suffix.lower() == GZIP_SUFFIX else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        header = next((row for row in csv.reader(file) if row), None)
    if header is None:
        raise ValueError("The file is empty. Pass one with a header and rows of data.")
    return [name or f"{NAMELESS[0]}{i}" for i, name in enumerate(header)]


def _read_columns(path: Path, columns: list[str], text: list[str]) -> pd.DataFrame:
    """Return these columns in any order, without categories; those of `text` come as text from CSV."""
    if _is_parquet(path):
        return _read_parquet(path, columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)  # cells beyond the header would be cut off
        warnings.simplefilter("ignore", DtypeWarning)  # text among numbers is refused later, by its place
        # Without usecols, which cuts off cells beyond the header in silence.
        table = pd.read_csv(path, index_col=False, dtype=dict.fromkeys(text, "str"))
    # Dropping leaves views of what was read, selecting would copy it.
    return table.drop(columns=[name for name in table.columns if name not in columns])


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


def _refuse(column: pd.Series, bad: Any, wanted: str, remedy: str) -> None:
    """Raise an error for the first row where `bad` is true."""
    bad = np.asarray(bad)
    if bad.any():
        row = int(bad.argmax())
        found = f"Column {column.name!r} holds {str(column.iloc[row])!r} in data row {row + 1}"
        raise ValueError(f"{found}, where {wanted} was wanted. {remedy}")


def _parse_times(column: pd.Series) -> pd.Index:
    """Return numbers or date-times, none of them missing."""
    _refuse(column, column.isna(), "a value", FILL_IN)
    if types.is_string_dtype(column.dtype):  # or objects
        column = _parse_text_times(column.astype("str"))
    if types.is_datetime64_any_dtype(column.dtype):
        return pd.DatetimeIndex(column, name=column.name)
    if not types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype):
        _refuse(column, column.notna(), "a number or a date-time", "Name another column as the time.")
    _refuse(column, np.isinf(column), "a finite number", "Correct the file.")
    return pd.Index(column, name=column.name)


def _parse_text_times(text: pd.Series) -> pd.Series:
    """Return numbers if the first is one, else date-times: in ISO form if the first is, else in its pattern."""
    if pd.to_numeric(text.iloc[:1], errors="coerce").notna().all():
        numbers = pd.to_numeric(text, errors="coerce")
        _refuse(text, numbers.isna(), "a number, as in data row 1,", WRITE_ALIKE)
        return numbers
    times = _parse_iso_times(text)
    if pd.isna(times.iloc[0]):
        times = _parse_patterned_times(text)
    # ISO takes 2021 for a year.
    _refuse(text, times.isna() | text.str.isdigit(), "a date-time", WRITE_ALIKE)
    return times


def _parse_iso_times(text: pd.Series) -> pd.Series:
    """Return date-times, NaT where the text is none in ISO form."""
    try:
        return pd.to_datetime(text, format="ISO8601", errors="coerce")
    except ValueError:  # offsets from UTC differ, or some date-times have none
        zoned = text.str.contains(TIME_ZONE)
    kind = "with" if zoned.iloc[0] else "without"
    _refuse(text, zoned != zoned.iloc[0], f"a date-time {kind} time zone, as in data row 1,", WRITE_ALIKE)
    return pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)


def _parse_patterned_times(text: pd.Series) -> pd.Series:
    """Return date-times in the pattern of the first, if the places of month and day are certain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that 31/05/2024 can be read in one way only
        guesses = {guess_datetime_format(str(text.iloc[0]), dayfirst=first) for first in (False, True)}
    patterns = sorted(guesses - {None})
    readings = [pd.to_datetime(text, format=p, errors="coerce", utc="%z" in p) for p in patterns]
    if len(readings) > 1 and all(reading.notna().all() for reading in readings):
        wanted = "a date that leaves no doubt which is the month"
        _refuse(text, readings[0] != readings[1], wanted, WRITE_ALIKE)
    return max(readings, key=pd.Series.count, default=pd.Series(pd.NaT, text.index))


def _parse_runs(column: pd.Series) -> pd.Series:
    """Return the runs; text becomes numbers if every name reads like one, which 07 does not."""
    _refuse(column, column.isna(), "a value", FILL_IN)
    if not types.is_string_dtype(column.dtype):
        return column
    codes, names = pd.factorize(column)
    numbers = pd.to_numeric(names, errors="coerce")
    return pd.Series((numbers if (numbers.astype(str) == names).all() else names).take(codes), name=column.name)


def _make_index(runs: list[pd.Series], times: pd.Index) -> pd.Index:
    """Return the index in the order of the file; no two rows may share run and time."""
    names = [*(run.name for run in runs), times.name]
    index = pd.MultiIndex.from_arrays([*runs, times], names=names) if runs else times
    repeated = index.duplicated()
    if not repeated.any():
        return index
    row = int(repeated.argmax())
    place = ", ".join(f"{name}={index.get_level_values(name)[row]}" for name in names)
    fault = f"repeats the {' and '.join(map(repr, names))} of an earlier row ({place})"
    remedy = "Remove or average them" + ("." if runs else ", or name the column of the run.")
    raise ValueError(f"Data row {row + 1} {fault}; such rows: {repeated.sum()}. {remedy}")


def _parse_labels(column: pd.Series) -> pd.Series:
    """Return whole numbers as int64, true and false as 1 and 0, and any other classes as they are."""
    _refuse(column, column.isna(), "a value", FILL_IN)
    if types.is_object_dtype(column.dtype):  # numbers and words
        column = column.astype("str")
    if not types.is_numeric_dtype(column.dtype):
        return column
    _refuse(column, column % 1 != 0, "a whole number or a word", "Name another column as the label.")
    return column.astype("int64")


def _parse_sensors(table: pd.DataFrame, sensors: list[str]) -> pd.DataFrame:
    """Return the sensors as finite floats, NaN where they have no value."""
    others = [name for name in sensors if not types.is_numeric_dtype(table[name].dtype)]
    parsed = {name: _parse_numbers(table[name]) for name in others}
    not_numbers = _enumerate([name for name, numbers in parsed.items() if numbers is None])
    if not_numbers:
        remedy = f"Turn them into numbers, name them as time, run or label, or pass drop=[{not_numbers}]."
        raise ValueError(f"These columns are not numbers: {not_numbers}. {remedy}")
    table = table.assign(**parsed)
    for name in sensors:
        _refuse(table[name], np.isinf(table[name]), "a finite number", "Correct it or leave the cell empty.")
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
    _refuse(column, stray, "a number", f"Clean the file or pass drop=[{column.name!r}].")
    return numbers


def _label_by_events(index: pd.Index, path: Path, runs: list[str]) -> pd.Series:
    """Return 1 for the rows of a sorted index that an event covers and 0 for all others."""
    y = pd.Series(0, index, name="event", dtype="int64")
    with _naming(path):
        _check_present(_read_names(path), [*runs, *BOUNDS])
        table = _read_columns(path, [*runs, *BOUNDS], text=runs)
        covered = [] if table.empty else _find_rows(index, table, runs)
    for rows in covered:
        y.iloc[rows] = 1
    empty = [row for row, rows in enumerate(covered) if rows.start == rows.stop]
    if empty:
        found = f"{path}: {len(empty)} of {len(covered)} events hold no row of the log, the first is data row"
        warnings.warn(f"{found} {empty[0] + 1}. Check times and unit.", stacklevel=3)
    return y


def _find_rows(index: pd.Index, table: pd.DataFrame, runs: list[str]) -> list[slice]:
    """Return the rows that each event covers, by binary search in the times of its run."""
    times = index.get_level_values(-1)
    starts, ends = (_parse_bounds(table[name], times) for name in BOUNDS)
    _refuse(table["end"], ends < starts, "a time not before the start", "Correct or swap the two.")
    instants, covered = _to_instants(times), []
    for rows, start, end in zip(_find_runs(index, table, runs), starts, ends, strict=True):
        first = rows.start + int(np.searchsorted(instants[rows], start, side="left"))
        stop = rows.start + int(np.searchsorted(instants[rows], end, side="right"))
        covered.append(slice(first, stop))
    return covered


def _parse_bounds(column: pd.Series, times: pd.Index) -> np.ndarray:
    bounds = _parse_times(column)
    if _kind(bounds) != _kind(times):
        fault = f"holds {_kind(bounds)}, but {times.name!r} of the log holds {_kind(times)}"
        raise ValueError(f"Column {column.name!r} {fault}. Write both alike.")
    return _to_instants(bounds)


def _kind(times: pd.Index) -> str:
    zone = "without" if getattr(times, "tz", None) is None else "with"
    return f"date-times {zone} a time zone" if isinstance(times, pd.DatetimeIndex) else "numbers"


def _to_instants(times: pd.Index) -> np.ndarray:
    """Return numbers in the order of the times; microseconds, unlike nanoseconds, reach an end in 9999."""
    return times.as_unit("us").asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy()


def _find_runs(index: pd.Index, table: pd.DataFrame, runs: list[str]) -> list[slice]:
    """Return the rows of the run that each event names."""
    if not runs:
        return [slice(0, len(index))] * len(table)
    owners = index.droplevel(-1)
    starts = np.flatnonzero(~owners.duplicated()).tolist()
    names = _to_texts(owners[starts].to_frame())
    rows_of_run = dict(zip(names, map(slice, starts, [*starts[1:], len(index)]), strict=True))
    for column in runs:
        _refuse(table[column], table[column].isna(), "a value", FILL_IN)
    asked = _to_texts(table[runs])
    for row, name in enumerate(asked):
        if name not in rows_of_run:
            known = _enumerate([", ".join(run) for run in names])
            fault = f"names the run {', '.join(name)!r}, but the log has {known}"
            raise ValueError(f"Data row {row + 1} {fault}. Correct or remove it.")
    return [rows_of_run[name] for name in asked]


def _to_texts(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(runs.astype(str).itertuples(index=False, name=None))
