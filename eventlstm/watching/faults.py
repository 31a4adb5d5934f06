"""What was wrong with lines that were left out: counted, and told at most once a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

TOLD_EVERY_SECONDS = 60.0


class Faults:
    """Lines that were left out, by number, and what was wrong with the last.

    Parameters
    ----------
    tell : callable
        Takes a line for whoever looks after the watch.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.n_faults = 0
        self._tell = tell
        self._n_told = 0
        self._last = ""
        self._told_at = -TOLD_EVERY_SECONDS

    def resume(self, n_before: int) -> None:
        """Go on from as many as there were before."""
        self.n_faults = self._n_told = n_before

    def add(self, fault: str) -> None:
        """Count a line that is left out."""
        self.n_faults += 1
        self._last = fault

    def tell(self, *, at_once: bool = False) -> None:
        """Tell what was left out since it was last told, unless that is less than a minute ago."""
        now = time.monotonic()
        n_new = self.n_faults - self._n_told
        if n_new and (at_once or now - self._told_at >= TOLD_EVERY_SECONDS):
            lines = "1 line was" if n_new == 1 else f"{n_new} lines were"
            self._tell(f"{lines} left out, {self.n_faults} in all; the last: {self._last}")
            self._n_told, self._told_at = self.n_faults, now
