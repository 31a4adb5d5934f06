"""A detector of anomalies beside simple baselines, scored alike, and their alarms beside alarms at random times.

Labels only measure here: nothing is fitted to them. Scores and alarms are ``(n_rows,)``, high where abnormal.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import Ridge
from sklearn.utils import check_random_state

from ._validation import check_is_fitted
from .alarm_delays import detection_delays, quantile_of_delays
from .alarm_measures import rate_of_false_alarms, time_unit
from .anomaly import AnomalyDetector
from .autoencoder import LSTMAutoencoder
from .events import find_events
from .intervals import Interval, binomial_interval, poisson_interval
from .log_index import IntArray, read_index
from .matching import Matched, match_alarms, read_match

RIDGE_ROWS = 8
PCA_SHARE = 0.9
# So far from quiet rows that nothing is cut: models as users know them see sensors as they are.
UNCLIPPED = 1e6
N_DRAWS = 500
N_RESAMPLES = 2000


def unlabelled_baselines(random_state: Any = None, *, autoencoder: bool = False) -> dict[str, AnomalyDetector]:
    """Return what a detector without labels has to beat.

    Forecasts and projections are scored as those of `AnomalyDetector` are by default: errors scaled by sensor, capped
    and smoothed. Without that they say little of what the networks are worth, for the scoring carries most of the
    result. Of the last two, the scores are left as users know them, neither scaled nor smoothed; all thresholds come
    from rows held out.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Seed of those that draw.
    autoencoder : bool, default=False
        Whether `LSTMAutoencoder` is among them, scored alike. It takes the longest.

    Returns
    -------
    dict of str to AnomalyDetector
        Name to detector, to be fitted.
    """
    alike: dict[str, dict[str, Any]] = {
        "ridge regression, 8 rows": {"estimator": Ridge(), "window_size": RIDGE_ROWS},
        # of levels, since the change that it forecasts is none
        "one-step difference": {"estimator": LastRow(), "window_size": 1, "n_estimators": 1, "targets": "level"},
        "PCA, .9 of the variance": {"estimator": PCA(PCA_SHARE), "window_size": 1, "n_estimators": 1},
    }
    if autoencoder:
        alike["LSTMAutoencoder"] = {"estimator": LSTMAutoencoder()}
    raw = {"window_size": 1, "n_estimators": 1, "smoothing": 1, "clip": UNCLIPPED}
    known: dict[str, dict[str, Any]] = {
        "mean absolute z, raw": {"estimator": MeanAbsoluteZ(), **raw},
        "IsolationForest, raw": {"estimator": IsolationForest(), **raw},
    }
    return {name: AnomalyDetector(random_state=random_state, **own) for name, own in (alike | known).items()}


def cross_fitted_scores(detector: AnomalyDetector, X: pd.DataFrame, n_folds: int = 5) -> pd.Series:
    """Return the score of each quiet row by a detector that is fitted to the other folds in time.

    Thresholds from it know all quiet rows, where those from the rows held out in `fit` know the last fifth. On 23 logs
    of the Numenta Anomaly Benchmark and a budget of a false alarm a week, what came was at most twice the budget on
    19 by five folds, on 6 by the last fifth; at a day, .3 against 1.2 times in the median. It costs `n_folds` fits.

    Parameters
    ----------
    detector : AnomalyDetector
        Whose parameters are taken; it is left as it is.
    X : DataFrame of shape (n_rows, n_sensors)
        The quiet rows; the index says run and time, so that no window crosses from one fold into another.
    n_folds : int, default=5
        Parts that each run is cut in.

    Returns
    -------
    Series of shape (n_rows,)
        `anomaly_score` of the rows, for ``detector.set_threshold("auto", score)``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from eventlstm.unlabelled_comparison import cross_fitted_scores, unlabelled_baselines
    >>> times = pd.date_range("2026-01-01", periods=2000, freq="h")
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 2)), index=times)
    >>> model = unlabelled_baselines(0)["one-step difference"].fit(X)
    >>> model.set_threshold("auto", cross_fitted_scores(model, X)).threshold_ > 1
    True
    """
    runs = read_index(X).runs
    position = np.arange(len(X)) - np.searchsorted(runs, runs)
    fold = position * n_folds // np.bincount(runs)[runs]
    score = pd.Series(np.nan, index=X.index)
    for own in range(n_folds):
        # a threshold of its own would be fitted, and warned of, for nothing
        fitted = clone(detector).set_params(threshold=0.0).fit(X[fold != own])
        score[fold == own] = fitted.anomaly_score(X[fold == own])
    return score


class LastRow(RegressorMixin, BaseEstimator):
    """Forecast that nothing changes: the last values of a flattened window, as many as there are targets.

    Examples
    --------
    >>> from eventlstm.unlabelled_comparison import LastRow
    >>> LastRow().fit([[1.0, 2.0, 3.0, 4.0]], [[5.0, 6.0]]).predict([[1.0, 2.0, 3.0, 4.0]])
    array([[3., 4.]])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Note how many targets there are.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Flattened windows, the last row at the end.
        y : array-like of shape (n_windows, n_targets)
            The rows after them.

        Returns
        -------
        LastRow
            The fitted regressor.
        """
        self.n_targets_ = np.shape(y)[1] if np.ndim(y) > 1 else 1
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the last row of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Flattened windows.

        Returns
        -------
        ndarray of shape (n_windows, n_targets)
            Forecasts.
        """
        check_is_fitted(self, "n_targets_")
        return np.asarray(X)[:, -self.n_targets_ :]


class MeanAbsoluteZ(OutlierMixin, BaseEstimator):
    """Score rows by the mean over sensors of how many deviations they are from the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.unlabelled_comparison import MeanAbsoluteZ
    >>> quiet = np.array([[-1.0, 10.0], [1.0, 30.0]])
    >>> MeanAbsoluteZ().fit(quiet).score_samples([[0.0, 60.0]])
    array([-2.])
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn means and deviations.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_sensors)
            Quiet rows.
        y : None
            Not used.

        Returns
        -------
        MeanAbsoluteZ
            The fitted detector.
        """
        self.mean_, spread = np.mean(X, axis=0), np.std(X, axis=0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def score_samples(self, X: Any) -> npt.NDArray[Any]:
        """Return how normal each row is.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_sensors)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Low is abnormal.
        """
        check_is_fitted(self, "scale_")
        score: npt.NDArray[Any] = -np.abs((np.asarray(X) - self.mean_) / self.scale_).mean(axis=1)
        return score


class AlarmReport(NamedTuple):
    """What alarms find and what they cost."""

    n_events: int
    n_found: int
    recall: Interval  # exact
    n_alarms: int
    false_alarm_rate: Interval  # exact, a day of quiet observed time; a step where the index holds no date-times
    delays: pd.Series  # (n_events,) as `detection_delays` tells them, missed events among them
    duty: float  # share of quiet time under alarm


def report_alarms(y_true: Any, y_pred: Any) -> AlarmReport:
    """Measure alarms against the events of a log, by the time each begins.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.

    Returns
    -------
    AlarmReport
        Counts with their intervals.

    Raises
    ------
    ValueError
        If there is no event, or no quiet time.
    """
    matched = read_match(y_true, y_pred, 0, 0, "onset", None)
    events, n_events = matched.events, len(matched.found_at)
    quiet = events.total_quiet_time / time_unit(events.measured, None)
    if not n_events or not quiet:
        raise ValueError(
            f"{n_events} events and a quiet time of {quiet:g} came, where some of both is wanted. Pass a longer log."
        )
    n_found = int((matched.found_at >= 0).sum())
    return AlarmReport(
        n_events,
        n_found,
        binomial_interval(n_found, n_events),
        len(matched.onsets),
        poisson_interval(matched.n_false_alarms, quiet),
        detection_delays(y_true, y_pred),
        matched.duty,
    )


def report_random_alarms(
    y_true: Any, y_pred: Any, *, n_draws: int = N_DRAWS, random_state: Any = None
) -> dict[str, float]:
    """Measure as many alarms of the same lengths at random times: what is found by chance.

    Many or long alarms find most events wherever they are, the more so the longer events are.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0. Each run keeps its own alarms.
    n_draws : int, default=500
        How often to draw.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Returns
    -------
    dict of str to float
        Means over the draws: "recall", "false_alarm_rate" (a day, or a step) and "duty"; "median_delay" (seconds, or
        steps), the median of the draws, of all events, NaN where chance finds less than half; and "as_many", the share
        of draws that find as many events as the alarms themselves.
    """
    matched = read_match(y_true, y_pred, 0, 0, "onset", None)
    unit = time_unit(matched.events.measured, None)
    rng = check_random_state(random_state)
    drawn = [match_alarms(matched.events, draw_alarms(matched, rng), "onset") for _ in range(n_draws)]
    recall = np.array([one.recall for one in drawn])
    delay = np.median(np.nan_to_num([quantile_of_delays(one, 0.5) for one in drawn], nan=np.inf))
    return {
        "recall": float(recall.mean()),
        "false_alarm_rate": float(np.mean([rate_of_false_alarms(one, unit) for one in drawn])),
        "duty": float(np.mean([one.duty for one in drawn])),
        "median_delay": float(delay) if np.isfinite(delay) else np.nan,
        "as_many": float(np.mean(recall >= matched.recall)),
    }


def draw_alarms(matched: Matched, rng: np.random.RandomState) -> npt.NDArray[np.bool_]:
    """Return the alarms of each stretch in a random order at random places, with a row or more between two."""
    measured = matched.events.measured
    flags = np.zeros_like(matched.flags)
    for begin, stop in zip(*measured.borders, strict=True):
        first, last = find_events(matched.flags[begin:stop], np.zeros(1, dtype=np.intp))
        lengths = rng.permutation(last - first + 1)
        n_free = stop - begin - lengths.sum()
        slots: IntArray = np.sort(rng.permutation(n_free + 1)[: len(lengths)])  # free rows before each alarm
        onsets = begin + slots + np.cumsum(lengths) - lengths
        for onset, length in zip(onsets, lengths, strict=True):
            flags[onset : onset + length] = True
    return flags


def paired_difference(ours: Any, theirs: Any, *, random_state: Any = None) -> tuple[Interval, int]:
    """Compare a measure of two models run by run.

    Parameters
    ----------
    ours, theirs : array-like of shape (n_runs,)
        The measure on each run, of both models on the same runs.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Returns
    -------
    difference : Interval
        The mean of ours less theirs, and its 95 % interval when runs are drawn with replacement.
    n_ahead : int
        On how many runs ours is higher.
    """
    differences = np.subtract(ours, theirs)
    n_runs = len(differences)
    drawn = differences[check_random_state(random_state).randint(n_runs, size=(N_RESAMPLES, n_runs))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(differences.mean()), float(low), float(high)), int((differences > 0).sum())
