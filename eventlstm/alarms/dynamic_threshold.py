"""The threshold of scores that may hold anomalies themselves, without labels: what stands out most when cut off."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._validation import Interval
from ..logs.shared import FloatArray, IntArray
from .score_threshold import ScoreThreshold, read_quiet

# Candidates, in deviations above the mean, and what they may cut off at most: as in the authors' code.
DEVIATIONS = np.arange(2.5, 12.5, 0.5)
MAX_SEQUENCES = 5
MAX_SHARE = 0.5


class DynamicThreshold(ScoreThreshold):
    """The non-parametric dynamic threshold of errors, with pruning of what barely stands out.

    Parameters
    ----------
    prune : float, default=0.13
        Least relative drop from the peak of an anomaly to the next lower one, or to the highest quiet error. Peaks
        below the last such drop are taken for noise.
    buffer : int, default=100
        Rows on either side of an exceedance that belong to its anomaly and count as neither quiet nor apart from it.

    Attributes
    ----------
    threshold_ : float
        Rows with a higher score are flagged: the larger of `epsilon_` and the highest pruned peak.
    epsilon_ : float
        The threshold before pruning.

    Raises
    ------
    ValueError
        In `fit`, when a score is negative.

    See Also
    --------
    AutoThreshold : From quiet rows held out, by a budget of false alarms; prefer it where there are such rows.

    Notes
    -----
    Fit it on the very scores to be judged, smoothed before: no quiet rows are needed, and `y` is ignored. Of the
    thresholds from 2.5 to 12 deviations above the mean, it takes the one for which mean and deviation of the rest drop
    most for the rows and sequences cut off, of which there may be five at most and half of the rows. It supposes few
    anomalies and keeps no rate of false alarms. In a comparison over seven data sets, a tail fitted to errors served
    the same detectors better (mean composite F of .33 to .22).

    Pruned peaks raise the threshold, so that one number tells all; the rows at the edges of what is left are then
    flagged only from the pruned peaks up.

    References
    ----------
    Hundman et al., "Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding", KDD, 2018.
    Garg et al., "An evaluation of anomaly detection and diagnosis in multivariate time series", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.thresholds import DynamicThreshold
    >>> errors = np.abs(np.random.default_rng(0).normal(size=2000))
    >>> errors[1200:1220] += 10.0
    >>> flags = DynamicThreshold(buffer=20).fit(errors).flag(errors)
    >>> int(flags.sum()), bool(flags[1200:1220].all())
    (20, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "prune": [Interval(Real, 0, 1, closed="left")],
        "buffer": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, *, prune: float = 0.13, buffer: int = 100) -> None:
        self.prune = prune
        self.buffer = buffer

    def _fit(self, score: Any, y: Any) -> None:
        scores = read_quiet(score, None)
        if scores.values.min() < 0.0:
            raise ValueError(
                f"score is as low as {scores.values.min():.3g}, but DynamicThreshold takes errors, from zero on. Pass "
                "absolute or squared errors, or take AutoThreshold."
            )
        values, mean, deviation = scores.values, scores.values.mean(), scores.values.std()
        if values.min() == values.max():  # a mean of equal numbers may round to less than them
            self.epsilon_ = self.threshold_ = float(values[0])
            return
        cuts = [_cut(values, scores.starts, mean + z * deviation, self.buffer) for z in DEVIATIONS]
        # of equal ones the highest, and that is the last one where nothing is cut off at all
        best = len(cuts) - 1 - int(np.argmax([_gain(cut, values) for cut in reversed(cuts)]))
        self.epsilon_ = float(mean + DEVIATIONS[best] * deviation)
        self.threshold_ = max(self.epsilon_, cuts[best].highest_noise(self.prune))


class Cut(NamedTuple):
    """What a threshold cuts off."""

    quiet: FloatArray  # the errors outside of all sequences
    below: FloatArray  # the errors below the threshold
    peaks: FloatArray  # (n_sequences,) highest error of each sequence

    def highest_noise(self, prune: float) -> float:
        """Return the highest peak that barely stands out, minus infinity where all do."""
        falling = np.sort(self.peaks)[::-1]
        lower = np.append(falling[1:], self.quiet.max(initial=0.0))
        kept = np.flatnonzero(falling - lower > prune * falling)
        noise = falling[kept[-1] + 1 :] if len(kept) else falling
        return float(noise.max(initial=-np.inf))


def _cut(values: FloatArray, starts: IntArray, threshold: float, buffer: int) -> Cut:
    """Return what `threshold` cuts off, sequences with their buffers staying within stretches."""
    above = values > threshold
    near = _widened(above, starts, buffer)
    first = near & ~np.append(False, near[:-1])
    first[starts] = near[starts]
    peaks = np.maximum.reduceat(values[near], np.flatnonzero(first[near])) if near.any() else np.empty(0)
    return Cut(values[~near], values[~above], peaks)


def _widened(above: np.ndarray, starts: IntArray, buffer: int) -> np.ndarray:
    """Return which rows are within `buffer` rows of an exceedance in their stretch."""
    rows = np.flatnonzero(above)
    stretch = np.searchsorted(starts, rows, side="right") - 1
    begins = np.maximum(rows - buffer, starts[stretch])
    ends = np.minimum(rows + buffer + 1, np.append(starts[1:], len(above))[stretch])
    n = len(above) + 1
    return np.cumsum(np.bincount(begins, minlength=n) - np.bincount(ends, minlength=n))[:-1] > 0


def _gain(cut: Cut, values: FloatArray) -> float:
    """Return by how much mean and deviation drop, for the rows and sequences that are cut off."""
    n_rows, n_sequences = len(values) - len(cut.quiet), len(cut.peaks)
    if not n_sequences or n_sequences > MAX_SEQUENCES or n_rows >= MAX_SHARE * len(values):
        return -np.inf
    drop = 2.0 - cut.below.mean() / values.mean() - cut.below.std() / values.std()
    return float(drop / (n_rows + n_sequences**2))
