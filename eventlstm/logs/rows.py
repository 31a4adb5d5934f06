"""Rows of a log that have been checked, and the stretches they make up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .input_scaler import InputScaler
from .lanes import walk


class Rows(NamedTuple):
    """Rows of a log, labelled or not."""

    values: np.ndarray  # (n_rows, n_sensors), or the channels made of them
    starts: np.ndarray  # (n_stretches,) first row of each stretch
    runs: np.ndarray  # (n_stretches,) number of the run it belongs to
    labels: Any  # (n_rows,)
    weight: Any  # (n_rows,) or None

    @property
    def longest(self) -> int:
        """The rows of the longest stretch."""
        return int(np.diff(np.append(self.starts, len(self.values))).max())

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
        if scaler is None:
            return self._replace(values=self.values.astype(dtype, copy=False))
        return self._replace(values=scaler.transform(self.values, starts=self.starts, dtype=dtype))

    def sample_seen_by(self, scaler: Any, dtype: type[np.floating], n_rows: int) -> Rows:
        """Return some rows, evenly spread and each a stretch of its own, with the channels that a member sees there.

        Channels are made of the whole log, block by block, and no others are kept.
        """
        chosen = np.linspace(0, len(self.values) - 1, n_rows).astype(np.intp)
        kept = _Kept(chosen, len(self.values), np.empty((n_rows, scaler.n_channels), dtype=dtype))
        walk(scaler.transform_steps, self.values, self.starts, kept)
        runs = self.runs[np.searchsorted(self.starts, chosen, side="right") - 1]
        weight = None if self.weight is None else self.weight[chosen]
        return Rows(kept.values, np.arange(n_rows), runs, self.labels[chosen], weight)


class _Kept:
    """Where a walk writes to, of which only some rows are kept."""

    def __init__(self, chosen: np.ndarray, n_rows: int, values: np.ndarray) -> None:
        self.place, self.values = np.full(n_rows, -1), values
        self.place[chosen] = np.arange(len(chosen))

    def __setitem__(self, rows: np.ndarray, result: np.ndarray) -> None:
        wanted = self.place[rows] >= 0
        self.values[self.place[rows[wanted]]] = result[wanted]
