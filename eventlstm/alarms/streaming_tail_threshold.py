"""A threshold that follows its scores row by row: SPOT, and DSPOT for scores that drift."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .._validation import Interval, check_is_fitted
from ..logs.shared import FloatArray
from .score_threshold import (
    RATE,
    TAIL_LEVEL,
    Scores,
    ScoreThreshold,
    doubt_of_rows,
    read_quiet,
    read_values,
    refuse_rate_below_level,
)
from .tails import Tail, fit_excesses, independent_rows


class StreamingTailThreshold(ScoreThreshold):
    """A tail of the scores that is refitted as they come, about their moving mean if they drift: SPOT and DSPOT.

    Parameters
    ----------
    false_alarm_rate : float, default=1e-4
        Share of quiet rows to be flagged, below ``1 - level``.
    level : float, default=0.98
        Quantile of the first scores from which on the tail is fitted.
    depth : int, default=0
        Unflagged rows whose mean is subtracted from each score, for scores that drift. Take several times what an
        event lasts. With 0, the default, scores are taken as they are.
    max_excesses : int, default=1000
        The latest excesses that the tail is fitted to, so that memory and time do not grow with the stream.

    Attributes
    ----------
    threshold_ : float
        The next row is flagged when its score is higher.
    level_ : float
        Where the tail begins; above the moving mean when `depth` is positive.
    shape_ : float
        Shape of the tail by now.
    scale_ : float
        Scale of the tail by now, in the unit of the scores.
    n_rows_ : int
        Rows learned from so far, those of `fit` included.

    Raises
    ------
    ValueError
        In `fit`, when `false_alarm_rate` is not below ``1 - level``, or no stretch is longer than `depth`.

    Warns
    -----
    UserWarning
        In `fit`, when less than one independent exceedance is expected among the rows.

    See Also
    --------
    TailThreshold : The same without updates.

    Notes
    -----
    `fit` learns the first tail from quiet rows held out from training; `update` then takes the rows of one machine as
    they come, one or many at a time with the same outcome. Scores between the level and the threshold refit the tail. A
    score of NaN is neither flagged nor learned from. A slow fault is learned as drift: `depth` buys fewer false alarms
    with that.

    Of rows flagged one after another, the first counts as an excess that is known to be above the threshold only, and
    the others are not learned from. The published algorithm learns from none of them and so cuts its own tail: of
    independent rows it flagged five times as many as asked by the 150,000th, this one .8 to 1.3 times as many.
    Where rows hang together, `false_alarm_rate` so becomes a rate of alarms rather than of rows.

    References
    ----------
    Siffer, Fouque, Termier and Largouet, "Anomaly detection in streams with extreme value theory", KDD, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.thresholds import StreamingTailThreshold
    >>> drifting = np.random.default_rng(0).exponential(size=8000) + np.linspace(0, 20, 8000)
    >>> threshold = StreamingTailThreshold(false_alarm_rate=1e-3, depth=100).fit(drifting[:4000])
    >>> int(threshold.update(drifting[4000:]).sum())  # 4 of 4000 are asked for
    2
    >>> threshold.update([99.0]), threshold.threshold_
    (array([ True]), 27.1)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "false_alarm_rate": [RATE],
        "level": [RATE],
        "depth": [Interval(Integral, 0, None, closed="left")],
        "max_excesses": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        false_alarm_rate: float = 1e-4,
        *,
        level: float = TAIL_LEVEL,
        depth: int = 0,
        max_excesses: int = 1000,
    ) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.level = level
        self.depth = depth
        self.max_excesses = max_excesses

    def update(self, score: Any) -> Any:
        """Flag the next rows one by one, and learn from those that are not flagged.

        Parameters
        ----------
        score : Series, array-like of shape (n_rows,) or float
            The scores of the rows that follow those seen, of one machine.

        Returns
        -------
        Series, ndarray of bool of shape (n_rows,), or bool
            Whether each score was above the threshold of its row.
        """
        check_is_fitted(self, "threshold_")
        flags = np.array([self._step(value) for value in read_values(np.atleast_1d(score)).tolist()], dtype=bool)
        if isinstance(score, pd.Series):
            return pd.Series(flags, index=score.index)
        return flags if np.ndim(score) else bool(flags[0])

    def _fit(self, score: Any, y: Any) -> str | None:
        refuse_rate_below_level(self.false_alarm_rate, self.level)
        scores = read_quiet(score, y)
        parts = self._above_mean(scores)
        above, starts = np.concatenate(parts), np.cumsum([0, *map(len, parts[:-1])])
        self.level_ = float(np.quantile(above, self.level))
        excess = above[above > self.level_] - self.level_
        self.n_rows_, self._n_excesses, self._in_alarm = len(above), len(excess), False
        self._excesses: deque[tuple[float, bool]] = deque(zip(excess.tolist(), repeat(True)), maxlen=self.max_excesses)
        long = [part for part in np.split(scores.values, scores.starts[1:]) if len(part) > self.depth]
        self._recent: deque[float] = deque(long[-1].tolist(), maxlen=self.depth)
        self._refit()
        self._place()
        return doubt_of_rows(len(above), independent_rows(above, starts), self.false_alarm_rate)

    def _above_mean(self, scores: Scores) -> list[FloatArray]:
        """Return for each stretch the scores less the mean of those before, where there are enough of them."""
        parts = [part for part in np.split(scores.values, scores.starts[1:]) if len(part) > self.depth]
        if not self.depth:
            return parts
        if not parts:
            raise ValueError(
                f"No stretch of score is longer than depth={self.depth}. Lower depth, or pass more unbroken rows."
            )
        means = [pd.Series(part).rolling(self.depth).mean().to_numpy()[self.depth - 1 : -1] for part in parts]
        return [part[self.depth :] - mean for part, mean in zip(parts, means, strict=True)]

    def _step(self, value: float) -> bool:
        """Judge a row by the threshold, then learn from it."""
        if np.isnan(value):
            return False
        flagged = value > self.threshold_
        if not flagged:
            self._recent.append(value)
        if not (flagged and self._in_alarm):
            self._learn(min(value, self.threshold_) - self._mean - self.level_, not flagged)
        self._in_alarm = flagged
        return flagged

    def _learn(self, excess: float, exact: bool) -> None:
        """Refit the tail where a row is beyond the level."""
        self.n_rows_ += 1
        if excess > 0.0 or not exact:
            self._n_excesses += 1
            self._excesses.append((excess, exact))
            self._refit()
        self._place()

    def _refit(self) -> None:
        excess, exact = np.array(self._excesses, dtype=np.float64).reshape(-1, 2).T
        self.shape_, self.scale_ = fit_excesses(excess, exact > 0)

    def _place(self) -> None:
        """Set the moving mean, and above it the threshold."""
        self._mean = sum(self._recent) / self.depth if self.depth else 0.0
        tail = Tail(self.level_, self._n_excesses / self.n_rows_, self.shape_, self.scale_)
        self.threshold_ = self._mean + tail.threshold(self.false_alarm_rate)
