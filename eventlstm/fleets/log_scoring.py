"""One of many logs scored: read, scored and written, and what became of it, whatever happens."""

from __future__ import annotations

import time
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.model_scores import score_rows
from ..logs.index import run_names
from .alarms_in_pieces import AlarmsInPieces
from .log_columns import LogColumns
from .log_pieces import NotInPiecesError, read_pieces
from .named_logs import NamedLog
from .outcomes import Outcome, in_a_line
from .piece_models import NoPiecesError
from .score_in_pieces import ScoreInPieces
from .table_writer import KINDS, TableWriter


class LogScoring(NamedTuple):
    """What is done for each log, by a worker of any kind."""

    policy: AlarmPolicy
    columns: LogColumns | None  # None where no log is a file
    out: Path
    kind: str | None  # of the results, None for that of the log
    raw: bool  # whether texts stay as they are, see `logs.spreadsheets`
    chunk_rows: int  # rows from which on a log is scored in pieces of as many

    def do(self, model: Any, log: tuple[NamedLog, str]) -> Outcome:
        """Score a log and write its results; what goes wrong becomes part of the outcome."""
        begin, (named, key) = time.perf_counter(), log
        try:
            counts = self._score(model, named)
        except Exception as error:
            return self.fail(named, error, time.perf_counter() - begin)
        return Outcome(named.name, *counts, round(time.perf_counter() - begin, 3), "", key)

    def fail(self, log: NamedLog, error: BaseException, seconds: float = 0.0) -> Outcome:
        """Return the outcome of a log that could not be scored, which says why."""
        return Outcome(log.name, None, None, None, round(seconds, 3), in_a_line(error), "")

    def results(self, log: NamedLog) -> tuple[Path, Path]:
        """Return the files of the scores and of the alarms of a log."""
        suffix = KINDS[self.kind or ("parquet" if log.is_parquet else "csv")]
        scores, alarms = (self.out / f"{log.stem}.{what}{suffix}" for what in ("scores", "alarms"))
        return scores, alarms

    def _score(self, model: Any, log: NamedLog) -> tuple[int, int, int]:
        scores, alarms = self.results(log)
        scores.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(log.source, Path) and self.columns is not None:
            counts = score_long(model, self, log.source, scores, alarms)
            if counts is not None:
                return counts
        X = self._read(log)
        score = pd.Series(score_rows(model, X), index=X.index, name="score")
        events = self.policy.to_events(score)
        self.write_alarms(events, X.index, alarms)
        with TableWriter(scores, raw=self.raw) as writer:
            writer.write(pd.DataFrame({"score": score, "alarm": self.policy.flag(score)}).reset_index())
        return len(X), len(run_names(X)), len(events)

    def write_alarms(self, events: pd.DataFrame, index: pd.Index, path: Path) -> None:
        """Write the list of the alarms of a log with such an index."""
        with TableWriter(path, raw=self.raw) as writer:
            writer.write(tabulate_events(events, list(index.names[:-1])))

    def _read(self, log: NamedLog) -> pd.DataFrame:
        if isinstance(log.source, pd.DataFrame):
            return log.source
        assert self.columns is not None
        X: pd.DataFrame = self.columns.read(log.source).X
        return X


def score_long(
    model: Any, scoring: LogScoring, path: Path, scores: Path, alarms: Path | None
) -> tuple[int, int, int] | None:
    """Score a long log in pieces, in memory that does not grow with it; return the counts of rows, runs and alarms.

    None where it is short or not in order, or the model does not go in pieces, and nothing is written.
    """
    assert scoring.columns is not None
    in_pieces, n_rows = AlarmsInPieces(scoring.policy), 0
    try:
        pieces = read_pieces(path, scoring.columns, scoring.chunk_rows)
        first, scorer = next(pieces), ScoreInPieces(model)
        with TableWriter(scores, raw=scoring.raw) as writer:
            for X in chain([first], pieces):
                score = pd.Series(scorer.score(X), index=X.index)
                writer.write(pd.DataFrame({"score": score, "alarm": in_pieces.flag(score)}).reset_index())
                n_rows += len(X)
    except (NotInPiecesError, NoPiecesError):
        return None
    events = in_pieces.to_events()
    if alarms is not None:
        scoring.write_alarms(events, first.index, alarms)
    return n_rows, len(in_pieces.pieces.known), len(events)


def tabulate_events(events: pd.DataFrame, run_names: list[Any]) -> pd.DataFrame:
    """Return events, as `AlarmPolicy.to_events` gives them, with a column for each name of the run."""
    runs = events["run"].map(lambda run: run if isinstance(run, tuple) else (run,))
    columns = {name: [run[level] for run in runs] for level, name in enumerate(run_names)}
    return pd.concat([pd.DataFrame(columns, index=events.index), events.drop(columns="run")], axis=1)
