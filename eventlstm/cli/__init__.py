"""The command line: ``eventlstm demo``, ``fit``, ``score``, ``detect`` and ``report``."""

from .parser import main

__all__ = ["main"]
