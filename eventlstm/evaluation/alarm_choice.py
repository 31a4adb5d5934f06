"""The threshold that makes the best alarms of scores held out, and what such alarms find and cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..alarms.alarm_policy import AlarmPolicy
from ..metrics.alarm_summary import AlarmReport, report_alarms


def choose_alarms(
    y: pd.Series,
    scores: np.ndarray,
    fold_of_row: np.ndarray,
    policy: AlarmPolicy,
    choose: Callable[..., float],
    sample_weight: np.ndarray | None = None,
) -> tuple[float, AlarmReport]:
    """Return a threshold from all rows held out, and what alarms find at thresholds that come from other folds.

    A fold gets no alarm where on the others no threshold keeps the limits.

    Parameters
    ----------
    y : Series of shape (n_rows,)
        1 on rows of an event, else 0.
    scores : array of shape (n_rows,)
        Each of a model that has not seen the row, NaN where there is none.
    fold_of_row : array of shape (n_rows,)
        The fold that held the row out, -1 for none.
    policy : AlarmPolicy
        The rules that make alarms.
    choose : callable
        Takes labels, scores and `sample_weight`, and returns a threshold: `choose_threshold` with its options.
    sample_weight : array of shape (n_rows,), optional
        How many rows each stands for when a threshold is chosen. What alarms find and cost is that of the rows at hand,
        among which the alarms in a day are as many.
    """
    tested = fold_of_row >= 0
    score, weight = pd.Series(scores, index=y.index), np.ones(len(y)) if sample_weight is None else sample_weight
    threshold = choose(y[tested], score[tested], sample_weight=weight[tested])
    flags = pd.Series(0, index=y.index)
    for fold in range(fold_of_row.max() + 1):
        own, others = fold_of_row == fold, tested & (fold_of_row != fold)
        try:
            rules = clone(policy).set_params(threshold=choose(y[others], score[others], sample_weight=weight[others]))
        except ValueError:
            continue
        flags[own] = rules.flag(score[own])
    return threshold, report_alarms(y[tested], flags[tested], max_gap=policy.max_gap)


def summarise(report: AlarmReport) -> dict[str, Any]:
    """Return what is kept of a report of alarms with the model."""
    per = "day" if pd.api.types.is_timedelta64_dtype(report.delays.dtype) else "step"
    rate = float(report.false_alarm_rate.estimate)
    return {"n_events": report.n_events, "n_found": report.n_found, "false_alarm_rate": rate, "per": per}
