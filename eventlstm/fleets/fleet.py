"""Many logs scored by one model: a result each, and a table of what became of them."""

from __future__ import annotations

import os
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any

import pandas as pd

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.model_scores import make_policy
from .log_columns import LogColumns
from .log_scoring import LogScoring
from .named_logs import find_logs
from .outcomes import FILE, Outcome, Outcomes
from .resumed import do_or_keep, identity_of
from .table_writer import KINDS

# What is held of a log at a time: of 8 sensors some 100 MB, with all that is made of it.
CHUNK_ROWS = 100_000


def score_logs(
    model: Any,
    logs: Any,
    out: str | os.PathLike[str],
    *,
    policy: AlarmPolicy | None = None,
    time: str | None = None,
    run: str | Sequence[str] | None = None,
    kind: str | None = None,
    raw: bool = False,
    chunk_rows: int = CHUNK_ROWS,
    n_jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score many logs: a file of scores and one of alarms for each, and a table of what became of them.

    A log that cannot be read or scored is a row that says why, and the others go on. What is begun again goes on where
    it has stopped: results are whole or absent, and a log is passed over if neither it, the model nor the options have
    changed since it was scored.

    Parameters
    ----------
    model : estimator
        A fitted `EventClassifier`, `EventBlend`, `AnomalyDetector`, or a pipeline that ends in one.
    logs : str, path-like, sequence of them, or pairs of str and DataFrame
        A file, a folder of files, a pattern such as ``"logs/**/*.parquet"``, or several; files as `read_log` takes
        them. Or a dict, or an iterable of pairs, of a name and a frame as the model takes it. What lies in `out` is no
        log.
    out : str or path-like
        Folder of the results, made where there is none: ``hall/pump-01.scores.csv`` and ``hall/pump-01.alarms.csv`` of
        the log ``hall/pump-01.csv`` below the folder or the fixed part of the pattern, and ``outcomes.csv``.
    policy : AlarmPolicy, default=None
        Rules for alarms. Default: those of the model. Without a threshold in them it is that of the model, and 0.5
        where it has none, as in `predict` and `StreamingDetector`.
    time, run : str, default=None
        Columns of the time and of the machine, or list of columns, in files. Default: those in `fit`.
    kind : {"csv", "parquet"}, default=None
        Kind of the results. Default: Parquet for Parquet files, else CSV.
    raw : bool, default=False
        Leave texts in CSV files that spreadsheets would run as formulas as they are; else they get an apostrophe.
    chunk_rows : int, default=100_000
        A file of more rows, in the order of run and time, is read, scored and written in pieces of as many, so that
        memory does not grow with it. Scores are those of the whole log, of networks within 1e-6.
    n_jobs : int, default=None
        Logs at a time, in threads. Inside of ``joblib.parallel_config``, on its backend: processes ("loky") are
        faster where scoring takes less time than reading, and "dask" goes over a cluster, whose workers must see
        files and `out` under the same names. Results do not depend on it.
    progress : bool, default=True
        Show a bar of progress on a terminal.

    Returns
    -------
    DataFrame of shape (n_logs, 7)
        "name", "rows", "runs", "alarms", "seconds", "error" (empty where there is none) and "key", by which a change is
        seen; also in ``outcomes.csv``, with the logs that were scored into this folder before.

    Raises
    ------
    ValueError
        If there is no log, two have the same name, the model does not know the columns of files, `kind` is unknown, or
        ``outcomes.csv`` is something else.

    See Also
    --------
    StreamingDetector : Many machines row by row.

    Examples
    --------
    >>> import tempfile
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=4, failures_per_machine=1, random_state=0)
    >>> network = el.LSTMClassifier(hidden_size=4, max_epochs=1)
    >>> model = el.EventClassifier(network, n_estimators=1, random_state=0).fit(log.X, log.y)
    >>> pumps = {machine: log.X.loc[[machine]] for machine in log.X.index.levels[0]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcomes = el.score_logs(model, pumps, folder)
    >>> outcomes[["name", "rows", "runs", "error"]]
          name  rows  runs error
    0  pump-01   546     1
    1  pump-02   536     1
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown. Choose one of {', '.join(KINDS)}, or None for that of the log.")
    out = Path(out).absolute()  # workers elsewhere have other current folders
    out.mkdir(parents=True, exist_ok=True)
    named = find_logs(logs, out)
    columns = LogColumns.of(model, time, run) if isinstance(named, list) else None
    job = LogScoring(make_policy(model, policy), columns, out, kind, raw, chunk_rows)
    outcomes = Outcomes(out / FILE, Outcome)
    asked = f"{identity_of(model)} {job.policy!r} {job.columns} {job.kind} {job.raw} {job.chunk_rows}"
    sized = named if isinstance(named, list) else logs
    total = len(sized) if isinstance(sized, Sized) else None
    do_or_keep(job, model, named, outcomes, asked, n_jobs=n_jobs, total=total, progress=progress)
    return outcomes.table()
