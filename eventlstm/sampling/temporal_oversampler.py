"""More windows of rare events, taken from the rows at and shortly before them: a sampler that knows time."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_consistent_length

from .._validation import Interval
from ..logs.log_windows import LogWindows


class TemporalOversampler(BaseOverSampler):
    """Over-sample rare classes of a log by windows that end a few rows earlier.

    A window is drawn from those of the class and moved back by 1 to `max_shift` rows, small shifts more often: it
    keeps its label. It stays in its stretch, and stays behind the event before its own. Nothing is copied; the new
    windows are further views of the log.

    Parameters
    ----------
    max_shift : int, default=5
        Largest shift in rows: how much earlier than its first labelled row an event may already show.
    sampling_strategy : float, str, dict or callable, default="auto"
        How many windows of which class there shall be, as in imbalanced-learn: a float is the ratio of the rare class
        to the frequent one, "auto" evens out all classes.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Attributes
    ----------
    sampling_strategy_ : dict
        Windows made of each class.

    See Also
    --------
    WindowSampler : Samplers that know nothing of time.

    Notes
    -----
    After T-SMOTE, this takes samples towards the border of a rare class from an earlier time, not from the direction
    of a neighbour in space, and gives those far ahead of the event a smaller part. T-SMOTE finds how far ahead to go
    with a classifier and weighs samples by its scores; here that is `max_shift`, and the part falls evenly to zero
    beyond it. T-SMOTE also makes samples between a sample and the one a step earlier; that is left out, as windows
    of a log that end at neighbouring rows differ by little more than the shift, and would have to be copied.

    Windows of the frequent class that end at the same rows stay, so that close before an event a model is told both.

    Few events drawn up to as many windows as quiet ones are learnt by heart: on a made log average precision fell from
    .75 to .51 at the ratio of one to one that "auto" stands for, and to .69 with ``sampling_strategy=0.2``.

    References
    ----------
    Zhao et al., "T-SMOTE: temporal-oriented synthetic minority oversampling technique for imbalanced time series
    classification", IJCAI, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LogWindows, TemporalOversampler
    >>> windows = LogWindows(np.arange(100.0)[:, None], window_size=8)
    >>> y = (windows.ends >= 97).astype(int)
    >>> more, labels = TemporalOversampler(max_shift=3, sampling_strategy=0.1, random_state=0).fit_resample(windows, y)
    >>> int(labels.sum()), bool(more.ends[100:].min() >= 94)
    (9, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseOverSampler._parameter_constraints,
        "max_shift": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, max_shift: int = 5, *, sampling_strategy: Any = "auto", random_state: Any = None) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.max_shift = max_shift
        self.random_state = random_state

    def fit_resample(self, X: Any, y: Any) -> tuple[LogWindows, Any]:
        """Return the windows and the new ones behind them.

        Parameters
        ----------
        X : LogWindows
            Windows of a log.
        y : array-like of shape (n_windows,)
            Their classes.

        Returns
        -------
        windows : LogWindows
            Windows of the same log, those of `X` first.
        y : array-like of shape (n_windows_new,)
            Their classes.

        Raises
        ------
        ValueError
            If `X` is not a `LogWindows`, there is one class only, or `sampling_strategy` asks for fewer windows than
            there are.
        """
        return super().fit_resample(X, y)

    def _check_X_y(self, X: Any, y: Any) -> tuple[LogWindows, np.ndarray, bool]:  # noqa: N802
        if not isinstance(X, LogWindows):
            raise ValueError(
                f"TemporalOversampler takes windows from earlier rows of a log, which X, a {type(X).__name__}, does "
                "not know. Pass LogWindows(log, window_size), fit an EventClassifier, or take RandomOverSampler."
            )
        y = column_or_1d(y)
        check_consistent_length(X, y)
        self.n_features_in_ = X.shape[1] * X.shape[2]
        return X, y, False

    def _fit_resample(self, X: LogWindows, y: np.ndarray) -> tuple[LogWindows, np.ndarray]:
        rng = check_random_state(self.random_state)
        earliest = earliest_ends(X, y)
        shifts = np.arange(1, self.max_shift + 1)
        shares = shifts[::-1] / shifts.sum()
        ends, labels = [X.ends], [y]
        for label, n_made in self.sampling_strategy_.items():
            drawn = rng.choice(np.flatnonzero(y == label), size=n_made)
            shift = rng.choice(shifts, size=n_made, p=shares)
            ends.append(np.maximum(X.ends[drawn] - shift, earliest[drawn]))
            labels.append(y[drawn])
        more = copy.copy(X)
        more.ends = np.concatenate(ends)
        return more, np.concatenate(labels)


def earliest_ends(windows: LogWindows, y: np.ndarray) -> np.ndarray:
    """Return how early each window's event lets a window end, (n_windows,): after the last one, in the same stretch.

    An event is a row of windows of one class other than the most frequent. Where all windows are full ones, so are
    those that end there.
    """
    order = np.argsort(windows.ends, kind="stable")
    ends, labels = windows.ends[order], y[order]
    stretch = np.searchsorted(windows.starts, ends, side="right") - 1
    floor = windows.starts[stretch]
    if (ends - floor >= windows.window_size - 1).all():
        floor = floor + windows.window_size - 1
    classes, sizes = np.unique(y, return_counts=True)
    quiet = labels == classes[sizes.argmax()]
    changes = (labels[1:] != labels[:-1]) | (stretch[1:] != stretch[:-1])
    first = np.append(0, np.flatnonzero(changes) + 1)  # of each row of windows of one class
    latest = np.append(-1, np.maximum.accumulate(np.where(quiet, -1, ends)))  # end of an event before each window
    number = np.append(0, np.cumsum(changes))  # of the row that each window is in
    earliest = np.empty_like(ends)
    earliest[order] = np.maximum(floor, latest[first][number] + 1)
    return earliest
