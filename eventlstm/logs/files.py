"""Sensor logs from files, CSV (plain or gzipped) and Parquet, and from databases: a table in, a `Log` out.

`X` holds (n_rows, n_sensors) floats, `y` the (n_rows,) labels or None; both share one sorted index, the time
or (run, ..., time).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .columns import (
    FILE,
    MAX_CHARACTERS_SHOWN,
    NAMELESS,
    check_present,
    enumerate_names,
    name_faults,
    parse_labels,
    parse_runs,
    parse_sensors,
    quote,
    refuse_repeated,
)
from .event_files import label_by_events
from .index import find_turns
from .log import Log
from .long_tables import LongLayout, join_as_of
from .shared import IntArray, warn
from .sources import Source, open_source
from .times import Clock, parse_times, refuse_beyond, to_instants
from .urls import is_url

DUPLICATES = ("error", "first", "mean")
MAX_ROWS_SHOWN = 3


def read_log(
    path: str | os.PathLike[str],
    *,
    time: str,
    run: str | Sequence[str] | None = None,
    label: str | None = None,
    events: str | os.PathLike[str] | None = None,
    sensors: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    duplicates: str = "error",
    query: str | None = None,
    layout: str = "wide",
    sensor: str = "sensor",
    value: str = "value",
    step: Any = None,
    max_age: Any = None,
    ages: bool = False,
) -> Log:
    r"""Read a sensor log from CSV or Parquet files or from a database.

    Parameters
    ----------
    path : str or path-like
        The file, a row per time step and a column per sensor: ``.csv``, ``.csv.gz``, ``.gz`` (a gzipped CSV),
        ``.parquet`` or ``.pq``. A CSV file has a header, commas between cells and points in numbers. Parquet
        needs ``pip install "eventlstm[parquet]"``. A folder of such files, or a pattern such as ``"logs/*.csv"`` or
        ``"logs/**/*.parquet"``, is all of them, which must have the same columns. Or, with `query`, the URL of a
        database, as SQLAlchemy writes it: ``"duckdb:///plant.db"``, ``"sqlite:///plant.db"`` (four slashes before an
        absolute path), ``"postgresql://user:${PASSWORD}@host/plant"``, where ``${PASSWORD}`` is a variable of the
        environment.
    time : str
        Column of the time. Numbers stay numbers, in their own unit; text is read as date-times, best in ISO
        form (``2024-05-31T13:00:00``, with or without a time zone): a file in which day and month could be
        swapped is refused. Where offsets from UTC differ, as over a change to summer time, all become UTC. Numbers
        that are all dates in digits (``20240531``, ``20240531130000``) are read as date-times.
    run : str or list of str, default=None
        Column, or columns, naming the run (machine, engine, batch) of each row. None: a single run, or of several
        files a run each. ``"file"``, where it is no column, is the name of the file without its suffixes; of files of
        the same name, the folder is part of it. An empty list: a single run, also of several files.
    label : str, default=None
        Column of the labels: 0 and 1, true and false (read as 1 and 0), or any other classes; none missing. In a long
        table, the name among its sensors whose values are the labels, of any age.
    events : str or path-like, default=None
        Instead of `label`: a CSV or Parquet file with a row per event, its columns ``start`` and ``end`` and,
        where `run` is given, the columns of the same names. Rows of the log with ``start <= time <= end``, to
        the microsecond, are labelled 1, all others 0. An event that holds no row gives a UserWarning.
    sensors : list of str, default=None
        Columns to use, in this order. None: all that have a name and are not the time, a run, the label or
        dropped. Labels that are not named as `label` would then be a sensor that gives the answer away.
    drop : list of str, default=()
        Columns to ignore.
    duplicates : {"error", "first", "mean"}, default="error"
        What becomes of rows that share run and time: an error; the first of them; or the mean of each sensor, of
        rows that agree in their label. A UserWarning says how many there were. Rows that are repeated whole, as where
        two exports overlap, are taken once, unless it is "error".
    query : str, default=None
        SQL whose result is the table. At a URL it runs in that database: DuckDB (``pip install "eventlstm[duckdb]"``),
        or any that SQLAlchemy knows (``pip install "eventlstm[sql]"``, with drivers of SQLite and PostgreSQL). With
        files, DuckDB runs it over them, as the table ``log``: ``"SELECT * FROM log WHERE hour > 5"``, which has
        the column ``file``, too. Nothing that it changes in a database is kept.
    layout : {"wide", "long"}, default="wide"
        "long": a row per reading, as historians export them: columns of the time, the run, the `sensor` and the
        `value`. Each row of the log then has the last value of each sensor read at or before it, within the run.
    sensor, value : str, default="sensor" and "value"
        Columns of a long table: the name of the sensor, and what it read. A missing value means that nothing is known
        until the next.
    step : str, Timedelta or number, default=None
        From row to row of what becomes of a long table: for date-times such as ``"10s"``, else in the unit of the
        times. Rows are at its multiples, counted from 1970 (UTC) or 0. None: the median step of the sensor that is
        fastest by it. Name it where logs are to be read alike.
    max_age : str, Timedelta or number, default=None
        How old a value may be to stand in a row. Rows without any value are left out. None: however old.
    ages : bool, default=False
        Whether a column ``<sensor>_age`` follows for each sensor of a long table: how long before the row its value
        was read, in seconds or in the unit of the times, NaN where there is none.

    Returns
    -------
    log : Log
        ``log.X`` is a DataFrame of shape (n_rows, n_sensors): float32 where a Parquet file says so, else
        float64; missing values are kept as NaN. Its index is the time for a single run, else a MultiIndex of
        the run columns and the time, and is named after them. Rows are sorted by run, then time. Of a long table
        ``log.X.attrs["carried_forward"]`` tells for each sensor at which share of the rows its value had no reading
        since the row before. ``log.y`` is
        a Series of the same index, named after the label column or ``"event"``; None without either.

    Raises
    ------
    FileNotFoundError
        If `path` or `events` does not exist, or a folder or pattern has no file.
    ImportError
        If the file is Parquet and pyarrow is not installed, or a query needs duckdb or SQLAlchemy.
    ValueError
        If a database cannot be reached or refuses the query; the password is not told. If files differ in columns.
        If a file is empty or damaged; a column is missing or asked for twice; a time, run or label is missing
        or unreadable; a row is cut short; a sensor is not a finite number; two rows share run and time; the clock of
        a run runs back now and then; or an event names a run that the log does not have or ends before it starts.

    See Also
    --------
    read_excerpt : Of a log longer than memory: the events, and a sample of quiet rows.
    score_logs : Scores many files.
    to_labels : Labels from a table of events.
    ForwardFill : Fills missing values.

    Notes
    -----
    Of a database, times with a zone become UTC, NULL a missing value, decimals and unsigned integers int64 or float64.

    A long table is joined as `pandas.merge_asof` does unless told otherwise: never backward, never over the border of a
    run.

    Cells such as ``NA`` or ``None`` in a CSV file are missing values. Text that names runs becomes numbers if
    every name reads like one, which ``07`` does not; an event finds its run by the text of the name.

    Rows in no order are sorted. Where the times of a run rise but for a few steps back, the clock was set back or
    begins anew: sorted, rows of two times would stand between each other. So the file is refused and the rows named.

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

    What a historian exports, a row per reading:

    >>> rows = "second,sensor,value\n0,speed,3\n1,heat,20\n5,speed,4\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "readings.csv")
    ...     _ = path.write_text(rows)
    ...     X = read_log(path, time="second", layout="long", step=2, ages=True).X
    >>> X
            heat  speed  heat_age  speed_age
    second
    0        NaN    3.0       NaN        0.0
    2       20.0    3.0       1.0        2.0
    4       20.0    3.0       3.0        4.0
    >>> {name: round(share, 2) for name, share in X.attrs["carried_forward"].items()}
    {'heat': 0.33, 'speed': 0.67}
    """
    long = LongLayout.of(layout, sensor=sensor, value=value, step=step, max_age=max_age, ages=ages)
    return read_log_and_clock(
        path,
        time=time,
        run=run,
        label=label,
        events=events,
        sensors=sensors,
        drop=drop,
        duplicates=duplicates,
        query=query,
        long=long,
    )[0]


def read_log_and_clock(
    path: str | os.PathLike[str],
    *,
    time: str,
    run: str | Sequence[str] | None = None,
    label: str | None = None,
    events: str | os.PathLike[str] | None = None,
    sensors: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    duplicates: str = "error",
    query: str | None = None,
    long: LongLayout | None = None,
    like: Clock | None = None,
) -> tuple[Log, Clock]:
    """Return what `read_log` does, and how its times are written; `like` is how those of another log of it are."""
    if label is not None and events is not None:
        raise ValueError(f"label={label!r} and events={str(events)!r} are both given. Pass one of them.")
    if duplicates not in DUPLICATES:
        raise ValueError(f"duplicates={duplicates!r} is unknown. Choose one of {list(DUPLICATES)}.")
    if is_url(events):
        raise ValueError("Events come from a file, and a URL was passed. Name a CSV or Parquet file.")
    source = open_source(path, query, text=[*_as_list(run), *([] if long is None else [long.sensor])])
    runs = _find_runs(source, run, long)
    if long is None:
        log, clock = _read(source, time, runs, label, sensors, _as_list(drop), duplicates, like)
    else:
        readings, clock = _read(source, time, [*runs, long.sensor], None, [long.value], [], duplicates, like)
        with name_faults(source):
            log = join_as_of(readings.X, long, label, _as_list(sensors) or None, _as_list(drop))
            log = log if log.y is None else log._replace(y=parse_labels(log.y))
    return (log if events is None else log._replace(y=label_by_events(log.X.index, Path(events), runs, clock))), clock


def _find_runs(source: Source, run: str | Sequence[str] | None, long: LongLayout | None) -> list[str]:
    """Return the columns of the run; where none are said, those of the source, but for one that names the sensor."""
    if run is not None:
        return _as_list(run)
    return [name for name in source.runs if long is None or name != long.sensor]


def _read(
    source: Source,
    time: str,
    runs: list[str],
    label: str | None,
    sensors: str | Sequence[str] | None,
    drop: list[str],
    duplicates: str,
    like: Clock | None,
) -> tuple[Log, Clock]:
    """Return a log of columns as they are, sorted, and how its times are written."""
    labels, names = _as_list(label), source.read_names()
    names = [*names, FILE] if FILE in [time, *runs, *labels] and source.knows_file and FILE not in names else names
    with source.named():
        chosen = _choose_sensors(names, [time, *runs, *labels], sensors, drop, source.holder)
    table = source.read_columns([time, *runs, *labels, *chosen], text=runs)
    with source.named():
        if table.empty:
            raise ValueError(f"The {source.holder} has no row of data. Pass one with at least one row.")
        times, clock = parse_times(table.pop(time), like)
        refuse_beyond(times)
        index = _make_index([parse_runs(table.pop(name)) for name in runs], times)
        if duplicates == "error":
            _refuse_turns(index, np.arange(len(index)))
            _refuse_duplicates(index)
        y = None if label is None else parse_labels(table.pop(label)).set_axis(index)
        log = Log(parse_sensors(table, chosen).set_axis(index), y)
        return _settle_order(log, duplicates, source), clock


def _as_list(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _choose_sensors(
    names: list[str], keys: list[str], sensors: str | Sequence[str] | None, drop: list[str], holder: str
) -> list[str]:
    """Return the sensors in the order asked for, after a check that columns exist and have one use each."""
    asked = [*keys, *_as_list(sensors), *drop]
    check_present(names, asked, holder)
    refuse_repeated(asked, "is asked for twice. Name it once: as time, run, label, sensor or drop.")
    others = [name for name in names if name not in asked and not name.startswith(NAMELESS)]
    chosen = others if sensors is None else _as_list(sensors)
    if not chosen:
        raise ValueError(f"No column is left for a sensor. There are {enumerate_names(names)}; name one.")
    return chosen


def _make_index(runs: list[pd.Series], times: pd.Index) -> pd.Index:
    """Return the index in the order of the file."""
    names = [*(run.name for run in runs), times.name]
    return pd.MultiIndex.from_arrays([*runs, times], names=names) if runs else times


def _settle_order(log: Log, duplicates: str, path: Any) -> Log:
    """Return a log in the order of run and time, with one row for each; `duplicates` says how, see `read_log`."""
    if duplicates != "error":
        log = _merge(log, duplicates, path)
    return log if log.X.index.is_monotonic_increasing else _take(log, log.X.index.argsort())


def _merge(log: Log, duplicates: str, path: Any) -> Log:
    """Return a log with the first or the mean of the rows that share run and time, in the order of the file."""
    rows = _find_new_rows(log)
    log = _take(log, rows)
    _refuse_turns(log.X.index, rows)
    repeated = log.X.index.duplicated()
    if not repeated.any():
        return log
    merged = _take(log, ~repeated) if duplicates == "first" else _average(log, repeated)
    done = "the first of each is kept" if duplicates == "first" else "their sensors are averaged"
    warn(f"{path}: {int(repeated.sum())} rows share run and time with an earlier one; {done}.")
    return merged


def _take(log: Log, rows: np.ndarray) -> Log:
    """Return some rows of a log, chosen by a mask or by their numbers."""
    return Log(log.X.iloc[rows], None if log.y is None else log.y.iloc[rows])


def _find_new_rows(log: Log) -> IntArray:
    """Return the rows that differ in anything from all rows before them."""
    columns = [log.X.index.to_frame(), log.X] if log.y is None else [log.X.index.to_frame(), log.X, log.y]
    whole = pd.concat([part.set_axis(pd.RangeIndex(len(part))) for part in columns], axis=1)
    return np.flatnonzero(~whole.set_axis(range(whole.shape[1]), axis=1).duplicated())


def _average(log: Log, repeated: np.ndarray) -> Log:
    """Return the mean row of each run and time, whose labels must agree."""
    place, index = log.X.index.factorize()
    if log.y is not None:
        first = log.y[~repeated].to_numpy()[place]
        other = np.asarray(log.y) != first
        if other.any():
            row = log.X.index[other.argmax()]
            raise ValueError(
                f"Rows that share run and time ({row}) have different labels; such rows: {other.sum()}. Give them one "
                "label, or take duplicates='first'."
            )
    X = log.X.groupby(place, sort=False).mean().set_axis(index)
    return Log(X.rename_axis(log.X.index.names), None if log.y is None else log.y[~repeated])


def _refuse_turns(index: pd.Index, rows: IntArray) -> None:
    """Refuse a clock that rises, or falls, but for a few steps; `rows` are the numbers of the rows in the file."""
    runs = pd.factorize(index.droplevel(-1))[0] if index.nlevels > 1 else np.zeros(len(index), dtype=np.int64)
    times = index.get_level_values(-1)
    before, turns = find_turns(runs, to_instants(times))
    if not len(turns):
        return
    shown = ", ".join(str(row + 1) for row in rows[turns[:MAX_ROWS_SHOWN]])
    more = f" and {len(turns) - MAX_ROWS_SHOWN} more" if len(turns) > MAX_ROWS_SHOWN else ""
    where = "data row" if len(turns) == 1 else "data rows"
    here, there = times[before[0]], times[turns[0]]
    way = "back" if there < here else "on"
    zone = ", or write local times with their offset from UTC" * isinstance(times, pd.DatetimeIndex)
    raise ValueError(
        f"Column {quote(times.name)} runs {way} at {where} {shown}{more} ({there} after {here}), against the order of "
        f"the other rows. Name the column of the run (--run){zone}. Only if rows came late, sort the file."
    )


def _refuse_duplicates(index: pd.Index) -> None:
    repeated = index.duplicated()
    if not repeated.any():
        return
    row, names = int(repeated.argmax()), index.names
    place = ", ".join(f"{name}={str(index.get_level_values(name)[row])[:MAX_CHARACTERS_SHOWN]}" for name in names)
    fault = f"repeats the {' and '.join(map(repr, names))} of an earlier row ({place})"
    remedy = "Remove or average them" + ("." if len(names) > 1 else ", or name the column of the run.")
    raise ValueError(f"Data row {row + 1} {fault}; such rows: {repeated.sum()}. {remedy}")
