"""A classifier of logs: a probability of the event at every row, from any classifier of windows or steps.

Rows are ``(n_rows, n_sensors)``; the index carries run and time (see `logs.index`).
"""

from __future__ import annotations

from itertools import cycle
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_outlier_detector
from sklearn.utils import check_random_state
from sklearn.utils.validation import has_fit_parameter

from .._validation import Interval, StrOptions, check_is_fitted, fit_context
from ..alarms.policy_choice import suit_merge_rows
from ..logs.causal_features import CausalFeatures
from ..logs.checking import check_fit, check_scoring, find_categorical, refuse_one_class
from ..logs.events import is_event
from ..logs.fingerprint import take_fingerprint
from ..logs.horizons import horizon_labels
from ..logs.input_scaler import VIEWS, InputScaler, is_lone
from ..logs.log_windows import LogWindows
from ..logs.rows import Rows
from ..logs.sampling_checks import warn_if_torn
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.members import (
    as_input,
    make_members,
    refuse_unseeded_checkpoints,
    set_categorical_channels,
    set_n_channels,
    settle_max_samples,
    settle_prior_bias,
    stops_early,
    weight_arguments,
)
from ..training.crew import train_side_by_side
from .hiding import hide_in_stretches, hide_in_windows
from .member_scores import Ensemble
from .occlusion import OcclusionMixin, check_rows, learn_usual, refuse_unknown_usual
from .outlier_classifier import OutlierClassifier
from .row_models import MOST_VALUES

# What "both" stands for; other words are views themselves.
BOTH = ("relative", "level")
# Labelled rows in a chunk of stateful training, as a multiple of the rows of history before them: 32 + 64 by default.
CHUNK_RATIO = 2


class EventClassifier(OcclusionMixin, ClassifierMixin, BaseEstimator):
    """Find rare events in the log of one or several machines: a probability at every row.

    The parameters, by what they set:

    - Members: `estimator`, `n_estimators`.
    - Question: `horizon`, `inside_event`.
    - Windows: `window_size`, `stride`, `mode`, `max_gap`.
    - Sensors: `inputs`, `clip`, `spans`, `categorical_channels`.
    - Machine: `n_jobs`, `verbose`, `random_state`.

    Parameters
    ----------
    estimator : estimator or None, default=None
        A classifier of windows; None is ``LSTMClassifier()``, which a search over ``estimator__hidden_size`` and the
        like needs to be given. In mode "stateful" it must offer `fit_steps` and `predict_proba_steps`, the latter also
        for several stretches side by side, as ours do; in mode "windows" any scikit-learn classifier with
        `predict_proba` will do, and any detector of outliers, such as `LSTMAutoencoder`: it learns the more frequent of
        two classes, and the other is what is abnormal to it. `LSTMTagger` labels the rows of a log after the fact, or,
        with ``decoding="filtered"``, as they come.
    window_size : int, default=32
        Rows of history: the length of a window in mode "windows", the burn-in before the labelled rows of a chunk
        in mode "stateful". Early rows of a run are padded with copies of its first row.
    stride : int or "auto", default="auto"
        In mode "windows", every `stride`-th window is trained on ("auto": each). In mode "stateful", the labelled
        rows of a chunk ("auto": twice `window_size`). Every row is scored, whatever the stride.
    horizon : int, number or time span, default=0
        Rows (int) or time (a string such as "6h") before an event that count as positive too, so that the model
        warns ahead; see `horizon_labels`. Needs labels 0 and 1. Zero takes `y` as it is.
    inside_event : {"positive", "negative", "ignore"}, default="positive"
        What rows inside an event count as under a `horizon`; "ignore" leaves them out of training.
    mode : {"stateful", "windows"}, default="stateful"
        "stateful" trains on a label at every step of chunks and carries the network's state along each run when
        scoring: as good as windows and 20 to 40 times faster. "windows" trains on windows, a label at the last row.
    inputs : {"level", "relative", "whitened", "both"}, tuple of views, CausalFeatures or None, \
default=("relative", "whitened")
        What the members see, in turn: each sensor's "level" (a clipped z-score); "relative", the level beside its
        movement against the recent past; "whitened", the same of the sensors judged against each other (left out
        where fewer than two tell something of their own); "both" is relative and level. Learnt in `fit`, causal,
        within each stretch; a scaler before it does no harm. `CausalFeatures` describe each row to trees and linear
        models, which with ``window_size=1`` learn from as many rows as half a GB holds, evenly spread. None hands the
        values on as they are.
    clip : float, default=3.0
        Largest absolute z-score of the level.
    spans : tuple of int, default=(10, 60, 300)
        Spans, in rows, of the moving averages that a view subtracts.
    categorical_channels : list of str or int, or None, default=None
        Sensors, by name or position, that hold codes (an operating mode, the kind of a valve) instead of
        measurements. `inputs` hands them on as they are, after the other channels, and the members are told of them,
        as `LSTMClassifier` needs to learn embeddings. Other classifiers get codes with ``inputs=None`` only. Text
        wants an encoder before it, such as OrdinalEncoder.
    n_estimators : int, default=5
        Members whose log-odds are averaged; they differ in their seed and, with several `inputs`, in what they see.
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
        Where the seeds of the members come from. With an int, NumPy's and torch's global generators are left alone.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    estimators_ : list of estimators
        The fitted members.
    scalers_ : list of InputScaler, CausalFeatures or None
        What the members see through, in turn: one for each view of `inputs`.
    n_features_in_ : int
        Sensors in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when `X` was a DataFrame with string columns.
    window_size_ : int
        Rows of history that are looked at: `window_size`, or as many as the longest run in `fit` has.
    max_gap_ : float
        Longest step without a break, in nanoseconds for date-times, else in the unit of the index; of several rates,
        that of the slowest run.
    max_gaps_ : list of float
        Those that the rates of all runs call for, rising.
    steps_ : list of float
        The shortest and the longest of the runs' usual steps.
    has_dates_ : bool
        Whether the index held date-times in `fit`.
    index_names_ : list or None
        The names of the index levels in `fit`, run first and time last; None when the rows came without.
    fingerprint_ : dict
        A sample of hashes of the rows in `fit`, by which `report` knows them again.
    merge_rows_ : int
        For how many rows an alarm is to outlast its last row above, by the length of the events in `fit`.
    quiet_class_ : int
        Place in `classes_` of the most frequent class; the others are the event that `attribution` is about.
    usual_ : ndarray of shape (n_features_in_,)
        What is usual for each sensor: its median on rows of that class, or the commonest of its codes there.

    Warns
    -----
    UserWarning
        When most rows have lost their history: a splitter that shuffles rows has torn the log, or the runs are
        shorter than `window_size`. Use `RunKFold` or `RunTimeSplit`.

    See Also
    --------
    RunKFold : Folds of whole runs for cross-validation.

    Notes
    -----
    The defaults are a recipe: a label at every step, chunks of 96 rows with 32 of burn-in, one layer of 32 units, AdamW
    with a cosine schedule for 15 epochs, fewer on long logs and more on short ones, every run fitted on, five members
    averaged. The training was chosen by its figures on turbofan engines (C-MAPSS FD001), servers (ASD) and a log of
    water quality; what mattered most was not holding runs out for early stopping, then the schedule, then enough steps.
    Averaging log-odds instead of probabilities raised the pooled average precision on the servers by .03.

    The views were chosen on eight problems side by side (`pipelines/battery.py`): none is best everywhere. The mean of
    both is ahead of either on three, and near the better one on all but one of the rest. Of two networks each, without
    prior bias, and two seeds:

    ============================  ==========  ==========  =====
    average precision             relative    whitened    both
    ============================  ==========  ==========  =====
    turbofans (C-MAPSS FD001)     .984        .879        .964
    turbofans, six conditions     .461        .879        .873
    servers, mean of folds        .446        .339        .487
    robot, protective stop        .375        .444        .428
    robot, grip lost              .289        .230        .287
    air quality, six hours ahead  .284        .282        .305
    gait that freezes             .260        .319        .409
    occupancy of an office        .552        .336        .410
    ============================  ==========  ==========  =====

    With `prior_bias` the relative view gained most on the short log of the robot (.489 and .332), while the whitened
    one lost on servers, turbofans and occupancy: hence ``prior_bias="auto"``. Five members are three of one view and
    two of the other, which serves turbofans of one condition better than halves.

    The state is carried along the run because nothing does better: scored in blocks of 64 rows, each from a cold state
    after 32 rows of burn-in, the same models lost up to .025 of average precision on C-MAPSS, by where the blocks fell
    (.002 over all), and .003 on ASD; after 96 rows they were within .001 of the carried state.

    Tried and left out: channels that mark missing values (worse than values carried forward, in 18 of 19 comparisons
    with values missing at random); choosing `inputs` by cross-validation over runs (three times the time, .006 better
    on C-MAPSS and .09 worse on ASD than averaging both); an open forget gate (``forget_bias=1.0``: .02 to the
    good on ASD, .01 to the bad on made logs); attention in place of the last step (C-MAPSS, windows, one member: .957
    against .943 with LSTM cells, .942 against .958 with GRU cells; seeds differ by .01).

    Training sees the padded windows of early rows as scoring does: without them, a logistic regression on a log with
    many gaps fell from an average precision of .47 to .23, misled by windows of a kind it had never met.

    With ``early_stopping=True`` in the estimator, whole runs are held out to watch the loss on. A number of rows as
    `max_samples` of an ``ExtraTreesClassifier`` is for long logs: where there are no more, each tree sees all of them
    once, as without ``bootstrap``.

    Examples
    --------
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=5, random_state=0)
    >>> small = el.LSTMClassifier(hidden_size=8, max_epochs=2)
    >>> model = el.EventClassifier(small, n_estimators=2, random_state=0).fit(log.X, log.y)
    >>> model.predict_proba(log.X).shape == (len(log.X), 2)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, None],
        "window_size": [Interval(Integral, 1, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "horizon": [Interval(Real, 0, None, closed="left"), str, pd.Timedelta],
        "inside_event": [StrOptions({"positive", "negative", "ignore"})],
        "mode": [StrOptions({"stateful", "windows"})],
        "inputs": [StrOptions({*VIEWS, "both"}), list, tuple, CausalFeatures, None],
        "clip": [Interval(Real, 0, None, closed="neither")],
        "spans": [tuple, list],
        "categorical_channels": ["array-like", None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
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
        horizon: Any = 0,
        inside_event: str = "positive",
        mode: str = "stateful",
        inputs: Any = ("relative", "whitened"),
        clip: float = 3.0,
        spans: tuple[int, ...] = (10, 60, 300),
        categorical_channels: Any = None,
        n_estimators: int = 5,
        max_gap: Any = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.window_size = window_size
        self.stride = stride
        self.horizon = horizon
        self.inside_event = inside_event
        self.mode = mode
        self.inputs = inputs
        self.clip = clip
        self.spans = spans
        self.categorical_channels = categorical_channels
        self.n_estimators = n_estimators
        self.max_gap = max_gap
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the members on a log.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            The log, sorted by run and time; its index carries both. An array is one run.
        y : Series or array-like of shape (n_rows,)
            The class of each row, in the order of `X`.
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row in the loss and in the scaling of the inputs.

        Returns
        -------
        EventClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the index is lost, unsorted or has duplicates, `y` is in another order than `X`, values are missing,
            no run is as long as `window_size` (in mode "windows"), or the estimator does not fit the mode or takes no
            `categorical_channels`.
        """
        members, trained, watched = self._show(*self._learn_log(X, y, sample_weight))  # which holds no copy of it
        self.estimators_ = train_side_by_side(self._fit_member, self.n_jobs, members, cycle(trained), cycle(watched))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class at every row, from the rows up to it.

        In mode "stateful", an `LSTMTagger` that is smoothed or bidirectional judges a row by those after it, too: each
        run is then labelled after the fact, as a whole.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Probabilities, in the order of `classes_`; never NaN.
        """
        check_is_fitted(self)
        log, ensemble = check_scoring(self, X), ensemble_of(self)
        score = ensemble.score_stretches if self.mode == "stateful" else ensemble.score_windows
        return score(log, history_of(self))

    def occluded_proba(self, X: Any, rows: Any = None) -> np.ndarray:
        """Return the probability of each class at some rows, were the recent rows of one sensor after the other usual.

        In mode "windows" the window that ends at a row shows the sensor at `usual_` throughout. In mode "stateful" it
        stands there in the block of `window_size_` rows that the row lies in, up to it, and in the block before; the
        state of the networks before these is that of the log as it is. Blocks are counted from the start of a stretch.
        Whatever the inputs, they are made of it as of a sensor that has always stood there: at its usual level, without
        movement, with lags alike, and before it is mixed with others. Rows after it never count.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.
        rows : array-like of int of shape (n_asked,), default=None
            Numbers of the rows that are asked, rising; None is all. Blocks that hold none of them cost no more than
            in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_asked, 1 + n_sensors, n_classes)
            Probabilities with all sensors, then with each in turn at its usual value.

        Raises
        ------
        ValueError
            If `rows` are not of the log, the model was saved by a version that did not learn what is usual, or an
            `LSTMTagger` in it looks ahead.
        """
        check_is_fitted(self)
        refuse_unknown_usual(self)
        log, ensemble = check_scoring(self, X), ensemble_of(self)
        if self.mode == "stateful":
            ensemble.refuse_to_look_ahead("hiding sensors up to a row")
        hide = hide_in_stretches if self.mode == "stateful" else hide_in_windows
        return hide(ensemble, log, self.window_size_, self.usual_, check_rows(rows, len(log.values)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class at every row.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of shape (n_rows,)
            Classes. Rare events seldom reach a probability of one half: choose a threshold for `predict_proba` with
            scikit-learn's `TunedThresholdClassifierCV`.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def _learn_log(self, X: Any, y: Any, sample_weight: Any) -> tuple[Rows, tuple[int, ...]]:
        """Learn what a log is like; return it with the labels to train on, and the sensors that hold codes."""
        codes = find_categorical(X, self.categorical_channels)
        log, index, facts = check_fit(self, X, y, sample_weight)
        self.max_gap_, self.max_gaps_, self.steps_, self.has_dates_, self.index_names_ = facts
        self.fingerprint_ = take_fingerprint(X, log.values)
        self.merge_rows_ = suit_merge_rows(is_event(log.labels), index)
        log = self._label(X, log)
        self.classes_ = np.unique(log.labels)
        refuse_one_class(log.labels, log.weight)
        self.quiet_class_, self.usual_ = learn_usual(log, codes)
        warn_if_torn(index, log.starts, self.window_size)
        self.window_size_ = self._fit_window(log)
        return log, codes

    def _show(self, log: Rows, codes: tuple[int, ...]) -> tuple[list[Any], list[Rows], list[Rows | None]]:
        """Return the members, and the rows that each trains on and is watched on, in turn, as it sees them."""
        members = self._make_members()
        train, held_out = self._hold_out(log, members[0])
        self.scalers_ = self._fit_scalers(train, codes)
        for member, scaler in zip(members, cycle(self.scalers_), strict=False):
            set_categorical_channels(member, scaler, codes)
            settle_prior_bias(member, getattr(scaler, "view", None) == "whitened")
        trained = [self._seen(train, scaler) for scaler in self.scalers_]
        watched = [
            None if held_out is None else held_out.seen_by(scaler, channel_type(self)) for scaler in self.scalers_
        ]
        return members, trained, watched

    def _label(self, X: Any, log: Rows) -> Rows:
        """Return a log with the labels to train on; rows without one get no weight."""
        if self.horizon == 0 and self.inside_event == "positive":
            return log
        series = pd.Series(log.labels, index=X.index) if isinstance(X, pd.DataFrame) else log.labels
        early = np.asarray(horizon_labels(series, self.horizon, inside_event=self.inside_event))
        if (early >= 0).all():
            return log._replace(labels=early)
        weight = np.ones(len(early)) if log.weight is None else log.weight
        return log._replace(labels=np.maximum(early, 0), weight=weight * (early >= 0))

    def _make_members(self) -> list[Any]:
        """Clone the estimator and hand out the seeds."""
        template = LSTMClassifier() if self.estimator is None else self.estimator
        if self.mode == "stateful" and not hasattr(template, "fit_steps"):
            raise ValueError(
                f"{type(template).__name__} cannot train step by step, which mode='stateful' needs. "
                "Set mode='windows', or use LSTMClassifier."
            )
        refuse_unseeded_checkpoints(template, self)
        if is_outlier_detector(template):
            template = OutlierClassifier(template)
        return make_members(template, self.n_estimators, check_random_state(self.random_state), self.verbose)

    def _fit_scalers(self, log: Rows, codes: tuple[int, ...]) -> list[Any]:
        """Return what the members see through, in turn."""
        views = BOTH if self.inputs == "both" else self.inputs
        views = list(views) if isinstance(views, list | tuple) else [views]
        if not views:
            raise ValueError("inputs names no view. Choose among 'level', 'relative' and 'whitened'.")
        fitted = [self._fit_scaler(view, log, codes) for view in views]
        told = [scaler for scaler in fitted if not is_lone(scaler)]
        return told or [self._fit_scaler("relative", log, codes)]

    def _fit_scaler(self, view: str | None, log: Rows, codes: tuple[int, ...]) -> InputScaler | None:
        if view is None:
            return None
        if not isinstance(view, CausalFeatures):
            scaler = InputScaler(view, clip=self.clip, spans=tuple(self.spans), categorical=codes)
        else:
            scaler = clone(view).set_params(categorical_channels=codes or None)
        return scaler.fit(log.values, starts=log.starts, sample_weight=log.weight)

    def _seen(self, log: Rows, scaler: Any) -> Rows:
        """Return what members train on: of features that would not fit memory, some rows evenly spread."""
        n_rows = MOST_VALUES // scaler.n_channels if isinstance(scaler, CausalFeatures) else len(log.values)
        if self.mode == "windows" and self.window_size_ == 1 and n_rows < len(log.values):
            return log.sample_seen_by(scaler, channel_type(self), n_rows)
        return log.seen_by(scaler, channel_type(self))

    def _fit_member(self, member: Any, train: Rows, held_out: Rows | None) -> Any:
        if self.mode == "stateful":
            size = {"burn_in": self.window_size_, "stride": self._stride(), "starts": train.starts}
            if held_out is not None:
                size |= {"X_val": held_out.values, "y_val": held_out.labels, "starts_val": held_out.starts}
                size["sample_weight_val"] = held_out.weight
            return member.fit_steps(train.values, train.labels, train.weight, **size)
        windows, rows = self._cut(train)
        set_n_channels(member, windows)
        settle_max_samples(member, len(windows))
        arguments = weight_arguments(member, None if train.weight is None else train.weight[rows])
        if held_out is not None:
            windows_val, rows_val = self._cut(held_out)
            arguments |= {"X_val": as_input(member, windows_val), "y_val": held_out.labels[rows_val]}
        return member.fit(as_input(member, windows), train.labels[rows], **arguments)

    def _fit_window(self, log: Rows) -> int:
        """Return the rows of history that the log has room for: more would be copies of first rows, at their price."""
        longest = log.longest
        if self.mode == "windows" and longest < self.window_size:
            raise ValueError(
                f"The longest run of the log has {longest} rows, fewer than window_size={self.window_size}. "
                f"Pass a longer log or set window_size to at most {longest}."
            )
        return min(self.window_size, longest)

    def _cut(self, log: Rows) -> tuple[LogWindows, np.ndarray]:
        """Return the windows to train on, padded as those to score, and the rows at which they end."""
        windows = LogWindows.from_stretches(log.values, log.starts, self.window_size_, stride=self._stride())
        if log.weight is not None:
            windows = windows.take(np.flatnonzero(log.weight[windows.ends] > 0))
        return windows, windows.ends

    def _stride(self) -> int:
        if self.stride == "auto":
            return CHUNK_RATIO * self.window_size_ if self.mode == "stateful" else 1
        return int(self.stride)

    def _hold_out(self, log: Rows, member: Any) -> tuple[Rows, Rows | None]:
        """Split off whole runs for early stopping, when the estimator asks for it."""
        share = getattr(member, "validation_fraction", None)
        if (
            not stops_early(member)
            or not isinstance(share, Real)
            or isinstance(share, Integral)
            or not has_fit_parameter(member, "X_val")
        ):
            return log, None  # scikit-learn's trees take "auto", and a number of rows, which are not for whole runs
        return log.hold_out(float(share), is_event(log.labels), check_random_state(self.random_state))


def ensemble_of(model: EventClassifier) -> Ensemble:
    """Return the fitted members of a classifier and what they see through."""
    return Ensemble(model.estimators_, model.scalers_, model.classes_, channel_type(model), model.n_jobs)


def history_of(model: EventClassifier) -> int:
    """Return how many rows of history the members look at, or are warmed up by."""
    return int(getattr(model, "window_size_", model.window_size))  # archives of before know none


def channel_type(model: EventClassifier) -> type[np.floating]:
    """Return the type of the channels: float32 unless the estimator computes in float64 or sees values as they are.

    Networks of skorch, which are told by their `module`, take float32 alone, also inside of a pipeline.
    """
    as_they_are = model.inputs is None or isinstance(model.inputs, CausalFeatures)
    exact = as_they_are or getattr(model.estimator, "precision", None) == "float64"
    is_skorch = any(name.split("__")[-1] == "module" for name in _parameters(model.estimator))
    return np.float64 if exact and not is_skorch else np.float32


def _parameters(estimator: Any) -> dict[str, Any]:
    return {} if estimator is None else estimator.get_params()
