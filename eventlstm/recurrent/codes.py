"""Channels that hold codes instead of measurements: which they are, and the number that stands for each code."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..logs.log_windows import LogWindows
from .checking import CheckedWindows


class Codes(NamedTuple):
    """The categorical channels of windows or rows, and the codes that are known of each."""

    channels: tuple[int, ...]
    known: list[np.ndarray]  # of each channel, rising

    @property
    def counts(self) -> tuple[tuple[int, int], ...]:
        """Each channel with the number of its codes, the unknown one counted."""
        return tuple((channel, len(known) + 1) for channel, known in zip(self.channels, self.known, strict=True))

    def encode_windows(self, windows: CheckedWindows) -> CheckedWindows:
        """Return windows with the numbers of codes in place of the codes."""
        if isinstance(windows.values, LogWindows) and self.known:
            values = self.encode(windows.values.values)
            return windows._replace(values=windows.values.replace_values(values))
        return windows._replace(values=self.encode(windows.values))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., n_channels) with the numbers of codes in place of the codes; zero is unknown."""
        if not self.known:
            return values
        values = values.copy()  # a log may be the caller's own, and that of other members
        for channel, known in zip(self.channels, self.known, strict=True):
            number = np.minimum(np.searchsorted(known, values[..., channel]), len(known) - 1)
            values[..., channel] = np.where(known[number] == values[..., channel], number + 1, 0)
        return values


def learn_codes(channels: tuple[int, ...], windows: CheckedWindows) -> list[np.ndarray]:
    """Return the codes that each of the categorical channels holds, rising."""
    values = windows.values.values if isinstance(windows.values, LogWindows) else windows.values
    if windows.lengths is not None:
        values = values[np.arange(values.shape[1]) < windows.lengths[:, None]]  # (n_steps_in_all, n_channels)
    return [np.unique(values[..., channel]) for channel in channels]


def check_channels(channels: Any, n_channels: int) -> tuple[int, ...]:
    """Return the positions of the categorical channels, refusing what is no position or comes twice."""
    if channels is None:
        return ()
    positions = tuple(channels)
    whole = all(isinstance(channel, Integral) and not isinstance(channel, bool) for channel in positions)
    if not whole or len(set(positions)) < len(positions) or not set(positions) <= set(range(n_channels)):
        raise ValueError(
            f"categorical_channels={channels!r} must be different positions from 0 to {n_channels - 1}: the windows "
            f"have {n_channels} channels."
        )
    return tuple(int(channel) for channel in positions)
