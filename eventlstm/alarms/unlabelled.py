"""Thresholds from the scores of quiet rows held out, set by how many false alarms can be borne."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .._validation import Interval
from .alarm_policy import MERGE_ROWS
from .score_threshold import (
    RATE,
    TAIL_LEVEL,
    Scores,
    ScoreThreshold,
    doubt_of_days,
    doubt_of_rows,
    doubt_of_share,
    read_quiet,
    refuse_rate_below_level,
)
from .tails import Clusters, Tail, autocorrelation_time, fit_tail, independent_rows, upper_quantile


def make_rule(max_false_alarms_per_day: float, merge_gap: Any = MERGE_ROWS) -> AutoThreshold:
    """Return the rule for a threshold that counts alarms as `make_policy` joins them."""
    return AutoThreshold(max_false_alarms_per_day, merge_gap=merge_gap)


POSITIVE = Interval(Real, 0, None, closed="neither")
DEFAULT_RATE = 1e-3
# Independent exceedances from which on counting them does as well as a fitted tail.
ENOUGH_TO_COUNT = 10.0
# Share of the largest number of clusters at which the tail of their peaks begins. From a third to .7, and with 20 or 40
# clusters, the rate came out alike, within a factor of 1.5 (median of 40 draws, AR(.9) and AR(.95), 1 to 14 expected);
# a tail of all exceedances, thinned to as many as there are clusters, let through 1.3 to 3.6 times what was asked.
PEAK_SHARE = 1 / 3


class QuantileThreshold(ScoreThreshold):
    """The score that a given share of quiet rows exceeds.

    Parameters
    ----------
    false_alarm_rate : float, default=1e-3
        Share of quiet rows to be flagged, between 0 and 1.

    Attributes
    ----------
    threshold_ : float
        Rows with a higher score are flagged.

    Warns
    -----
    UserWarning
        In `fit`, when less than one independent exceedance is expected among the rows.

    See Also
    --------
    AutoThreshold : False alarms a day, and a fitted tail where rows are few.

    Notes
    -----
    Fit it on rows held out from training: errors on training rows are smaller than those that will come, and a
    threshold at their quantile of 99 % let through 43 to 99 % of quiet rows on a test bench.
    With `y`, rows of events are left out.

    References
    ----------
    Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician, 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.thresholds import QuantileThreshold
    >>> quiet = np.random.default_rng(0).exponential(size=10_000)
    >>> threshold = QuantileThreshold(false_alarm_rate=0.01).fit(quiet)
    >>> threshold.threshold_  # -log(0.01) is 4.6
    4.6
    >>> threshold.flag([1.0, 9.0])
    array([False,  True])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"false_alarm_rate": [RATE]}

    def __init__(self, false_alarm_rate: float = DEFAULT_RATE) -> None:
        self.false_alarm_rate = false_alarm_rate

    def _fit(self, score: Any, y: Any) -> str | None:
        scores = read_quiet(score, y)
        self.threshold_ = upper_quantile(scores.values, self.false_alarm_rate)
        n_independent = independent_rows(scores.values, scores.starts)
        return doubt_of_rows(len(scores.values), n_independent, self.false_alarm_rate)


class TailThreshold(ScoreThreshold):
    """The score that a given share of quiet rows exceeds, by a generalised Pareto tail: peaks over threshold.

    Parameters
    ----------
    false_alarm_rate : float, default=1e-4
        Share of quiet rows to be flagged, below ``1 - level``.
    level : float, default=0.98
        Quantile from which on the tail is fitted. Lower it for less noise, raise it for less bias.

    Attributes
    ----------
    threshold_ : float
        Rows with a higher score are flagged.
    level_ : float
        The score at `level`.
    shape_ : float
        Shape of the tail, from -.5 (it ends) over 0 (exponential) to .5 (heavy); 0 where fewer than 30 scores are above
        the level.
    scale_ : float
        Scale of the tail, in the unit of the scores.

    Raises
    ------
    ValueError
        In `fit`, when `false_alarm_rate` is not below ``1 - level``: there the tail does not reach.

    Warns
    -----
    UserWarning
        In `fit`, when less than one independent exceedance is expected among the rows. Where rows are independent, a
        tail still gets the order of magnitude right with a fifth of that.

    See Also
    --------
    StreamingTailThreshold : The same, refitted as scores come.

    Notes
    -----
    Above a high level, excesses follow nearly a generalised Pareto distribution whatever the scores are, so that the
    tail reaches beyond the rows seen. It is fitted by maximum likelihood. Fit it on rows held out from training; with
    `y`, rows of events are left out.

    References
    ----------
    Pickands, "Statistical inference using extreme order statistics", The Annals of Statistics, 1975.
    Coles, "An introduction to statistical modeling of extreme values", 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.thresholds import TailThreshold
    >>> quiet = np.random.default_rng(0).exponential(size=10_000)
    >>> TailThreshold(false_alarm_rate=1e-3).fit(quiet).threshold_  # -log(0.001) is 6.9
    6.8
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"false_alarm_rate": [RATE], "level": [RATE]}

    def __init__(self, false_alarm_rate: float = 1e-4, *, level: float = TAIL_LEVEL) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.level = level

    def _fit(self, score: Any, y: Any) -> str | None:
        refuse_rate_below_level(self.false_alarm_rate, self.level)
        scores = read_quiet(score, y)
        tail = _tail_of_rows(scores, self.level)
        self.level_, self.shape_, self.scale_ = tail.level, tail.shape, tail.scale
        self.threshold_ = tail.threshold(self.false_alarm_rate)
        n_independent = independent_rows(scores.values, scores.starts)
        return doubt_of_rows(len(scores.values), n_independent, self.false_alarm_rate)


class AutoThreshold(ScoreThreshold):
    """The threshold for a budget of false alarms, from as many quiet rows as there are.

    Parameters
    ----------
    max_false_alarms_per_day : float, default=1.0
        Alarms a day of observed quiet time, per machine, where the index of the scores holds date-times.
    false_alarm_rate : float or None, default=None
        Share of quiet rows to be flagged, instead of alarms a day. By default 1e-3 where the index holds no date-times.
    merge_gap : int, str, Timedelta or "auto", default=0
        An alarm goes on over as many rows below the threshold, or over a time span such as "15min"; set it to that of
        the `AlarmPolicy` in use, 15 rows by default. "auto" is the autocorrelation time of the scores, within
        which exceedances are hardly news: take `merge_rows_` for the policy then.

    Attributes
    ----------
    threshold_ : float
        Rows with a higher score are flagged.
    method_ : {"quantile", "tail"}
        Whether exceedances could be counted, or a tail had to be fitted.
    n_expected_ : float
        Independent exceedances (independent alarms, for a budget a day) expected among the rows at the threshold. In
        eight cases of ten, what comes is within a factor of about ``exp(1.5 / sqrt(n_expected_))`` of what was asked.
    merge_rows_ : int
        `merge_gap` in rows, for a budget a day.

    Warns
    -----
    UserWarning
        In `fit`, when `n_expected_` is below one: nobody can know. The warning says how much to hold out. And when
        more than a quarter of the quiet rows are above the threshold, as where scores drift: few alarms are then long.

    See Also
    --------
    LabelledThreshold : With labels.
    QuantileThreshold : One of its two ways, by itself.
    TailThreshold : The other.
    eventlstm.AlarmPolicy : Makes alarms with the threshold.

    Notes
    -----
    Rows of scores hang together, so that exceedances come in clusters, and only as many are news as lie further apart
    than the autocorrelation time. Where the budget allows ten independent alarms or more among the rows, alarms are
    counted at every threshold, and the lowest is taken from which on they stay within the budget. With fewer, a
    generalised Pareto tail is fitted to the peaks of clusters, beginning where a third of the largest number of
    clusters is left, and is followed down to the budget. Rates of rows go the same way, by a quantile or a tail of the
    rows. A budget of more alarms than any threshold gives is met by the threshold with most, as a lower one would
    only merge them.

    In simulations of skewed scores (AR(.9) and AR(.95), 1.4 to 14 days of a row a minute), the alarms that came were .7
    to 1.3 times a budget of one or four a day in the median, and rates of rows .9 to 1.8 times 1e-2 and 1e-3 but for
    settings where it always warns.

    Fit it on rows held out from training: errors on training rows are smaller than those that will come. Smooth their
    scores as those to be judged. With `y`, rows of events are left out. Gaps in time do not count as observed.

    References
    ----------
    Coles, "An introduction to statistical modeling of extreme values", 2001, chapter 5.
    Ferro and Segers, "Inference for clusters of extreme values", 2003.

    Examples
    --------
    Three weeks of quiet scores, a row a minute, and a budget of an alarm a day:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from eventlstm.thresholds import AutoThreshold
    >>> times = pd.date_range("2026-01-01", periods=21 * 1440, freq="min")
    >>> quiet = pd.Series(np.random.default_rng(0).exponential(size=len(times)), index=times)
    >>> threshold = AutoThreshold(max_false_alarms_per_day=1).fit(quiet)
    >>> threshold.method_, threshold.n_expected_, int(threshold.flag(quiet).sum())
    ('quantile', 21.0, 21)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_false_alarms_per_day": [POSITIVE],
        "false_alarm_rate": [RATE, None],
        "merge_gap": [Interval(Real, 0, None, closed="left"), str, pd.Timedelta],
    }

    def __init__(
        self,
        max_false_alarms_per_day: float = 1.0,
        *,
        false_alarm_rate: float | None = None,
        merge_gap: Any = 0,
    ) -> None:
        self.max_false_alarms_per_day = max_false_alarms_per_day
        self.false_alarm_rate = false_alarm_rate
        self.merge_gap = merge_gap

    def _fit(self, score: Any, y: Any) -> str | None:
        scores = read_quiet(score, y)
        if scores.rows.is_datetime and self.false_alarm_rate is None:
            doubt = self._fit_alarms(scores)
        else:
            doubt = self._fit_rows(scores, DEFAULT_RATE if self.false_alarm_rate is None else self.false_alarm_rate)
        self.method_ = "quantile" if self.n_expected_ >= ENOUGH_TO_COUNT else "tail"
        return doubt_of_share(scores.values, self.threshold_, self.false_alarm_rate) or doubt

    def _fit_rows(self, scores: Scores, rate: float) -> str | None:
        n_independent = independent_rows(scores.values, scores.starts)
        self.n_expected_ = n_independent * rate
        countable = min(max(rate, ENOUGH_TO_COUNT / n_independent), 1.0)
        self.threshold_ = upper_quantile(scores.values, countable)
        if countable > rate:
            tail = _tail_of_rows(scores, TAIL_LEVEL)
            # never below what can be counted, so that a smaller budget never asks for a lower threshold
            self.threshold_ = max(self.threshold_, tail.threshold(rate))
        return doubt_of_rows(len(scores.values), n_independent, rate)

    def _fit_alarms(self, scores: Scores) -> str | None:
        budget = float(self.max_false_alarms_per_day)
        memory = int(np.ceil(autocorrelation_time(scores.values, scores.starts))) - 1  # rows between independent ones
        self.merge_rows_ = memory if self.merge_gap == "auto" else scores.n_rows_in(self.merge_gap, "merge_gap")
        alarms = Clusters(scores.values, scores.starts, self.merge_rows_)
        independent = Clusters(scores.values, scores.starts, max(self.merge_rows_, memory))
        countable = independent.level(ENOUGH_TO_COUNT)
        # one excursion of scores that hang together may be several alarms, which are one piece of news
        alarms_each = max(float(alarms.count(countable) / max(independent.count(countable), 1)), 1.0)
        self.n_expected_ = scores.days * budget / alarms_each
        self.threshold_ = alarms.level(max(self.n_expected_, ENOUGH_TO_COUNT) * alarms_each)
        if self.n_expected_ < ENOUGH_TO_COUNT:
            level = independent.level(independent.most * PEAK_SHARE)
            tail = fit_tail(independent.peaks(level), level, scores.days)
            self.threshold_ = max(self.threshold_, tail.threshold(budget / alarms_each))
        return doubt_of_days(scores.days, self.n_expected_, budget)


def _tail_of_rows(scores: Scores, level: float) -> Tail:
    return fit_tail(scores.values, float(np.quantile(scores.values, level)), len(scores.values))


def effective_rows(score: Any, y: Any = None) -> float:
    """How many independent rows would show as many clusters of high scores as these rows do.

    Parameters
    ----------
    score : Series or array-like of shape (n_rows,)
        Scores, high where abnormal, with run and time in the index. Rows whose score is NaN are left out.
    y : Series or array-like of shape (n_rows,), optional
        1 on rows of an event, which are left out, else 0.

    Returns
    -------
    float
        From the number of clusters up to that of rows. Times the share of rows above a threshold, it is about how many
        independent exceedances there are.

    See Also
    --------
    AutoThreshold : Says by them how far its threshold can be trusted.

    Notes
    -----
    The extremal index, measured on the two highest rows in a hundred, times the number of rows. Higher up rows depend
    less on each other, so that the figure errs on the safe side.

    References
    ----------
    Ferro and Segers, "Inference for clusters of extreme values", 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.thresholds import effective_rows
    >>> noise = np.random.default_rng(0).normal(size=5000)
    >>> bool(effective_rows(noise) > 4000)
    True
    >>> bool(effective_rows(np.convolve(noise, np.ones(50), "valid")) < 500)
    True
    """
    scores = read_quiet(score, y)
    return independent_rows(scores.values, scores.starts)
