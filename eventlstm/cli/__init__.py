"""The command line: ``eventlstm demo``, ``fit``, ``score``, ``detect`` and ``report``."""

from .entry import main

__all__ = ["main"]
