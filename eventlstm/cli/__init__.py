"""The command line: ``eventlstm demo``, ``fit``, ``score``, ``detect``, ``report``, ``watch`` and ``export``."""

from .entry import main

__all__ = ["main"]
