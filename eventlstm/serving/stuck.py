"""Sensors that stand still: for far longer than they ever did since their machine began to send."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..logs.shared import BoolArray
from .slots import Node, empty

# As in `logs.doubtful_sensors`: stuck is who stands still for ten times the longest time before, and for a while.
TIMES, FEWEST_ROWS = 10, 60


class StandStill(Node):
    """For how many rows each sensor of each machine has stood still."""

    def __init__(self, n_sensors: int) -> None:
        super().__init__()
        self.kept = {name: empty(n_sensors) for name in ("value", "still", "longest")}

    def step(self, slots: Any, values: np.ndarray, is_new: BoolArray) -> BoolArray:
        """Return which sensors of rows (n, n_sensors) are stuck; a missing value has moved.

        A sensor that has not moved yet, such as the setting of a machine, is never called stuck.
        """
        kept = self.kept
        is_same = (values == kept["value"][slots]) & ~is_new[:, None]
        still = np.where(is_same, kept["still"][slots] + 1, 0)
        longest = np.where(is_new[:, None], np.nan, kept["longest"][slots])
        ended = ~is_same & ~is_new[:, None]
        longest = np.where(ended, np.fmax(longest, kept["still"][slots]), longest)
        kept["value"][slots], kept["still"][slots], kept["longest"][slots] = values, still, longest
        stuck: BoolArray = (still >= FEWEST_ROWS) & (still > TIMES * longest)
        return stuck
