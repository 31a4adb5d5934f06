"""A group of like pumps: how they run, wear and fail, and what their sensors show of it.

A signal is an array ``(n_machines, n_rows)`` on the full time grid; each physical effect is a function of the `Plant`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

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


class Plant(NamedTuple):
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


def build_plant(
    rng: np.random.RandomState,
    times: pd.DatetimeIndex,
    n_machines: int,
    n_failures: int,
    n_warning: int,
    noise: float,
) -> Plant:
    """Draw when the machines run and fail, and under which load and weather."""
    shape = (n_machines, len(times))
    rows_per_hour = pd.Timedelta("1h") / times.freq
    failures, running = _schedule(rng, shape, rows_per_hour, n_failures, n_warning)
    warned = _spans(shape, failures - n_warning, n_warning)
    idle = np.zeros(shape)
    plant = Plant(rng, noise, times, rows_per_hour, running, warned, failures, n_warning, idle, idle[0])
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


def _lag(plant: Plant, signal: np.ndarray, hours: float) -> np.ndarray:
    """Follow `signal` as a first-order system of that time constant, from a steady state."""
    share = 1 - np.exp(-1 / (hours * plant.rows_per_hour))
    return pd.DataFrame(signal.T).ewm(alpha=share, adjust=False).mean().to_numpy().T


def _coloured(plant: Plant, hours: float, innovations: np.ndarray | None = None) -> np.ndarray:
    """Draw noise with a memory of `hours`, an AR(1) process of the same variance as its innovations."""
    share = 1 - np.exp(-1 / (hours * plant.rows_per_hour))
    shrinkage = np.sqrt(share / (2 - share))
    innovations = _white(plant) if innovations is None else innovations.copy()
    innovations[:, 0] *= shrinkage  # the first row has the variance of all others
    return _lag(plant, innovations, hours) / shrinkage


def _white(plant: Plant) -> np.ndarray:
    return plant.rng.standard_normal(plant.running.shape)


def _heavy_tailed(plant: Plant) -> np.ndarray:
    degrees_of_freedom = 4  # finite variance, infinite kurtosis
    return plant.rng.standard_t(degrees_of_freedom, plant.running.shape)


def _happens(plant: Plant, per_hour: float | np.ndarray) -> np.ndarray:
    return plant.rng.uniform(size=plant.running.shape) < per_hour / plant.rows_per_hour


def _drift(plant: Plant, per_day: float) -> np.ndarray:
    """Draw a random walk that strays by `per_day` in a day."""
    return per_day * np.cumsum(_white(plant), axis=1) / np.sqrt(24 * plant.rows_per_hour)


def _per_machine(plant: Plant, centre: float, half_width: float) -> np.ndarray:
    return plant.rng.uniform(centre - half_width, centre + half_width, (len(plant.running), 1))


def _daily(plant: Plant, peak_hour: float) -> np.ndarray:
    """Swing between -1 and 1 once a day, (n_rows,)."""
    hour = (plant.times - plant.times[0]) / pd.Timedelta("1h")
    return np.cos(2 * np.pi * (hour.to_numpy() - peak_hour) / 24)


def _load(plant: Plant) -> np.ndarray:
    """Draw the load: a shift rhythm, set points that are changed every six hours or so, and unrest."""
    changes = _happens(plant, per_hour=1 / 6)
    set_points = np.where(changes, plant.rng.uniform(-0.2, 0.2, changes.shape), np.nan)
    held = pd.DataFrame(set_points.T).ffill().fillna(0).to_numpy().T
    share = _per_machine(plant, 0.7, 0.03) + 0.08 * _daily(plant, peak_hour=13) + held
    return plant.running * (share + 0.04 * _coloured(plant, hours=0.7))


def _weather(plant: Plant) -> np.ndarray:
    """Draw the air temperature: warm afternoons, hot and cold days, (n_rows,)."""
    days = (plant.times - plant.times[0]) / pd.Timedelta("1D")
    knots = np.arange(int(days[-1]) + 2)
    return 18 + 5 * _daily(plant, peak_hour=15) + np.interp(days, knots, plant.rng.normal(0, 3, len(knots)))


def _wear(plant: Plant) -> np.ndarray:
    """Rise from 0 to about 1 toward each failure; every call draws how strongly each failure shows."""
    progress = np.arange(1, plant.n_warning + 1) / plant.n_warning
    strength = plant.rng.uniform(*STRENGTH, plant.failures.shape)
    rows = plant.failures[..., None] - np.arange(plant.n_warning, 0, -1)  # (machine, failure, row of warning)
    wear = np.zeros(plant.running.shape)
    wear[np.arange(len(wear))[:, None, None], rows] = strength[..., None] * progress
    return wear


def _episodes(plant: Plant, per_day: float, hours: float) -> np.ndarray:
    """Mark false friends: episodes of a given length that come at any time except before a failure."""
    length = max(1, round(hours * plant.rows_per_hour))
    begins = _happens(plant, per_day / 24)
    lasts = pd.DataFrame(begins.T).rolling(length, min_periods=1).max().to_numpy().T > 0
    return lasts & ~plant.warned


def _paced(plant: Plant, per_hour: np.ndarray) -> np.ndarray:
    """Mark the rows at which something that comes `per_hour` times, evenly spaced, comes round again."""
    turns = np.cumsum(per_hour / plant.rows_per_hour, axis=1) + plant.rng.uniform(size=(len(per_hour), 1))
    return np.diff(np.floor(turns), axis=1, prepend=0) > 0


def _vibration(plant: Plant) -> np.ndarray:
    spells = _episodes(plant, SPELLS_PER_DAY, SPELL_HOURS)
    bursts = _paced(plant, BURSTS_PER_HOUR * _wear(plant) + SPELL_BURSTS_PER_HOUR * spells)
    bursts |= _happens(plant, LONE_BURSTS_PER_HOUR)
    bursts |= _happens(plant, RUNNING_IN_BURSTS_PER_HOUR * _lag(plant, 1.0 - plant.running, RUNNING_IN_HOURS))
    height = BURST_MM_S * plant.rng.lognormal(0, 0.35, bursts.shape)
    level = _per_machine(plant, 3, 0.3) + _per_machine(plant, 1.5, 0.15) * plant.load**2 + _drift(plant, 0.1)
    unrest = plant.noise * (0.25 * _coloured(plant, 0.3) + 0.15 * _heavy_tailed(plant))
    return level + height * bursts + unrest


def _bearing_temperature(plant: Plant) -> np.ndarray:
    friction = FRICTION_C * (_wear(plant) ** 2 + _grease(plant))
    heat = _per_machine(plant, 28, 1.8) * _lag(plant, plant.load, BEARING_LAG_HOURS)
    level = _per_machine(plant, 12, 1.2) + 0.7 * plant.weather + _drift(plant, 0.5)
    unrest = plant.noise * (0.6 * _coloured(plant, 1.0) + 0.25 * _white(plant))
    return level + heat + friction + unrest


def _grease(plant: Plant) -> np.ndarray:
    """Draw the warmth of churning fresh grease, which rises to 1 in about the lag and then fades."""
    greased = 1.0 * (_happens(plant, GREASINGS_PER_DAY / 24) & ~plant.warned)
    greased[:, 0] = 0  # a lag starts in a steady state
    pulse = _lag(plant, _lag(plant, greased, GREASE_LAG_HOURS), GREASE_LAG_HOURS)
    return pulse * np.e * GREASE_LAG_HOURS * plant.rows_per_hour


def _pressure(plant: Plant) -> np.ndarray:
    turbulence = TURBULENCE_BAR * _episodes(plant, TURBULENCES_PER_DAY, SPELL_HOURS) * _white(plant)
    kicks = KICK_BAR * _happens(plant, KICKS_PER_HOUR) * _white(plant)
    level = _per_machine(plant, 6, 0.22) - 0.3 * plant.load**2 + _drift(plant, 0.025)
    unrest = plant.noise * (0.04 * _coloured(plant, 0.5) + 0.02 * _heavy_tailed(plant))
    return level + _hunting(plant) + turbulence + kicks + unrest


def _hunting(plant: Plant) -> np.ndarray:
    """Draw the oscillation of a control loop with worn parts, in any phase and at a wavering pace."""
    period = max(MIN_PERIOD_ROWS, HUNTING_PERIOD_HOURS * plant.rows_per_hour)
    pace = _per_machine(plant, 1, 0.1) * (1 + 0.1 * _coloured(plant, 3.0))
    turns = np.cumsum(pace, axis=1) / period + plant.rng.uniform(size=(len(pace), 1))
    amplitude = HUNTING_BAR * (HUNTING_ONSET * plant.warned + (1 - HUNTING_ONSET) * _wear(plant))
    return amplitude * np.sin(2 * np.pi * turns)


def _current(plant: Plant) -> np.ndarray:
    return _per_machine(plant, 100, 6) * (0.25 + plant.load) + plant.noise * 1.5 * _heavy_tailed(plant)


def _flow(plant: Plant) -> np.ndarray:
    stirred = _coloured(plant, 0.5, innovations=_heavy_tailed(plant))
    return _per_machine(plant, 220, 12) * _lag(plant, plant.load, FLOW_LAG_HOURS) + plant.noise * 4 * stirred


def _ambient_temperature(plant: Plant) -> np.ndarray:
    return plant.weather + _per_machine(plant, 0, 0.6) + plant.noise * 0.3 * _white(plant)


def _motor_temperature(plant: Plant) -> np.ndarray:
    heat = _per_machine(plant, 42, 2.3) * _lag(plant, plant.load, MOTOR_LAG_HOURS)
    return 10 + 0.8 * plant.weather + heat + _drift(plant, 0.25) + plant.noise * 0.5 * _white(plant)


def _valve(plant: Plant) -> np.ndarray:
    position = _per_machine(plant, 80, 3) * plant.load + plant.noise * _coloured(plant, 1.0)
    return VALVE_STEP_PERCENT * np.round(position / VALVE_STEP_PERCENT)


def bystander(plant: Plant) -> np.ndarray:
    """Draw a quantity that follows load and weather and knows nothing of failures."""
    by_load, by_weather = plant.rng.uniform(-1, 1, 2)
    unrest = _drift(plant, 0.5) + plant.noise * _coloured(plant, 1.0)
    return 5 * by_load * plant.load + by_weather * plant.weather / 5 + unrest


SENSORS: dict[str, Callable[[Plant], np.ndarray]] = {
    "vibration_mm_s": _vibration,
    "bearing_temperature_C": _bearing_temperature,
    "pressure_bar": _pressure,
    "current_A": _current,
    "flow_m3_h": _flow,
    "ambient_temperature_C": _ambient_temperature,
    "motor_temperature_C": _motor_temperature,
    "valve_percent": _valve,
}
