"""The command line: ``eventlstm demo``, ``fit``, ``score``, ``detect``, ``report`` and ``watch``."""

from .entry import main

__all__ = ["main"]
