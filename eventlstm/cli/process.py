"""The process of a command: what it prints to, what ends it, and its exit code, with one line where it ends early."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, NoReturn

from .entry import INTERRUPT, INTERRUPTED
from .secrets import hide_users

BAD_INPUT = 2
# How the libraries below keep memory, unless the environment says otherwise, so that long logs take less of it.
LIBRARIES = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",  # 0.7 MB for each length of a block that a network has seen; else of 1,024
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # what is given back is free for all; else for Arrow alone
}
SIGNALLED = 128  # and the number of the signal, as shells say it
CLOSED_PIPE = SIGNALLED + 13
ENDED_BY = ("SIGTERM", "SIGHUP")
# What bad input, a small machine and the libraries below raise; whatever else comes is our fault, and shows where.
FAULTS = (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError, ArithmeticError, AssertionError)
MAX_LENGTH = 270  # of what follows the name of the command, so that a line stays under 300 characters
# What torch says of memory, which it raises as a RuntimeError.
OF_MEMORY = ("out of memory", "allocate", "not enough memory", "bad_alloc")
NO_MEMORY = ("there is not enough memory", "Pass a smaller --window-size, fewer --members or a shorter log.")
TOO_DEEP = ("something is nested too deeply", "Pass a simpler file.")
OUT_OF_RANGE = ("a number is out of range", "Pass smaller numbers.")
FAILED = ("the computation failed", "If --device is not cpu, try --device cpu.")


def run_to_end(arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code, one line said where something ended it early."""
    for name, value in LIBRARIES.items():  # before any of them is imported
        os.environ.setdefault(name, value)
    with until_nobody_reads(), ended_by_signals():
        name = "eventlstm"
        try:
            parser = importlib.import_module(".parser", __package__)
            options = parser.make_parser().parse_args(arguments)
            name = f"{name} {options.command}"
            parser.run_command(options)
        except BrokenPipeError:
            return CLOSED_PIPE
        except (KeyboardInterrupt, *FAULTS) as error:
            message, code = (INTERRUPT, INTERRUPTED) if is_interrupt(error) else (describe_fault(error), BAD_INPUT)
            print(f"{name}: {message}", file=sys.stderr)
            return code
        return 0


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether a user ended the command; class bodies and libraries make other errors of an interrupt."""
    if isinstance(error, KeyboardInterrupt):
        exec("")  # or CPython would die by the signal at its end, where the interrupt fell into an exec, as in imports
        return True
    return error is not None and is_interrupt(error.__cause__ or error.__context__)


def describe_fault(error: BaseException) -> str:
    """Return what went wrong and what to do as one line, its middle left out where it is long."""
    text = " ".join(hide_users(str(error)).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{hide_users(str(error.filename))}: {error.strerror}."
    words = _words_for(error, text.lower())
    if words is None:
        return _cut(text, MAX_LENGTH)
    what, remedy = words
    room = MAX_LENGTH - len(f"{what} (). {remedy}")
    return f"{what} ({_cut(text or type(error).__name__, room)}). {remedy}"


def _words_for(error: BaseException, text: str) -> tuple[str, str] | None:
    """Return what an error of a library means here and what to do; None where its own words say so."""
    if isinstance(error, RuntimeError) and any(word in text for word in OF_MEMORY):
        return NO_MEMORY
    of_kind = {MemoryError: NO_MEMORY, RecursionError: TOO_DEEP, ArithmeticError: OUT_OF_RANGE}
    of_kind |= {RuntimeError: FAILED, AssertionError: FAILED}
    return next((words for kind, words in of_kind.items() if isinstance(error, kind)), None)


def _cut(text: str, length: int) -> str:
    head = length * 2 // 3
    return text if len(text) <= length else f"{text[:head]}...{text[head + 3 - length :]}"


class UntilNobodyReads:
    """A stream of text to whoever reads it; what comes after they have gone is dropped, and files are still written."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Write what is kept back, or drop it."""
        self._try(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _try(self, action: Callable[..., Any], *arguments: Any) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self.fault = error
            with suppress(OSError):  # Python writes what is left at its end, and would complain
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Drop what is printed once nobody reads it, and raise SystemExit at the end then."""
    out, err = (None if stream is None else UntilNobodyReads(stream) for stream in (sys.stdout, sys.stderr))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        for stream in filter(None, (out, err)):
            stream.flush()
        faults = [stream.fault for stream in (out, err) if stream is not None and stream.fault is not None]
        if faults:
            _leave(faults[0])


def _leave(fault: OSError) -> NoReturn:
    if isinstance(fault, BrokenPipeError):
        raise SystemExit(CLOSED_PIPE)
    print(f"eventlstm: what it prints cannot be written: {fault.strerror}.", file=sys.stderr)
    raise SystemExit(BAD_INPUT)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let signals that end a process end it by an exception, so that nothing half-written stays behind."""

    def end(number: int, _: Any) -> NoReturn:
        raise SystemExit(SIGNALLED + number)

    known = [getattr(signal, name) for name in ENDED_BY if hasattr(signal, name)]
    heard = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]
    try:
        with suppress(ValueError):  # only the main thread can hear them
            for number in heard:
                signal.signal(number, end)
        yield
    finally:
        with suppress(ValueError):
            for number in heard:
                signal.signal(number, signal.SIG_DFL)
