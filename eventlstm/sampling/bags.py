"""Bootstraps of windows: which are drawn together, so that those of one event are in a bag or out of it.

A *unit* is what is drawn as one: a window of an array, or neighbouring windows ``(n_windows,)`` of a log.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..logs.events import is_event
from ..logs.log_windows import LogWindows

# Bags drawn before a class is given up that so few units hold: with one of a hundred, each second bag has it.
MAX_DRAWS = 100
# Windows between two events that are drawn apart: with two, no window on one side of the middle sees the other's event.
APART = 2


class Bag(NamedTuple):
    """A draw of windows."""

    drawn: np.ndarray  # (n_drawn,) numbers of windows, rising; a window drawn twice comes twice
    rest: np.ndarray  # (n_rest,) numbers of the windows out of the bag


def find_units(windows: Any, y: np.ndarray) -> np.ndarray:
    """Return the number of the unit that each window belongs to, from 0.

    Parameters
    ----------
    windows : ndarray of shape (n_windows, n_timesteps, n_channels) or LogWindows
        Windows. Those of an array are units by themselves.
    y : ndarray of shape (n_windows,)
        Their classes. An event is an unbroken stretch of windows that are not of the most frequent class.

    Returns
    -------
    ndarray of shape (n_windows,)
        Whole stretches of the log where two or more of them hold events. Else, a stretch is cut midway between events,
        unless they are nearer to each other than two windows.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LogWindows
    >>> from eventlstm.sampling.bags import find_units
    >>> y = np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0])
    >>> find_units(LogWindows(np.zeros((12, 1)), 2), y)
    array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    """
    if not isinstance(windows, LogWindows):
        return np.arange(len(y))
    event = is_event(y)
    stretch = np.searchsorted(windows.starts, windows.ends, side="right")
    begins = windows.starts
    if len(np.unique(stretch[event])) < 2:
        begins = np.append(begins, _middles(windows, event, stretch))
    unit = np.searchsorted(np.sort(begins), windows.ends, side="right")
    return np.unique(unit, return_inverse=True)[1]


def draw_bag(
    unit: np.ndarray, y: np.ndarray, rng: np.random.RandomState, *, max_samples: Any = 1.0, bootstrap: bool = True
) -> Bag:
    """Draw units until their windows hold every class.

    Parameters
    ----------
    unit : ndarray of shape (n_windows,)
        The number of the unit of each window, from 0.
    y : ndarray of shape (n_windows,)
        Classes.
    rng : RandomState
        The generator; without a draw to make, nothing is taken from it.
    max_samples : int or float, default=1.0
        Units to draw, or their share.
    bootstrap : bool, default=True
        Whether a unit may be drawn more than once.

    Returns
    -------
    Bag
        The windows drawn, and the rest.

    Raises
    ------
    ValueError
        If there are fewer units than `max_samples`, or no bag of many holds every class.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.sampling.bags import draw_bag
    >>> bag = draw_bag(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0]), np.random.RandomState(0))
    >>> bag.drawn, bag.rest
    (array([0, 0, 1, 1, 2, 3]), array([4]))
    """
    n_units = int(unit.max()) + 1
    n_drawn = _count_draws(max_samples, n_units, bootstrap)
    n_classes = len(np.unique(y))
    for times in _draws(n_units, n_drawn, bootstrap, rng):
        n_copies = times[unit]
        if len(np.unique(y[n_copies > 0])) == n_classes:
            return Bag(np.repeat(np.arange(len(unit)), n_copies), np.flatnonzero(n_copies == 0))
    raise ValueError(
        f"None of {MAX_DRAWS} bags of {n_drawn} of {n_units} units (windows of an array; runs or events of a log) "
        f"holds every class of {np.unique(y).tolist()}. Set bootstrap=False and max_samples=1.0, which leaves the draw "
        "to the sampler; or join the rarest classes, or label more events."
    )


def _count_draws(max_samples: Any, n_units: int, bootstrap: bool) -> int:
    """Return how many units to draw."""
    whole = isinstance(max_samples, Integral)
    n_drawn = int(max_samples) if whole else max(1, round(float(max_samples) * n_units))
    if n_drawn > n_units and not bootstrap:
        raise ValueError(
            f"max_samples={max_samples} is more than the {n_units} units there are (windows of an array; runs or "
            "events of a log), which bootstrap=False draws once each. Take fewer, or a share such as 1.0."
        )
    return n_drawn


def _draws(n_units: int, n_drawn: int, bootstrap: bool, rng: np.random.RandomState) -> Iterator[np.ndarray]:
    """Yield how many times each unit is drawn, (n_units,), time and again."""
    if not bootstrap and n_drawn == n_units:
        yield np.ones(n_units, dtype=int)
        return
    for _ in range(MAX_DRAWS):
        units = rng.randint(n_units, size=n_drawn) if bootstrap else rng.permutation(n_units)[:n_drawn]
        yield np.bincount(units, minlength=n_units)


def _middles(windows: LogWindows, event: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """Return the rows after the middle between events of one stretch that are far enough apart."""
    order = np.argsort(windows.ends, kind="stable")
    place = np.flatnonzero(event[order])  # of the windows of events among all, in the order of the log
    ends, stretch = windows.ends[order][place], stretch[order][place]
    apart = (np.diff(place) > 1) & (np.diff(stretch) == 0) & (np.diff(ends) >= APART * windows.window_size)
    return (ends[:-1][apart] + ends[1:][apart]) // 2 + 1
