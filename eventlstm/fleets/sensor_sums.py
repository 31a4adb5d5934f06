"""What each sensor of a log has measured, from pieces: for the data card of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.card import STUCK_SHARE
from .carried import Piece


class SensorSums:
    """Takes the pieces of a log, and keeps a few numbers of each sensor and run."""

    def __init__(self) -> None:
        self.lengths: list[int] = []  # rows of each run
        self.sensors: list[SensorSum] = []

    def add(self, frame: pd.DataFrame, piece: Piece) -> None:
        """Take the next piece."""
        starts = piece.rows.run_starts
        lengths = np.diff(np.append(starts, len(frame))).tolist()
        if piece.goes_on:
            self.lengths[-1] += lengths.pop(0)
        self.lengths += lengths
        self.sensors = self.sensors or [SensorSum(str(name)) for name in frame.columns]
        for k, sensor in enumerate(self.sensors):
            sensor.add(frame.iloc[:, k].to_numpy(dtype=np.float64), starts, piece.goes_on)

    def describe(self, sample: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the sensors as a data card lists them, their medians from a sample of the rows."""
        half = STUCK_SHARE * np.array(self.lengths)
        return [
            {
                "name": sensor.name,
                "n_missing": sensor.n_missing,
                "min": sensor.low,
                "median": float(sample.iloc[:, k].median()),
                "max": sensor.high,
                "longest_unchanged": max(sensor.longest),
                "n_stuck_runs": int((np.array(sensor.longest) > half).sum()),
                "carried_share": None,
            }
            for k, sensor in enumerate(self.sensors)
        ]


class SensorSum:
    """The numbers of one sensor."""

    def __init__(self, name: str) -> None:
        self.name, self.n_missing, self.low, self.high = name, 0, np.nan, np.nan
        self.longest: list[int] = []  # rows without a change, of each run
        self.last, self.spell = np.nan, 0  # the last value, and for how many rows it has stood

    def add(self, values: np.ndarray, starts: np.ndarray, goes_on: bool) -> None:
        """Take the values of the next piece, whose runs begin at `starts`."""
        known = values[~np.isnan(values)]
        self.n_missing += len(values) - len(known)
        if len(known):
            self.low = float(np.fmin(self.low, known.min()))
            self.high = float(np.fmax(self.high, known.max()))
        changed = np.append(True, values[1:] != values[:-1])  # a missing value differs from all, itself included
        changed[starts] = True
        first = np.flatnonzero(changed)
        length = np.diff(np.append(first, len(values)))
        if goes_on and values[0] == self.last:
            length[0] += self.spell
        longest = np.maximum.reduceat(length, np.searchsorted(first, starts)).tolist()
        if goes_on:
            self.longest[-1] = max(self.longest[-1], longest.pop(0))
        self.longest += longest
        self.last, self.spell = values[-1], int(length[-1])
