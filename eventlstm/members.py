"""The members of an ensemble: made from a template, run side by side in threads, and heard as one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from joblib import cpu_count
from sklearn import config_context, get_config
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from .recurrent import SEEDS
from .threads import one_of_many, one_thread, stoppable

# No member may hold a class for less likely than this: a forest's exact zero would silence all others.
SUREST = 1e-6


def make_members(template: Any, n_members: int, rng: np.random.RandomState, verbose: int) -> list[Any]:
    """Clone an estimator, and hand a seed to each `random_state` in the clones."""
    members = [clone(template) for _ in range(n_members)]
    for member in members:
        names = member.get_params()
        seeds = [name for name in sorted(names) if name.split("__")[-1] == "random_state"]
        member.set_params(**{name: int(rng.randint(SEEDS)) for name in seeds})
        if verbose and "verbose" in names:
            member.set_params(verbose=verbose)
    return members


def side_by_side(
    function: Callable[..., Any], n_jobs: int | None, members: list[Any], *items: Iterable[Any]
) -> list[Any]:
    """Call `function` for each member and its items, in threads: torch and trees leave Python's lock while they work.

    `n_jobs` threads are used, None or a negative number meaning one a core; the results do not depend on it. `items`
    may go round and round. An interrupt, or the error of a member, ends the training of all at once.
    """
    n_threads = _n_cores() if n_jobs is None or n_jobs < 0 else n_jobs
    turns = zip(members, *items, strict=False)
    if min(n_threads, len(members)) <= 1:
        with one_of_many():
            return [function(*turn) for turn in turns]

    stop, settings = threading.Event(), get_config()

    def alone(*turn: Any) -> Any:
        # OpenMP's threads count by thread, and members must not compete for cores; scikit-learn's settings do too.
        with threadpool_limits(1, user_api="openmp"), config_context(**settings), stoppable(stop):
            return function(*turn)

    # The caller enters too: the limit above is no count of threads for torch to go back to.
    with one_thread(), ThreadPoolExecutor(n_threads) as threads:
        futures = [threads.submit(alone, *turn) for turn in turns]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def pool(proba: np.ndarray) -> np.ndarray:
    """Return the members' opinion, (n_rows, n_classes), of their probabilities (n_members, n_rows, n_classes).

    The mean is taken of log-odds (of log-probabilities, where classes are more than two): one member's overconfidence
    on a machine it does not know then outvotes the others less than in a mean of probabilities.
    """
    if len(proba) == 1:
        return proba[0]
    mean = np.log(np.maximum(proba, SUREST)).mean(axis=0)
    odds = np.exp(mean - mean.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def _n_cores() -> int:
    """Return the cores this process may use; workers of joblib are told theirs by OMP_NUM_THREADS."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(cpu_count(), int(told)) if told.isdigit() and int(told) else cpu_count()
