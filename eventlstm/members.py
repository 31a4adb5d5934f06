"""The members of an ensemble: made from a template, told of their input, run side by side, and heard as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn import get_config, set_config
from sklearn.base import clone
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from .inputs import InputScaler
from .recurrent import SEEDS
from .threads import count_crew, crew_of, one_of_many, one_thread, stoppable, stops
from .windows import LogWindows

# No member may hold a class for less likely than this: a forest's exact zero would silence all others.
SUREST = 1e-6


def make_members(template: Any, n_members: int, rng: np.random.RandomState | None, verbose: int) -> list[Any]:
    """Clone an estimator, and hand a file of its own to each `checkpoint` and a seed to each `random_state` in them.

    Without `rng` the seeds stay as they are.
    """
    members = [clone(template) for _ in range(n_members)]
    for k, member in enumerate(members):
        names = member.get_params()
        member.set_params(**{name: f"{path}.{k}" for name, path in checkpoints_of(member).items()})
        if rng is not None:
            seeds = [name for name in sorted(names) if name.split("__")[-1] == "random_state"]
            member.set_params(**{name: int(rng.randint(SEEDS)) for name in seeds})
        if verbose and "verbose" in names:
            member.set_params(verbose=verbose)
    return members


def refuse_unseeded_checkpoints(template: Any, owner: Any) -> None:
    """Refuse checkpoints of members whose `owner` draws other members each time."""
    if checkpoints_of(template) and not isinstance(owner.random_state, Integral):
        raise ValueError(
            f"A checkpoint can only be gone on from by the same training, but {type(owner).__name__}'s "
            f"random_state={owner.random_state!r} draws other members each time. Set it to an int."
        )


def checkpoints_of(estimator: Any) -> dict[str, Any]:
    """Return the checkpoints in an estimator, by the names of the parameters that hold them."""
    parameters = estimator.get_params().items()
    return {name: path for name, path in parameters if name.split("__")[-1] == "checkpoint" and path is not None}


def side_by_side(
    function: Callable[..., Any], n_jobs: int | None, members: list[Any], *items: Iterable[Any]
) -> list[Any]:
    """Call `function` for each member and its items, in threads: torch and trees leave Python's lock while they work.

    `n_jobs` threads are used, None or a negative number meaning one a core; the results do not depend on it. `items`
    may go round and round. An interrupt, or the error of a member, ends the training of all at once.
    """
    with crew(n_jobs, len(members)) as call:
        return call(function, members, *items)


@contextmanager
def crew(n_jobs: int | None, n_members: int) -> Iterator[Callable[..., list[Any]]]:
    """Yield `call(function, members, *items)`, which is `side_by_side` in threads that stay for many calls.

    To set a thread up takes some 2 ms, as long as a member takes for a few thousand rows. Members that have a crew of
    their own share the threads of this one, and what ends this one's members ends theirs.
    """
    allowed = count_crew(n_jobs)
    n_threads = min(n_members, allowed)
    if n_threads <= 1:
        with one_of_many(), crew_of(allowed):
            yield lambda function, *turns: [function(*turn) for turn in zip(*turns, strict=False)]
        return

    stop, outer = threading.Event(), stops()

    def alone(function: Callable[..., Any], *turn: Any) -> Any:
        with stoppable(*outer, stop), crew_of(allowed // n_threads):
            return function(*turn)

    def call(function: Callable[..., Any], *turns: Iterable[Any]) -> list[Any]:
        futures = [threads.submit(alone, function, *turn) for turn in zip(*turns, strict=False)]
        return [future.result() for future in futures]

    # The caller enters too: what `_set_up` says is no count of threads for torch to go back to.
    with one_thread(), ThreadPoolExecutor(n_threads, initializer=_set_up, initargs=(get_config(),)) as threads:
        try:
            yield call
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def pool(proba: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the members' opinion, (..., n_classes), of their probabilities (n_members, ..., n_classes).

    `weights` are (n_members,), None for the same of all.
    The mean is taken of log-odds (of log-probabilities, where classes are more than two): one member's overconfidence
    on a machine it does not know then outvotes the others less than in a mean of probabilities.
    """
    if len(proba) == 1:
        return proba[0]
    mean = np.average(np.log(np.maximum(proba, SUREST)), axis=0, weights=weights)
    odds = np.exp(mean - mean.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def takes_windows(member: Any) -> bool:
    """Return whether a member takes windows by themselves; others get them flattened to 2-D."""
    return get_tags(member).input_tags.three_d_array


def as_input(member: Any, windows: LogWindows) -> Any:
    """Return windows in the form that a member takes."""
    return windows if takes_windows(member) else flatten(windows[:])


def flatten(windows: np.ndarray) -> np.ndarray:
    """Return windows in the form that any classifier of scikit-learn takes."""
    return windows.reshape(len(windows), -1)  # (n_windows, n_timesteps * n_channels)


def tell_channels(member: Any, windows: LogWindows) -> None:
    """Tell a network inside a pipeline or the like how many channels its flattened windows have."""
    if takes_windows(member):
        return
    parameters = member.get_params()
    inside = [name for name in parameters if name.endswith("__n_channels")]
    member.set_params(**dict.fromkeys(inside, windows.shape[2]))
    if any(parameters[name.replace("__n_channels", "__early_stopping")] for name in inside):
        raise ValueError(
            f"early_stopping of a network inside {type(member).__name__} would hold out windows that overlap those "
            "trained on. Set it to False, or pass the network itself."
        )


def tell_codes(member: Any, scaler: InputScaler | None, codes: tuple[int, ...]) -> None:
    """Tell a member which of its channels hold codes, where the sensors `codes` of the log do."""
    if not codes:
        return
    if "categorical_channels" in member.get_params(deep=False):
        member.set_params(categorical_channels=list(codes if scaler is None else scaler.code_channels))
    elif scaler is not None:
        raise ValueError(
            f"{type(member).__name__} has no parameter categorical_channels, so that it would take codes for "
            "measurements. Use LSTMClassifier; or set inputs=None, which hands it the codes as they are, as trees like "
            "them; or put OneHotEncoder() before the model and leave categorical_channels out."
        )


def _set_up(settings: dict[str, Any]) -> None:
    """Hand a new thread the caller's settings of scikit-learn, which count by thread, as OpenMP's threads do.

    Members must not compete for cores.
    """
    threadpool_limits(1, user_api="openmp")
    set_config(**settings)
