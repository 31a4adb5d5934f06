"""Rows of a log that have been checked, and the stretches they make up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .input_scaler import InputScaler


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
        channels = self.values if scaler is None else scaler.transform(self.values, starts=self.starts)
        return self._replace(values=channels.astype(dtype, copy=False))
