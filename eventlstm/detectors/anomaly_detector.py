"""A detector of anomalies in logs without labels: a score at every row, from models of the quiet ones.

Rows are ``(n_rows, n_sensors)``; the index carries run and time (see `logs.index`).
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state

from .._validation import HasMethods, Interval, StrOptions, check_is_fitted, fit_context
from ..alarms.alarm_policy import MERGE_ROWS
from ..alarms.tails import find_offset
from ..alarms.unlabelled import AutoThreshold
from ..logs.causal_features import CausalFeatures
from ..logs.checking import check_fit, check_scoring
from ..logs.events import row_labels
from ..logs.fingerprint import take_fingerprint
from ..logs.index import RowIndex, run_names
from ..logs.input_scaler import InputScaler
from ..logs.rows import Rows
from ..logs.sampling_checks import warn_if_torn
from ..recurrent.lstm_forecaster import LSTMForecaster
from ..recurrent.members import make_members, refuse_unseeded_checkpoints
from .attribution import share_of_events, share_out
from .error_scorer import ErrorScorer
from .quiet_rows import change_rows, find_quiet, hold_out_last, refuse_few, settle, split_rows, trim_highest
from .row_models import FARTHEST, RowModels, StepForecasts, View, choose_kind
from .row_scorer import RowScorer, learn_cold_starts
from .run_scales import learn_run_scales, scale_runs
from .smoothing import SPANS, learn_span, smooth_stretches

# What the members forecast, in turn.
# What members see beside the clipped levels, or in their place: the first channels are those of the sensors.
BESIDE: dict[str, InputScaler | CausalFeatures] = {
    "relative": InputScaler("relative"),
    "whitened": CausalFeatures(lags=0, whitened_lags=0, views=("relative", "whitened")),
}
TARGETS = {"level": ("level",), "change": ("change",), "both": ("level", "change")}
# Rows learnt in a chunk of step-by-step training, as a multiple of the rows of history before them: 32 + 64 by default.
CHUNK_RATIO = 2


class AnomalyDetector(OutlierMixin, BaseEstimator):
    """Find anomalies in the log of one or several machines without labels: a score at every row.

    Models learn to forecast the quiet rows of a log. The score of a row is how far its sensors are from the forecast,
    against how far they are on quiet rows, smoothed over the rows before.

    The parameters, by what they set:

    - Models: `estimator`, `n_estimators`, `targets`.
    - Windows: `window_size`, `stride`, `max_gap`.
    - Sensors: `inputs`, `clip`.
    - Quiet rows: `normal_label`, `validation_fraction`, `trim`.
    - Score: `norm`, `cap`, `shrinkage`, `smoothing`, `average`.
    - Threshold: `threshold`, `max_false_alarms_per_day`, `contamination`.
    - Machine: `n_jobs`, `verbose`, `random_state`.

    Parameters
    ----------
    estimator : estimator or None, default=None
        What learns the quiet rows; None is an `LSTMForecaster` with early stopping, which goes step by step.
        `LSTMAutoencoder`, any regressor (it forecasts a row from the window before, as does an `LSTMForecaster` with
        attention or in both directions), any transformer with `inverse_transform` such as PCA (it reconstructs), and
        any outlier detector of scikit-learn or PyOD will do; the last kind gives scores of its own, which are only
        smoothed, and says nothing of sensors.
    window_size : int, default=32
        Rows of history: the length of a window, or the burn-in before the learnt rows of a chunk. Early rows of a
        run are padded with copies of its first row.
    stride : int or "auto", default="auto"
        Every `stride`-th window is learnt ("auto": each); of step-by-step models, the learnt rows of a chunk ("auto":
        twice `window_size`). Every row is scored, whatever the stride.
    inputs : {"level", "relative", "whitened"}, default="level"
        What models see of each sensor: its z-score, clipped; that beside its movement against the recent past;
        or both views of `InputScaler`, of the sensors and of the whitened ones. Errors are those of the sensors.
    targets : {"level", "change", "both"}, default="both"
        What the members forecast: the sensors themselves, how they change to the next row, or in turn one and the
        other. Levels find sensors that stay where they should not be, changes those that jump.
    clip : float, default=4.0
        Largest absolute z-score of the level that models see. Errors are taken of the values as they are.
    n_estimators : int, default=2
        Members whose forecasts are averaged. Three seeds of one kind are worth .002 of average precision, level and
        change .01.
    norm : {"squares", "mahalanobis"}, default="squares"
        How the scaled errors of a row become one number: their mean square, or a distance that knows which sensors
        err together, worth it from fifty quiet rows a sensor on.
    cap : float, default=100.0
        Largest scaled error that counts.
    shrinkage : float, default=20.0
        Rows that the common scale of all sensors counts for beside a sensor's own. See Notes.
    smoothing : "auto" or float, default="auto"
        Span in rows of the causal mean of the scores; 1 is none. "auto" learns it from how scores vary on quiet rows,
        15 to 60. Set it if you know how long events last: the best span was 3 where they last 2 rows, 10 where they
        last 15, and 90 where 200 are marked. See Notes.
    average : {"exponential", "window"}, default="exponential"
        The kind of that mean: rows count less the longer they are past, or the last `smoothing` rows count alike.
    trim : float, default=0.0
        Share of the rows to fit on that are left out of a second fit, those with the highest scores in a first one:
        for logs that are not all quiet. Do not set it higher than the share that may be abnormal: what it takes from
        quiet rows is missing above the threshold, too.
    normal_label : int, str or None, default=0
        When `fit` is given `y`, rows of this label are quiet and the others are not learnt; None takes no notice of
        `y`.
    validation_fraction : float, default=0.2
        Share of the quiet rows that is held out, to stop training and to set the threshold: the last rows of each
        run, or of the log where runs have but a few rows.
    threshold : "auto", float or threshold, default="auto"
        From which `anomaly_score` on a row is abnormal: a number, or one of `eventlstm.thresholds`, which is fitted on
        the scores of the rows held out, or of all quiet rows where that gives a higher one: a day or two held out may
        be quieter than others. "auto" is an `AutoThreshold` with `max_false_alarms_per_day`, which counts alarms as
        `AlarmPolicy` does by default.
    max_false_alarms_per_day : float, default=1.0
        False alarms that ``threshold="auto"`` may give on a day of each machine.
    contamination : "auto" or float, default="auto"
        A float takes the place of `threshold`: the share of the rows in `fit` that are found abnormal.
    max_gap : "auto", None, number or time span, default="auto"
        Longest step in time without a break; windows and states do not cross a longer one. "auto" is ten times the
        slow steps of a run in `fit`, None ignores time.
    n_jobs : int or None, default=None
        Threads for the members, side by side; None and negative numbers are one a core. Inside of
        ``joblib.parallel_config("loky", n_jobs=4)``, or of "dask", "ray" or "spark", members train on the workers of
        that backend, as many as said here or there (`eventlstm.training.backends`). The results do not depend on it.
    verbose : int, default=0
        Handed on to the members: whether they show their progress.
    random_state : int, RandomState or None, default=None
        Where the seeds of the members come from.

    Attributes
    ----------
    threshold_ : float
        Rows with a higher `anomaly_score` are abnormal.
    offset_ : float
        ``-threshold_``, so that ``decision_function(X) = score_samples(X) - offset_``.
    quiet_ : dict of ndarray of shape (n_quiet,)
        "score", number of the "run" and "time" of the quiet rows in `fit`, and whether they were "held_out".
    estimators_ : list of estimators
        The fitted members; regressors of one target come in a `MultiOutputRegressor` where sensors are several.
    levels_ : InputScaler
        Of the sensors: errors are measured in its deviations.
    relative_ : InputScaler, CausalFeatures or None
        What the members see through with ``inputs="relative"`` and ``inputs="whitened"``.
    scorer_ : ErrorScorer or None
        Scales of the errors; None for estimators that score by themselves.
    smoothing_ : float
        The span in rows that scores are smoothed over; with "auto", 15 for estimators that score by themselves.
    quiet_parts_ : ndarray of shape (n_sensors,)
        What each sensor adds to the score of a quiet row, in the mean; smoothing begins with it.
    n_features_in_ : int
        Sensors in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when `X` was a DataFrame with string columns.
    window_size_ : int
        Rows of history that are looked at: `window_size`, or as many as the longest run in `fit` has.
    run_scales_ : dict
        Name of each run in `fit` to how many times larger the errors of each sensor are on it than on all; scores of a
        run are in its own units, those of a run that `fit` did not see in common ones. Empty for a single run.
    max_gap_ : float
        Longest step without a break, in nanoseconds for date-times, else in the unit of the index; of several rates,
        that of the slowest run.
    max_gaps_ : list of float
        Those that the rates of all runs call for, rising.
    steps_ : list of float
        The shortest and the longest of the runs' usual steps.
    has_dates_ : bool
        Whether the index held date-times in `fit`, or lengths of time.
    has_elapsed_ : bool
        Whether it held lengths of time, since the start of a test.
    index_names_ : list or None
        The names of the index levels in `fit`, run first and time last; None when the rows came without.
    fingerprint_ : dict
        A sample of hashes of the rows in `fit`, by which `report` knows them again.

    Warns
    -----
    UserWarning
        When the rows held out are too few for the threshold, or most rows have lost their history.

    See Also
    --------
    AlarmPolicy : From scores to alarms.
    EventClassifier : For logs with labels.

    Notes
    -----
    The scoring carries most of the result. On the ASD data (12 servers, average precision) unscaled squared errors of
    the same forecasts reach .20, errors that are scaled by sensor .42, smoothed and capped .54.

    A sensor's scale is the root mean square of its errors on all quiet rows, those fitted on and those held out. Rows
    held out alone are the purer measure, but too few: with 400 quiet rows in all, .39 against .48, with 8,000 both are
    alike. Toward a common scale it shrinks with the weight of 20 rows: on 240 rows of four engines (C-MAPSS), scaled by
    the 60 held out, average precision rose from .64 to .74 by it, by all of them from .851 to .854; more shrinkage
    costs the servers more than it gives the engines.

    ``smoothing="auto"`` takes the span of 15 to 60 rows with the least ``log(high) + t * span / 150``: `high` is what
    one smoothed score in a thousand exceeds on quiet rows, and `t` how many of these rows hang together, the integrated
    autocorrelation time of the root of their scores. A longer span buys a lower threshold, at the price of delays and
    echoes; where quiet rows hang together, it averages away bursts as long as events may be. How long events last
    matters most, and no quiet row tells it: on servers (ASD, events of about 15 rows) average precision is .573 with 15
    rows and .431 with 60, on 23 logs of one sensor (NAB, windows of about 200) .277 and .326; "auto" has .575 and .314.
    It is not the best everywhere: of a robot's stops of two rows it has .125, five rows .200. The longer the span, the
    more quiet rows a threshold takes.

    References
    ----------
    Malhotra et al., "Long short term memory networks for anomaly detection in time series", 2015; Hundman et al.,
    "Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding", 2018 (smoothed errors); Garg et
    al., "An evaluation of anomaly detection and diagnosis in multivariate time series", 2021 (scoring). Lucas and
    Saccucci, "Exponentially weighted moving average control schemes", Technometrics, 1990 (spans by what is to be
    found); Geyer, "Practical Markov chain Monte Carlo", 1992 (autocorrelation time, summed until it falls to zero).

    Examples
    --------
    >>> import numpy as np
    >>> import eventlstm as el
    >>> X = np.sin(np.arange(1200) / 5)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(1200, 2))
    >>> X[1100:1110, 1] += 3.0
    >>> small = el.LSTMForecaster(hidden_size=8, max_epochs=5)
    >>> model = el.AnomalyDetector(small, threshold=8.0, random_state=0).fit(X[:1000])
    >>> score = model.anomaly_score(X)
    >>> bool(1100 <= score.argmax() <= 1115)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, HasMethods("fit"), None],
        "window_size": [Interval(Integral, 1, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "inputs": [StrOptions({"level", *BESIDE})],
        "targets": [StrOptions(set(TARGETS))],
        "clip": [Interval(Real, 0, None, closed="neither")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "norm": [StrOptions({"squares", "mahalanobis"})],
        "cap": [Interval(Real, 0, None, closed="neither")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "smoothing": [StrOptions({"auto"}), Interval(Real, 1, None, closed="left")],
        "average": [StrOptions({"exponential", "window"})],
        "trim": [Interval(Real, 0, 0.5, closed="left")],
        "normal_label": [Integral, str, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "threshold": [StrOptions({"auto"}), Real, HasMethods("fit")],
        "max_false_alarms_per_day": [Interval(Real, 0, None, closed="neither")],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "max_gap": [Interval(Real, 0, None, closed="neither"), str, pd.Timedelta, None],
        "n_jobs": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        window_size: int = 32,
        stride: int | str = "auto",
        inputs: str = "level",
        targets: str = "both",
        clip: float = 4.0,
        n_estimators: int = 2,
        norm: str = "squares",
        cap: float = 100.0,
        shrinkage: float = 20.0,
        smoothing: float | str = "auto",
        average: str = "exponential",
        trim: float = 0.0,
        normal_label: Any = 0,
        validation_fraction: float = 0.2,
        threshold: Any = "auto",
        max_false_alarms_per_day: float = 1.0,
        contamination: Any = "auto",
        max_gap: Any = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.window_size = window_size
        self.stride = stride
        self.inputs = inputs
        self.targets = targets
        self.clip = clip
        self.n_estimators = n_estimators
        self.norm = norm
        self.cap = cap
        self.shrinkage = shrinkage
        self.smoothing = smoothing
        self.average = average
        self.trim = trim
        self.normal_label = normal_label
        self.validation_fraction = validation_fraction
        self.threshold = threshold
        self.max_false_alarms_per_day = max_false_alarms_per_day
        self.contamination = contamination
        self.max_gap = max_gap
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the quiet rows of a log.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            The log, sorted by run and time; its index carries both. An array is one run.
        y : Series or array-like of shape (n_rows,), optional
            Rows of another label than `normal_label` are not learnt, nor are the `window_size` rows after them, or as
            many as cost no more than half of the quiet rows. Default: all rows are quiet, but for `trim`.

        Returns
        -------
        AnomalyDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If the index is lost, unsorted or has duplicates, `y` is in another order than `X`, values are missing, or
            quiet rows are too few.
        """
        log, index, facts = check_fit(self, X)
        self.max_gap_, self.max_gaps_, self.steps_, self.has_dates_, self.index_names_ = facts
        self.has_elapsed_ = _says_elapsed(X)
        self.fingerprint_ = take_fingerprint(X, log.values)
        quiet = find_quiet(X, y, self.normal_label, len(log.values))
        refuse_few(quiet, self.normal_label, self.validation_fraction)
        warn_if_torn(index, log.starts, self.window_size)
        self.window_size_ = min(self.window_size, log.longest)  # more would be copies of first rows, at their price
        log = settle(log._replace(labels=quiet), self.window_size)
        names = run_names(X)
        parts, held = self._learn(log, names)
        if self.trim:
            log = settle(trim_highest(log, self._score(parts, log.starts), self.trim), self.window_size)
            parts, held = self._learn(log, names)
        self._keep_quiet(log, index, parts, held)
        if self.contamination == "auto":
            return self.set_threshold(self.threshold)
        score = self._score(parts, log.starts)
        self.offset_ = find_offset(-score, np.ones(len(score)), self.contamination)
        self.threshold_ = -self.offset_
        return self

    @property
    def quiet_scores_(self) -> pd.Series:
        """The scores of the quiet rows in `fit`, with the number of the run and the time in the index."""
        check_is_fitted(self, "quiet_")
        times = self.quiet_["time"]
        if self.has_dates_:
            times = pd.to_timedelta(times) if getattr(self, "has_elapsed_", False) else pd.DatetimeIndex(times)
        levels = [self.quiet_["run"], times]
        return pd.Series(self.quiet_["score"], pd.MultiIndex.from_arrays(levels, names=["run", "time"]))

    @property
    def held_out_scores_(self) -> pd.Series:
        """The scores of the quiet rows held out, with the number of the run and the time in the index."""
        return self.quiet_scores_[self.quiet_["held_out"]]

    def set_threshold(self, threshold: Any, score: Any = None, y: Any = None) -> Self:
        """Change from which score on a row is abnormal, without training anew.

        Parameters
        ----------
        threshold : "auto", float or threshold
            As the parameter of that name.
        score : Series or array of shape (n_rows,), optional
            `anomaly_score` of another log to fit the threshold on; a Series with the index of that log where alarms a
            day are to be counted. Default: that of the rows held out in `fit`.
        y : Series or array of shape (n_rows,), optional
            Labels beside `score`, 1 for abnormal rows, for thresholds that want them.

        Returns
        -------
        AnomalyDetector
            The detector.

        Raises
        ------
        ValueError
            If `threshold` is none of these, or there are too few scores.
        """
        check_is_fitted(self, "quiet_")
        if isinstance(threshold, Real) and not np.isnan(float(threshold)):
            self.threshold_ = float(threshold)
        elif hasattr(threshold, "fit") or (isinstance(threshold, str) and threshold == "auto"):
            rule = threshold
            if isinstance(threshold, str):
                rule = AutoThreshold(self.max_false_alarms_per_day, merge_gap=MERGE_ROWS)
            self.threshold_ = self._from_quiet(rule) if score is None else float(clone(rule).fit(score, y).threshold_)
        else:
            raise ValueError(
                f"threshold={threshold!r} is unknown. Pass 'auto', a number, or one of eventlstm.thresholds."
            )
        self.offset_ = -self.threshold_
        return self

    def _from_quiet(self, rule: Any) -> float:
        """Return the threshold of the rows held out, or that of all quiet rows where it is higher."""
        threshold = float(clone(rule).fit(self.held_out_scores_).threshold_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to say was said of the rows held out
            return max(threshold, float(clone(rule).fit(self.quiet_scores_).threshold_))

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return how abnormal each row is, from the rows up to it; high is abnormal.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of shape (n_rows,)
            Scores, never NaN; about 1 on quiet rows, unless the estimator scores by itself. An array also where `X` is
            a frame, as scikit-learn's methods that score give and its scorers and searches expect:
            ``pd.Series(score, X.index)`` has the index that alarms are counted by.
        """
        check_is_fitted(self, "offset_")
        log = check_scoring(self, X)
        return self._score(row_scorer_of(self).parts(log, run_names(X)), log.starts)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is: scikit-learn's sign, low is abnormal.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of shape (n_rows,)
            ``-anomaly_score(X)``.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return how far each row is on the normal side of the threshold.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of shape (n_rows,)
            ``score_samples(X) - offset_``, negative for abnormal rows.
        """
        score = self.score_samples(X)
        return score - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for normal rows and -1 for abnormal ones.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of int of shape (n_rows,)
            Labels with scikit-learn's sign.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def attribution(self, X: Any, events: Any = None) -> pd.DataFrame:
        """Return the share of each sensor in the score of each row, or of each event.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.
        events : DataFrame, optional
            Events of this log, as `to_events` or `AlarmPolicy.to_events` tell them: the shares are then those of the
            first third of each, in which a fault has not yet spread.

        Returns
        -------
        DataFrame of shape (n_rows, n_sensors) or (n_events, n_sensors)
            Shares that sum to one in each row.

        Raises
        ------
        ValueError
            If the estimator scores rows by itself.
        """
        check_is_fitted(self, "offset_")
        if self.scorer_ is None:
            raise ValueError(
                f"{type(self.estimators_[0]).__name__} scores rows as a whole. Use a forecaster, an autoencoder or PCA."
            )
        log = check_scoring(self, X)
        parts = self._smooth(row_scorer_of(self).parts(log, run_names(X)), log.starts, self.quiet_parts_)
        names = getattr(self, "feature_names_in_", None)
        columns = [f"x{k}" for k in range(parts.shape[1])] if names is None else names
        shares = pd.DataFrame(share_out(parts), index=row_labels(X), columns=columns)
        return shares if events is None else share_of_events(shares, events)

    def _learn(self, log: Rows, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Fit all on the quiet rows of a log; return what each sensor adds to the score of each row, and held rows."""
        held = hold_out_last(log, self.validation_fraction)
        self._fit_view(log)
        self.estimators_ = models_of(self, self._make_members()).fit(*split_rows(log, held), self.n_jobs)
        models = models_of(self, self.estimators_)
        errors = models.errors(log, self.n_jobs)
        self.scorer_, self.run_scales_ = None, {}
        if models.gives_errors:
            self.run_scales_ = learn_run_scales(errors, log, names)
            errors = scale_runs(errors, log, names, self.run_scales_)
            scorer = ErrorScorer(norm=self.norm, cap=self.cap, shrinkage=self.shrinkage)
            self.scorer_ = scorer.fit(errors, log.weight)
            self.cold_ = learn_cold_starts(models, log, names, self.scorer_, self.run_scales_, self.n_jobs)
        parts = row_scorer_of(self).parts_of(errors, log.starts)
        self.quiet_parts_ = parts[log.weight > 0].mean(axis=0)
        self.smoothing_ = self._choose_span(parts, log)
        return parts, held

    def _choose_span(self, parts: np.ndarray, log: Rows) -> float:
        """Return over how many rows to smooth what sensors add to the scores of the rows of a log."""
        if self.smoothing != "auto":
            return float(self.smoothing)
        if self.scorer_ is None:
            return float(SPANS[0])
        quiet = split_rows(log._replace(values=parts.sum(axis=1, keepdims=True)), log.weight > 0)[1]
        return learn_span(quiet.values, quiet.starts, self.average)

    def _make_members(self) -> list[Any]:
        template = default_forecaster() if self.estimator is None else self.estimator
        refuse_unseeded_checkpoints(template, self)
        _refuse_codes(template)
        return make_members(template, self.n_estimators, check_random_state(self.random_state), self.verbose)

    def _fit_view(self, log: Rows) -> None:
        """Learn what the models see of the sensors, and in which units errors are measured."""
        wanted = {"starts": log.starts, "sample_weight": log.weight}
        self.levels_ = InputScaler("level", clip=FARTHEST, robust=False).fit(log.values, **wanted)
        quiet = self.levels_.transform(log.values, starts=log.starts)[log.weight > 0]
        self.still_ = np.ptp(quiet, axis=0) == 0
        self.relative_ = None if self.inputs == "level" else clone(BESIDE[self.inputs]).fit(log.values, **wanted)

    def _score(self, parts: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return the score of each row, (n_rows,), from what each sensor adds to it."""
        return self._smooth(parts.sum(axis=1, keepdims=True), starts, self.quiet_parts_.sum(keepdims=True))[:, 0]

    def _smooth(self, parts: np.ndarray, starts: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Smooth each stretch by itself; before it, nothing is known but what quiet rows are like, `before`."""
        return smooth_stretches(parts, starts, span_of(self), before, self.average)

    def _keep_quiet(self, log: Rows, index: RowIndex, parts: np.ndarray, held: np.ndarray) -> None:
        """Keep the scores of the quiet rows, as they are while no other rows have gone into the mean."""
        counted = log.weight > 0
        score = self._score(parts, np.union1d(log.starts, change_rows(counted)))
        rows = {"score": score, "run": index.runs, "time": index.times, "held_out": held}
        self.quiet_ = {name: values[counted] for name, values in rows.items()}


def models_of(detector: AnomalyDetector, members: list[Any]) -> RowModels:
    """Return the models of quiet rows that members are, with what they see, fitted or yet to be."""
    kind = choose_kind(members[0])
    window_size = getattr(detector, "window_size_", detector.window_size)  # archives of before know none
    stride = detector.stride
    if stride == "auto":
        stride = CHUNK_RATIO * window_size if issubclass(kind, StepForecasts) else 1
    view = View(detector.levels_, detector.relative_, detector.clip, detector.still_)
    return kind(members, view, TARGETS[detector.targets], window_size, int(stride))


def row_scorer_of(detector: AnomalyDetector) -> RowScorer:
    """Return the fitted models of a detector, and how their errors become scores."""
    cold = None if detector.scorer_ is None else detector.cold_
    run_scales = getattr(detector, "run_scales_", {})  # archives of before know none
    return RowScorer(models_of(detector, detector.estimators_), detector.scorer_, cold, run_scales, detector.n_jobs)


def span_of(detector: AnomalyDetector) -> float:
    """Return over how many rows a fitted detector smooths."""
    known = hasattr(detector, "smoothing_")
    return detector.smoothing_ if known else float(detector.smoothing)  # archives of before know none


def default_forecaster() -> LSTMForecaster:
    """Return the forecaster that learns the quiet rows unless another estimator is named."""
    return LSTMForecaster(
        optimizer="adam",
        weight_decay=0.0,
        schedule="constant",
        dropout=0.2,
        batch_size=8,
        max_epochs=60,
        early_stopping=True,
        n_iter_no_change=10,
    )


def _says_elapsed(X: Any) -> bool:
    """Return whether the times of a log are lengths of time."""
    index = getattr(X, "index", None)
    return isinstance(index, pd.Index) and isinstance(index.get_level_values(-1), pd.TimedeltaIndex)


def _refuse_codes(template: Any) -> None:
    """Refuse an estimator that is told of codes: here all channels are measurements."""
    told = [codes for name, codes in template.get_params().items() if name.endswith("categorical_channels")]
    if any(codes is not None for codes in told):
        raise ValueError(
            f"categorical_channels of {type(template).__name__} hold codes, which have no error. Leave them out."
        )
