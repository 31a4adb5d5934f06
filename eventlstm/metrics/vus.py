"""Volumes under the surface: areas under the curves of precision and recall, averaged over tolerances in time.

Arrays over thresholds are ``(n_levels,)``, from the highest to the lowest; a row belongs to a level when it is flagged
from that threshold on. Distances from events, and the tolerance, are counted in rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..logs.shared import FloatArray, IntArray
from .measured_rows import MeasuredRows, read_rows, read_scores

# Thresholds of the authors' code, which published values depend on.
N_THRESHOLDS = 250


def vus_pr_score(
    y_true: Any, y_score: Any, *, buffer: int = 100, n_thresholds: int | None = N_THRESHOLDS, max_gap: Any = None
) -> float:
    """Volume under the precision-recall surface: average precision with a tolerance around events.

    Rows near an event count in part as rows of it, the less the farther they are; average precision is taken for each
    tolerance from 0 to `buffer` rows, and the mean over them returned. An event that no row of or near it was flagged
    for lowers recall by its share of the events, not of the rows.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run.
    y_score : Series or array-like of shape (n_rows,)
        Scores that rise with the danger. Only their order matters.
    buffer : int, default=100
        The widest tolerance, in rows; half of it on either side of an event counts. Take the length of what repeats
        itself in the log, or how far a score may be off and still be useful.
    n_thresholds : int or None, default=250
        Thresholds, at equal steps of rank among the scores, which is what published values are made with. It is
        coarse for rare events: among 100,000 rows the highest threshold flags one row and the next 402. None takes
        every distinct score.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within a stretch, in the unit of the index. None lets events and tolerances last over
        any gap of their run, "auto" ends them at ten times the slow steps of that run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an event, where there is no recall.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, scores are missing or of other rows, or an option is out of range.

    See Also
    --------
    vus_roc_score : The same of the ROC curve, which says little where events are rare.
    sklearn.metrics.average_precision_score : Without a tolerance.

    Notes
    -----
    Runs are measured together: thresholds are the same for all, rows and events are pooled, and no tolerance reaches
    into another run. It is not the mean of the values of the runs.

    For a tolerance of ``l`` rows, a row ``d <= l // 2`` from an event adds ``sqrt(1 - d / l)`` to its label, up to 1.
    With ``TP`` the sum of these labels over the flagged rows, precision is ``TP`` over flagged rows; recall is ``TP``
    over the mean of the true rows and the widened labels flagged, at most 1, times the share of widened events (joined
    where they touch) that have a flagged row. The area is a sum of steps. Other libraries integrate by trapezoids or
    count buffers otherwise; their values are not comparable. With ``buffer=0`` and ``n_thresholds=None`` it is average
    precision with recall multiplied by the share of events found.

    Like average precision, it gives random scores about the share of event rows. Rows after an event are forgiven like
    rows before it, so that it says nothing of delays: see `detection_delays`.

    References
    ----------
    Paparrizos et al., "Volume under the surface: a new accuracy evaluation measure for time-series anomaly detection",
    VLDB, 2022. Liu and Paparrizos, "The elephant in the room: towards a reliable time-series anomaly detection
    benchmark", NeurIPS, 2024, where it is the most reliable of the measures compared.

    Examples
    --------
    A score that comes two rows late is worth more with a tolerance than without:

    >>> import numpy as np
    >>> from eventlstm.metrics import vus_pr_score
    >>> y = np.zeros(50, dtype=int)
    >>> y[20:25] = 1
    >>> score = np.roll(y, 2)
    >>> vus_pr_score(y, score, buffer=0) < vus_pr_score(y, score, buffer=10)
    True
    """
    measured, scores = read_rows(y_true, max_gap), read_scores(y_score, y_true)
    _check_options(buffer, n_thresholds)
    if not measured.events.any():
        return np.nan
    return _mean_area(_area_of_steps, measured, scores, buffer, n_thresholds)


def vus_roc_score(
    y_true: Any, y_score: Any, *, buffer: int = 100, n_thresholds: int | None = N_THRESHOLDS, max_gap: Any = None
) -> float:
    """Volume under the ROC surface: the area under the ROC curve with a tolerance around events.

    Where events are rare, thousands of false alarms hardly lower it: prefer `vus_pr_score`.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run.
    y_score : Series or array-like of shape (n_rows,)
        Scores that rise with the danger. Only their order matters.
    buffer : int, default=100
        The widest tolerance, in rows; half of it on either side of an event counts.
    n_thresholds : int or None, default=250
        Thresholds, at equal steps of rank among the scores; None takes every distinct score.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within a stretch, in the unit of the index. None lets events and tolerances last over
        any gap of their run, "auto" ends them at ten times the slow steps of that run.

    Returns
    -------
    float
        Between 0 and 1, near .5 for random scores. NaN without an event or without a quiet row.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, scores are missing or of other rows, or an option is out of range.

    See Also
    --------
    vus_pr_score : The same of the precision-recall curve, with the definition of the labels.

    Notes
    -----
    The false-positive rate is the flagged rows less ``TP``, over the rows that are not counted as true; the area is
    one of trapezoids.

    References
    ----------
    Paparrizos et al., "Volume under the surface: a new accuracy evaluation measure for time-series anomaly detection",
    VLDB, 2022.

    Examples
    --------
    >>> from eventlstm.metrics import vus_roc_score
    >>> vus_roc_score([0, 0, 1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9, 0.3, 0.1], buffer=0)
    1.0
    """
    measured, scores = read_rows(y_true, max_gap), read_scores(y_score, y_true)
    _check_options(buffer, n_thresholds)
    if not measured.events.any() or measured.events.all():
        return np.nan
    return _mean_area(_area_of_trapezoids, measured, scores, buffer, n_thresholds)


def _check_options(buffer: int, n_thresholds: int | None) -> None:
    if buffer < 0 or int(buffer) != buffer:
        raise ValueError(f"buffer={buffer!r} is not a number of rows. Pass a whole number from 0.")
    if n_thresholds is not None and n_thresholds < 2:
        raise ValueError(f"n_thresholds={n_thresholds!r} makes no curve. Pass 2 or more, or None for every score.")


def _mean_area(
    area: Callable[..., float], measured: MeasuredRows, scores: FloatArray, buffer: int, n_thresholds: int | None
) -> float:
    """Return the mean over tolerances of an area of (flagged rows, TP, true rows, recall, all rows)."""
    levels = _levels(scores, n_thresholds)
    level_of_row = np.searchsorted(-levels, -scores)
    flagged = _cumulate(level_of_row, None, len(levels))
    hits = _cumulate(level_of_row[measured.events], None, len(levels))
    halo = _Halo(measured, level_of_row, len(levels), int(buffer) // 2)
    areas = []
    for width in range(int(buffer) + 1):
        near = halo.near_hits(width)
        true_rows = hits[-1] + near / 2
        recall = np.minimum((hits + near) / true_rows, 1.0) * halo.share_found(width // 2)
        areas.append(area(flagged, hits + near, true_rows, recall, len(scores)))
    return float(np.mean(areas))


def _area_of_steps(flagged: FloatArray, hits: FloatArray, true_rows: FloatArray, recall: FloatArray, n: int) -> float:
    return float((np.diff(recall, prepend=0.0) * hits / flagged).sum())


def _area_of_trapezoids(
    flagged: FloatArray, hits: FloatArray, true_rows: FloatArray, recall: FloatArray, n: int
) -> float:
    false_rate = (flagged - hits) / (n - true_rows)
    return float(np.trapezoid(np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[0.0], false_rate, [1.0]])))


def _levels(scores: FloatArray, n_thresholds: int | None) -> FloatArray:
    """Return the thresholds, falling."""
    if n_thresholds is None:
        return np.unique(scores)[::-1]
    return np.sort(scores)[::-1][np.linspace(0, len(scores) - 1, n_thresholds).astype(int)]


def _cumulate(levels: IntArray, weights: FloatArray | None, n_levels: int) -> FloatArray:
    """Return the number (or the weight) of rows that are flagged at each level, given that from which each is."""
    return np.cumsum(np.bincount(levels, weights, minlength=n_levels), dtype=np.float64)


class _Halo:
    """The quiet rows near events, and when the events with them are found.

    Only rows at a distance of 1 to `reach` from an event are looked at, so that a tolerance costs as much as there are
    such rows, however long the log.
    """

    def __init__(self, measured: MeasuredRows, level_of_row: IntArray, n_levels: int, reach: int) -> None:
        self.n_levels = n_levels
        self.first, self.last = measured.true_events  # (n_events,)
        stretch = measured.stretch_of(self.first)
        distances = np.arange(1, reach + 1)
        before, after = self.first[:, None] - distances, self.last[:, None] + distances  # (n_events, reach)
        sides = (
            (before, before >= measured.starts[stretch, None]),
            (after, after < measured.stops[stretch, None]),
        )
        self.apart = stretch[1:] != stretch[:-1]  # (n_events - 1,) whether an event is of another stretch than the next
        self.found_at = self._found_at(level_of_row, sides)
        self._list_near_rows(measured, level_of_row, sides, distances)

    def _found_at(self, level_of_row: IntArray, sides: Any) -> IntArray:
        """Return the level from which each event, widened by 0 to reach rows, has a flagged row."""
        spans = np.stack([self.first, self.last + 1], axis=1).ravel()
        core = np.minimum.reduceat(np.append(level_of_row, self.n_levels), spans)[::2]
        rings = [np.where(inside, level_of_row[np.where(inside, row, 0)], self.n_levels) for row, inside in sides]
        return np.minimum.accumulate(np.column_stack([core, np.minimum(*rings)]), axis=1)  # (n_events, 1 + reach)

    def _list_near_rows(self, measured: MeasuredRows, level_of_row: IntArray, sides: Any, distances: IntArray) -> None:
        """Note each pair of an event and a quiet row near it; a row between two events is in several."""
        rows = np.concatenate([row[inside] for row, inside in sides])
        away = np.concatenate([np.broadcast_to(distances, row.shape)[inside] for row, inside in sides])
        quiet = ~measured.events[rows]
        near, self.pair_row = np.unique(rows[quiet], return_inverse=True)
        self.pair_distance, self.near_level = away[quiet], level_of_row[near]

    def near_hits(self, width: int) -> FloatArray:
        """Return the sum of the labels of flagged rows near events at each level, for a tolerance of `width` rows."""
        if width < 2 or not len(self.pair_distance):
            return np.zeros(self.n_levels)
        label = np.sqrt(np.maximum(1 - np.arange(self.pair_distance.max() + 1) / width, 0.0))  # by distance
        label[width // 2 + 1 :] = 0.0
        labels = np.bincount(self.pair_row, label[self.pair_distance])
        return _cumulate(self.near_level, np.minimum(labels, 1.0), self.n_levels)

    def share_found(self, half: int) -> FloatArray:
        """Return the share of events, widened by `half` rows and joined where they touch, found at each level."""
        parted = self.apart | (self.last[:-1] + half < self.first[1:] - half)
        joined = np.minimum.reduceat(self.found_at[:, half], np.flatnonzero(np.append(True, parted)))
        return _cumulate(joined, None, self.n_levels) / len(joined)
