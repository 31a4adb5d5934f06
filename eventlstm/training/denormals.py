"""Numbers too small for their full precision, taken for zero while a network learns.

On its way back through a long window a gradient fades away. Below 1e-38 processors compute with it a hundred times as
slowly, to no end: a fit on windows of 200 steps took seven times as long.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Let this thread take denormal numbers for zero in here, where its processor can.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.training.denormals import flush_denormals
    >>> small = torch.tensor(1e-40)
    >>> with flush_denormals():
    ...     flushed = small * 1.0
    >>> float(flushed), bool(small * 1.0 > 0)
    (0.0, True)
    """
    before = flushes()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def flushes() -> bool:
    """Return whether this thread takes denormal numbers for zero."""
    smallest = sys.float_info.min
    return smallest / 2.0 == 0.0
