"""Long tables (run, time, sensor, value), as historians export them: joined as of the times of an even step.

A reading is (run, sensor, time) with one value; the log has a row per step and a column per sensor, whose value is the
last one read at or before the row, within the run.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .columns import check_present, quote
from .log import Log
from .shared import IntArray, warn

LAYOUTS = ("wide", "long")
SECOND = 10**9  # nanoseconds
MOST_CELLS = 500_000_000  # 4 GB of float64
AGE = "{}_age"
STEP = "step"  # in `X.attrs`, as text: what `step` was, or what was learnt
CARRIED = "carried_forward"  # in `X.attrs`: the share of cells of each sensor that had no reading since the row before
ROUNDING = 1e-9  # of times in fractions, which need not be whole multiples of a step to the last bit


class LongLayout(NamedTuple):
    """How a long table is written, and what rows it becomes."""

    sensor: str = "sensor"  # column of the names of sensors
    value: str = "value"
    step: Any = None  # from row to row; None: that of the fastest sensor
    max_age: Any = None  # None: however old
    ages: bool = False  # whether there is a column of ages for each sensor

    @classmethod
    def of(cls, layout: str, **settings: Any) -> LongLayout | None:
        """Return how a long table is written, None for a wide one, for which there is nothing to say."""
        if layout not in LAYOUTS:
            raise ValueError(f"layout={layout!r} is unknown. Choose one of {list(LAYOUTS)}.")
        if layout == "long":
            return cls(**settings)
        for name, value in settings.items():
            if value != cls._field_defaults[name]:
                raise ValueError(f"{name}={value!r} is for long tables. Pass layout='long' (--layout long) too.")
        return None


class Readings(NamedTuple):
    """The readings of all sensors, sorted by run, sensor and time."""

    runs: IntArray  # (n_readings,) number of the run
    sensors: IntArray  # (n_readings,) number of the sensor
    times: np.ndarray  # (n_readings,) in nanoseconds, or in the unit of the times
    values: np.ndarray  # (n_readings,)
    names: list[str]  # (n_sensors,)


def join_as_of(
    readings: pd.DataFrame, layout: LongLayout, label: str | None, sensors: list[str] | None, drop: list[str]
) -> Log:
    """Return readings, whose index is (runs ..., sensor, time), as a log of even steps, and the labels among them.

    `X.attrs` holds the step and the share of cells carried forward.
    """
    clock, owners, found = readings.index.levels[-1], _owners(readings.index), _take_apart(readings)
    check_present(found.names, [*([] if label is None else [label]), *drop], "long table")
    step = _read_span(layout.step, "step", clock) or _learn_step(found)
    max_age = _read_span(layout.max_age, "max_age", clock)
    grid = _make_grid(found, step)
    kept = [name for name in found.names if name != label and name not in drop]
    values, ages = _join_all(grid, found, kept, max_age)
    known = ~np.isnan(ages.to_numpy()).all(axis=1)  # rows of which nothing is known are a gap
    index = _make_index(grid[known], owners, readings.index, clock)
    X = values.join(_name_ages(ages, clock)) if layout.ages else values
    y = None if label is None else _read_labels(_join(grid, found, label, None)[0][known], index, label)
    X = _select(X[known], sensors).set_axis(index)
    X.attrs[STEP] = str(pd.Timedelta(step, "ns")) if isinstance(clock, pd.DatetimeIndex) else str(step)
    X.attrs[CARRIED] = _share_carried(values[known], ages[known], step, [name for name in kept if name in X])
    return Log(X, y)


def _owners(index: pd.Index) -> pd.Index | None:
    """Return the runs of the readings, None where there is one."""
    return index.droplevel([-2, -1]) if index.nlevels > 2 else None


def _take_apart(readings: pd.DataFrame) -> Readings:
    index, owners = readings.index, _owners(readings.index)
    times = index.get_level_values(-1)
    counted = times.as_unit("ns").asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy()
    sensors, names = pd.factorize(index.get_level_values(-2).astype(str), sort=True)
    runs = np.zeros(len(index), dtype=np.intp) if owners is None else pd.factorize(owners)[0]
    return Readings(runs, sensors, counted, readings.iloc[:, 0].to_numpy(), list(names))


def _read_span(span: Any, name: str, clock: pd.Index) -> Any:
    """Return a length of time in nanoseconds, or in the unit of the times; None for none."""
    if span is None:
        return None
    is_datetime = isinstance(clock, pd.DatetimeIndex)
    try:
        read = _to_nanoseconds(span) if is_datetime else float(span)
    except (ValueError, TypeError):
        read = 0
    if not 0 < read < np.inf:
        wanted = "a length of time such as '10s'" if is_datetime else "a number, in the unit of the times"
        raise ValueError(f"{name}={span!r} is not {wanted}, above 0.")
    return int(read) if float(read).is_integer() else read


def _to_nanoseconds(span: Any) -> int:
    """Return a length of time that has a unit; to pandas a bare number is nanoseconds, which nobody means."""
    has_unit = any(character.isalpha() for character in span) if isinstance(span, str) else not isinstance(span, Real)
    return int(pd.Timedelta(span).as_unit("ns").value) if has_unit else 0


def _learn_step(found: Readings) -> Any:
    """Return the median step of the fastest sensor."""
    same = (np.diff(found.runs) == 0) & (np.diff(found.sensors) == 0)
    steps = pd.Series(np.diff(found.times)[same]).groupby(found.sensors[1:][same]).median()
    if not len(steps):
        raise ValueError("No sensor has two readings in a run, so that no step can be learnt. Pass step (--step).")
    learnt = steps.min()
    return max(int(learnt), 1) if found.times.dtype.kind == "i" else float(learnt)


def _make_grid(found: Readings, step: Any) -> pd.DataFrame:
    """Return the rows, (n_rows,) columns of run and time: multiples of the step between the readings of each run."""
    by_run = pd.Series(found.times).groupby(found.runs)
    begins, ends = (_divide(times.to_numpy(), step, up) for times, up in ((by_run.min(), True), (by_run.max(), False)))
    n_rows = np.maximum(ends - begins + 1, 0)
    if n_rows.sum() * len(found.names) > MOST_CELLS:
        raise ValueError(
            f"The step makes {n_rows.sum():.3g} rows of {len(found.names)} sensors, which is too many. Pass a longer "
            "step (--step)."
        )
    if not n_rows.all():
        warn(f"{(n_rows == 0).sum()} of {len(n_rows)} runs are shorter than a step, and have no row.")
    runs = np.repeat(np.arange(len(n_rows)), n_rows)
    counts = np.arange(len(runs)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    times = (counts + begins[runs]) * step
    return pd.DataFrame({"run": runs, "time": times.astype(np.result_type(times, found.times))})


def _divide(times: np.ndarray, step: Any, up: bool) -> np.ndarray:
    """Return how many steps it is from 0 to some times, rounded up or down."""
    if times.dtype.kind == "i" and isinstance(step, int):
        return -(-times // step) if up else times // step
    counts = times / step
    nearest = np.round(counts)
    rounded = np.ceil(counts) if up else np.floor(counts)
    is_near = np.abs(counts - nearest) <= ROUNDING * np.maximum(np.abs(counts), 1)
    return np.where(is_near, nearest, rounded).astype(np.int64)


def _join_all(
    grid: pd.DataFrame, found: Readings, sensors: list[str], max_age: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the value of each sensor at each row and its age, NaN where there is none."""
    if not sensors:
        raise ValueError("No sensor is left. Drop fewer.")
    joined = {name: _join(grid, found, name, max_age) for name in sensors}
    values, ages = (pd.DataFrame({name: both[k] for name, both in joined.items()}) for k in range(2))
    return values, ages


def _join(grid: pd.DataFrame, found: Readings, name: str, max_age: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of a sensor at each row, and its age."""
    own = np.flatnonzero(found.sensors == found.names.index(name))
    times = found.times[own].astype(grid["time"].dtype, copy=False)  # whole numbers, where steps are fractions
    right = pd.DataFrame({"run": found.runs[own], "time": times, "reading": np.arange(len(own))})
    left = grid.sort_values("time", kind="stable")
    joined = pd.merge_asof(left, right.sort_values("time", kind="stable"), on="time", by="run", tolerance=max_age)
    joined = joined.set_axis(left.index).sort_index()
    missing = joined["reading"].isna().to_numpy()
    reading = joined["reading"].fillna(0).to_numpy(dtype=np.intp)  # times of today in nanoseconds are no whole floats
    ages = (joined["time"].to_numpy() - times[reading]).astype(np.float64)
    return np.where(missing, np.nan, found.values[own][reading]), np.where(missing, np.nan, ages)


def _make_index(grid: pd.DataFrame, owners: pd.Index | None, index: pd.Index, clock: pd.Index) -> pd.Index:
    """Return the index of the rows: the time, behind the runs where there are any."""
    times = pd.Index(grid["time"].to_numpy())
    if isinstance(clock, pd.DatetimeIndex):
        exact = pd.DatetimeIndex(times.to_numpy().astype("datetime64[ns]"))
        coarse = exact.as_unit(clock.unit)
        times = coarse if (coarse == exact).all() else exact
        times = times if clock.tz is None else times.tz_localize("UTC").tz_convert(clock.tz)
    if owners is None:
        return times.rename(index.names[-1])
    runs = owners.unique().take(grid["run"].to_numpy())
    levels = [runs.get_level_values(k) for k in range(runs.nlevels)]
    return pd.MultiIndex.from_arrays([*levels, times], names=[*owners.names, index.names[-1]])


def _read_labels(labels: np.ndarray, index: pd.Index, name: str) -> pd.Series:
    missing = np.isnan(labels)
    if missing.any():
        raise ValueError(
            f"Sensor {quote(name)}, named as the label, has no value at or before {index[missing.argmax()]}. Write one "
            "at the beginning of each run, or mark events as intervals (--events)."
        )
    return pd.Series(labels, index, name=name)


def _name_ages(ages: pd.DataFrame, clock: pd.Index) -> pd.DataFrame:
    """Return ages in seconds, or in the unit of the times, under names of their own."""
    unit = SECOND if isinstance(clock, pd.DatetimeIndex) else 1
    return (ages / unit).rename(columns=AGE.format)


def _select(X: pd.DataFrame, sensors: list[str] | None) -> pd.DataFrame:
    if sensors is None:
        return X
    check_present(list(X), sensors, "long table")
    return X[sensors]


def _share_carried(values: pd.DataFrame, ages: pd.DataFrame, step: Any, sensors: list[str]) -> dict[str, float]:
    """Return for each sensor the share of rows at which it has an old value, read before the row before."""
    old = (ages >= step) & values.notna()
    return {name: float(old[name].mean()) for name in sensors}
