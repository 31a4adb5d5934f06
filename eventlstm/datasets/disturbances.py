"""What makes a log hard to carry over: seasons, machines that differ, and conditions that move all sensors at once.

Each takes the table of a log, index ``(machine, time)``, and returns another.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def add_season(X: pd.DataFrame, rng: np.random.RandomState, size: float) -> pd.DataFrame:
    """Let the level of each sensor drift over the log, by `size` of its deviations from the first row to the last."""
    time = X.index.get_level_values("time")
    passed = np.asarray((time - time.min()) / (time.max() - time.min()))
    drift = size * np.asarray(X.std()) * rng.choice([-1.0, 1.0], X.shape[1])
    return X + np.outer(passed, drift)


def add_noise(X: pd.DataFrame, rng: np.random.RandomState, spread: float) -> pd.DataFrame:
    """Give each sensor of each machine noise of its own size, `spread` being the deviation of its logarithm."""
    number = pd.factorize(X.index.get_level_values("machine"))[0]
    factors = np.exp(spread * rng.normal(size=(number.max() + 1, X.shape[1])))
    # of the steps from row to row: what a sensor's own noise shows
    size = np.asarray(X.groupby("machine").diff().std()) / np.sqrt(2.0)
    return X + rng.normal(size=X.shape) * factors[number] * size


def add_conditions(X: pd.DataFrame, rng: np.random.RandomState, n_conditions: int) -> pd.DataFrame:
    """Let each row be of one of some conditions, each of which has a level of its own for every sensor.

    The offsets are some deviations wide, so that a sensor says little by itself; a condition shows in all others.
    """
    offsets = 3.0 * rng.normal(size=(n_conditions, X.shape[1])) * np.asarray(X.std())
    return X + offsets[rng.randint(n_conditions, size=len(X))]
