"""What a page holds of a report: numbers, and long columns of the rows, from which it finds the same alarms by itself.

A page does not hold scores but their *levels*: how many of some rising cuts each score is greater than. A threshold
that is one of the cuts so flags the same rows in the page as here, and a level takes two bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..alarms.machine import ROWS, Span
from ..logs.shared import FloatArray, IntArray
from ..metrics.alarm_costs import rate_of_false_alarms
from ..metrics.delays import quantile_of_delays
from ..metrics.intervals import binomial_interval, poisson_interval
from .measures import count_measures
from .scored_log import SECOND, ScoredLog, spread_thresholds
from .sensors import run_label

MILLISECOND = 10**6  # nanoseconds
# Cuts for drawing alone, evenly over the scores and over their logarithms: finer than the pixels of any screen.
N_DRAWN = 4096
# Counts up to which the page holds exact Poisson limits; beyond, it takes the approximation of Wilson and Hilferty.
MOST_COUNTED = 500
# How many times the median one the highest score must be for a logarithmic scale; probabilities never get one.
LOG_RATIO = 30.0
# Bytes of sensors in a page, and the levels of each, less one that marks missing values.
MOST_SENSOR_VALUES, SENSOR_LEVELS = 2_000_000, 255

Column = npt.NDArray[Any]


def make_data(numbers: dict[str, Any], log: ScoredLog) -> tuple[dict[str, Any], dict[str, Column]]:
    """Return what a page holds beside its texts: numbers, and the long columns that are packed."""
    cuts = Cuts.of(log.judged, numbers["threshold"], log.policy.off, log.lowest)
    told, arrays = log_for_page(log, cuts)
    sensors, arrays["values"] = _describe_sensors(log.X, [event["sensors"] for event in numbers["events"]])
    low, middle, high = np.quantile(log.judged, (0, 0.5, 1))
    data = {
        **numbers,
        "log": told,
        "sensors": sensors,
        "positions": cuts.positions,
        "position": int(np.searchsorted(cuts.thresholds, numbers["threshold"])),
        "rows": _count_rows(log, cuts.thresholds),
        "curve": _draw_curve(log, cuts.thresholds),
        "limits": _count_limits(len(log.events.first)),
        "is_smoothed": log.judged is not log.scores,
        "may_be_log": bool(low > 0),
        "is_log": bool(low > 0 and high > max(1.0, LOG_RATIO * middle)),
        "has_seconds": bool(log.rows.is_datetime and (log.rows.times % (60 * SECOND)).any()),
    }
    return data, arrays


class Cuts(NamedTuple):
    """The cuts of a page, and the levels of rows among them."""

    values: FloatArray  # (n_cuts,) rising
    positions: IntArray  # (n_positions,) the cuts that the slider stops at, rising
    levels: npt.NDArray[np.uint16]  # (n_rows,) how many cuts each score is greater than

    @classmethod
    def of(cls, scores: FloatArray, threshold: float, off: float | None, lowest: float = -np.inf) -> Self:
        """Return cuts among which are the threshold and the level `off` of a policy; the slider starts at `lowest`."""
        stops = np.unique(np.append(spread_thresholds(scores, lowest), threshold))
        values = np.unique(np.concatenate([stops, _drawn_cuts(scores), [threshold if off is None else off]]))
        levels = np.searchsorted(values, scores, side="left").astype(np.uint16)
        return cls(values, np.searchsorted(values, stops), levels)

    @property
    def thresholds(self) -> FloatArray:
        """The thresholds that the slider stops at, rising."""
        return self.values[self.positions]


def _drawn_cuts(scores: FloatArray) -> FloatArray:
    low, high = float(scores.min()), float(scores.max())
    even = np.linspace(low, high, N_DRAWN)
    smallest = scores[scores > 0].min(initial=np.inf)
    if not 0 < smallest < high:
        return even
    return np.append(even, np.geomspace(smallest, high, N_DRAWN))


def log_for_page(log: ScoredLog, cuts: Cuts) -> tuple[dict[str, Any], dict[str, Column]]:
    """Return the rows of a log, their levels, times and events, as the page's code takes them."""
    measured, rows, events = log.events.measured, log.rows, log.events
    times, step, origin = _count_steps(rows.times)
    told = {
        "runs": [{"begin": int(row), "label": run_label(log.y.index, row)} for row in rows.run_starts],
        **_describe_clock(log, step, origin),
        "stretches": np.union1d(measured.starts, log.restarts).tolist(),
        "restarts": log.restarts.tolist(),
        "gaps": log.gaps.tolist(),
        "rules": _describe_rules(log, step),
        "offCut": None if log.policy.off is None else int(np.searchsorted(cuts.values, log.policy.off)),
        "match": log.match,
        "events": {
            "first": events.first.tolist(),
            "last": measured.true_events[1].tolist(),
            "low": events.low.tolist(),
            "high": events.high.tolist(),
        },
    }
    differences = (np.diff(times, prepend=0) if told["isExact"] else times).astype(np.float64)
    return told, {"levels": cuts.levels, "times": differences, "quiet": events.quiet_time / step, "cuts": cuts.values}


def _count_steps(times: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Any, Any]:
    """Return whole times as small numbers, counted in the largest step that divides them all, from the first on.

    A page has no whole numbers beyond 2^53, which are 104 days in nanoseconds.
    """
    if not _is_exact(times) or not len(times):
        return times, 1, 0
    origin = int(times.min())
    step = math.gcd(*np.unique(np.abs(np.diff(times))).tolist(), int(times[0]) - origin) or 1
    return (times - origin) // step, step, origin


def _is_exact(times: npt.NDArray[Any]) -> bool:
    return times.dtype.kind != "f"


def _describe_clock(log: ScoredLog, step: Any, origin: Any) -> dict[str, Any]:
    """Return how times, and lengths of time, are told on the page, whose clock counts `step` units of the times."""
    is_date, median_step = (
        isinstance(log.y.index.get_level_values(-1), pd.DatetimeIndex),
        log.events.measured.median_step,
    )
    axis = MILLISECOND if is_date else log.second  # units of the index in one of the axis
    return {
        "isDatetime": log.rows.is_datetime,
        "isDate": is_date,
        "isExact": _is_exact(log.rows.times),
        "are_differences": _is_exact(log.rows.times),
        "origin": origin / axis,
        "step": step / axis,
        "stepOnAxis": median_step / axis,
        "stepLength": median_step / log.second,
        "delayUnit": step / log.second,
        "ratedTime": log.unit / step,
        "totalQuiet": log.events.total_quiet_time / step,
    }


def _describe_rules(log: ScoredLog, step: int) -> dict[str, Any]:
    """Return the rules of a policy for the page."""
    spans = {name: getattr(log.rules, name) for name in ("min_duration", "merge_gap", "cooldown", "max_duration")}
    exact = _is_exact(log.rows.times)
    return {
        "k": log.rules.k,
        "n": log.rules.window.bit_length(),
        **{name: _describe_span(span, step, exact) for name, span in spans.items()},
    }


def _describe_span(span: Span, step: int, exact: bool) -> dict[str, Any] | None:
    """Return from which difference on a span is reached, and up to which it is not passed; None for one without end."""
    if span.length == math.inf:
        return None
    in_rows = span.unit == ROWS
    if not (in_rows or exact):
        return {"rows": False, "reached": span.length, "passed": span.length}
    length = Fraction(span.length) / (1 if in_rows else step)
    return {"rows": in_rows, "reached": math.ceil(length), "passed": math.floor(length)}


def _describe_sensors(X: pd.DataFrame, named: list[list[str]]) -> tuple[list[dict[str, Any]], npt.NDArray[np.uint8]]:
    """Return sensors to be drawn, a byte a value: 1 for the lowest to 255 for the highest, 0 for a missing one.

    Of a long log, only as many sensors as there is room for, those that events name most often first.
    """
    counts = Counter(name for names in named for name in names)
    order = sorted(range(X.shape[1]), key=lambda k: -counts[str(X.columns[k])])
    chosen = sorted(order[: MOST_SENSOR_VALUES // max(len(X), 1)])
    told, columns = [], [np.empty(0, dtype=np.uint8)]
    for k in chosen:
        values = X.iloc[:, k].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
        step = (high - low) / (SENSOR_LEVELS - 1)
        levels = np.rint((np.where(known, values, low) - low) / step) if step else np.zeros(len(values))
        columns.append(np.where(known, levels + 1, 0).astype(np.uint8))
        told.append({"name": str(X.columns[k]), "low": low, "step": step})
    return told, np.concatenate(columns)


def _count_rows(log: ScoredLog, thresholds: FloatArray) -> dict[str, Any]:
    """Return how many rows are above each threshold, and how many of these are rows of events."""
    every, events = np.ones(len(log.scores), dtype=np.bool_), log.events.measured.events
    return {
        "threshold": thresholds.tolist(),
        "flagged": log.count_above(every, thresholds).tolist(),
        "hits": log.count_above(events, thresholds).tolist(),
        "n_positive": int(log.count_above(events, np.array([-np.inf]))[0]),
    }


def _draw_curve(log: ScoredLog, thresholds: FloatArray) -> dict[str, list[float]]:
    """Return event recall, with its exact interval, against false alarms, at some thresholds."""
    points = []
    for threshold in log.curve_thresholds(thresholds)[::-1].tolist():
        matched = log.match_at(threshold)
        rate, recall = rate_of_false_alarms(matched, log.unit), count_measures(matched, log.unit)["event_recall"]
        points.append((threshold, rate, *recall, matched.duty, quantile_of_delays(matched, 0.5)))
    columns = ("threshold", "false_alarm_rate", "event_recall", "low", "high", "alarm_duty", "median_delay")
    return {name: list(column) for name, column in zip(columns, np.array(points).T.tolist(), strict=True)}


def _count_limits(n_events: int) -> dict[str, Any]:
    """Return the exact limits of shares of events and of counts of false alarms, by the number counted."""
    shares = [list(binomial_interval(k, n_events))[1:] for k in range(n_events + 1)] if n_events else []
    return {"share": shares, "count": [list(poisson_interval(k, 1.0))[1:] for k in range(MOST_COUNTED + 1)]}
