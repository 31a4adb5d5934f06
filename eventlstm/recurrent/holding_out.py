"""Windows held out of training to watch it: some of each class, the ends of stretches, or those of a log's end."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

from ..logs.log_windows import LogWindows
from .checking import CheckedWindows

Split = tuple[np.ndarray, np.ndarray]  # numbers of the windows to train on, and of those held out


def hold_out_classes(y: np.ndarray, weight: np.ndarray, share: float, rng: np.random.RandomState) -> Split:
    """Hold out windows of every class at random."""
    items = np.flatnonzero(weight > 0)
    try:
        return train_test_split(items, test_size=share, stratify=y[items], random_state=rng)
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot hold out {share:.0%} of {len(y)} windows with every class in both parts ({error}). "
            "Pass X_val and y_val, or set early_stopping=False."
        ) from None


def hold_out_forecasts(
    windows: CheckedWindows, weight: np.ndarray, share: float, horizon: int, rng: np.random.RandomState
) -> Split:
    """Hold out of a log the end of each stretch, of other windows any."""
    items = np.flatnonzero(weight > 0)
    try:
        if isinstance(windows.values, LogWindows):
            return hold_out_ends(windows.values, items, share, horizon)
        return train_test_split(items, test_size=share, random_state=rng)
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot hold out {share:.0%} of {len(items)} windows ({error}). Pass X_val and y_val, or "
            "set early_stopping=False."
        ) from None


def hold_out_unlabelled(windows: CheckedWindows, weight: np.ndarray, share: float, rng: np.random.RandomState) -> Split:
    """Hold out of a log its end, of other windows any."""
    items = np.flatnonzero(weight > 0)
    of_log = isinstance(windows.values, LogWindows)
    order = {"shuffle": False} if of_log else {"random_state": rng}
    try:
        train, rest = train_test_split(items, test_size=share, **order)
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot hold out {share:.0%} of {len(items)} windows ({error}). Pass X_val, or set "
            "early_stopping=False."
        ) from None
    return train, without_shared_rows(windows.values, train, rest) if of_log else rest


def hold_out_ends(windows: LogWindows, items: np.ndarray, share: float, horizon: int) -> Split:
    """Return which windows to train on and which, the last of each stretch, to hold out.

    No row is forecast in both parts: windows that reach over the border with what they are to forecast are left out.
    """
    ends = windows.ends[items]
    stretch = np.searchsorted(windows.starts, ends, side="right")
    train, rest = [], []
    for part in np.split(np.arange(len(items)), np.flatnonzero(np.diff(stretch)) + 1):
        n_train = len(part) - round(share * len(part))
        border = ends[part[n_train]] if n_train < len(part) else np.inf
        train.append(items[part[:n_train]][ends[part[:n_train]] + horizon <= border])
        rest.append(items[part[n_train:]])
    if not sum(map(len, train)) or not sum(map(len, rest)):
        raise ValueError(f"they are of {len(train)} stretches, too short to be divided")
    return np.concatenate(train), np.concatenate(rest)


def without_shared_rows(windows: LogWindows, train: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return those of the held-out windows that share no row with the ones to train on, or all when none does."""
    starts, ends = windows.starts, windows.ends[rest]
    first = np.maximum(ends - windows.window_size + 1, starts[np.searchsorted(starts, ends, side="right") - 1])
    kept = rest[first > windows.ends[train].max()]
    return kept if len(kept) else rest
