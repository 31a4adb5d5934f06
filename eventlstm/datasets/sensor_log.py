"""Sensor logs to learn from and to test on, made on the spot: nothing is downloaded.

A log is a table `X` with a row per time step and a column per sensor, and a series `y` of 0 and 1 with the
same index `(machine, time)`. What the pumps do is told in `pumps`; here their signals become a log.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..logs.log import Log
from .disturbances import add_conditions, add_noise, add_season
from .pumps import SENSORS, Plant, build_plant, bystander

__all__ = ["Log", "make_sensor_log"]

FIRST_DAY = pd.Timestamp("2024-01-01")
MIN_SENSORS = 3  # failures announce themselves in the first three sensors


def make_sensor_log(
    n_machines: int = 12,
    n_days: float = 12,
    freq: str = "10min",
    *,
    n_sensors: int = 8,
    failures_per_machine: int = 3,
    warning: str = "4h",
    noise: float = 1.0,
    season: float = 0.0,
    noise_spread: float = 0.0,
    n_conditions: int = 1,
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
    season : float, default=0.0
        How far the level of each sensor drifts over the log, in its deviations: later rows lie elsewhere.
    noise_spread : float, default=0.0
        How much machines differ in their noise, as the deviation of its logarithm; above 0, there is more of it.
    n_conditions : int, default=1
        Operating conditions, one drawn for each row: each moves all sensors at once, by more than wear does, so that
        a sensor tells something only beside the others.
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

    See Also
    --------
    eventlstm.read_log : A log of your own.

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
    _check_number("season", season, Real, 0)
    _check_number("noise_spread", noise_spread, Real, 0)
    _check_number("n_conditions", n_conditions, Integral, 1)
    grid = _time_grid(n_days, freq)
    n_warning = _count_warning_rows(warning, grid)
    rng = check_random_state(random_state)
    plant = build_plant(rng, grid, n_machines, failures_per_machine, n_warning, float(noise))
    bystanders = {f"sensor_{number:02d}": bystander for number in range(len(SENSORS) + 1, n_sensors + 1)}
    senses = list((SENSORS | bystanders).items())[:n_sensors]
    X, y = _cut_out_log(plant, {name: sense(plant) for name, sense in senses})
    if season:
        X = add_season(X, rng, float(season))
    if noise_spread:
        X = add_noise(X, rng, float(noise_spread))
    if n_conditions > 1:
        X = add_conditions(X, rng, int(n_conditions))
    return Log(X, y)


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


def _cut_out_log(plant: Plant, signals: dict[str, np.ndarray]) -> Log:
    """Lay the signals out as a table without the rows in which a machine stands still."""
    n_machines = len(plant.running)
    width = max(2, len(str(n_machines)))  # equal lengths sort like the numbers
    names = [f"pump-{number:0{width}d}" for number in range(1, n_machines + 1)]
    index = pd.MultiIndex.from_product([names, plant.times], names=["machine", "time"])
    X = pd.DataFrame({name: signal.ravel() for name, signal in signals.items()}, index=index)
    y = pd.Series(plant.warned.ravel().astype(int), index=index, name="failure")
    kept = plant.running.ravel()
    return Log(X[kept], y[kept])
