"""Trainings on the workers of joblib's backend: processes, or machines behind Dask, Ray or Spark.

A backend is one that the caller has named in ``joblib.parallel_config``; without one, threads do all (`crew`), which
were quicker than processes wherever both were measured on one machine. Inside of it, the members of `EventClassifier`,
`AnomalyDetector` and `BalancedBaggingLSTMClassifier`, the parts of `EventBlend` and the folds of the command line
train on its workers, and give the same bits; predictions stay here. The outermost loop takes the workers: what it has
inside, members within the folds of a search, goes one after the other there, or in the threads that a process is left
(OMP_NUM_THREADS). ``n_jobs=1`` of an estimator keeps its members here. Workers need this package; on them are what it
warns of, its progress, and the files of checkpoints.

Processes::

    with joblib.parallel_config("loky", n_jobs=4):
        model.fit(X, y)

A cluster of Dask (the extra "dask")::

    client = dask.distributed.Client("tcp://scheduler:8786")
    with joblib.parallel_config("dask", client=client):
        model.fit(X, y)

What a worker takes with it that is killed is done again, by Dask and for the three others here. A search of
scikit-learn is not ours: on processes it ends with an error, and on Dask the log and the folds are lost with the worker
that holds them, and the search with these or, where it waits for them, without an end. Lay copies on all workers::

    folds = list(el.RunKFold(5).split(X, y))
    client.amm.stop()  # Dask's memory manager, which frees all copies but one after two seconds
    with joblib.parallel_config("dask", client=client, scatter=[X, y, *itertools.chain(*folds)]):
        GridSearchCV(model, grid, cv=folds).fit(X, y)

Ray, and Spark by the package joblibspark; both get the log once a task. Tried with ray 2.60 on one machine, and with
pyspark 4.3 and joblibspark 0.6 as ``local[2]``::

    ray.util.joblib.register_ray()
    with joblib.parallel_config("ray", n_jobs=-1):
        model.fit(X, y)

    joblibspark.register_spark()
    with joblib.parallel_config("spark", n_jobs=8):
        model.fit(X, y)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from joblib import parallel_config
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from .threads import is_on_dask, one_of_many, one_thread

# How often work is handed out again that was lost with its worker; Dask counts by itself, and as many.
N_RETRIES = 3
# What joblib and Ray raise, by name, as neither need be there, and Dask where it has handed out again often enough.
LOST, LOST_OFTEN = {"TerminatedWorkerError", "BrokenProcessPool", "ActorDiedError", "RayActorError"}, {"KilledWorker"}
SMALL = (str, Number, np.random.RandomState, type(None))


class Backend(NamedTuple):
    """Where trainings go, and on how many workers."""

    backend: Any  # joblib's
    n_jobs: int

    def run(self, function: Callable[..., Any], turns: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield the results of a function for turns of arguments, in their order.

        What a lost worker has taken with it is done again. Large arguments are sent once: joblib maps arrays into the
        memory of processes, and Dask's scheduler hands them on.

        Raises
        ------
        ChildProcessError
            If workers were lost again and again.
        """
        left, n_losses = list(turns), 0
        while left:
            try:
                for result in self._results(function, left):
                    left.pop(0)
                    yield result
            except Exception as error:
                n_losses += 1
                if type(error).__name__ in LOST and n_losses <= N_RETRIES:
                    continue
                if type(error).__name__ in LOST | LOST_OFTEN:
                    raise ChildProcessError(
                        f"Workers of joblib's {type(self.backend).__name__} were killed {n_losses} times over the same "
                        "work; most often their memory was too small. Take fewer of them (n_jobs), or a shorter log."
                    ) from error
                raise

    def _results(self, function: Callable[..., Any], turns: list[tuple[Any, ...]]) -> Iterator[Any]:
        sent = _send_to_dask(self.backend.client, turns) if hasattr(self.backend, "data_futures") else {}
        calls = [delayed(_call)(function, *(sent.get(id(item), item) for item in turn)) for turn in turns]
        how = {"return_as": "generator"} if self.backend.supports_return_generator else {}
        return iter(Parallel(n_jobs=self.n_jobs, **how)(calls))


def find_backend(n_jobs: int | None) -> Backend | None:
    """Return the backend of joblib that is configured, None where the threads of this process are to do.

    `n_jobs` are its workers; None leaves them to the configuration, and to all there are. Work that is on a worker
    already stays there: the outer of nested loops has taken the others.
    """
    backend, configured = get_active_backend(prefer="threads")
    n_workers = n_jobs or configured or -1
    if n_workers == 1 or _is_here(backend) or is_on_dask() or backend.effective_n_jobs(n_workers) == 1:
        return None
    return Backend(backend, n_workers)


def stay_here() -> AbstractContextManager[Any]:
    """Keep off the backend what members do inside of them; sums of forests would come in another order each time."""
    is_here = _is_here(get_active_backend(prefer="threads")[0])
    return nullcontext() if is_here else parallel_config("threading", n_jobs=1)


def one_by_one(function: Callable[..., Any], turns: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Yield the results of a function for turns of arguments: on the backend, or here, one after the other."""
    backend = find_backend(None)
    return iter(function(*turn) for turn in turns) if backend is None else backend.run(function, turns)


def _is_here(backend: Any) -> bool:
    """Return whether a backend is of threads, or none at all."""
    return bool(getattr(backend, "supports_sharedmem", False))


def _send_to_dask(client: Any, turns: list[tuple[Any, ...]]) -> dict[int, Any]:
    """Return futures of large arguments, by their identity.

    The scheduler keeps what it is sent so, and hands it out again after workers were lost. What is scattered is lost
    with the last worker that holds it, and Dask soon frees all copies but one; all that needs it would wait forever.
    """
    from dask import config
    from distributed.protocol.pickle import dumps, loads

    large = {id(item): item for turn in turns for item in turn if _is_large(item)}
    with config.set({"distributed.admin.large-graph-warning-threshold": "1 PB"}):  # nothing is repeated in it
        return {key: client.submit(loads, dumps(item), pure=False) for key, item in large.items()}


def _is_large(item: Any) -> bool:
    """Return whether an argument is to be sent once; estimators never are: a call may change what it is given."""
    return not (isinstance(item, SMALL) or hasattr(item, "get_params"))


def _call(function: Callable[..., Any], *turn: Any) -> Any:
    """Call a function on a worker, as a member is called in a thread: what computes has one thread."""
    # joblib keeps work where it is while all workers of a cluster but one are lost
    turn = tuple(item.result() if type(item).__name__ == "Future" else item for item in turn)
    with stay_here(), one_of_many(), one_thread(), threadpool_limits(1, user_api="openmp"):
        return function(*turn)
