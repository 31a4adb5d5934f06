"""Tails of scores: quantiles, generalised Pareto tails, and how many independent rows dependent ones are worth.

Scores are ``(n_rows,)``, high where abnormal; ``starts`` holds the first row of each stretch. Rows of scores are seldom
independent, so that exceedances of a threshold come in clusters, and what limits the knowledge of a tail is the number
of clusters instead of the number of rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq, minimize_scalar
from scipy.signal import fftconvolve
from scipy.special import boxcox
from scipy.stats import rankdata

from ..logs.shared import FloatArray, IntArray

# Relative differences that mean nothing: between sums of weights, and between scores of one window in other company.
SUM_ROUNDING, SCORE_ROUNDING = 1e-9, 1e-6
# Beyond these a likelihood of few excesses runs off: the variance is infinite above .5, estimates irregular below -.5.
SHAPES = (-0.5, 0.5)
# Fewer excesses do not tell a shape: that of an exponential tail, zero, errs less.
MIN_EXCESSES = 30
# Share of rows whose clusters tell how dependent high scores are. Higher up they are less so, and this the safe side.
HIGH_SHARE = 0.02
# Windows of this many autocorrelation times balance bias and noise of their estimate (Sokal, 1997).
SOKAL_WINDOW = 5
MAX_LAGS = 10_000
CLOSE = 1e-12  # of the largest excess: how well a scale is found, and how far it stays from where the tail would end


class Tail(NamedTuple):
    """A generalised Pareto tail: how often scores exceed thresholds above a level."""

    level: float
    rate: float  # of exceedances of the level, a row or a day
    shape: float
    scale: float

    def threshold(self, rate: float) -> float:
        """Return the score that is exceeded at a `rate`; the level where even that is exceeded less often."""
        if rate >= self.rate:
            return self.level
        return float(self.level + self.scale * boxcox(self.rate / rate, self.shape))


def upper_quantile(values: FloatArray, rate: float) -> float:
    """Return the value that a share `rate` of further values exceeds, as often more as less than that.

    The median-unbiased rule, number 8 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996.
    """
    return float(np.quantile(values, 1.0 - rate, method="median_unbiased"))


def fit_tail(values: FloatArray, level: float, n_units: float) -> Tail:
    """Return the tail of the values above `level`, seen over `n_units` rows or days.

    Peaks over threshold: Pickands, "Statistical inference using extreme order statistics", 1975. The shape maximises
    the profile likelihood within SHAPES.
    """
    excess = values[values > level] - level
    return Tail(level, len(excess) / n_units, *fit_excesses(excess))


def fit_excesses(excess: FloatArray, exact: npt.NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return the shape and the scale of excesses over a level; those not `exact` are only known to be larger."""
    known = np.ones(len(excess)) if exact is None else exact.astype(np.float64)
    mean = float(excess.sum() / max(known.sum(), 1.0))  # the scale of an exponential tail
    if len(excess) < MIN_EXCESSES or not known.any():
        return 0.0, mean
    excess = excess / mean  # so that the unit of the scores changes no digit of the search
    found = minimize_scalar(_profile, bounds=SHAPES, args=(excess, known), method="bounded")
    return float(found.x), mean * _scale(float(found.x), excess, known)


def _profile(shape: float, excess: FloatArray, known: FloatArray) -> float:
    """Return the mean negative log-likelihood of a shape with its best scale."""
    scale = _scale(shape, excess, known)
    growth = _log_growth(shape, excess / scale)
    return float(known.mean() * np.log(scale) + np.mean((1.0 + shape * known) * growth))


def _log_growth(shape: float, ratio: FloatArray) -> FloatArray:
    """Return log(1 + shape * ratio) / shape, and its limit at a shape of zero."""
    return ratio if shape == 0.0 else np.log1p(shape * ratio) / shape


def _scale(shape: float, excess: FloatArray, known: FloatArray) -> float:
    """Return the scale at which the likelihood of a shape is largest: its score equation has one root."""
    weighted, share, largest = excess * (1.0 + shape * known), float(known.mean()), float(excess.max())

    def slope(scale: float) -> float:
        return float(np.mean(weighted / (scale + shape * excess))) - share

    lowest, highest = largest * (max(-shape, 0.0) + CLOSE), 2.0 * largest / share
    return float(brentq(slope, lowest, highest, xtol=CLOSE * largest))


def autocorrelation_time(values: FloatArray, starts: IntArray) -> float:
    """Return for how many rows scores hang together: the integrated autocorrelation time of their ranks, from 1 on.

    Ranks, so that neither heavy tails nor the unit matter. The window is that of Sokal, "Monte Carlo methods in
    statistical mechanics", 1997.
    """
    ranks = rankdata(values)
    ranks -= ranks.mean()
    stretches = np.split(ranks, starts[1:])
    n_lags = min(max(map(len, stretches)), MAX_LAGS)
    covariance = np.zeros(n_lags)
    for stretch in stretches:
        lags = fftconvolve(stretch, stretch[::-1])[len(stretch) - 1 :][:n_lags]
        covariance[: len(lags)] += lags
    if covariance[0] <= 0.0:
        return 1.0
    times = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0  # (n_lags,)
    wide = np.arange(n_lags) >= SOKAL_WINDOW * times
    return float(max(times[wide.argmax() if wide.any() else -1], 1.0))


def independent_rows(values: FloatArray, starts: IntArray) -> float:
    """Return how many independent rows would show as many clusters of high scores as these rows do."""
    share = min(max(HIGH_SHARE, MIN_EXCESSES / len(values)), 0.5)
    return len(values) * extremal_index(values, starts, float(np.quantile(values, 1.0 - share)))


def extremal_index(values: FloatArray, starts: IntArray, level: float) -> float:
    """Return the share of exceedances of `level` that are clusters of their own: 1 where rows are independent.

    The intervals estimator of Ferro and Segers, "Inference for clusters of extreme values", 2003.
    """
    steps = np.concatenate([np.diff(np.flatnonzero(part > level)) for part in np.split(values, starts[1:])])
    if not len(steps):
        return 1.0
    if steps.max() <= 2:
        index = 2.0 * steps.sum() ** 2 / (len(steps) * np.sum(steps**2))
    else:
        index = 2.0 * np.sum(steps - 1) ** 2 / (len(steps) * np.sum((steps - 1) * (steps - 2)))
    return float(min(index, 1.0))


class Clusters:
    """Clusters of exceedances at every threshold at once: between those of one lie at most `merge_rows` lower rows.

    A row begins a cluster at all thresholds from the highest of the `merge_rows` + 1 rows before it up to itself.
    """

    def __init__(self, values: FloatArray, starts: IntArray, merge_rows: int) -> None:
        self.values, self.starts, self.merge_rows = values, starts, merge_rows
        before = np.concatenate([_highest_before(part, merge_rows + 1) for part in np.split(values, starts[1:])])
        begins = values > before
        self._from, self._to = np.sort(before[begins]), np.sort(values[begins])
        self._levels = np.unique(values)[::-1]
        self._most = np.maximum.accumulate(self.count(self._levels))

    @property
    def most(self) -> int:
        """The largest number of clusters at any threshold."""
        return int(self._most[-1])

    def count(self, level: Any) -> Any:
        """Return how many clusters exceed a level, or each of several."""
        n_begun = len(self._to) - np.searchsorted(self._to, level, side="right")
        return n_begun - (len(self._from) - np.searchsorted(self._from, level, side="right"))

    def level(self, n_clusters: float) -> float:
        """Return the lowest score from which on no threshold has more clusters, not below that with most of them."""
        within = np.searchsorted(self._most, n_clusters, side="right") - 1
        return float(self._levels[max(min(int(within), int(self._most.argmax())), 0)])

    def peaks(self, level: float) -> FloatArray:
        """Return the highest score of each cluster above `level`."""
        rows = np.flatnonzero(self.values > level)
        if not len(rows):
            return np.empty(0)
        stretch = np.searchsorted(self.starts, rows, side="right")
        apart = (np.diff(rows) > self.merge_rows + 1) | (np.diff(stretch) > 0)
        peaks: FloatArray = np.maximum.reduceat(self.values[rows], np.append(0, np.flatnonzero(apart) + 1))
        return peaks


def _highest_before(stretch: FloatArray, n_rows: int) -> FloatArray:
    """Return the highest of the `n_rows` rows before each, which is minus infinity for the first."""
    before: FloatArray = pd.Series(stretch).shift(1).rolling(n_rows, min_periods=1).max().to_numpy()
    return np.where(np.isnan(before), -np.inf, before)


def find_offset(score: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Return where normal scores begin: below lies the largest part of the weight that is no more than `share` of it.

    The place is midway between the lowest normal score and the next below, so that no rounding takes a window from one
    side to the other, and a weight counts as so many copies.
    """
    score, weight = score[weight > 0], weight[weight > 0]
    order = np.argsort(score, kind="stable")
    ordered, so_far = score[order], np.cumsum(weight[order])
    border = ordered[np.searchsorted(so_far, share * so_far[-1] * (1 + SUM_ROUNDING), side="right")]
    just_below = border - SCORE_ROUNDING * abs(border)
    lower = ordered[ordered < just_below]
    return float((border + lower[-1]) / 2 if len(lower) else just_below)
