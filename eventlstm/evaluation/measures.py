"""The measures of a report: of rows and of alarms, each with its interval, beside those of simple baselines.

All bootstrap intervals come from the same draws of blocks, so that what a model is ahead by has an interval of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..logs.shared import FloatArray, IntArray
from ..metrics.alarm_costs import rate_of_false_alarms
from ..metrics.delays import quantile_of_delays
from ..metrics.intervals import binomial_interval, bootstrap_interval, percentile_ends, poisson_interval
from ..metrics.matching import Matched, f_score, match_alarms, read_events
from ..metrics.vus import vus_pr_score
from .threshold_slider import Alarmed, slider_thresholds

CONFIDENCE = 0.95
# The recalls at which the band of the precision-recall curve is told.
RECALLS = np.linspace(0.01, 1.0, 100)
EVENT_BETA = 0.5  # a false alarm weighs more than a missed event, as in the ESA's benchmark of 2024
# VUS-PR takes seconds a model from here on.
MOST_VUS_ROWS = 300_000
# Counts up to which the page holds exact Poisson limits; beyond, it takes the approximation of Wilson and Hilferty.
MOST_COUNTED = 500


class Ranked(NamedTuple):
    """Scores by their rank among themselves, 0 for the lowest; equal ones share a rank."""

    codes: IntArray  # (n_rows,)
    n_codes: int

    @classmethod
    def of(cls, scores: FloatArray) -> Ranked:
        """Return the ranks of scores."""
        values, codes = np.unique(scores, return_inverse=True)
        return cls(codes, len(values))

    def counts(self, events: npt.NDArray[np.bool_], rows: IntArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Return the rows of events, and all rows, at or above each distinct score, the highest first."""
        codes = self.codes if rows is None else self.codes[rows]
        hits = np.bincount(codes[events], minlength=self.n_codes)[::-1].cumsum()
        return hits.astype(np.float64), np.bincount(codes, minlength=self.n_codes)[::-1].cumsum().astype(np.float64)


def average_precision(hits: FloatArray, flagged: FloatArray) -> float:
    """Return the average precision as scikit-learn defines it, from cumulated counts; NaN without an event."""
    if not hits[-1]:
        return np.nan
    gained = np.diff(hits, prepend=0.0)
    return float((gained[gained > 0] * (hits / np.maximum(flagged, 1))[gained > 0]).sum() / hits[-1])


def precision_at(hits: FloatArray, flagged: FloatArray) -> FloatArray:
    """Return the precision at the highest threshold that reaches each of `RECALLS`."""
    at = np.searchsorted(hits, RECALLS * hits[-1] * (1 - 1e-12))
    return hits[at] / flagged[at]


class _Recorder:
    """A measure for `bootstrap_interval` that takes all measures of all models on each draw, and keeps them."""

    def __init__(self, alarmed: Alarmed, threshold: float, others: Mapping[str, FloatArray], spans: dict[str, Any]):
        self.ranked = {name: Ranked.of(scores) for name, scores in others.items()}
        self.flags = alarmed.at(threshold).flags
        self.match, self.spans = alarmed.match, spans
        self.kept: list[dict[str, Any]] = []

    def __call__(self, y_true: pd.Series, rows: pd.Series) -> float:
        """Return the average precision of the model, which comes first."""
        events, drawn = y_true.to_numpy() == 1, rows.to_numpy()
        counts = {name: ranked.counts(events, drawn) for name, ranked in self.ranked.items()}
        found = {name: average_precision(*own) for name, own in counts.items()}
        first = next(iter(counts))
        matched = match_alarms(read_events(y_true, **self.spans), self.flags[drawn], self.match)
        self.kept.append({"models": found, "band": precision_at(*counts[first]), **alarm_measures(matched)})
        return found[first]


def alarm_measures(matched: Matched) -> dict[str, float]:
    """Return the measures of alarms that have bootstrap intervals."""
    precision = matched.precision(corrected=True)
    return {
        "event_precision": precision,
        "event_fbeta": f_score(precision, matched.recall, EVENT_BETA),
        "alarm_duty": matched.duty,
        "median_delay": quantile_of_delays(matched, 0.5),
    }


def measure_models(
    alarmed: Alarmed,
    threshold: float,
    others: Mapping[str, FloatArray],
    budget: float,
    spans: dict[str, Any],
    n_resamples: int,
    random_state: Any,
) -> dict[str, Any]:
    """Return the measures of a model at its threshold, and of it and the others at every threshold.

    Parameters
    ----------
    alarmed : Alarmed
        Scores of the model.
    threshold : float
        Its threshold.
    others : mapping of str to array of shape (n_rows,)
        Scores of the model, which comes first, and of the baselines.
    budget : float
        False alarms allowed in a unit of time.
    spans : dict
        `early`, `late` and `max_gap` of the events.
    n_resamples : int
        Draws of the bootstrap.
    random_state : int, RandomState or None
        Seed of the draws.

    Returns
    -------
    dict
        "measures", each [estimate, low, high]; "models", a list of dicts; "band", the limits of precision at `RECALLS`.
    """
    recorder = _Recorder(alarmed, threshold, others, spans)
    y = alarmed.y_true
    rows = pd.Series(np.arange(len(y)), index=y.index)
    n_events = len(alarmed.events.first)
    if n_events >= 2:
        with warnings.catch_warnings():  # the page itself says that events are few
            warnings.simplefilter("ignore", UserWarning)
            bootstrap_interval(recorder, y, rows, n_resamples=n_resamples, random_state=random_state)
    else:
        recorder(y, rows)
    seen, *draws = recorder.kept
    matched = alarmed.at(threshold)
    names = ("event_precision", "event_fbeta", "alarm_duty", "median_delay")
    measures = {name: _interval(seen[name], [draw[name] for draw in draws], n_events) for name in names}
    measures["average_precision"] = _of_model(seen, draws, next(iter(others)), None, n_events)
    models = [
        _model_row(alarmed, name, scores, budget, seen, draws, next(iter(others))) for name, scores in others.items()
    ]
    return {
        "measures": {**count_measures(matched, alarmed.unit), **measures},
        "models": models,
        "band": _band([draw["band"] for draw in draws]),
    }


def count_measures(matched: Matched, unit: float) -> dict[str, list[float]]:
    """Return the measures that are counts, with their exact intervals."""
    n_events, n_found = len(matched.found_at), int((matched.found_at >= 0).sum())
    quiet = matched.events.total_quiet_time / unit
    recall = list(binomial_interval(n_found, n_events)) if n_events else [np.nan] * 3
    rate = list(poisson_interval(matched.n_false_alarms, quiet)) if quiet else [np.nan] * 3
    return {"event_recall": recall, "false_alarm_rate": rate}


def _model_row(
    alarmed: Alarmed,
    name: str,
    scores: FloatArray,
    budget: float,
    seen: dict[str, Any],
    draws: list[dict[str, Any]],
    first: str,
) -> dict[str, Any]:
    """Return a row of the table of models."""
    n_events = len(alarmed.events.first)
    n_found = found_at_budget(alarmed.with_scores(scores), budget)
    ahead = None if name == first else _of_model(seen, draws, first, name, n_events)
    few = n_events > 0 and len(scores) <= MOST_VUS_ROWS
    return {
        "name": name,
        "average_precision": _of_model(seen, draws, name, None, n_events),
        "ahead": ahead,
        "vus_pr": float(vus_pr_score(alarmed.y_true, scores)) if few else np.nan,
        "found_at_budget": [np.nan] * 3 if n_found is None else list(binomial_interval(n_found, n_events)),
    }


def found_at_budget(alarmed: Alarmed, budget: float) -> int | None:
    """Return the most events found before false alarms exceed a budget; None without an event or quiet time."""
    if not len(alarmed.events.first) or not alarmed.events.total_quiet_time:
        return None
    return max((n_found for _, n_found in _within_budget(alarmed, budget)), default=0)


def best_threshold(alarmed: Alarmed, budget: float) -> float:
    """Return the highest threshold that finds most events before false alarms exceed a budget."""
    points = list(_within_budget(alarmed, budget))
    if not points:
        return float(alarmed.judged.max())
    return max(points, key=lambda point: point[1])[0]


def _within_budget(alarmed: Alarmed, budget: float) -> Iterator[tuple[float, int]]:
    """Give thresholds from the highest down, and the events found, until false alarms exceed a budget."""
    for threshold in alarmed.curve_thresholds(slider_thresholds(alarmed.judged))[::-1]:
        matched = alarmed.at(threshold)
        if not rate_of_false_alarms(matched, alarmed.unit) <= budget:
            return
        yield float(threshold), int((matched.found_at >= 0).sum())


def _of_model(
    seen: dict[str, Any], draws: list[dict[str, Any]], name: str, other: str | None, n_events: int
) -> list[float]:
    """Return the interval of the average precision of a model, or of what it is ahead of another by."""

    def value(draw: dict[str, Any]) -> float:
        return float(draw["models"][name] - (0.0 if other is None else draw["models"][other]))

    return _interval(value(seen), [value(draw) for draw in draws], n_events)


def _interval(estimate: float, draws: list[float], n_events: int) -> list[float]:
    if n_events < 2 or not draws:
        return [estimate, np.nan, np.nan]
    return [estimate, *percentile_ends(estimate, np.array(draws, dtype=np.float64), CONFIDENCE, n_events)]


def _band(curves: list[FloatArray]) -> list[list[float]]:
    """Return the limits between which most of the curves lie at each recall."""
    if not curves:
        return []
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.array(curves), (tail, 1 - tail), axis=0)
    return [RECALLS.tolist(), low.tolist(), high.tolist()]


def alarm_points(alarmed: Alarmed, thresholds: FloatArray) -> dict[str, list[float]]:
    """Return event recall, with its exact interval, against false alarms, at some thresholds."""
    points = []
    for threshold in alarmed.curve_thresholds(thresholds)[::-1]:
        matched = alarmed.at(threshold)
        counted = count_measures(matched, alarmed.unit)
        rate = rate_of_false_alarms(matched, alarmed.unit)
        points.append((threshold, rate, *counted["event_recall"], matched.duty, quantile_of_delays(matched, 0.5)))
    columns = ("threshold", "false_alarm_rate", "event_recall", "low", "high", "alarm_duty", "median_delay")
    return {name: list(column) for name, column in zip(columns, np.array(points).T.tolist(), strict=True)}


def limits_for_page(n_events: int) -> dict[str, Any]:
    """Return the exact limits of shares of events and of counts of false alarms, by the number counted."""
    shares = [list(binomial_interval(k, n_events))[1:] for k in range(n_events + 1)] if n_events else []
    return {"share": shares, "count": [list(poisson_interval(k, 1.0))[1:] for k in range(MOST_COUNTED + 1)]}


def row_counts(alarmed: Alarmed, thresholds: FloatArray) -> dict[str, Any]:
    """Return how many rows are above each threshold, and how many of these are rows of events."""
    events = alarmed.events.measured.events
    every, positive = np.sort(alarmed.scores), np.sort(alarmed.scores[events])
    return {
        "threshold": thresholds.tolist(),
        "flagged": (len(every) - np.searchsorted(every, thresholds, side="right")).tolist(),
        "hits": (len(positive) - np.searchsorted(positive, thresholds, side="right")).tolist(),
        "n_positive": len(positive),
    }
