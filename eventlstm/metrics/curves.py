"""What every threshold finds and what it costs: the curve of alarms, and the events found at a budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from ..logs.events import row_labels
from .alarm_costs import rate_of_false_alarms, time_unit
from .delays import quantile_of_delays
from .matching import Events, match_alarms, read_events
from .measured_rows import read_scores

# Ranks of the default thresholds: at 100,000 rows each has 6 % more rows above than the one before.
N_THRESHOLDS = 200


def alarm_curve(
    y_true: Any,
    y_score: Any,
    *,
    thresholds: Any = None,
    policy: Any = None,
    per: str | None = None,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    max_gap: Any = None,
) -> pd.DataFrame:
    """Events found, false alarms and delays at each threshold of a score.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_score : Series or array-like of shape (n_rows,)
        Scores that rise with the danger.
    thresholds : array-like of shape (n_thresholds,), default=None
        Rows with a score greater than this are above. Defaults to up to 200 of the scores, denser among the high ones.
    policy : estimator with `flag` and the parameter `threshold`, default=None
        Rules that turn scores into alarms, such as an `AlarmPolicy`. Without one, every run of rows above the threshold
        is an alarm.
    per : {"day", "hour", "step"}, default=None
        The time that false alarms are counted in; "step" is one unit of an index of numbers, a row of an array.
        Defaults to a day for an index of date-times, else to a step.
    early, late : int, float, str or Timedelta, default=0
        How long before the start of an event, and after its end, an alarm for it may come: an int counts rows; for an
        index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    DataFrame of shape (n_thresholds, 7)
        From the highest threshold to the lowest, the columns "threshold", "n_alarms", "false_alarm_rate",
        "event_recall", "event_precision", "alarm_duty" and "median_delay" (in seconds for an index of date-times, else
        in the unit of the index), as the functions of these names (and `delay_quantile`) return them.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, scores are missing or of other rows, or an option is unknown.

    See Also
    --------
    event_recall_at_budget : One number of the curve.

    Notes
    -----
    The lower the threshold, the more alarms, until alarms grow together; the last rows are alarms that hardly ever end,
    as their "alarm_duty" says.

    Examples
    --------
    >>> from eventlstm.metrics import alarm_curve
    >>> curve = alarm_curve([0, 0, 1, 1, 0, 0, 1, 0], [0.1, 0.3, 0.9, 0.2, 0.1, 0.4, 0.1, 0.2])
    >>> curve[["threshold", "n_alarms", "event_recall", "alarm_duty"]]
       threshold  n_alarms  event_recall  alarm_duty
    0        0.9         0           0.0         0.0
    1        0.4         1           0.5         0.0
    2        0.3         2           0.5         0.2
    3        0.2         2           0.0         0.4
    4        0.1         3           0.0         0.6
    """
    events, scores = read_events(y_true, early, late, max_gap), read_scores(y_score, y_true)
    unit = time_unit(events.measured, per)
    levels = (
        _default_levels(scores) if thresholds is None else np.unique(np.asarray(thresholds, dtype=np.float64))[::-1]
    )
    column = pd.Series(scores, index=row_labels(y_true))
    points = [_point(events, _flags(column, level, policy), match, unit) for level in levels]
    return pd.DataFrame({"threshold": levels, **pd.DataFrame(points, columns=COLUMNS)})


def event_recall_at_budget(
    y_true: Any,
    y_score: Any,
    *,
    budget: float = 1.0,
    policy: Any = None,
    per: str | None = None,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    max_gap: Any = None,
) -> float:
    """Share of events found before false alarms exceed a budget: what a score is worth to an operator.

    The threshold is lowered until there are more false alarms than the budget allows for the first time; the most
    events found on the way are counted. It measures a score, not a threshold: that one must come from other rows.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_score : Series or array-like of shape (n_rows,)
        Scores that rise with the danger.
    budget : float, default=1.0
        False alarms allowed in a day (or what `per` says) of quiet observed time of one machine.
    policy : estimator with `flag` and the parameter `threshold`, default=None
        Rules that turn scores into alarms, such as an `AlarmPolicy`. Without one, every run of rows above the threshold
        is an alarm, of which there are many where a score is not smooth.
    per : {"day", "hour", "step"}, default=None
        The time that false alarms are counted in; "step" is one unit of an index of numbers, a row of an array.
        Defaults to a day for an index of date-times, else to a step, for which the budget has to be set.
    early, late : int, float, str or Timedelta, default=0
        How long before the start of an event, and after its end, an alarm for it may come: an int counts rows; for an
        index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run,
        "auto" for ten times the slow steps of its run.

    Returns
    -------
    float
        Between 0 and 1. NaN without an event or without quiet time.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, scores are missing or of other rows, or an option is unknown.

    See Also
    --------
    alarm_curve : The whole curve.

    References
    ----------
    Egan, Greenberg and Schulman, "Operating characteristics determined by binary decisions and by ratings", 1961: the
    free-response operating characteristic, of which this is a point.

    Examples
    --------
    >>> from eventlstm.metrics import event_recall_at_budget
    >>> y, score = [0, 0, 1, 1, 0, 0, 1, 0], [0.1, 0.3, 0.9, 0.2, 0.1, 0.4, 0.5, 0.2]
    >>> event_recall_at_budget(y, score, budget=0.0)
    1.0
    """
    if not budget >= 0:
        raise ValueError(f"budget={budget!r} is no number of false alarms. Pass zero or more.")
    options = {"policy": policy, "per": per, "early": early, "late": late, "match": match, "max_gap": max_gap}
    curve = alarm_curve(y_true, y_score, **options)
    if curve[["false_alarm_rate", "event_recall"]].isna().any(axis=None):
        return np.nan
    within = (curve["false_alarm_rate"] <= budget).cumprod().astype(bool)
    return float(curve.loc[within, "event_recall"].max()) if within.any() else 0.0


COLUMNS = ("n_alarms", "false_alarm_rate", "event_recall", "event_precision", "alarm_duty", "median_delay")


def _point(events: Events, flags: npt.NDArray[np.bool_], match: str, unit: float) -> tuple[float, ...]:
    """Return the values of `COLUMNS`."""
    matched = match_alarms(events, flags, match)
    return (
        len(matched.onsets),
        rate_of_false_alarms(matched, unit),
        matched.recall,
        matched.precision(corrected=True),
        matched.duty,
        quantile_of_delays(matched, 0.5),
    )


def _flags(scores: pd.Series, level: float, policy: Any) -> npt.NDArray[np.bool_]:
    """Return whether each row is under alarm at a threshold."""
    if policy is None:
        return scores.to_numpy() > level
    policy = clone(policy).set_params(threshold=float(level))
    if getattr(policy, "off", None) is not None:
        policy.set_params(off=min(policy.off, float(level)))  # an alarm cannot end above where it begins
    return np.asarray(policy.flag(scores)).astype(bool)


def _default_levels(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return some of the scores, falling, at ranks that rise by a factor."""
    ranks = np.unique(np.geomspace(1, len(scores), N_THRESHOLDS).astype(int)) - 1
    return np.unique(np.sort(scores)[::-1][ranks])[::-1]
