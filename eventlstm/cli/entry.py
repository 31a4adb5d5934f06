"""Where the command line is entered: an interrupt is told in one line from the first moment on, so nothing loads here.

What follows is imported where interrupts are heard; those of the standard library alone take 20 ms.
"""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # for type checkers, which take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # as shells say it: 128 and the number of the signal
INTERRUPT = "interrupted; no file was written but those named above, if any."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 after bad input and 130 after an interrupt, which are told in one line; 141 where a pipe to write to
        was closed.

    Raises
    ------
    SystemExit
        If arguments are wrong (2), only help was asked for (0), a signal ended the command (143, say), or nobody reads
        any more what it prints (141).
    """
    try:
        code: int = importlib.import_module(".process", __package__).run_to_end(arguments)
    except KeyboardInterrupt:
        print(f"eventlstm: {INTERRUPT}", file=sys.stderr)
        return INTERRUPTED
    return code
