"""The rows under alarm: of rules that need no state but the last row above, all rows of a log at once.

A hundredth of the time of going row by row, so that alarms can be counted at hundreds of thresholds.
"""

from __future__ import annotations

import math

import numpy as np

from ..logs.index import TIME_ROUNDINGS, RowIndex
from ..logs.shared import BoolArray, FloatArray, IntArray
from .machine import ROWS, AlarmMachine, Rules, Span


def is_simple(rules: Rules) -> bool:
    """Return whether an alarm is no more than a threshold held for `min_duration`, and the `merge_gap` after it."""
    delays = rules.keep or rules.window > 1 or rules.cooldown.length > 0 or rules.off < rules.threshold
    return not delays and rules.max_duration.length == math.inf


def flag_rows(scores: FloatArray, rules: Rules, rows: RowIndex, starts: IntArray) -> BoolArray:
    """Return whether an alarm is on at each row.

    Parameters
    ----------
    scores : array of shape (n_rows,)
        A row with NaN says nothing.
    rules : Rules
        Those of the policy.
    rows : RowIndex
        The times of the rows.
    starts : array of shape (n_stretches,)
        The first row of each stretch, see `cut_at_gaps`.
    """
    if not is_simple(rules) or np.isnan(scores).any():
        return flag_by_row(scores, rules, rows, starts)
    in_rows = rules.merge_gap.unit == ROWS and rules.min_duration.unit == ROWS
    return flag_from_above(scores, rules, starts) if in_rows else flag_at_once(scores, rules, rows, starts)


def flag_by_row(scores: FloatArray, rules: Rules, rows: RowIndex, starts: IntArray) -> BoolArray:
    """Return `flag_rows` as a stream would, from a state that each row moves on."""
    flags = np.empty(len(scores), dtype=np.bool_)
    for begin, stop in zip(starts, np.append(starts[1:], len(scores)), strict=False):
        see = AlarmMachine().see
        told = zip(rows.times[begin:stop].tolist(), scores[begin:stop].tolist(), strict=True)
        flags[begin:stop] = [see(rules, time, score) for time, score in told]
    return flags


def flag_from_above(scores: FloatArray, rules: Rules, starts: IntArray) -> BoolArray:
    """Return `flag_rows` by rules that are simple and count in rows, from the rows above, which are mostly few."""
    above = np.flatnonzero(scores > rules.threshold)
    stops = np.append(starts[1:], len(scores))[np.searchsorted(starts, above, side="right") - 1]
    ends = above + np.minimum(rules.merge_gap.length, stops - above - 1).astype(np.intp) + 1  # of what each holds
    other = stops[1:] != stops[:-1]  # in another stretch than the one before
    is_new = np.append(True, (above[1:] > ends[:-1]) | other)[: len(above)]  # no alarm could be on before
    group = np.cumsum(is_new) - 1
    broken = np.append(True, (np.diff(above) > 1) | other)[: len(above)]
    since = above[np.maximum.accumulate(np.where(broken, np.arange(len(above)), 0))]
    held = np.flatnonzero(above - since >= rules.min_duration.length)
    alarms, first = np.unique(group[held], return_index=True)
    changes = np.zeros(len(scores) + 1, dtype=np.int8)
    changes[above[held[first]]] += 1
    changes[ends[np.append(np.flatnonzero(is_new)[1:] - 1, len(above) - 1)[alarms]]] -= 1
    flags: BoolArray = np.cumsum(changes[:-1], dtype=np.int8).view(np.bool_)
    return flags


def flag_at_once(scores: FloatArray, rules: Rules, rows: RowIndex, starts: IntArray) -> BoolArray:
    """Return `flag_rows` by rules that are simple, of scores without NaN."""
    numbers = np.arange(len(scores))
    begin = np.repeat(starts, np.diff(np.append(starts, len(numbers))))
    above = scores > rules.threshold
    last = np.maximum.accumulate(np.where(above, numbers, -1))
    near: BoolArray = (last >= begin) & ~_is_passed(rules.merge_gap, rows, numbers, last)
    if not rules.min_duration.length:
        return near
    # an alarm starts on the first row that has been above for long enough, among rows that are near one another
    since = np.maximum.accumulate(np.where(_begins(above, begin), numbers, 0))
    held = above & _is_reached(rules.min_duration, rows, numbers, since)
    since_near = np.maximum.accumulate(np.where(_begins(near, begin), numbers, 0))
    result: BoolArray = near & (np.maximum.accumulate(np.where(held, numbers, -1)) >= since_near)
    return result


def _begins(flags: BoolArray, begin: IntArray) -> BoolArray:
    """Return whether each row is the first of its stretch, or follows one without the flag."""
    follows = np.append(False, flags[:-1]) & (begin < np.arange(len(flags)))
    result: BoolArray = ~follows
    return result


def _is_passed(span: Span, rows: RowIndex, now: IntArray, then: IntArray) -> BoolArray:
    moments, rounding = _moments(span, rows, now)
    result: BoolArray = moments - moments[then] > span.length + rounding
    return result


def _is_reached(span: Span, rows: RowIndex, now: IntArray, then: IntArray) -> BoolArray:
    moments, rounding = _moments(span, rows, now)
    result: BoolArray = moments - moments[then] >= span.length - rounding
    return result


def _moments(span: Span, rows: RowIndex, numbers: IntArray) -> tuple[np.ndarray, np.ndarray | int]:
    """Return the rows or times that a span is counted in, and how much a difference of times may be off."""
    moments = numbers if span.unit == ROWS else rows.times
    return moments, TIME_ROUNDINGS * np.spacing(np.abs(moments)) if moments.dtype.kind == "f" else 0
