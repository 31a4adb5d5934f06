"""Whether a command is about many logs, each by itself, or about one that may lie in several files."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..serving.named_logs import is_many


def is_fleet(options: argparse.Namespace, default: Path | None = None) -> bool:
    """Return whether there are results for each of several logs: where files go into a folder, and not into a file.

    `default` is the output where none was named.
    """
    if options.query is not None or any(isinstance(log, str) for log in options.log):
        return False
    if not is_many(options.log):
        return False
    to_file = isinstance(options.output, str) or (options.output.suffix and not options.output.is_dir())
    if not to_file or options.output == default:
        return True
    if len(options.log) > 1:
        raise ValueError(
            f"{len(options.log)} logs came for one file, {options.output}. Name a folder for the results of each, or "
            "pass a folder or a pattern of files that are the runs of one log."
        )
    return False
