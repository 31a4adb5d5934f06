"""One of many logs scored: read, scored and written, and what became of it, whatever happens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.model_scores import score_rows
from ..logs.index import run_names
from ..logs.spreadsheets import as_text
from ..logs.whole_files import open_whole
from .log_columns import LogColumns
from .named_logs import NamedLog
from .outcomes import Outcome

KINDS = {"csv": ".csv", "parquet": ".parquet"}


class LogScoring(NamedTuple):
    """What is done for each log, by a worker of any kind."""

    policy: AlarmPolicy
    columns: LogColumns | None  # None where no log is a file
    out: Path
    kind: str | None  # of the results, None for that of the log
    raw: bool  # whether texts stay as they are, see `logs.spreadsheets`

    def score(self, model: Any, log: tuple[NamedLog, str]) -> Outcome:
        """Score a log and write its results; what goes wrong becomes part of the outcome."""
        begin, (named, key) = time.perf_counter(), log
        try:
            counts = self._score(model, named)
        except Exception as error:
            return failed(named, error, time.perf_counter() - begin)
        return Outcome(named.name, *counts, round(time.perf_counter() - begin, 3), "", key)

    def results(self, log: NamedLog) -> tuple[Path, Path]:
        """Return the files of the scores and of the alarms of a log."""
        suffix = KINDS[self.kind or ("parquet" if log.is_parquet else "csv")]
        scores, alarms = (self.out / f"{log.stem}.{what}{suffix}" for what in ("scores", "alarms"))
        return scores, alarms

    def _score(self, model: Any, log: NamedLog) -> tuple[int, int, int]:
        X = self._read(log)
        score = pd.Series(score_rows(model, X), index=X.index, name="score")
        scores, alarms = self.results(log)
        scores.parent.mkdir(parents=True, exist_ok=True)
        events = tabulate_events(self.policy.to_events(score), list(X.index.names[:-1]))
        self._write(events, alarms)
        self._write(pd.DataFrame({"score": score, "alarm": self.policy.flag(score)}).reset_index(), scores)
        return len(X), len(run_names(X)), len(events)

    def _read(self, log: NamedLog) -> pd.DataFrame:
        if isinstance(log.source, pd.DataFrame):
            return log.source
        assert self.columns is not None
        X: pd.DataFrame = self.columns.read(log.source).X
        return X

    def _write(self, table: pd.DataFrame, path: Path) -> None:
        with open_whole(path) as file:
            if path.suffix == KINDS["parquet"]:
                table.to_parquet(file, index=False)
            else:
                (table if self.raw else as_text(table)).to_csv(file, index=False)


def tabulate_events(events: pd.DataFrame, run_names: list[Any]) -> pd.DataFrame:
    """Return events, as `AlarmPolicy.to_events` gives them, with a column for each name of the run."""
    runs = events["run"].map(lambda run: run if isinstance(run, tuple) else (run,))
    columns = {name: [run[level] for run in runs] for level, name in enumerate(run_names)}
    return pd.concat([pd.DataFrame(columns, index=events.index), events.drop(columns="run")], axis=1)


def failed(log: NamedLog, error: BaseException, seconds: float = 0.0) -> Outcome:
    """Return the outcome of a log that could not be scored, which says why in a line."""
    said = " ".join(f"{error}".split()) or type(error).__name__
    return Outcome(log.name, None, None, None, round(seconds, 3), said, "")
