"""The measures of a report: of rows and of alarms, each with its interval, beside those of simple baselines.

All bootstrap intervals come from the same draws of blocks, so that what a model is ahead by has an interval of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..logs.shared import FloatArray, IntArray
from ..metrics.delays import quantile_of_delays
from ..metrics.intervals import (
    Blocks,
    binomial_interval,
    cut_blocks,
    draw_blocks,
    percentile_ends,
    poisson_interval,
)
from ..metrics.matching import Matched, f_score
from ..metrics.vus import vus_pr_score
from ..plots.scores import RECALLS
from .drawn_blocks import Ranking, Segments
from .scored_log import ScoredLog

CONFIDENCE = 0.95
TAILS = (1 - CONFIDENCE) / 2, 1 - (1 - CONFIDENCE) / 2  # the limits between which most of the draws lie
EVENT_BETA = 0.5  # a false alarm weighs more than a missed event, as in the ESA's benchmark of 2024
# VUS-PR takes seconds a model from here on.
MOST_VUS_ROWS = 300_000
# The measures of alarms that have bootstrap intervals.
DRAWN_MEASURES = ("event_precision", "event_fbeta", "alarm_duty", "median_delay")


def measure_models(
    log: ScoredLog,
    threshold: float,
    scores: Mapping[str, FloatArray],
    budget: float,
    n_resamples: int,
    random_state: Any,
) -> dict[str, Any]:
    """Return the measures of a model at its threshold, and of it and the others at every threshold.

    Parameters
    ----------
    log : ScoredLog
        The log with the scores of the model.
    threshold : float
        Its threshold.
    scores : mapping of str to array of shape (n_rows,)
        Scores of the model, which comes first, and of the baselines.
    budget : float
        False alarms allowed in a unit of time.
    n_resamples : int
        Draws of the bootstrap.
    random_state : int, RandomState or None
        Seed of the draws.

    Returns
    -------
    dict
        "measures", each [estimate, low, high]; "models", a list of dicts; "band", the limits of precision at `RECALLS`.
    """
    n_events = len(log.events.first)
    precision, band, alarms = _draw_measures(log, threshold, list(scores.values()), n_resamples, random_state)
    measures = {name: _interval(drawn, n_events) for name, drawn in zip(DRAWN_MEASURES, alarms.T, strict=True)}
    measures["average_precision"] = _interval(precision[:, 0], n_events)
    models = []
    for k, (name, own) in enumerate(scores.items()):
        of_model, ahead = (log.with_scores(own), precision[:, 0] - precision[:, k]) if k else (log, None)
        models.append(_describe_model(name, of_model, budget, precision[:, k], ahead))
    return {
        "measures": {**count_measures(log.at(threshold), log.unit), **measures},
        "models": models,
        "band": [RECALLS.tolist(), *np.quantile(band[1:], TAILS, axis=0).tolist()] if len(band) > 1 else [],
    }


def _draw_measures(
    log: ScoredLog, threshold: float, scores: list[FloatArray], n_resamples: int, random_state: Any
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return measures on the rows as they are and, where there are two events, on each draw of blocks.

    Average precisions (1 + n_draws, n_models), precisions of the first model at `RECALLS` (1 + n_draws, n_recalls), and
    `DRAWN_MEASURES` (1 + n_draws, 4).
    """
    blocks = _blocks_of(log)
    of_row = np.repeat(np.arange(len(blocks.first)), blocks.stop - blocks.first)
    rankings = [Ranking.of(own, log, of_row) for own in scores]
    kept = [_measure_draw(rankings, np.ones(len(blocks.first), dtype=np.intp), log.at(threshold))]
    if blocks.n_events > 1:
        segments, rng = Segments.of(log, log.at(threshold).flags, blocks), check_random_state(random_state)
        for _ in range(n_resamples):
            block, run = draw_blocks(blocks, rng)
            times_drawn = np.bincount(block, minlength=len(blocks.first))
            kept.append(_measure_draw(rankings, times_drawn, segments.match(block, run, log.match)))
    precision, band, alarms = (np.array(part, dtype=np.float64) for part in zip(*kept, strict=True))
    return precision, band, alarms


def _blocks_of(log: ScoredLog) -> Blocks:
    """Return the blocks to draw from; all rows as one where there are no two events that could differ."""
    if len(log.events.first) < 2:
        return Blocks(pd.MultiIndex.from_arrays([[], []]), np.zeros(1, np.intp), np.array([len(log.scores)]), [], 0)
    with warnings.catch_warnings():  # the page itself says that events are few
        warnings.simplefilter("ignore", UserWarning)
        return cut_blocks(log.y)


def _measure_draw(
    rankings: list[Ranking], times_drawn: IntArray, matched: Matched
) -> tuple[list[float], FloatArray, list[float]]:
    """Return the average precisions, the precision of the first model at `RECALLS`, and `DRAWN_MEASURES` of a draw."""
    counts = [ranking.count_rows(times_drawn) for ranking in rankings]
    share = matched.precision(corrected=True)
    f_beta, delay = f_score(share, matched.recall, EVENT_BETA), quantile_of_delays(matched, 0.5)
    return (
        [average_precision_of(*own) for own in counts],
        _precision_at(*counts[0]),
        [share, f_beta, matched.duty, delay],
    )


def average_precision_of(hits: FloatArray, flagged: FloatArray) -> float:
    """Return the average precision as scikit-learn defines it, from cumulated counts; NaN without an event."""
    if not hits[-1]:
        return np.nan
    gained = np.diff(hits, prepend=0.0)
    return float((gained[gained > 0] * (hits / np.maximum(flagged, 1))[gained > 0]).sum() / hits[-1])


def _precision_at(hits: FloatArray, flagged: FloatArray) -> FloatArray:
    """Return the precision at the highest threshold that reaches each of `RECALLS`."""
    at = np.searchsorted(hits, RECALLS * hits[-1] * (1 - 1e-12))
    return hits[at] / flagged[at]


def _interval(drawn: FloatArray, n_events: int) -> list[float]:
    """Return a measure of the rows as they are, which comes first, with the interval that its draws give."""
    estimate = float(drawn[0])
    if n_events < 2:
        return [estimate, np.nan, np.nan]
    return [estimate, *percentile_ends(estimate, drawn[1:], CONFIDENCE, n_events)]


def _describe_model(
    name: str, log: ScoredLog, budget: float, precision: FloatArray, ahead: FloatArray | None
) -> dict[str, Any]:
    """Return a row of the table of models."""
    n_events = len(log.events.first)
    has_rows = len(log.scores) == log.n_rows <= MOST_VUS_ROWS  # the neighbours of a sample are others
    has_both = n_events > 0 and log.events.total_quiet_time > 0
    return {
        "name": name,
        "average_precision": _interval(precision, n_events),
        "ahead": None if ahead is None else _interval(ahead, n_events),
        "vus_pr": float(vus_pr_score(log.y, log.scores)) if n_events > 0 and has_rows else np.nan,
        "found_at_budget": list(binomial_interval(log.best_within(budget)[1], n_events)) if has_both else [np.nan] * 3,
    }


def count_measures(matched: Matched, unit: float) -> dict[str, list[float]]:
    """Return the measures that are counts, with their exact intervals."""
    n_events, n_found = len(matched.found_at), matched.n_found
    quiet = matched.events.total_quiet_time / unit
    recall = list(binomial_interval(n_found, n_events)) if n_events else [np.nan] * 3
    rate = list(poisson_interval(matched.n_false_alarms, quiet)) if quiet else [np.nan] * 3
    return {"event_recall": recall, "false_alarm_rate": rate}
