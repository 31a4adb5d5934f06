"""How good scores are, row by row: precision against recall, and probabilities against what came of them."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

from ..logs.shared import FloatArray
from ..metrics.intervals import Interval, bootstrap_curve
from ..metrics.measured_rows import read_rows, read_scores
from ..metrics.row_scores import bins_of_equal_mass, read_probabilities
from .drawing import axes_for, on_rows, refuse_other_length, refuse_other_shape, scores_of

RECALLS = np.linspace(0.01, 1, 100)  # where the ends of the band are drawn
N_RESAMPLES = 200  # a band needs less than the two ends of one interval: neighbouring recalls smooth each other


class PrecisionRecallDisplay:
    """Precision against recall of rows, with the band that event-wise resampling gives.

    Parameters
    ----------
    precision, recall : array-like of shape (n_points,)
        As `sklearn.metrics.precision_recall_curve` returns them.
    average_precision : Interval or float
        Their area as the legend tells it, with its interval or without.
    band : tuple of three array-like of shape (n_recalls,), optional
        Recalls, and the lower and upper ends of the precision there.
    prevalence : float, default=None
        The share of rows of events, which random scores have at every recall.
    name : str, default=None
        What the legend calls the model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    AlarmCurveDisplay : The same for events and alarms, which is what an operator sees.
    eventlstm.metrics.bootstrap_interval : How the band is made.

    Notes
    -----
    The band holds the precision at each recall by itself with the confidence asked for; the whole curve leaves it
    more often.

    References
    ----------
    Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.plots import PrecisionRecallDisplay
    >>> y = np.tile(np.repeat([0, 1, 0], [60, 10, 30]), 12)
    >>> score = np.random.default_rng(0).normal(size=1200) + 2 * y
    >>> display = PrecisionRecallDisplay.from_predictions(y, score, n_resamples=20, random_state=0)
    >>> display.average_precision.low < display.average_precision.estimate < display.average_precision.high
    True
    """

    def __init__(
        self,
        precision: Any,
        recall: Any,
        average_precision: Interval | float,
        *,
        band: Any = None,
        prevalence: float | None = None,
        name: str | None = None,
    ) -> None:
        self.precision, self.recall = np.asarray(precision, dtype=float), np.asarray(recall, dtype=float)
        refuse_other_shape("precision", self.precision, "(n_points,)")
        refuse_other_length("recall", self.recall, len(self.precision), "points")
        self.average_precision = average_precision
        self.band = band
        self.prevalence = prevalence
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: Any,
        *,
        confidence: float = 0.95,
        n_resamples: int = N_RESAMPLES,
        random_state: Any = None,
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
        confidence : float, default=0.95
            Of the band and the interval.
        n_resamples : int, default=200
            How often events are drawn anew; 0 for no band, which needs two events.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        name : str, default=None
            What the legend calls the model.
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        PrecisionRecallDisplay
            The plot.
        """
        events, scores = read_rows(y_true).events, read_scores(y_score, y_true)
        if not events.any():
            raise ValueError("y_true holds no event, so that recall is undefined. Pass rows with events.")
        precision, recall, _ = precision_recall_curve(events, scores)
        area: Interval | float = float(average_precision_score(events, scores))
        band = None
        if n_resamples:
            options = {"confidence": confidence, "n_resamples": n_resamples, "random_state": random_state}
            labels = on_rows(events.astype(int), y_true)
            estimate, low, high = bootstrap_curve(_precisions, labels, scores, **options)
            area, band = Interval(float(estimate[-1]), float(low[-1]), float(high[-1])), (RECALLS, low[:-1], high[:-1])
        return cls(precision, recall, area, band=band, prevalence=float(events.mean()), name=name).plot(ax)

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
            The keywords of `from_predictions`; the default `name` is that of the class.

        Returns
        -------
        PrecisionRecallDisplay
            The plot.
        """
        named = {"name": type(estimator).__name__} | options
        return cls.from_predictions(on_rows(y, X), scores_of(estimator, X), **named)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve, its band, and where random scores are.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        PrecisionRecallDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        (line,) = self.ax_.plot(self.recall, self.precision, drawstyle="steps-post", label=self._label())
        if self.band is not None:
            recalls, low, high = self.band
            self.ax_.fill_between(recalls, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
        if self.prevalence is not None:
            self.ax_.axhline(self.prevalence, color=line.get_color(), linewidth=0.8, linestyle=":")
        self.ax_.set(xlabel="recall of rows", ylabel="precision of rows", xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        self.ax_.legend(frameon=False, loc="best")
        return self

    def _label(self) -> str:
        area = self.average_precision
        told = (
            f"average precision {area.estimate:.2f} ({area.low:.2f} to {area.high:.2f})"
            if isinstance(area, Interval)
            else f"average precision {area:.2f}"
        )
        return f"{self.name}: {told}" if self.name else told


def _precisions(y_true: Any, y_score: Any) -> FloatArray:
    """Return the precision at each of `RECALLS`, at the highest threshold that reaches it, and the average one."""
    events = y_true.to_numpy() == 1
    if not events.any():
        return np.full(len(RECALLS) + 1, np.nan)
    precision, recall, _ = precision_recall_curve(events, y_score.to_numpy())
    at = np.searchsorted(recall[::-1], RECALLS - 1e-12, side="left")  # recalls are sums of shares
    area = -np.sum(np.diff(recall) * precision[:-1])
    return np.append(precision[::-1][at], area)


class CalibrationDisplay:
    """Share of events among rows against the probability that a model gave them, both on logarithmic axes.

    On linear axes, all but the last of a rare event's bins lie in one corner.

    Parameters
    ----------
    proba : array-like of shape (n_bins,)
        Mean probability of the rows of each bin.
    share : array-like of shape (n_bins,)
        Their share of rows of events.
    n_rows : array-like of int of shape (n_bins,)
        How many rows a bin has.
    band : tuple of two array-like of shape (n_bins,), optional
        Lower and upper ends of `share`.
    name : str, default=None
        What the legend calls the model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    eventlstm.metrics.calibration_error : The mean distance from the diagonal, over rows.

    References
    ----------
    DeGroot and Fienberg, "The comparison and evaluation of forecasters", The Statistician, 1983.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.plots import CalibrationDisplay
    >>> rng = np.random.default_rng(0)
    >>> proba = 10 ** rng.uniform(-3, -0.5, size=2000)
    >>> display = CalibrationDisplay.from_predictions(rng.random(2000) < proba, proba, n_bins=5, n_resamples=0)
    >>> display.n_rows, display.ax_.get_xscale()
    (array([400, 400, 400, 400, 400]), 'log')
    """

    def __init__(self, proba: Any, share: Any, n_rows: Any, *, band: Any = None, name: str | None = None) -> None:
        self.proba, self.share = np.asarray(proba, dtype=float), np.asarray(share, dtype=float)
        self.n_rows = np.asarray(n_rows)
        refuse_other_shape("proba", self.proba, "(n_bins,)")
        refuse_other_length("share", self.share, len(self.proba), "bins")
        refuse_other_length("n_rows", self.n_rows, len(self.proba), "bins")
        self.band = band
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any,
        *,
        n_bins: int = 10,
        mass: str = "rows",
        confidence: float = 0.95,
        n_resamples: int = N_RESAMPLES,
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot probabilities of labelled rows.

        Parameters
        ----------
        y_true : Series or array-like of shape (n_rows,)
            1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
        y_proba : Series or array-like of shape (n_rows,)
            Probability of an event, of rows held out from training.
        n_bins : int, default=10
            Bins, at most. Rows with the same probability share one.
        mass : {"rows", "probability"}, default="rows"
            What bins have as much of as each other: rows, as in `metrics.calibration_error`, or the sum of
            probabilities, which looks closer at the few rows where events are expected.
        confidence : float, default=0.95
            Of the bars.
        n_resamples : int, default=200
            How often events are drawn anew for the bars; 0 for none, which need two events.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        name : str, default=None
            What the legend calls the model.
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        CalibrationDisplay
            The plot.
        """
        if n_bins < 1 or mass not in ("rows", "probability"):
            raise ValueError(f"n_bins={n_bins!r} and mass={mass!r} came. Pass 1 or more, and 'rows' or 'probability'.")
        events, proba = read_probabilities(y_true, y_proba)
        refuse_other_shape("y_proba", proba, "(n_rows,)")
        number = bins_of_equal_mass(proba, n_bins, proba if mass == "probability" and proba.any() else None)
        bins, number = np.unique(number, return_inverse=True)
        counts = np.bincount(number)
        mean, share = (np.bincount(number, weights=values) / counts for values in (proba, events))
        band = None
        if n_resamples:
            options = {"confidence": confidence, "n_resamples": n_resamples, "random_state": random_state}
            shares = partial(_shares, n_bins=len(bins))
            band = tuple(bootstrap_curve(shares, on_rows(events.astype(int), y_true), number, **options)[1:])
        return cls(mean, share, counts, band=band, name=name).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, **options: Any) -> Self:
        """Plot the probabilities of a fitted model on labelled rows it has not seen.

        Parameters
        ----------
        estimator : estimator with `predict_proba`
            A fitted classifier with the classes 0 and 1.
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log.
        y : Series or array-like of shape (n_rows,)
            1 on rows of an event, else 0.
        **options : dict
            The keywords of `from_predictions`; the default `name` is that of the class.

        Returns
        -------
        CalibrationDisplay
            The plot.
        """
        named = {"name": type(estimator).__name__} | options
        return cls.from_predictions(on_rows(y, X), scores_of(estimator, X), **named)

    def plot(self, ax: Any = None) -> Self:
        """Draw the bins and the diagonal on which honest probabilities lie; a bin without an event is a cross below.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        CalibrationDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        seen = self.share > 0
        smallest = min(self.proba[self.proba > 0].min(initial=1.0), self.share[seen].min(initial=1.0)) / 2
        bars = None if self.band is None else self._bars(seen, smallest)
        self.ax_.plot([smallest, 1], [smallest, 1], color="grey", linewidth=0.8, linestyle=":")
        points = self.ax_.errorbar(
            np.maximum(self.proba[seen], smallest), self.share[seen], yerr=bars, fmt="o-", capsize=2, label=self.name
        )
        empty = np.maximum(self.proba[~seen], smallest)
        floor = self.ax_.get_xaxis_transform()
        self.ax_.scatter(empty, np.full(len(empty), 0.02), marker="x", color=points[0].get_color(), transform=floor)
        self.ax_.set(xscale="log", yscale="log", xlabel="probability given", ylabel="share of rows of events")
        if self.name:
            self.ax_.legend(frameon=False)
        return self

    def _bars(self, seen: Any, smallest: float) -> FloatArray:
        """Return how far the bars of some bins go down and up, to `smallest` where they would reach zero."""
        low, high = (np.asarray(end, dtype=float)[seen] for end in self.band)
        share = self.share[seen]
        return np.maximum(np.array([share - np.maximum(low, smallest), high - share]), 0.0)


def _shares(y_true: Any, bins: Any, n_bins: int) -> FloatArray:
    """Return the share of events in each bin, NaN where it has no row."""
    rows = np.bincount(bins, minlength=n_bins)
    events = np.bincount(bins, weights=y_true, minlength=n_bins)
    return np.divide(events, rows, out=np.full(n_bins, np.nan), where=rows > 0)
