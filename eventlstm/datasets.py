"""Sensor logs to learn from and to test on, made on the spot: nothing is downloaded.

A log is a table `X` with a row per time step and a column per sensor, and a series `y` of 0 and 1 with the
same index `(machine, time)`. In here a signal is an array `(n_machines, n_rows)` on the full time grid, and
each physical effect is a function of the `_Plant`; the rows of a standstill are cut out last.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

__all__ = ["Log", "make_sensor_log"]

FIRST_DAY = pd.Timestamp("2024-01-01")
MIN_SENSORS = 3  # failures announce themselves in the first three sensors

STANDSTILL_HOURS = (2.0, 5.0)
QUIET_HOURS = 3.0  # at least so long between two stops, and between a stop and a warning period

BEARING_LAG_HOURS = 2.0
MOTOR_LAG_HOURS = 3.0
FLOW_LAG_HOURS = 0.3
VALVE_STEP_PERCENT = 1.0

# What wear looks like at the moment of failure. Bursts and friction were set so that a linear model on 32
# rows stays near an average precision of .5 on new machines, hunting so that a small LSTM reaches .8.
STRENGTH = (0.7, 1.3)  # each failure shows each precursor more or less clearly
BURSTS_PER_HOUR = 5.4
BURST_MM_S = 1.5
FRICTION_C = 5.0
HUNTING_BAR = 0.5
HUNTING_ONSET = 0.3  # the share of its amplitude with which an oscillation appears
HUNTING_PERIOD_HOURS = 1.0
MIN_PERIOD_ROWS = 4  # a faster oscillation could not be told from noise

# What only looks like it: as large in a single row, but without the precursor's course in time.
SPELL_HOURS = 3.0
SPELLS_PER_DAY = 0.5
SPELL_BURSTS_PER_HOUR = 2.0
LONE_BURSTS_PER_HOUR = 0.12
RUNNING_IN_BURSTS_PER_HOUR = 3.6
RUNNING_IN_HOURS = 2.0
GREASINGS_PER_DAY = 0.3
GREASE_LAG_HOURS = 1.5
TURBULENCES_PER_DAY = 0.2
TURBULENCE_BAR = 0.2
KICKS_PER_HOUR = 0.12
KICK_BAR = 0.5


class Log(NamedTuple):
    """A sensor log and the events in it.

    A named tuple: `X, y = log` takes it apart.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_sensors)
        A row per time step, a column per sensor. The last index level is time, those before name the run.
    y : Series of shape (n_rows,) or None
        1 in the rows of an event and 0 elsewhere, with the index of `X`; None where no events are marked.

    Examples
    --------
    >>> import pandas as pd
    >>> from eventlstm.datasets import Log
    >>> hours = pd.date_range("2024-01-01", periods=3, freq="h", name="time")
    >>> log = Log(
    ...     X=pd.DataFrame({"pressure_bar": [6.0, 6.1, 4.2]}, index=hours),
    ...     y=pd.Series([0, 0, 1], index=hours),
    ... )
    >>> log.X.shape, int(log.y.sum())
    ((3, 1), 1)
    """

    X: pd.DataFrame
    y: pd.Series | None


def make_sensor_log(
    n_machines: int = 12,
    n_days: float = 12,
    freq: str = "10min",
    *,
    n_sensors: int = 8,
    failures_per_machine: int = 3,
    warning: str = "4h",
    noise: float = 1.0,
    random_state: int | np.random.RandomState | None = None,
) -> Log:
    """Make the log of a group of pumps of one make, in which some hours lead to a failure.

    Before a failure three things grow, faint at first and each more or less clear: bursts of vibration come
    more and more often, the bearing warms at steady load, and the pressure begins to oscillate. Each has
    false friends of the same size: lone bursts, bursts at a steady pace (cavitation) or dying away (running
    in after a stop); warmth from load, weather or fresh grease; pressure kicks and turbulence. So a single
    row says little: what tells a failure is the course of several sensors over the last hours. After a
    failure the pump stands still for repair, a gap of some hours in the log; planned stops leave gaps too.

    Parameters
    ----------
    n_machines : int, default=12
        Number of pumps, at least 1. Hold out whole machines to see what a model is worth on a new one.
    n_days : float, default=12
        Length of the log in days. The default log has about 19,000 rows, some 4 to 5 % of which are positive.
    freq : str, default="10min"
        Time from row to row, such as "10min" or "1h".
    n_sensors : int, default=8
        Number of columns, at least 3: vibration, bearing temperature, pressure, current, flow, ambient
        temperature, motor temperature, valve position; those beyond are bystanders that follow load and
        weather. The first columns do not depend on how many follow.
    failures_per_machine : int, default=3
        Number of failures of each machine. 0 makes a log of healthy machines, with `y` all 0.
    warning : str, default="4h"
        Time before a failure in which the precursors grow and `y` is 1: the rows in which to raise an alarm.
    noise : float, default=1.0
        Factor on the noise of the sensors, at least 0. The false friends stay.
    random_state : int, RandomState instance or None, default=None
        Seed of all draws. Pass an int for the same log on every call.

    Returns
    -------
    Log
        `X`, float64, and `y`, a series of 0 and 1 named "failure", with the sorted index `(machine, time)`.

    Raises
    ------
    ValueError
        If a parameter is of the wrong kind or out of range, or the log too short for its failures.

    Notes
    -----
    Vibration is given as r.m.s. velocity, as [1]_ asks. All sizes are plausible for a pump of some 50 kW, but
    taken from no machine.

    References
    ----------
    .. [1] ISO 20816-1:2016, "Mechanical vibration: measurement and evaluation of machine vibration. Part 1:
       General guidelines".

    Examples
    --------
    >>> from eventlstm.datasets import make_sensor_log
    >>> log = make_sensor_log(n_machines=2, n_days=4, failures_per_machine=1, random_state=0)
    >>> log.X.columns[:3].tolist()
    ['vibration_mm_s', 'bearing_temperature_C', 'pressure_bar']
    >>> log.y.groupby("machine").sum().to_dict()  # four hours at six rows an hour, for one failure each
    {'pump-01': 24, 'pump-02': 24}
    """
    _check_number("n_machines", n_machines, Integral, 1)
    _check_number("n_sensors", n_sensors, Integral, MIN_SENSORS)
    _check_number("failures_per_machine", failures_per_machine, Integral, 0)
    _check_number("noise", noise, Real, 0)
    _check_number("n_days", n_days, Real, 0)
    grid = _time_grid(n_days, freq)
    n_warning = _count_warning_rows(warning, grid)
    rng = check_random_state(random_state)
    plant = _build_plant(rng, grid, n_machines, failures_per_machine, n_warning, float(noise))
    bystanders = {f"sensor_{number:02d}": _bystander for number in range(len(_SENSORS) + 1, n_sensors + 1)}
    senses = list((_SENSORS | bystanders).items())[:n_sensors]
    return _cut_out_log(plant, {name: sense(plant) for name, sense in senses})


def _check_number(name: str, value: Any, kind: Any, least: int) -> None:
    """Raise unless `value` is a finite number of the `kind` and at least `least`."""
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < np.inf:
        wanted = "an integer" if kind is Integral else "a finite number"
        raise ValueError(f"{name}={value!r} is not {wanted} of at least {least}. Pass {least} or more.")


def _parse_duration(name: str, value: Any, example: str) -> pd.Timedelta:
    try:
        duration = pd.Timedelta(value) if isinstance(value, str | pd.Timedelta) else pd.NaT
    except ValueError:
        duration = pd.NaT
    if not duration > pd.Timedelta(0):  # NaT compares false
        raise ValueError(f"{name}={value!r} is not a positive time. Pass a text such as {name}={example!r}.")
    return duration


def _time_grid(n_days: float, freq: Any) -> pd.DatetimeIndex:
    step = _parse_duration("freq", freq, "10min")
    n_rows = int(pd.Timedelta(days=float(n_days)) // step)
    return pd.date_range(FIRST_DAY, periods=n_rows, freq=step, name="time")


def _count_warning_rows(warning: Any, times: pd.DatetimeIndex) -> int:
    n_rows = int(_parse_duration("warning", warning, "4h") // times.freq)
    if n_rows < 1:
        step = f"one step of freq={times.freqstr!r}"
        raise ValueError(f"warning={warning!r} is shorter than {step}. Pass a longer warning or a finer freq.")
    return n_rows


class _Plant(NamedTuple):
    """What all sensors of all machines share; arrays are (n_machines, n_rows) unless told otherwise."""

    rng: np.random.RandomState
    noise: float
    times: pd.DatetimeIndex  # (n_rows,)
    rows_per_hour: float
    running: np.ndarray
    warned: np.ndarray
    failures: np.ndarray  # (n_machines, n_failures), the row of each failure
    n_warning: int
    load: np.ndarray  # share of the nominal load, 0 at a standstill
    weather: np.ndarray  # (n_rows,), °C


def _build_plant(
    rng: np.random.RandomState,
    times: pd.DatetimeIndex,
    n_machines: int,
    n_failures: int,
    n_warning: int,
    noise: float,
) -> _Plant:
    shape = (n_machines, len(times))
    rows_per_hour = pd.Timedelta("1h") / times.freq
    failures, running = _schedule(rng, shape, rows_per_hour, n_failures, n_warning)
    warned = _spans(shape, failures - n_warning, n_warning)
    idle = np.zeros(shape)
    plant = _Plant(rng, noise, times, rows_per_hour, running, warned, failures, n_warning, idle, idle[0])
    return plant._replace(load=_load(plant), weather=_weather(plant))


def _schedule(
    rng: np.random.RandomState,
    shape: tuple[int, int],
    rows_per_hour: float,
    n_failures: int,
    n_warning: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the failures, (n_machines, n_failures), each after a planned stop, and mark when machines run."""
    n_machines, n_rows = shape
    quiet, shortest, longest = (max(1, round(h * rows_per_hour)) for h in (QUIET_HOURS, *STANDSTILL_HOURS))
    n_parts = max(1, n_failures)
    part = n_rows // n_parts
    needed = 3 * quiet + 2 * longest + n_warning + 1
    if part < needed:
        raise ValueError(
            f"n_days and freq give {n_rows} rows to a machine, and failures_per_machine={n_failures} with a "
            f"warning of {n_warning} rows needs {n_parts * needed}. "
            "Pass more n_days, a finer freq or fewer failures_per_machine."
        )
    starts = part * np.arange(n_parts)
    within = rng.randint(2 * quiet + longest + n_warning, part - longest - quiet, (n_machines, n_parts))
    stops = starts + rng.randint(quiet, within - n_warning - quiet - longest + 1)
    failures = (starts + within)[:, :n_failures]
    standstills = np.hstack([stops, failures])
    lengths = rng.randint(shortest, longest + 1, standstills.shape)
    return failures, ~_spans(shape, standstills, lengths)


def _spans(shape: tuple[int, int], first: np.ndarray, length: np.ndarray | int) -> np.ndarray:
    """Mark, for each machine, the `length` rows from each row `first`, (n_machines, n_spans)."""
    borders = np.zeros((shape[0], shape[1] + 1))
    machine = np.broadcast_to(np.arange(shape[0])[:, None], first.shape)
    np.add.at(borders, (machine, first), 1)
    np.add.at(borders, (machine, np.minimum(first + length, shape[1])), -1)
    return borders[:, :-1].cumsum(axis=1) > 0


def _lag(plant: _Plant, signal: np.ndarray, hours: float) -> np.ndarray:
    """Follow `signal` as a first-order system of that time constant, from a steady state."""
    share = 1 - np.exp(-1 / (hours * plant.rows_per_hour))
    return pd.DataFrame(signal.T).ewm(alpha=share, adjust=False).mean().to_numpy().T


def _coloured(plant: _Plant, hours: float, innovations: np.ndarray | None = None) -> np.ndarray:
    """Draw noise with a memory of `hours`, an AR(1) process of the same variance as its innovations."""
    share = 1 - np.exp(-1 / (hours * plant.rows_per_hour))
    shrinkage = np.sqrt(share / (2 - share))
    innovations = _white(plant) if innovations is None else innovations.copy()
    innovations[:, 0] *= shrinkage  # the first row has the variance of all others
    return _lag(plant, innovations, hours) / shrinkage


def _white(plant: _Plant) -> np.ndarray:
    return plant.rng.standard_normal(plant.running.shape)


def _heavy_tailed(plant: _Plant) -> np.ndarray:
    degrees_of_freedom = 4  # finite variance, infinite kurtosis
    return plant.rng.standard_t(degrees_of_freedom, plant.running.shape)


def _happens(plant: _Plant, per_hour: float | np.ndarray) -> np.ndarray:
    return plant.rng.uniform(size=plant.running.shape) < per_hour / plant.rows_per_hour


def _drift(plant: _Plant, per_day: float) -> np.ndarray:
    """Draw a random walk that strays by `per_day` in a day."""
    return per_day * np.cumsum(_white(plant), axis=1) / np.sqrt(24 * plant.rows_per_hour)


def _per_machine(plant: _Plant, centre: float, half_width: float) -> np.ndarray:
    return plant.rng.uniform(centre - half_width, centre + half_width, (len(plant.running), 1))


def _daily(plant: _Plant, peak_hour: float) -> np.ndarray:
    """Swing between -1 and 1 once a day, (n_rows,)."""
    hour = (plant.times - FIRST_DAY) / pd.Timedelta("1h")
    return np.cos(2 * np.pi * (hour.to_numpy() - peak_hour) / 24)


def _load(plant: _Plant) -> np.ndarray:
    """Draw the load: a shift rhythm, set points that are changed every six hours or so, and unrest."""
    changes = _happens(plant, per_hour=1 / 6)
    set_points = np.where(changes, plant.rng.uniform(-0.2, 0.2, changes.shape), np.nan)
    held = pd.DataFrame(set_points.T).ffill().fillna(0).to_numpy().T
    share = _per_machine(plant, 0.7, 0.03) + 0.08 * _daily(plant, peak_hour=13) + held
    return plant.running * (share + 0.04 * _coloured(plant, hours=0.7))


def _weather(plant: _Plant) -> np.ndarray:
    """Draw the air temperature: warm afternoons, hot and cold days, (n_rows,)."""
    days = (plant.times - FIRST_DAY) / pd.Timedelta("1D")
    knots = np.arange(int(days[-1]) + 2)
    return 18 + 5 * _daily(plant, peak_hour=15) + np.interp(days, knots, plant.rng.normal(0, 3, len(knots)))


def _wear(plant: _Plant) -> np.ndarray:
    """Rise from 0 to about 1 toward each failure; every call draws how strongly each failure shows."""
    progress = np.arange(1, plant.n_warning + 1) / plant.n_warning
    strength = plant.rng.uniform(*STRENGTH, plant.failures.shape)
    rows = plant.failures[..., None] - np.arange(plant.n_warning, 0, -1)  # (machine, failure, row of warning)
    wear = np.zeros(plant.running.shape)
    wear[np.arange(len(wear))[:, None, None], rows] = strength[..., None] * progress
    return wear


def _episodes(plant: _Plant, per_day: float, hours: float) -> np.ndarray:
    """Mark false friends: episodes of a given length that come at any time except before a failure."""
    length = max(1, round(hours * plant.rows_per_hour))
    begins = _happens(plant, per_day / 24)
    lasts = pd.DataFrame(begins.T).rolling(length, min_periods=1).max().to_numpy().T > 0
    return lasts & ~plant.warned


def _paced(plant: _Plant, per_hour: np.ndarray) -> np.ndarray:
    """Mark the rows at which something that comes `per_hour` times, evenly spaced, comes round again."""
    turns = np.cumsum(per_hour / plant.rows_per_hour, axis=1) + plant.rng.uniform(size=(len(per_hour), 1))
    return np.diff(np.floor(turns), axis=1, prepend=0) > 0


def _vibration(plant: _Plant) -> np.ndarray:
    spells = _episodes(plant, SPELLS_PER_DAY, SPELL_HOURS)
    bursts = _paced(plant, BURSTS_PER_HOUR * _wear(plant) + SPELL_BURSTS_PER_HOUR * spells)
    bursts |= _happens(plant, LONE_BURSTS_PER_HOUR)
    bursts |= _happens(plant, RUNNING_IN_BURSTS_PER_HOUR * _lag(plant, 1.0 - plant.running, RUNNING_IN_HOURS))
    height = BURST_MM_S * plant.rng.lognormal(0, 0.35, bursts.shape)
    level = _per_machine(plant, 3, 0.3) + _per_machine(plant, 1.5, 0.15) * plant.load**2 + _drift(plant, 0.1)
    unrest = plant.noise * (0.25 * _coloured(plant, 0.3) + 0.15 * _heavy_tailed(plant))
    return level + height * bursts + unrest


def _bearing_temperature(plant: _Plant) -> np.ndarray:
    friction = FRICTION_C * (_wear(plant) ** 2 + _grease(plant))
    heat = _per_machine(plant, 28, 1.8) * _lag(plant, plant.load, BEARING_LAG_HOURS)
    level = _per_machine(plant, 12, 1.2) + 0.7 * plant.weather + _drift(plant, 0.5)
    unrest = plant.noise * (0.6 * _coloured(plant, 1.0) + 0.25 * _white(plant))
    return level + heat + friction + unrest


def _grease(plant: _Plant) -> np.ndarray:
    """Draw the warmth of churning fresh grease, which rises to 1 in about the lag and then fades."""
    greased = 1.0 * (_happens(plant, GREASINGS_PER_DAY / 24) & ~plant.warned)
    greased[:, 0] = 0  # a lag starts in a steady state
    pulse = _lag(plant, _lag(plant, greased, GREASE_LAG_HOURS), GREASE_LAG_HOURS)
    return pulse * np.e * GREASE_LAG_HOURS * plant.rows_per_hour


def _pressure(plant: _Plant) -> np.ndarray:
    turbulence = TURBULENCE_BAR * _episodes(plant, TURBULENCES_PER_DAY, SPELL_HOURS) * _white(plant)
    kicks = KICK_BAR * _happens(plant, KICKS_PER_HOUR) * _white(plant)
    level = _per_machine(plant, 6, 0.22) - 0.3 * plant.load**2 + _drift(plant, 0.025)
    unrest = plant.noise * (0.04 * _coloured(plant, 0.5) + 0.02 * _heavy_tailed(plant))
    return level + _hunting(plant) + turbulence + kicks + unrest


def _hunting(plant: _Plant) -> np.ndarray:
    """Draw the oscillation of a control loop with worn parts, in any phase and at a wavering pace."""
    period = max(MIN_PERIOD_ROWS, HUNTING_PERIOD_HOURS * plant.rows_per_hour)
    pace = _per_machine(plant, 1, 0.1) * (1 + 0.1 * _coloured(plant, 3.0))
    turns = np.cumsum(pace, axis=1) / period + plant.rng.uniform(size=(len(pace), 1))
    amplitude = HUNTING_BAR * (HUNTING_ONSET * plant.warned + (1 - HUNTING_ONSET) * _wear(plant))
    return amplitude * np.sin(2 * np.pi * turns)


def _current(plant: _Plant) -> np.ndarray:
    return _per_machine(plant, 100, 6) * (0.25 + plant.load) + plant.noise * 1.5 * _heavy_tailed(plant)


def _flow(plant: _Plant) -> np.ndarray:
    stirred = _coloured(plant, 0.5, innovations=_heavy_tailed(plant))
    return _per_machine(plant, 220, 12) * _lag(plant, plant.load, FLOW_LAG_HOURS) + plant.noise * 4 * stirred


def _ambient_temperature(plant: _Plant) -> np.ndarray:
    return plant.weather + _per_machine(plant, 0, 0.6) + plant.noise * 0.3 * _white(plant)


def _motor_temperature(plant: _Plant) -> np.ndarray:
    heat = _per_machine(plant, 42, 2.3) * _lag(plant, plant.load, MOTOR_LAG_HOURS)
    return 10 + 0.8 * plant.weather + heat + _drift(plant, 0.25) + plant.noise * 0.5 * _white(plant)


def _valve(plant: _Plant) -> np.ndarray:
    position = _per_machine(plant, 80, 3) * plant.load + plant.noise * _coloured(plant, 1.0)
    return VALVE_STEP_PERCENT * np.round(position / VALVE_STEP_PERCENT)


def _bystander(plant: _Plant) -> np.ndarray:
    """Draw a quantity that follows load and weather and knows nothing of failures."""
    by_load, by_weather = plant.rng.uniform(-1, 1, 2)
    unrest = _drift(plant, 0.5) + plant.noise * _coloured(plant, 1.0)
    return 5 * by_load * plant.load + by_weather * plant.weather / 5 + unrest


_SENSORS: dict[str, Callable[[_Plant], np.ndarray]] = {
    "vibration_mm_s": _vibration,
    "bearing_temperature_C": _bearing_temperature,
    "pressure_bar": _pressure,
    "current_A": _current,
    "flow_m3_h": _flow,
    "ambient_temperature_C": _ambient_temperature,
    "motor_temperature_C": _motor_temperature,
    "valve_percent": _valve,
}


def _cut_out_log(plant: _Plant, signals: dict[str, np.ndarray]) -> Log:
    """Lay the signals out as a table without the rows in which a machine stands still."""
    n_machines = len(plant.running)
    width = max(2, len(str(n_machines)))  # equal lengths sort like the numbers
    names = [f"pump-{number:0{width}d}" for number in range(1, n_machines + 1)]
    index = pd.MultiIndex.from_product([names, plant.times], names=["machine", "time"])
    X = pd.DataFrame({name: signal.ravel() for name, signal in signals.items()}, index=index)
    y = pd.Series(plant.warned.ravel().astype(int), index=index, name="failure")
    kept = plant.running.ravel()
    return Log(X[kept], y[kept])
