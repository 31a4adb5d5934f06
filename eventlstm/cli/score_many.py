"""``eventlstm score`` of many logs: a file of scores and one of alarms for each, side by side or over a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from joblib import parallel_config

from ..archive.files import load
from ..fleets.fleet import score_logs
from ..fleets.outcomes import FILE
from ..logs.units import tell_count

NO_DASK = "--cluster needs Dask, which is not installed. Install it: pip install 'eventlstm[dask]'."
N_SHOWN = 3


def run_score_many(options: argparse.Namespace) -> None:
    """Score many files with a saved model."""
    _refuse_labels(options)
    model = load(options.model, device=options.device)
    with workers(options):
        outcomes = score_logs(
            model, options.log, options.output, time=options.time, run=options.run or None, raw=options.raw
        )
    done = outcomes[outcomes["error"] == ""]
    tell_failures(outcomes[["name", "error"]].itertuples(index=False, name=None))
    rows, alarms = (tell_count(int(done[column].sum()), column[:-1]) for column in ("rows", "alarms"))
    print(f"Wrote the scores of {tell_count(len(done), 'log')} to {options.output}: {rows}, {alarms}. See {FILE}.")


def tell_failures(outcomes: Iterable[tuple[str, str]]) -> None:
    """Print which logs failed, of all by name with an error, empty where there is none; all must not have failed."""
    logs = list(outcomes)
    failed, of_all = [log for log in logs if log[1]], tell_count(len(logs), "log")
    if len(failed) == len(logs):
        raise ValueError(f"all of {of_all} failed. The first, {failed[0][0]}: {failed[0][1]}")
    if failed:
        print(f"{len(failed)} of {of_all} failed:")
    for name, error in failed[:N_SHOWN]:
        print(f"  {name}: {error}")


@contextmanager
def workers(options: argparse.Namespace) -> Iterator[None]:
    """Let joblib work with the processes, or on the cluster, that the command names."""
    if options.cluster is None:
        with parallel_config("loky" if options.jobs not in (None, 1) else "sequential", n_jobs=options.jobs or 1):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise ImportError(NO_DASK) from None
    with Client(options.cluster), parallel_config("dask", n_jobs=options.jobs or -1):
        yield


def _refuse_labels(options: argparse.Namespace) -> None:
    if options.label is not None or options.events is not None:
        raise ValueError(
            "--label and --events measure the scores of one log, and many came. Leave them out, or measure many logs "
            "with `eventlstm report`."
        )
