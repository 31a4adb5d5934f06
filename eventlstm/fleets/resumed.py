"""Work on many logs that goes on where it stopped: what has been done and has not changed since is not done again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from tqdm import tqdm

from ..archive.files import save
from ..logs.temporary_files import remove_leftovers
from .each_log import do_for_each, pack
from .named_logs import NamedLog
from .outcomes import Outcomes


class Job(Protocol):
    """What is done for each log, by a worker of any kind; it can be pickled."""

    @property
    def out(self) -> Path:
        """The folder of the results, which all workers see."""

    def do(self, model: Any, log: tuple[NamedLog, str]) -> Any:
        """Write the results of a log, whole or not at all, and return the outcome, with the key beside the log."""

    def results(self, log: NamedLog) -> Sequence[Path]:
        """Return the files that are written for a log."""

    def fail(self, log: NamedLog, error: BaseException) -> Any:
        """Return the outcome of a log that cannot be found."""


def do_or_keep(
    job: Job,
    model: Any,
    logs: Iterable[NamedLog],
    outcomes: Outcomes,
    asked: str,
    *,
    n_jobs: int | None = None,
    total: int | None = None,
    progress: bool = True,
) -> None:
    """Do a job for each log, unless its results are there and neither it nor what was asked for has changed.

    Parameters
    ----------
    job : Job
        What is done.
    model : object
        What it is done with.
    logs : iterable of NamedLog
        What it is done for.
    outcomes : Outcomes
        What became of logs before, and takes what becomes of these.
    asked : str
        All that results depend on beside the log.
    n_jobs : int, default=None
        As joblib takes it.
    total : int, default=None
        How many logs there are, where it is known.
    progress : bool, default=True
        Show a bar of progress on a terminal.
    """
    with tqdm(total=total, unit="log", disable=None if progress else True) as bar:
        try:
            for outcome in _go_through(job, model, logs, outcomes, asked, n_jobs):
                outcomes.add(outcome)
                bar.update()
        finally:
            outcomes.write()


def _go_through(
    job: Job, model: Any, logs: Iterable[NamedLog], outcomes: Outcomes, asked: str, n_jobs: int | None
) -> Iterator[Any]:
    """Yield what becomes of each log."""
    settled: list[Any] = []
    swept: set[Path] = set()

    def sort_out(some: Iterable[NamedLog]) -> list[tuple[NamedLog, str]]:
        left = []
        for log in some:
            results = job.results(log)
            for folder in {job.out, *(path.parent for path in results)} - swept:
                remove_leftovers(folder)
                swept.add(folder)
            try:
                key = hashlib.sha256(f"{asked} {log.name} {log.stamp()}".encode()).hexdigest()
            except OSError as error:
                settled.append(job.fail(log, error))
                continue
            before = outcomes.done(log.name, key)
            if before is not None and all(path.exists() for path in results):
                settled.append(before)
            else:
                left.append((log, key))
        outcomes.forget(log.name for log, _ in left)
        return left

    batches = [logs] if isinstance(logs, list) else ([log] for log in logs)
    for outcome in do_for_each(job.do, model, (log for some in batches for log in sort_out(some)), n_jobs, job.out):
        yield outcome
        while settled:
            yield settled.pop()
    yield from settled


def identity_of(model: Any) -> str:
    """Return what tells a fitted model from all that score otherwise: a digest of its archive.

    What cannot be saved is told by its pickle, which may differ from one process to the next: then all is done anew.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "model")
        try:
            save(model, path)
            content = path.read_bytes()
        except (TypeError, ValueError):
            content = pack(model) or os.urandom(32)
    return hashlib.sha256(content).hexdigest()
