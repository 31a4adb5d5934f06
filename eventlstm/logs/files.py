"""Sensor logs from files: CSV (plain or gzipped) and Parquet in, a `Log` out.

`X` holds (n_rows, n_sensors) floats, `y` the (n_rows,) labels or None; both share one sorted index, the time
or (run, ..., time).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .columns import (
    NAMELESS,
    check_present,
    enumerate_names,
    name_faults,
    parse_labels,
    parse_runs,
    parse_sensors,
    parse_times,
    read_columns,
    read_names,
    refuse,
    refuse_missing,
    refuse_repeated,
)
from .log import Log
from .shared import warn

BOUNDS = ["start", "end"]


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
    with name_faults(path):
        chosen = _choose_sensors(read_names(path), [time, *runs, *labels], sensors, _as_list(drop))
        table = read_columns(path, [time, *runs, *labels, *chosen], text=runs)
        if table.empty:
            raise ValueError("The file has no row of data. Pass one with at least one row.")
        index = _make_index([parse_runs(table.pop(name)) for name in runs], parse_times(table.pop(time)))
        y = None if label is None else parse_labels(table.pop(label)).set_axis(index)
        X = parse_sensors(table, chosen).set_axis(index)
    if not index.is_monotonic_increasing:
        order = index.argsort()
        X, y = X.take(order), None if y is None else y.take(order)
    return Log(X, y if events is None else _label_by_events(X.index, Path(events), runs))


def _as_list(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _choose_sensors(
    names: list[str], keys: list[str], sensors: str | Sequence[str] | None, drop: list[str]
) -> list[str]:
    """Return the sensors in the order asked for, after a check that columns exist and have one use each."""
    asked = [*keys, *_as_list(sensors), *drop]
    check_present(names, asked)
    refuse_repeated(asked, "is asked for twice. Name it once: as time, run, label, sensor or drop.")
    others = [name for name in names if name not in asked and not name.startswith(NAMELESS)]
    chosen = others if sensors is None else _as_list(sensors)
    if not chosen:
        raise ValueError(f"No column is left for a sensor. The file has {enumerate_names(names)}; name one.")
    return chosen


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


def _label_by_events(index: pd.Index, path: Path, runs: list[str]) -> pd.Series:
    """Return 1 for the rows of a sorted index that an event covers and 0 for all others."""
    y = pd.Series(0, index, name="event", dtype="int64")
    with name_faults(path):
        check_present(read_names(path), [*runs, *BOUNDS])
        table = read_columns(path, [*runs, *BOUNDS], text=runs)
        covered = [] if table.empty else _find_rows(index, table, runs)
    for rows in covered:
        y.iloc[rows] = 1
    empty = [row for row, rows in enumerate(covered) if rows.start == rows.stop]
    if empty:
        found = f"{path}: {len(empty)} of {len(covered)} events hold no row of the log, the first is data row"
        warn(f"{found} {empty[0] + 1}. Check times and unit.")
    return y


def _find_rows(index: pd.Index, table: pd.DataFrame, runs: list[str]) -> list[slice]:
    """Return the rows that each event covers, by binary search in the times of its run."""
    times = index.get_level_values(-1)
    starts, ends = (_parse_bounds(table[name], times) for name in BOUNDS)
    refuse(table["end"], ends < starts, "a time not before the start", "Correct or swap the two.")
    instants, covered = _to_instants(times), []
    for rows, start, end in zip(_find_runs(index, table, runs), starts, ends, strict=True):
        first = rows.start + int(np.searchsorted(instants[rows], start, side="left"))
        stop = rows.start + int(np.searchsorted(instants[rows], end, side="right"))
        covered.append(slice(first, stop))
    return covered


def _parse_bounds(column: pd.Series, times: pd.Index) -> np.ndarray:
    bounds = parse_times(column)
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
        refuse_missing(table[column])
    asked = _to_texts(table[runs])
    for row, name in enumerate(asked):
        if name not in rows_of_run:
            known = enumerate_names([", ".join(run) for run in names])
            fault = f"names the run {', '.join(name)!r}, but the log has {known}"
            raise ValueError(f"Data row {row + 1} {fault}. Correct or remove it.")
    return [rows_of_run[name] for name in asked]


def _to_texts(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(runs.astype(str).itertuples(index=False, name=None))
