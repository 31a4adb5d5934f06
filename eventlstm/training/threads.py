"""Python threads with one torch thread each: for the members of an ensemble, and for the pieces of a batch."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Self

import torch
from joblib import cpu_count

from .denormals import flushes


class Workers:
    """Threads that do a share of a list each; outside of ``with``, the caller does all.

    Torch leaves Python's lock while it computes: on two cores two threads took 0.33 to 0.75 of one's time.

    Parameters
    ----------
    n_jobs : int
        Threads, the caller's among them.

    Examples
    --------
    >>> from eventlstm.training.threads import Workers
    >>> with Workers(2) as workers:
    ...     workers.map(lambda x: x * x, [1, 2, 3])
    [1, 4, 9]
    """

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self._others: ThreadPoolExecutor | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self.n_jobs > 1:
            self._open.enter_context(one_thread())  # the workers' count must not outlive them
            pool = ThreadPoolExecutor(self.n_jobs - 1, initializer=_begin, initargs=(flushes(),))
            self._others = self._open.enter_context(pool)
        return self

    def __exit__(self, *error: object) -> None:
        self._others = None
        self._open.close()

    def map(self, function: Callable[..., Any], *lists: Sequence[Any]) -> list[Any]:
        """Call `function` on each item of the lists and return the results in the items' order.

        Each thread takes a run of neighbours, the caller the first and longest.
        """
        items = list(zip(*lists, strict=True))
        n_shares = min(self.n_jobs if self._others is not None else 1, len(items))
        first, *rest = cut(items, n_shares) if items else [[]]
        waiting = [self._others.submit(call_each, function, share) for share in rest] if self._others else []
        results = call_each(function, first)
        for future in waiting:
            results += future.result()
        return results


def _begin(flush: bool) -> None:
    """Set up a thread: it begins as the one that asked for it was then, perhaps within a step of training."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(flush)


def cut(items: list[Any], n_shares: int) -> list[list[Any]]:
    """Cut a list into neighbouring shares, longer ones first, whose lengths differ by one at most."""
    length, n_longer = divmod(len(items), n_shares)
    stops = [(k + 1) * length + min(k + 1, n_longer) for k in range(n_shares)]
    return [items[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def call_each(function: Callable[..., Any], items: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Return the results of a function for items one after the other."""
    return [function(*item) for item in items]


def count_threads(n_jobs: int | None) -> int:
    """Return the threads for one training or prediction: None and negative numbers are one a core.

    Members of an ensemble have their threads already and get one each, and so do workers of joblib, which tells them
    their cores by OMP_NUM_THREADS.
    """
    if _one_of_many.get() or _stops.get():
        return 1
    return count_cores() if n_jobs is None or n_jobs < 0 else n_jobs


def count_crew(n_jobs: int | None) -> int:
    """Return the threads for members side by side, as `count_threads`; inside of another crew, at most its share."""
    wanted = count_cores() if n_jobs is None or n_jobs < 0 else n_jobs
    return min(wanted, _share.get() or wanted)


@contextmanager
def crew_of(n_threads: int) -> Iterator[None]:
    """Let crews in here have so many threads at most."""
    before = _share.set(n_threads)
    try:
        yield
    finally:
        _share.reset(before)


def count_cores() -> int:
    """Return the cores that this process may use; on a worker of Dask one, as it has other work for the others."""
    if is_on_dask():
        return 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(cpu_count(), int(told)) if told.isdigit() and int(told) else cpu_count()


def is_on_dask() -> bool:
    """Return whether this thread is at work for Dask, which tells what runs there to use the cluster too."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


class StoppedError(Exception):
    """Training was ended by those who asked for it; what it made is not wanted any more."""


_stops: ContextVar[tuple[threading.Event, ...]] = ContextVar("stops", default=())
_share: ContextVar[int | None] = ContextVar("share", default=None)
_one_of_many: ContextVar[bool] = ContextVar("one_of_many", default=False)


@contextmanager
def one_of_many() -> Iterator[None]:
    """Let an interrupt of a training in here pass on to the caller, who trains others too."""
    before = _one_of_many.set(True)
    try:
        yield
    finally:
        _one_of_many.reset(before)


def is_one_of_many() -> bool:
    """Return whether an interrupt is the caller's."""
    return _one_of_many.get()


@contextmanager
def stoppable(*stops: threading.Event) -> Iterator[None]:
    """End training in here, at its next step, once one of these events is set."""
    before = _stops.set(stops)
    try:
        yield
    finally:
        _stops.reset(before)


def stops() -> tuple[threading.Event, ...]:
    """Return the events that end training here, for threads begun here: these know nothing of it."""
    return _stops.get()


def end_if_stopped() -> None:
    """Raise StoppedError once an event of `stoppable` is set."""
    if any(stop.is_set() for stop in _stops.get()):
        raise StoppedError


class _Threads:
    """How many fits and predictions run now, and torch's thread count before the first of them."""

    lock = threading.Lock()
    here = threading.local()
    n_users = 0
    before = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch with one thread in here, and give the caller's count back at the end.

    Small recurrent layers do not gain from torch's own threads (two were slower than one at 32 units), results
    must not depend on their number, and members of an ensemble run side by side in threads of their own.
    """
    if getattr(_Threads.here, "inside", False):
        yield
        return
    with _Threads.lock:
        before = torch.get_num_threads()  # every thread must ask: torch sets up those that did not, later, anew
        torch.set_num_threads(1)
        if _Threads.n_users == 0:
            _Threads.before = before
        _Threads.n_users += 1
        _Threads.here.inside = True
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.n_users -= 1
            _Threads.here.inside = False
            torch.set_num_threads(_Threads.before)
