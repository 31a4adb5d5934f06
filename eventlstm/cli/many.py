"""Whether a command is about many logs, each by itself, or about one that may lie in several files."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..fleets.named_logs import is_many


def is_fleet(options: argparse.Namespace) -> bool:
    """Return whether there are results for each of several logs: where none or a folder is named, and not a file."""
    if options.query is not None or any(isinstance(log, str) for log in options.log):
        return False
    if not is_many(options.log):
        return False
    if not _is_file(options.output):
        return True
    if len(options.log) > 1:
        raise ValueError(
            f"{len(options.log)} logs came for one file, {options.output}. Name a folder for the results of each, or "
            "pass a folder or a pattern of files that are the runs of one log."
        )
    return False


def _is_file(output: Path | str | None) -> bool:
    """Return whether an output is a file or a database, and no folder."""
    if output is None:
        return False
    return isinstance(output, str) or bool(output.suffix and not output.is_dir())
