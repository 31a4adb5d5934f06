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
        self.rule = rule
        self.kept = {
            "time": empty(1, dtype=np.int64 if has_dates else np.float64),
            "age": empty(1, dtype=np.int64),
            "step": empty(1),
            "n_pairs": empty(1, dtype=np.int64),
            "n_above": empty(rule.start(1).n_above.shape[1], dtype=np.int64),
        }

    def move_on(self, rows: Rows) -> tuple[BoolArray, IntArray]:
        """Return with which rows a stretch begins, and how many rows of its stretch are before each, both (n,)."""
        slots, kept = rows.slots, self.kept
        begins = rows.is_new.copy()
        if rows.is_new.any():
            kept["step"][rows.pick(np.flatnonzero(begins))] = np.nan
        known = slots if not rows.is_new.any() else rows.pick(np.flatnonzero(~begins))
        times = rows.times[~rows.is_new, None].astype(kept["time"].dtype, copy=False)
        if len(times):
            pace = Pace(kept["step"][known, 0], kept["n_pairs"][known, 0], kept["n_above"][known])
            is_gap, pace = self.rule.find(times - kept["time"][known], times, pace)
            kept["step"][known, 0], kept["n_pairs"][known, 0], kept["n_above"][known] = pace
            begins[~rows.is_new] = is_gap[:, 0]
        kept["time"][slots, 0] = rows.times
        age: IntArray = np.where(begins, 0, kept["age"][slots, 0] + 1)
        kept["age"][slots, 0] = age
        return begins, age
