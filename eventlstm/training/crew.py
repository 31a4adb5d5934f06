"""Members of an ensemble trained and asked side by side: in threads, or trained on a backend of joblib."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from sklearn import get_config, set_config
from threadpoolctl import threadpool_limits

from .backends import find_backend, stay_here
from .threads import count_crew, crew_of, one_of_many, one_thread, stoppable, stops


def side_by_side(
    function: Callable[..., Any], n_jobs: int | None, members: list[Any], *items: Iterable[Any]
) -> list[Any]:
    """Call `function` for each member and its items, in threads: torch and trees leave Python's lock while they work.

    `n_jobs` threads are used, None or a negative number meaning one a core; the results do not depend on it. `items`
    may go round and round. An interrupt, or the error of a member, ends the training of all at once.
    """
    with crew(n_jobs, len(members)) as call:
        return call(function, members, *items)


def train_side_by_side(
    function: Callable[..., Any], n_jobs: int | None, members: list[Any], *items: Iterable[Any]
) -> list[Any]:
    """Call `function` for each member and its items, on the backend of joblib that is configured, else in threads.

    What comes back counts: on a backend, copies of the members are trained.
    """
    backend = find_backend(n_jobs) if len(members) > 1 else None
    if backend is None:
        return side_by_side(function, n_jobs, members, *items)
    return list(backend.run(function, zip(members, *items, strict=False)))


@contextmanager
def crew(n_jobs: int | None, n_members: int) -> Iterator[Callable[..., list[Any]]]:
    """Yield `call(function, members, *items)`, which is `side_by_side` in threads that stay for many calls.

    To set a thread up takes some 2 ms, as long as a member takes for a few thousand rows. Members that have a crew of
    their own share the threads of this one, and what ends this one's members ends theirs.
    """
    allowed = count_crew(n_jobs)
    n_threads = min(n_members, allowed)
    if n_threads <= 1:
        with stay_here(), one_of_many(), crew_of(allowed):
            yield lambda function, *turns: [function(*turn) for turn in zip(*turns, strict=False)]
        return

    stop, outer = threading.Event(), stops()

    def alone(function: Callable[..., Any], *turn: Any) -> Any:
        with stoppable(*outer, stop), crew_of(allowed // n_threads):
            return function(*turn)

    def call(function: Callable[..., Any], *turns: Iterable[Any]) -> list[Any]:
        futures = [threads.submit(alone, function, *turn) for turn in zip(*turns, strict=False)]
        return [_result(future) for future in futures]

    # The caller enters too: what `_set_up` says is no count of threads for torch to go back to.
    with one_thread(), ThreadPoolExecutor(n_threads, initializer=_set_up, initargs=(get_config(),)) as threads:
        try:
            yield call
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def _result(future: Future[Any]) -> Any:
    """Wait for a result and look up now and then: a library may have set up SIGINT so that it ends no wait (polars)."""
    while wait([future], timeout=0.2).not_done:
        pass
    return future.result()


def _set_up(settings: dict[str, Any]) -> None:
    """Hand a new thread the caller's settings of scikit-learn, which count by thread, as OpenMP's threads do.

    Members must not compete for cores.
    """
    threadpool_limits(1, user_api="openmp")
    set_config(**settings)
