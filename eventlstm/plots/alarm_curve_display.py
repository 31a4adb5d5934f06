"""What alarms find and what they cost, drawn over all thresholds."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..metrics.alarm_costs import time_unit
from ..metrics.curves import alarm_curve
from ..metrics.intervals import Interval, binomial_interval, poisson_interval
from ..metrics.matching import Matched, read_match
from .drawing import axes_for, flag_rows, on_rows, own_threshold, refuse_other_shape, scores_of


class AlarmCurveDisplay:
    """Share of events found against false alarms, over all thresholds of a score.

    Parameters
    ----------
    false_alarm_rate : array-like of shape (n_thresholds,)
        False alarms in a unit of quiet time, from the highest threshold to the lowest.
    event_recall : array-like of shape (n_thresholds,)
        Share of events found.
    operating_point : tuple of (Interval, Interval), optional
        False alarm rate and event recall at the threshold in use, with their intervals.
    per : str, default="day"
        The unit of time, as the axis tells it.
    name : str, default=None
        What the legend calls the model.

    Attributes
    ----------
    budgets_ : ndarray of shape (n_thresholds,)
        False alarm rates, rising.
    recalls_ : ndarray of shape (n_thresholds,)
        The most events found before false alarms exceed each: what `metrics.event_recall_at_budget` returns.
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    eventlstm.metrics.alarm_curve : The table behind it.

    Notes
    -----
    The bars of the operating point are exact ones for counts, `metrics.binomial_interval` and
    `metrics.poisson_interval`, with a confidence of 95 %.

    References
    ----------
    Egan, Greenberg and Schulman, "Operating characteristics determined by binary decisions and by ratings", 1961: the
    free-response operating characteristic.

    Examples
    --------
    >>> from eventlstm.plots import AlarmCurveDisplay
    >>> y, score = [0, 0, 1, 1, 0, 0, 1, 0], [0.1, 0.3, 0.9, 0.2, 0.1, 0.4, 0.5, 0.2]
    >>> display = AlarmCurveDisplay.from_predictions(y, score, threshold=0.6)
    >>> rate, recall = display.operating_point
    >>> rate.estimate, recall.estimate
    (0.0, 0.5)
    """

    def __init__(
        self,
        false_alarm_rate: Any,
        event_recall: Any,
        *,
        operating_point: tuple[Interval, Interval] | None = None,
        per: str = "day",
        name: str | None = None,
    ) -> None:
        rates, recalls = (np.asarray(values, dtype=float) for values in (false_alarm_rate, event_recall))
        refuse_other_shape("false_alarm_rate", rates, "(n_thresholds,)")
        if recalls.shape != rates.shape or np.isnan(rates).any() or np.isnan(recalls).any():
            raise ValueError(
                "The curve has points without a rate of false alarms or a recall. Pass rows with events and with "
                "quiet time, and one of each for every threshold."
            )
        self.budgets_, self.recalls_ = np.maximum.accumulate(rates), np.maximum.accumulate(recalls)
        self.operating_point = operating_point
        self.per = per
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: Any,
        *,
        threshold: Any = None,
        policy: Any = None,
        per: str | None = None,
        early: Any = 0,
        late: Any = 0,
        match: str = "onset",
        max_gap: Any = None,
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot scores of labelled rows.

        Parameters
        ----------
        y_true : Series or array-like of shape (n_rows,)
            1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
        y_score : Series or array-like of shape (n_rows,)
            Scores that rise with the danger, of rows held out from training.
        threshold : float or array-like of shape (n_rows,), default=None
            The operating point to mark: rows with a greater score are above; one for all, or without a `policy` one a
            row, where folds have their own. Defaults to that of the policy.
        policy : AlarmPolicy, default=None
            Rules that turn scores into alarms. Without one, every run of rows above is an alarm.
        per : {"day", "hour", "step"}, default=None
            The time that false alarms are counted in, as in `metrics.alarm_curve`.
        early, late : int, float, str or Timedelta, default=0
            How long before and after an event an alarm for it may come, as in `metrics.alarm_curve`.
        match : {"onset", "overlap"}, default="onset"
            Whether an alarm must begin within this time, or it is enough that it lasts into it.
        max_gap : None, "auto", number or time span, default=None
            The longest step in time within an event or an alarm.
        name : str, default=None
            What the legend calls the model.
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        AlarmCurveDisplay
            The plot.
        """
        how: dict[str, Any] = {"early": early, "late": late, "match": match, "max_gap": max_gap}
        curve = alarm_curve(y_true, y_score, policy=policy, per=per, **how)
        flags = flag_rows(y_true, y_score, threshold, policy)
        matched = read_match(y_true, np.zeros(len(y_true), dtype=int) if flags is None else flags, **how)
        per = per or ("day" if matched.events.measured.rows.is_datetime else "step")
        point = None if flags is None else _operating_point(matched, per)
        return cls(curve["false_alarm_rate"], curve["event_recall"], operating_point=point, per=per, name=name).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, **options: Any) -> Self:
        """Plot the scores of a fitted model on labelled rows it has not seen.

        Parameters
        ----------
        estimator : estimator
            A fitted detector or classifier with the classes 0 and 1.
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log.
        y : Series or array-like of shape (n_rows,)
            1 on rows of an event, else 0.
        **options : dict
            The keywords of `from_predictions`; the default `threshold` is the estimator's own, if it has one, and the
            default `name` that of its class.

        Returns
        -------
        AlarmCurveDisplay
            The plot.
        """
        own = {"name": type(estimator).__name__, "threshold": own_threshold(estimator, options)}
        return cls.from_predictions(on_rows(y, X), scores_of(estimator, X), **own | options)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve and the operating point, on an axis that is logarithmic but for its begin, which is zero.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        AlarmCurveDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        (line,) = self.ax_.plot(self.budgets_, self.recalls_, drawstyle="steps-post", label=self.name)
        if self.operating_point is not None:
            rate, recall = self.operating_point
            x_bars, y_bars = ([[p.estimate - p.low], [p.high - p.estimate]] for p in (rate, recall))
            label = f"{recall.estimate:.0%} at {rate.estimate:.2g} false alarms per {self.per}"
            self.ax_.errorbar(
                rate.estimate,
                recall.estimate,
                y_bars,
                x_bars,
                "o",
                color=line.get_color(),
                capsize=2,
                clip_on=False,
                label=label,
            )
        least = np.min(self.budgets_, initial=1.0, where=self.budgets_ > 0)
        self.ax_.set_xscale("symlog", linthresh=10.0 ** np.ceil(np.log10(least)), linscale=0.7)
        self.ax_.set(xlabel=f"false alarms per {self.per} of quiet time", ylabel="share of events found")
        self.ax_.set(xlim=(0, None), ylim=(-0.01, 1.03))
        if line.get_label() == self.name or self.operating_point is not None:
            self.ax_.legend(frameon=False, loc="best")
        return self


def _operating_point(matched: Matched, per: str) -> tuple[Interval, Interval]:
    """Return the rate of false alarms and the share of events found, with exact intervals."""
    quiet = matched.events.total_quiet_time / time_unit(matched.events.measured, per)
    n_found, n_events = matched.n_found, len(matched.found_at)
    return poisson_interval(matched.n_false_alarms, quiet), binomial_interval(n_found, n_events)
