"""Where the stretches of machines begin, row by row, and how old they are."""

from __future__ import annotations

import numpy as np

from ..logs.causal_gaps import GapRule, Pace
from ..logs.shared import BoolArray, IntArray
from .slots import Node, Rows, empty


class Stretches(Node):
    """The stretches of each machine, by the rule of one estimator."""

    def __init__(self, rule: GapRule, *, has_dates: bool) -> None:
        super().__init__()
        self.rule, self.has_dates = rule, has_dates
        self.kept = {
            "time": empty(1, dtype=np.int64),  # float64 from the first time on that is no whole number
            "age": empty(1, dtype=np.int64),
            "step": empty(1),
            "n_pairs": empty(1, dtype=np.int64),
            "n_above": empty(rule.start(1).n_above.shape[1], dtype=np.int64),
        }

    def move_on(self, rows: Rows) -> tuple[BoolArray, IntArray]:
        """Return with which rows a stretch begins, and how many rows of its stretch are before each, both (n,)."""
        if rows.times.dtype.kind == "f":
            self.kept["time"] = self.kept["time"].astype(np.float64, copy=False)
        if rows.is_new.any():
            self._introduce(rows.pick(np.flatnonzero(rows.is_new)))
        begins = rows.is_new.copy()
        if not begins.all():
            begins[~rows.is_new] = self._find_gaps(rows)
        self.kept["time"][rows.slots, 0] = rows.times
        age: IntArray = np.where(begins, 0, self.kept["age"][rows.slots, 0] + 1)
        self.kept["age"][rows.slots, 0] = age
        return begins, age

    def _introduce(self, slots: slice | IntArray) -> None:
        self.kept["step"][slots], self.kept["n_pairs"][slots], self.kept["n_above"][slots] = np.nan, 0, 0

    def _find_gaps(self, rows: Rows) -> BoolArray:
        """Return with which rows of machines known before a stretch begins."""
        kept, is_known = self.kept, ~rows.is_new
        slots = rows.slots if is_known.all() else rows.pick(np.flatnonzero(is_known))
        times = rows.times[is_known, None].astype(kept["time"].dtype, copy=False)
        pace = Pace(kept["step"][slots, 0], kept["n_pairs"][slots, 0], kept["n_above"][slots])
        is_gap, pace = self.rule.find(times - kept["time"][slots], times, pace)
        kept["step"][slots, 0], kept["n_pairs"][slots, 0], kept["n_above"][slots] = pace
        return is_gap[:, 0]
