"""``eventlstm score`` of many logs: a file of scores and one of alarms for each, side by side or over a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
from joblib import parallel_config

from ..archive.files import load
from ..logs.units import tell_count
from ..serving.fleet import score_logs
from ..serving.outcomes import FILE

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
    report_failures(outcomes)
    rows, alarms = (tell_count(int(done[column].sum()), column[:-1]) for column in ("rows", "alarms"))
    print(f"Wrote the scores of {tell_count(len(done), 'log')} to {options.output}: {rows}, {alarms}. See {FILE}.")


def report_failures(outcomes: pd.DataFrame) -> None:
    """Print which logs failed, and refuse to go on where all did."""
    failures = outcomes[outcomes["error"] != ""]
    if len(failures) == len(outcomes):
        name, error = failures.iloc[0][["name", "error"]]
        raise ValueError(f"all of {tell_count(len(outcomes), 'log')} failed. The first, {name}: {error}")
    if len(failures):
        print(f"{len(failures)} of {tell_count(len(outcomes), 'log')} failed:")
        for name, error in failures[["name", "error"]].head(N_SHOWN).itertuples(index=False, name=None):
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
