"""A log once it is checked: its values, its stretches, and what must be refused or warned of before."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .inputs import InputScaler
from .windows import read_index

# Shares of rows from which on a log looks torn: lost neighbours betray a shuffled splitter, short histories tiny folds.
TORN_BREAKS = 0.04
TORN_ROWS = 0.5
LOST_INDEX = "X has lost the index that says run and time:"
KEEP_INDEX = (
    "In a pipeline, call pipeline.set_output(transform='pandas'), so that the steps before the model keep the index."
)


class Rows(NamedTuple):
    """Rows of a log, labelled or not."""

    values: np.ndarray  # (n_rows, n_sensors), or the channels made of them
    starts: np.ndarray  # (n_stretches,) first row of each stretch
    labels: Any  # (n_rows,)
    weight: Any  # (n_rows,) or None

    def take(self, chosen: np.ndarray, stretch: np.ndarray) -> Rows:
        """Return the chosen rows, which are whole stretches; `stretch` numbers the stretch of each row."""
        starts = np.flatnonzero(np.append(True, np.diff(stretch[chosen]) != 0))
        weight = None if self.weight is None else self.weight[chosen]
        return Rows(self.values[chosen], starts, self.labels[chosen], weight)

    def hold_out(self, share: float, event: np.ndarray, rng: np.random.RandomState) -> tuple[Rows, Rows]:
        """Return two parts of whole stretches, about `share` of them in the second, with events in both."""
        lengths = np.diff(np.append(self.starts, len(self.values)))
        stretch = np.repeat(np.arange(len(self.starts)), lengths)
        has_event = np.bincount(stretch, weights=event) > 0
        if has_event.sum() < 2:
            raise ValueError(
                f"early_stopping holds out whole runs, but only {int(has_event.sum())} unbroken run has events. "
                "Set early_stopping=False, which is the better choice with so few events."
            )
        order = rng.permutation(len(self.starts))
        held_out = np.zeros(len(self.starts), dtype=bool)
        for group in (order[has_event[order]], order[~has_event[order]]):
            n_held = max(round(share * len(group)), int(has_event[group].any()))
            held_out[group[:n_held]] = True
        return self.take(~held_out[stretch], stretch), self.take(held_out[stretch], stretch)

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
    if not isinstance(y, pd.Series) or not isinstance(X, pd.DataFrame) or X.index.equals(y.index):
        return
    if len(X.index.symmetric_difference(y.index)) == 0:
        raise ValueError("y is in another order than X. Align it: y = y.loc[X.index].")
    raise ValueError("y has other rows than X: their indexes differ. Take the labels of X: y = y.loc[X.index].")


def refuse_lost_index(X: Any, names: list[Any] | None) -> None:
    """Refuse a log without run and time when `fit` saw them as index levels of these names."""
    if names is not None and not says_time(X):
        raise ValueError(f"{LOST_INDEX} fit saw the levels {names}. {KEEP_INDEX}")


def warn_if_torn(X: Any, starts: np.ndarray, window_size: int) -> None:
    """Warn when most rows have not the history that `window_size` says they need."""
    torn = _torn(X, starts, window_size)
    if torn > TORN_ROWS:
        warnings.warn(
            f"{torn:.0%} of the rows have fewer than window_size={window_size} unbroken rows of history. If a "
            "splitter has torn the log, use RunKFold or RunTimeSplit, which keep runs whole; if the runs are this "
            "short, lower window_size.",
            stacklevel=4,
        )


def _torn(X: Any, starts: np.ndarray, window_size: int) -> float:
    """Return the share of rows whose last `window_size` rows are broken.

    Stretches break them and, in a log that is regular but for them, lost neighbours; a few lost rows are the way of
    sensors, but many betray a splitter that shuffles.
    """
    index = read_index(X)
    same_run = np.diff(index.runs) == 0
    steps = np.diff(index.times)
    usual = np.median(steps[same_run]) if same_run.any() else 0
    lost = same_run & (steps != usual)
    broken = np.zeros(len(index.runs), dtype=bool)
    if TORN_BREAKS < lost.mean() < TORN_ROWS if len(lost) else False:
        broken[1:] = lost
    broken[starts] = True
    last_break = np.maximum.accumulate(np.where(broken, np.arange(len(broken)), 0))
    return float(np.mean(np.arange(len(broken)) - last_break < window_size - 1))
