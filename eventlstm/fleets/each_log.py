"""A job done for each of many logs, on whatever backend of joblib is chosen; each process reads the model once."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed, effective_n_jobs

from ..logs.temporary_files import open_temporary
from ..logs.whole_files import sync
from ..training.threads import count_cores, crew_of

# The model that this process holds, by the digest of what it was read from.
_held: dict[str, Any] = {}


class SharedModel(NamedTuple):
    """Where the processes of a job find its model: in a file, which outlives each of them."""

    path: Path
    digest: str

    def get(self) -> Any:
        """Return the model, read once in a process."""
        model = _held.get(self.digest)
        if model is None:
            content = self.path.read_bytes()
            if not content:
                raise TypeError(
                    "The model holds what cannot be pickled, so that no other process gets it. Use threads."
                )
            if hashlib.sha256(content).hexdigest() != self.digest:
                raise ValueError(f"{self.path} is not what was written there. Begin again, in a folder of your own.")
            _held.clear()
            model = _held[self.digest] = pickle.loads(content)
        return model


def do_for_each(
    job: Callable[[Any, Any], Any], model: Any, logs: Iterable[Any], n_jobs: int | None, folder: Path
) -> Iterator[Any]:
    """Yield what ``job(model, log)`` returns, as logs are done.

    Parameters
    ----------
    job : callable
        What is done; it can be pickled, and raises nothing that is to be borne.
    model : object
        What it is done with.
    logs : iterable
        What it is done for, one after the other.
    n_jobs : int or None
        As joblib takes it.
    folder : Path
        A folder that all workers see, where the model lies meanwhile.

    Yields
    ------
    object
        A result, in any order.
    """
    content, share = pack(model), max(1, count_cores() // effective_n_jobs(n_jobs))
    with open_temporary(folder) as file:
        file.write(content)
        sync(file)  # other hosts see what is there, and not what is on its way
        shared = SharedModel(Path(file.name), hashlib.sha256(content or file.name.encode()).hexdigest())
        _held[shared.digest] = model
        try:
            parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
            yield from parallel(delayed(_do)(job, shared, log, share) for log in logs)
        finally:
            _held.pop(shared.digest, None)


def pack(model: Any) -> bytes:
    """Return a model as bytes; none where it holds what cannot be pickled, such as a lambda: threads need no bytes."""
    try:
        return pickle.dumps(model)
    except (pickle.PicklingError, AttributeError, TypeError):
        return b""


def _do(job: Callable[[Any, Any], Any], shared: SharedModel, log: Any, share: int) -> Any:
    """Do the job for a log, in whatever process and thread this is."""
    with crew_of(share):
        return job(shared.get(), log)
