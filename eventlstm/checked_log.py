"""A log once it is checked: its values, its stretches, and what must be refused or warned of before."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .inputs import InputScaler
from .log_index import RowIndex

# Share of rows with a short history from which on a log is called torn.
TORN_ROWS = 0.5
# Shares of rows with a lost neighbour between which a log looks shuffled: fewer are the way of sensors, and more, up to
# the half that KFold(2, shuffle=True) loses, that of logs without a regular step.
TORN_BREAKS = (0.04, 0.6)
# The step of the log when nothing is lost is its lower quartile, so that it shows with half of the rows lost.
USUAL_STEP = 0.25
# A log has a regular step when most of its steps are whole multiples of it, up to the jitter of its clock.
REGULAR_SHARE, REGULAR_JITTER = 0.9, 0.2
LOST_INDEX = "X has lost the index that says run and time:"
KEEP_INDEX = (
    "In a pipeline, call pipeline.set_output(transform='pandas'), so that the steps before the model keep the index."
)


class Rows(NamedTuple):
    """Rows of a log, labelled or not."""

    values: np.ndarray  # (n_rows, n_sensors), or the channels made of them
    starts: np.ndarray  # (n_stretches,) first row of each stretch
    runs: np.ndarray  # (n_stretches,) number of the run it belongs to
    labels: Any  # (n_rows,)
    weight: Any  # (n_rows,) or None

    def take(self, stretches: np.ndarray) -> Rows:
        """Return some of the stretches, chosen by a mask (n_stretches,)."""
        lengths = np.diff(np.append(self.starts, len(self.values)))
        rows = np.repeat(stretches, lengths)
        starts = np.cumsum(lengths[stretches]) - lengths[stretches]
        weight = None if self.weight is None else self.weight[rows]
        return Rows(self.values[rows], starts, self.runs[stretches], self.labels[rows], weight)

    def hold_out(self, share: float, event: np.ndarray, rng: np.random.RandomState) -> tuple[Rows, Rows]:
        """Return two parts of whole runs, about `share` of them in the second, with events in both."""
        names, run = np.unique(self.runs, return_inverse=True)
        has_event = np.bincount(run, weights=np.add.reduceat(event.astype(int), self.starts)) > 0
        if has_event.sum() < 2:
            raise ValueError(
                f"early_stopping holds out whole runs, but only {int(has_event.sum())} run has events. "
                "Set early_stopping=False, which is the better choice with so few events."
            )
        order = rng.permutation(len(names))
        held_out = np.zeros(len(names), dtype=bool)
        for group in (order[has_event[order]], order[~has_event[order]]):
            n_spare = len(group) - int(has_event[group].any())  # one with events is left to train on
            n_held = min(max(round(share * len(group)), len(group) - n_spare), n_spare)
            held_out[group[:n_held]] = True
        return self.take(~held_out[run]), self.take(held_out[run])

    def seen_by(self, scaler: InputScaler | None, dtype: type[np.floating]) -> Rows:
        """Return the rows with the channels that a member sees."""
        channels = self.values if scaler is None else scaler.transform(self.values, starts=self.starts)
        return self._replace(values=channels.astype(dtype, copy=False))


def says_time(X: Any) -> bool:
    """Return whether the index of `X` is one that was made on purpose: times, or runs and times."""
    index = getattr(X, "index", None)
    return isinstance(index, (pd.MultiIndex, pd.DatetimeIndex, pd.TimedeltaIndex))


def refuse_other_index(X: Any, y: Any) -> None:
    """scikit-learn never aligns: refuse labels that are not those of the rows beside them."""
    if says_time(y) and not says_time(X):
        raise ValueError(f"{LOST_INDEX} y has the levels {list(y.index.names)}. {KEEP_INDEX}")
    if not isinstance(y, pd.Series | pd.DataFrame) or not isinstance(X, pd.DataFrame) or X.index.equals(y.index):
        return
    if X.index.nlevels == y.index.nlevels and len(X.index.symmetric_difference(y.index)) == 0:
        raise ValueError("y is in another order than X. Align it: y = y.loc[X.index].")
    raise ValueError(
        "y has other rows than X: their indexes differ. Take the labels of X: y = y.loc[X.index], or "
        "y.set_axis(X.index) where they stand row by row beside it."
    )


def refuse_lost_index(X: Any, names: list[Any] | None) -> None:
    """Refuse a log without run and time when `fit` saw them as index levels of these names."""
    if names is not None and not says_time(X):
        raise ValueError(f"{LOST_INDEX} fit saw the levels {names}. {KEEP_INDEX}")


def warn_if_torn(index: RowIndex, starts: np.ndarray, window_size: int) -> None:
    """Warn when most rows have not the history that `window_size` says they need."""
    torn = _torn(index, starts, window_size)
    if torn > TORN_ROWS:
        warnings.warn(
            f"{torn:.0%} of the rows have fewer than window_size={window_size} unbroken rows of history. If a "
            "splitter has torn the log, use RunKFold, which keeps runs whole, or RunTimeSplit; if the runs are this "
            "short, lower window_size.",
            stacklevel=4,
        )


def _torn(index: RowIndex, starts: np.ndarray, window_size: int) -> float:
    """Return the share of rows whose last `window_size` rows are broken.

    Stretches break them and, in a log that is regular but for them, lost neighbours; a few lost rows are the way of
    sensors, but many betray a splitter that shuffles.
    """
    lost = _lost_neighbours(index)
    broken = lost if TORN_BREAKS[0] < lost.mean() < TORN_BREAKS[1] else np.zeros(len(lost), dtype=bool)
    broken[starts] = True
    last_break = np.maximum.accumulate(np.where(broken, np.arange(len(broken)), 0))
    return float(np.mean(np.arange(len(broken)) - last_break < window_size - 1))


def _lost_neighbours(index: RowIndex) -> np.ndarray:
    """Return whether the row before each row of its run is lost; without a regular step none is known to be."""
    lost = np.zeros(len(index.runs), dtype=bool)
    same_run = np.append(False, np.diff(index.runs) == 0)
    if not same_run.any():
        return lost
    steps = np.diff(index.times, prepend=index.times[:1])[same_run]
    n_steps = steps / np.quantile(steps, USUAL_STEP, method="lower")
    if np.mean(np.abs(n_steps - np.rint(n_steps)) < REGULAR_JITTER) > REGULAR_SHARE:
        lost[same_run] = np.rint(n_steps) > 1
    return lost
