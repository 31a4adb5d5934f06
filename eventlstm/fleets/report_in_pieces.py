"""A report of a log that is longer than a piece: read and scored piece by piece, and thinned out as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..alarms.alarm_policy import rules_of
from ..alarms.model_scores import policy_of, threshold_of, window_size_of
from ..evaluation.card import describe_log
from ..evaluation.html_report import TITLE, Known, check_writable, write_report
from ..evaluation.learnt import tell_learnt
from ..evaluation.scored_log import ScoredLog
from ..evaluation.sensors import FARTHEST, attribute, describe_events
from ..logs.shared import BoolArray, IntArray
from .carried import Pieces
from .piece_models import NoPiecesError
from .score_in_pieces import ScoreInPieces
from .sensor_sums import SensorSums
from .thinner import MOST_ROWS, ThinLog, Thinner

Labelled = tuple[pd.DataFrame, BoolArray | None]
# Rows before an event that a model is shown to say which sensors stand behind it, at least, and of it, at most; and
# of how many events.
FEWEST_BEFORE, MOST_WITHIN, MOST_EVENTS = 512, 2_000, 200
TOLD = (
    "The log was read in pieces, and {kept:,} of its {n_rows:,} rows are on this page: all with a score above "
    "{lowest:.4g} and what an alarm needs around them, and one in {every} of the others. Alarms and what they find are "
    "those of the whole log at every threshold that the slider stops at; of lower scores the sample speaks."
)
NO_BASELINES = "Baselines are left out: they are fitted and scored in memory, which this log is too long for."


class Thin(NamedTuple):
    """A log that has been thinned out, and what there was to say of all of it."""

    log: ThinLog
    sensors: list[dict[str, Any]]
    is_labelled: bool


def report_in_pieces(
    model: Any,
    read: Callable[[], Iterator[Labelled]],
    path: Path,
    *,
    threshold: float | None = None,
    daily_budget: float | None = None,
    title: str = TITLE,
    n_resamples: int = 200,
    random_state: Any = 0,
    most_rows: int = MOST_ROWS,
) -> dict[str, Any]:
    """Write the report of a model on a log that comes in pieces, in memory that does not grow with it.

    Parameters
    ----------
    model : estimator
        A fitted `EventClassifier`, `EventBlend` or `AnomalyDetector`, or a pipeline that ends in one.
    read : callable
        Returns an iterator over the pieces of the log, as frames and which rows are of an event, None without labels.
        It is called twice: for the scores, and for the rows around events.
    daily_budget : float, default=None
        False alarms allowed in a day, where times are date-times.
    path, threshold, title, n_resamples, random_state : object
        As in `report`.
    most_rows : int, default=200_000
        Rows that are kept of the log.

    Returns
    -------
    dict
        The numbers of the page, as `report` returns them.

    Raises
    ------
    TypeError
        If the model, or its rules for alarms, cannot be asked piece by piece.
    """
    check_writable(path)
    policy = policy_of(model)
    if policy.smoothing is not None:
        raise NoPiecesError("Alarms are raised from smoothed scores, which all rows have a part in.")
    level = threshold_of(model) if threshold is None else threshold
    limit = np.inf if level is None else min(level, np.inf if policy.off is None else policy.off)
    thin = _thin_out(model, read(), policy, limit, most_rows)
    kept = thin.log
    log = ScoredLog.of(kept.X, kept.y, kept.scores, policy, thinned=kept.thinned)
    learnt = tell_learnt(model, kept.X[kept.thinned.is_sample])
    card, told = describe_log(log, thin.is_labelled, None, window_size_of(model), thin.sensors)
    if len(kept.X) < log.n_rows:
        every = max(int(log.n_rows / max(kept.thinned.is_sample.sum(), 1)), 1)
        told.append(TOLD.format(kept=len(kept.X), n_rows=log.n_rows, lowest=kept.thinned.lowest, every=every))
    known = Known(card, told, learnt, [], [NO_BASELINES], thin.is_labelled, {}, None)

    def describe(log: ScoredLog, begin: IntArray, end: IntArray) -> dict[str, Any]:
        return describe_events(model, log, begin, end, Behind(read, kept.rows, log, begin, end).attribute)

    return write_report(
        path,
        model,
        log,
        known,
        describe,
        threshold=threshold,
        budget=daily_budget if log.rows.is_datetime else None,
        title=title,
        n_resamples=n_resamples,
        random_state=random_state,
    )


def _thin_out(model: Any, pieces: Iterator[Labelled], policy: Any, limit: float, most_rows: int) -> Thin:
    scorer, seen, sums, thinner = ScoreInPieces(model), Pieces(), SensorSums(), None
    is_labelled = False
    for frame, labels in pieces:
        piece = seen.read(frame)
        if thinner is None:
            rules = rules_of(clone(policy).set_params(threshold=0.0, off=None), piece.rows.is_datetime)
            thinner = Thinner(rules, limit, most_rows)
            first, is_datetime, is_labelled = frame.iloc[:1], piece.rows.is_datetime, labels is not None
        sums.add(frame, piece)
        events = np.zeros(len(frame), dtype=np.bool_) if labels is None else labels
        thinner.add(frame, piece, scorer.score(frame), events)
    if thinner is None:
        raise ValueError("The log has no rows. Pass one with rows.")
    log = thinner.finish(first, is_datetime)
    return Thin(log, sums.describe(log.X[log.thinned.is_sample]), is_labelled)


class Behind:
    """Finds the sensors behind events, from their rows and those before them, which are read again."""

    def __init__(
        self, read: Callable[[], Iterator[Labelled]], rows: IntArray, log: ScoredLog, begin: IntArray, end: IntArray
    ) -> None:
        self.read = read
        first, last = log.events.measured.true_events
        self.first = np.minimum(rows[begin], rows[first])
        self.last = np.maximum(rows[end], np.minimum(rows[last], rows[first] + MOST_WITHIN))

    def attribute(
        self, model: Any, _: pd.DataFrame, events: pd.DataFrame, openings: pd.DataFrame
    ) -> tuple[pd.DataFrame | None, str]:
        """Return what `evaluation.sensors.attribute` does, of the first events; nothing is known of the others."""
        before = max(2 * window_size_of(model), FEWEST_BEFORE)
        found, source = [], FARTHEST
        for k, frame in enumerate(self._around(before)):
            shares, source = attribute(model, frame, _within(events.iloc[[k]], frame), openings.iloc[[k]])
            if shares is None:
                return None, source
            found.append(shares)
        if not found:
            return None, source
        known = pd.concat(found, ignore_index=True)
        return known.reindex(range(len(events)), fill_value=0.0), source

    def _around(self, before: int) -> list[pd.DataFrame]:
        """Return the rows from so many before the first on, of each event, of its run."""
        parts: list[list[pd.DataFrame]] = [[] for _ in self.first[:MOST_EVENTS]]
        begin = 0
        for frame, _ in self.read():
            for k, own in enumerate(parts):
                low, high = max(self.first[k] - before - begin, 0), self.last[k] + 1 - begin
                if low < len(frame) and high > 0:
                    own.append(frame.iloc[low:high].copy())
            begin += len(frame)
        return [_of_last_run(pd.concat(own)) for own in parts]


def _of_last_run(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.index.nlevels == 1:
        return frame
    codes = [frame.index.get_level_values(level) for level in range(frame.index.nlevels - 1)]
    own: BoolArray = np.logical_and.reduce([np.asarray(code == code[-1]) for code in codes])
    return frame[own]


def _within(events: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Return events that end where the rows do."""
    last = frame.index.get_level_values(-1)[-1]
    return events.assign(end=events["end"].where(events["end"] <= last, last))


def peek(pieces: Iterator[Labelled]) -> Iterator[Labelled]:
    """Return pieces of which the first has been read, so that what cannot be read so is known at once."""
    return chain([next(pieces)], pieces)
