"""Which rows of a log are quiet: to learn from, held out, and left when the highest scores are trimmed off."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from ..logs.checking import refuse_other_index
from ..logs.plain_labels import plain_labels
from ..logs.rows import Rows

# Rows held out below which no threshold can be told, nor one forecast from another.
FEWEST_HELD = 2


def find_quiet(X: Any, y: Any, normal_label: Any, n_rows: int) -> np.ndarray:
    """Return which rows of a log are quiet: those of the normal label, and without labels all."""
    if y is None or normal_label is None:
        return np.ones(n_rows, dtype=bool)
    refuse_other_index(X, y)
    labels = column_or_1d(plain_labels(y, "y"))
    check_consistent_length(X, labels)
    quiet: np.ndarray = np.asarray(labels == normal_label)
    return quiet


def refuse_few(quiet: np.ndarray, normal_label: Any, share: float) -> None:
    """Refuse a log of whose quiet rows too few would be held out."""
    fewest = ceil(FEWEST_HELD / share)
    if quiet.sum() < fewest:
        raise ValueError(
            f"{int(quiet.sum())} quiet rows came (n_samples={len(quiet)}), and {fewest} or more are wanted. "
            f"Pass a longer log, or see that y holds normal_label={normal_label!r} on quiet rows."
        )


def settle(log: Rows, window_size: int) -> Rows:
    """Weigh the quiet rows of a log that are far enough from those that are not to owe nothing to them.

    That is `window_size` rows, or fewer where it would cost more than half of the quiet rows.
    """
    # What was forecast from within a large event made the scales of quiet errors up to 100 times too large: average
    # precision .44, and .56 without these rows (made logs, events marked).
    rows = np.arange(len(log.values))
    last_loud = np.maximum.accumulate(np.where(log.labels, -np.inf, rows))
    first = np.repeat(log.starts, np.diff(np.append(log.starts, len(rows))))
    distance = np.where(last_loud >= first, rows - last_loud, np.inf)
    settled = log.labels & (distance >= min(window_size + 1, np.median(distance[log.labels])))
    return log._replace(weight=settled.astype(float))


def trim_highest(log: Rows, score: np.ndarray, share: float) -> Rows:
    """Return a log whose rows with the highest scores are no longer quiet."""
    return log._replace(labels=log.labels & (score <= np.quantile(score[log.labels], 1.0 - share)))


def hold_out_last(log: Rows, share: float) -> np.ndarray:
    """Return which rows are held out: those of each run from the first of its last quiet rows on."""
    run = np.repeat(log.runs, np.diff(np.append(log.starts, len(log.values))))
    held = _last_rows(run, log.weight > 0, share)
    if not held.any():  # runs of a few rows: the last of all
        held = _last_rows(np.zeros_like(run), log.weight > 0, share)
    if (held & (log.weight > 0)).sum() < FEWEST_HELD:
        raise ValueError(
            f"validation_fraction={share} of {int((log.weight > 0).sum())} quiet rows, those soon after an event left "
            f"out, is less than {FEWEST_HELD} rows. Raise it, or pass a longer log."
        )
    return held


def _last_rows(run: np.ndarray, quiet: np.ndarray, share: float) -> np.ndarray:
    """Return which rows are among, or behind, the last `share` of the quiet rows of each run."""
    first = np.searchsorted(run, run)
    so_far = np.append(0, np.cumsum(quiet))
    n_before = so_far[:-1] - so_far[first]  # quiet rows of the run before each row
    n_quiet = np.bincount(run, weights=quiet)[run]
    n_held = np.floor(share * n_quiet)
    held: np.ndarray = (n_before >= n_quiet - n_held) & (n_held > 0)
    return held


def split_rows(log: Rows, held: np.ndarray) -> tuple[Rows, Rows]:
    """Return the rows to train on and those held out, which begin stretches of their own."""
    starts = np.union1d(log.starts, change_rows(held))
    stretch = np.searchsorted(log.starts, starts, side="right") - 1
    cut = log._replace(starts=starts, runs=log.runs[stretch])
    return cut.take(~held[starts]), cut.take(held[starts])


def change_rows(flags: np.ndarray) -> np.ndarray:
    """Return the rows whose flag is not that of the row before."""
    return np.flatnonzero(np.diff(flags, prepend=flags[:1]))
