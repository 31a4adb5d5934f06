"""Machines that fell silent: no row of theirs has come for a while of the clock on the wall."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any


class Silence:
    """When each machine was last heard, and which have not been for too long.

    Parameters
    ----------
    after : float
        Seconds without a row after which a machine is silent.
    """

    def __init__(self, after: float) -> None:
        self.after = after
        self._heard: dict[Any, float] = {}
        self.silent: list[Any] = []

    def hear(self, runs: Iterable[Any]) -> list[Any]:
        """Take note of machines that rows came from, and return those of them that had been silent."""
        runs = dict.fromkeys(runs)
        self._heard |= dict.fromkeys(runs, time.monotonic())
        back = [run for run in self.silent if run in runs]
        self.silent = [run for run in self.silent if run not in runs]
        return back

    def fall_silent(self) -> list[Any]:
        """Return the machines that have been silent for long enough by now, and were not when it was last asked."""
        before = time.monotonic() - self.after
        new = [run for run, heard in self._heard.items() if heard < before and run not in self.silent]
        self.silent += new
        return new

    def resume(self, runs: Iterable[Any], silent: Iterable[Any]) -> None:
        """Wait for machines that were known before, from now on."""
        self.hear(runs)
        self.silent = list(silent)
