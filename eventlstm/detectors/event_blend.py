"""Several classifiers of logs heard as one: networks that see a log in different ways, and two kinds of trees.

Rows are ``(n_rows, n_sensors)``; the index carries run and time (see `logs.index`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.utils import Bunch, check_random_state
from threadpoolctl import threadpool_limits

from .._validation import Interval, check_is_fitted, fit_context
from ..alarms.policy_choice import suit_merge_rows
from ..logs.causal_features import CausalFeatures
from ..logs.checking import check_fit, check_log_values, refuse_lost_index, refuse_one_class
from ..logs.events import is_event
from ..logs.fingerprint import take_fingerprint
from ..logs.shared import LARGEST_SEED
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.members import make_members, mean_log_odds, weight_arguments
from ..training.crew import side_by_side, train_side_by_side
from .event_classifier import EventClassifier
from .occlusion import OcclusionMixin, check_rows, learn_usual, refuse_unknown_usual

DROP = "drop"
# Of the default parts, in their order: the forest is never as sure as the others, and would be outvoted.
DEFAULT_WEIGHTS = (1, 1, 2, 1)
# Networks in each of the two default parts: one was as good as two in the mean, and twice as far from seed to seed.
N_NETWORKS = 2
# Of the default forest: more trees change little, and smaller leaves are surer than they can know.
N_TREES, LEAF = 100, 5
# Rows that each of its trees sees at most: a third of the time on 100,000, and as good in the blend.
ROWS_OF_TREE = 40_000


def default_parts() -> list[tuple[str, Any]]:
    """Return the parts that an EventBlend has unless told others."""
    one_row = EventClassifier(mode="windows", window_size=1, n_estimators=1)
    network = LSTMClassifier()
    forest = ExtraTreesClassifier(N_TREES, min_samples_leaf=LEAF, bootstrap=True, max_samples=ROWS_OF_TREE)
    boosting = HistGradientBoostingClassifier(early_stopping=False)
    moves = CausalFeatures(lags=0, whitened_lags=0, views=("relative", "whitened"))
    return [
        ("relative", EventClassifier(clone(network), inputs="relative", n_estimators=N_NETWORKS)),
        ("whitened", EventClassifier(clone(network), inputs="whitened", n_estimators=N_NETWORKS)),
        ("forest", clone(one_row).set_params(estimator=forest, inputs=moves)),
        ("boosting", clone(one_row).set_params(estimator=boosting, inputs=CausalFeatures())),
    ]


class EventBlend(OcclusionMixin, ClassifierMixin, BaseEstimator):
    """Hear several classifiers of logs as one: the mean of their log-odds at every row.

    Networks are ahead on one log, trees on another, and a view of the sensors that is best here is the worst there. In
    the mean of log-odds those who are sure outvote those who are not: the blend is about as good as the best of its
    parts on each log, and often better, without having to know which it is.

    Parameters
    ----------
    estimators : list of (str, estimator), or None, default=None
        The parts, by name: any classifiers that take a log with its index, such as `EventClassifier`, and pipelines
        that end in one. A part that is "drop" is left out. None stands for four: "relative" and "whitened", each an
        `EventClassifier` of two networks with these `inputs`; "forest", extremely
        randomised trees on the current row of both views, each of 40,000 rows at most; and "boosting", gradient
        boosting on the last ten rows as they are and the last three whitened ones (`CausalFeatures`). Steps that fill
        or encode columns go before the blend.
    weights : array-like of shape (n_parts,), or None, default=None
        Weight of each part in the mean, dropped ones included. None is the same for all, but two for the forest among
        the default parts, which is never as sure as the others. Read when a log is scored:
        a fitted blend takes others by `set_params` without a new fit, and a part of weight zero is not asked.
    n_jobs : int or None, default=None
        Threads for the parts side by side and the members inside them, in all; None and negative numbers are one a
        core. Inside of ``joblib.parallel_config("loky", n_jobs=4)``, or of "dask", "ray" or "spark", parts train on
        the workers of that backend, as many as said here or there (`eventlstm.training.backends`). The results do not
        depend on it.
    verbose : int, default=0
        Handed on to the parts: whether they show their progress.
    random_state : int, RandomState or None, default=None
        Where the seeds of the parts come from; None leaves each its own. A part's seeds do not depend on whether
        others are dropped.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    names_ : list of str
        The names of the fitted parts.
    estimators_ : list of estimators
        The fitted parts, without those dropped.
    n_features_in_ : int
        Sensors in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when `X` was a DataFrame with string columns.
    index_names_ : list or None
        The names of the index levels in `fit`, run first and time last; None when the rows came without.
    fingerprint_ : dict
        A sample of hashes of the rows in `fit`, by which `report` knows them again.
    merge_rows_ : int
        For how many rows an alarm is to outlast its last row above, by the length of the events in `fit`.
    quiet_class_ : int
        Place in `classes_` of the most frequent class; the others are the event that `attribution` is about.
    usual_ : ndarray of shape (n_features_in_,)
        The median of each sensor on rows of that class.

    See Also
    --------
    EventClassifier : One classifier of logs, or several that differ in their seed.
    sklearn.ensemble.VotingClassifier : The same for rows by themselves, by the mean of probabilities.

    Notes
    -----
    A part counts with the logarithm of its probabilities, floored at one in a million, so that for two classes the
    mean is one of log-odds. Weights chosen by cross-validation within the training runs took three times as long and
    were no better on four logs.

    The parts were chosen on eight problems side by side; `pipelines/battery.py` measures them, and its table stands in
    ``pipelines/RESULTS.md``. Average precision of each part alone and of all, of two networks a view without prior
    bias, two seeds; the bar is the better of a logistic regression and of gradient boosting on ten flattened rows:

    ============================  =====  ========  ========  ======  ========  =====
    problem                       bar    relative  whitened  forest  boosting  blend
    ============================  =====  ========  ========  ======  ========  =====
    turbofans (C-MAPSS FD001)     .921   .984      .879      .929    .925      .969
    turbofans, six conditions     .834   .461      .879      .812    .835      .908
    servers, mean of folds        .367   .446      .339      .394    .366      .505
    robot, protective stop        .552   .375      .444      .493    .594      .547
    robot, grip lost              .327   .289      .230      .285    .375      .390
    air quality, six hours ahead  .321   .284      .282      .315    .331      .372
    gait that freezes             .174   .260      .319      .132    .198      .440
    occupancy of an office        .369   .552      .336      .772    .244      .521
    ============================  =====  ========  ========  ======  ========  =====

    In the geometric mean over the bar that is 1.29 for the blend; the forest at the weight of the others gives 1.26,
    without the boosted trees 1.23, networks alone 1.12. Boosted trees that stop early are less sure and come to 1.25.

    Long logs are learnt in a budget, of steps of a network and of rows of a tree, that is what 39,000 rows take. Air
    quality, with 99,000, had .372 without it and has .390, where 15 epochs are learnt by heart; the trees lose nothing.
    On 100,000 rows of 20 sensors the networks of each view cost about as much time of one core as
    `HistGradientBoostingClassifier` on ten flattened rows, the forest too, and the boosted trees one and a half times
    as much.

    Before, the default parts were three: networks on "level", networks on "relative", and gradient boosting on the last
    ten rows. ``EventBlend([("level", EventClassifier(inputs="level", n_estimators=2)), ("relative",
    EventClassifier(inputs="relative", n_estimators=2)), ("trees", EventClassifier(HistGradientBoostingClassifier(),
    mode="windows", window_size=10, inputs=None, n_estimators=1))])`` is that recipe.

    References
    ----------
    .. [1] C. Genest and J. V. Zidek, "Combining probability distributions: a critique and an annotated bibliography",
       Statistical Science 1(1), 1986.
    .. [2] V. A. Satopää et al., "Combining multiple probability predictions using a simple logit model", International
       Journal of Forecasting 30(2), 2014.

    Examples
    --------
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=5, random_state=0)
    >>> small = el.LSTMClassifier(hidden_size=8, max_epochs=2)
    >>> blend = el.EventBlend(random_state=0).set_params(relative__estimator=small, whitened__estimator=small)
    >>> blend.fit(log.X, log.y).names_
    ['relative', 'whitened', 'forest', 'boosting']
    >>> blend.predict_proba(log.X).shape == (len(log.X), 2)
    True
    >>> networks_alone = blend.set_params(weights=[1, 1, 0, 0]).predict_proba(log.X)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimators": [list, tuple, None],
        "weights": ["array-like", None],
        "n_jobs": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators: Any = None,
        *,
        weights: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @property
    def named_estimators_(self) -> Bunch:
        """The fitted parts by name."""
        return Bunch(**dict(zip(self.names_, self.estimators_, strict=True)))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters and, by their names, the parts and their own parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the parts too.

        Returns
        -------
        dict
            Parameter by name: "weights", "relative", "relative__window_size" and so on.
        """
        found: dict[str, Any] = super().get_params(deep=False)
        for name, part in self._listed() if deep else ():
            found[name] = part
            inner = part.get_params() if hasattr(part, "get_params") and not isinstance(part, type) else {}
            found |= {f"{name}__{key}": value for key, value in inner.items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the blend, whole parts by their name, and parameters of parts.

        Parameters
        ----------
        **params : dict
            Value by parameter: ``weights=[1, 1, 0, 0]``, ``forest="drop"``, ``relative__window_size=16``. Where
            `estimators` is None and a part is named, the default parts and their weights are put there first.

        Returns
        -------
        EventBlend
            The blend itself.
        """
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        parts = self._listed()
        if {name.partition("__")[0] for name in params} & {name for name, _ in parts}:
            if self.estimators is None and self.weights is None:
                self.weights = list(DEFAULT_WEIGHTS)
            self.estimators = [(name, params.pop(name, part)) for name, part in parts]
        super().set_params(**params)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the parts on a log.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            The log, sorted by run and time; its index carries both. An array is one run.
        y : Series or array-like of shape (n_rows,)
            The class of each row, in the order of `X`.
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row.

        Returns
        -------
        EventBlend
            The fitted estimator.

        Raises
        ------
        ValueError
            If the index is lost, unsorted or has duplicates, `y` is in another order than `X`, values are missing, the
            parts or weights are none, or a part fails, which the message then names.
        """
        names, parts = self._make_parts()
        self._weigh(names)
        checked, index, facts = check_fit(self, X, y, sample_weight)
        self.index_names_ = facts.index_names_
        self.fingerprint_ = take_fingerprint(X, checked.values)
        self.merge_rows_ = suit_merge_rows(is_event(checked.labels), index)
        self.classes_ = np.unique(checked.labels)
        refuse_one_class(checked.labels, checked.weight)
        self.quiet_class_, self.usual_ = learn_usual(checked)
        weighted = checked.weight is not None and (checked.weight != 1).any()
        log = map(repeat, (X, y, checked.weight if weighted else None))
        backwards = (
            parts[::-1],
            names[::-1],
        )  # what takes longest by default, the trees, first: no core waits at the end
        self.estimators_ = train_side_by_side(self._fit_part, self.n_jobs, *backwards, *log)[::-1]
        self.names_ = names
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class at every row, from the rows up to it.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Probabilities, in the order of `classes_`; never NaN.
        """
        return self._hear(_score_part, X)

    def occluded_proba(self, X: Any, rows: Any = None) -> np.ndarray:
        """Return the probability of each class at some rows, were the recent rows of one sensor after the other usual.

        Parts that are an `EventClassifier` hide a sensor in what they look at, each by itself. Other parts, pipelines
        among them, are asked of the whole log with the sensor at `usual_` in all rows, as they offer no more than
        `predict_proba`.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.
        rows : array-like of int of shape (n_asked,), default=None
            Numbers of the rows that are asked, rising; None is all.

        Returns
        -------
        ndarray of shape (n_asked, 1 + n_sensors, n_classes)
            Probabilities with all sensors, then with each in turn at its usual value.

        Raises
        ------
        ValueError
            If `rows` are not of the log, or the model was saved by a version that did not learn what is usual.
        """
        check_is_fitted(self)
        refuse_unknown_usual(self)
        return self._hear(_hide_in_part, X, repeat(self.usual_), repeat(check_rows(rows, len(X))))

    def _hear(self, ask: Any, X: Any, *more: Any) -> np.ndarray:
        """Return the mean opinion of the parts with a weight, each asked by `ask` of a log and what comes with it."""
        check_is_fitted(self)
        refuse_lost_index(X, self.index_names_)
        check_log_values(self, X, reset=False)
        weights = self._weigh(self.names_)
        asked = np.flatnonzero(weights)
        parts, names = ([members[k] for k in asked] for members in (self.estimators_, self.names_))
        return mean_log_odds(np.stack(side_by_side(ask, self.n_jobs, parts, names, repeat(X), *more)), weights[asked])

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

    def _listed(self) -> list[tuple[str, Any]]:
        """Return the parts by name, dropped ones included; none where `estimators` is no list of parts."""
        if self.estimators is None:
            return default_parts()
        items = self.estimators if isinstance(self.estimators, list | tuple) else []
        named = all(isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) for item in items)
        return [(name, part) for name, part in items] if named else []

    def _make_parts(self) -> tuple[list[str], list[Any]]:
        """Clone the parts that are not dropped, and hand out the seeds."""
        listed = self._listed()
        self._check_parts(listed)
        draw = None if self.random_state is None else check_random_state(self.random_state)
        # A part has a generator of its own: how many seeds others take does not change those it gets.
        rngs = [None if draw is None else np.random.RandomState(draw.randint(LARGEST_SEED)) for _ in listed]
        kept = [(name, part, rng) for (name, part), rng in zip(listed, rngs, strict=True) if not _is_dropped(part)]
        parts = [make_members(part, 1, rng, self.verbose)[0] for _, part, rng in kept]
        return [name for name, _, _ in kept], parts

    def _check_parts(self, listed: list[tuple[str, Any]]) -> None:
        """Refuse what is no list of classifiers by name."""
        names = [name for name, _ in listed]
        taken = set(self.get_params(deep=False))
        wrong = [name for name in names if "__" in name or name in taken or names.count(name) > 1]
        wrong += [name for name, part in listed if not (_is_dropped(part) or _is_classifier(part))]
        if wrong or all(_is_dropped(part) for _, part in listed):
            at_fault = f"; {wrong[0]!r} is not such a pair" if wrong else ""
            raise ValueError(
                "estimators must be a list of pairs of a name and a classifier with predict_proba, not all of them "
                f"'drop'{at_fault}. Names are different, without '__', and none of {', '.join(sorted(taken))}: "
                "[('level', EventClassifier(inputs='level')), ...]."
            )

    def _weigh(self, names: list[str]) -> np.ndarray:
        """Return the weights (n_names,) of the parts of these names."""
        # A fitted blend may be of an earlier version, whose default parts were others.
        defaults = [name for name, _ in self._listed()]
        listed = names if self.estimators is None else defaults
        given = (
            DEFAULT_WEIGHTS if self.weights is None and self.estimators is None and names == defaults else self.weights
        )
        weights = np.ones(len(listed)) if given is None else np.asarray(given, dtype=float)
        if weights.shape != (len(listed),) or not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError(
                f"weights={self.weights!r} must hold a number of zero or more for each of the {len(listed)} parts: "
                f"{', '.join(listed)}."
            )
        if not set(names) <= set(listed):
            raise ValueError(f"estimators has changed since fit, which saw the parts {', '.join(names)}. Fit again.")
        chosen = np.array([weights[listed.index(name)] for name in names])
        if not chosen.any():
            raise ValueError(f"weights={self.weights!r} leaves no part to hear. Give {' or '.join(names)} a weight.")
        return chosen

    def _fit_part(self, part: Any, name: str, X: Any, y: Any, sample_weight: Any) -> Any:
        # One thread of OpenMP also where the parts go one after the other: the trees' sums depend on their number.
        with _naming(name), threadpool_limits(1, user_api="openmp"):
            part.fit(X, y, **weight_arguments(part, sample_weight))
            if not np.array_equal(part.classes_, self.classes_):
                raise ValueError(
                    f"it has learnt the classes {list(part.classes_)}, but y holds {list(self.classes_)}. Give all "
                    "parts the same horizon and labels, and rows of each class a weight."
                )
        return part


def weights_of(blend: EventBlend) -> np.ndarray:
    """Return the weights (n_parts,) of the parts of a fitted blend."""
    return blend._weigh(blend.names_)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say in which part an error happened."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"Part {name!r} of the blend: {error}") from error
    except Exception as error:
        error.add_note(f"This happened in the part {name!r} of the blend.")
        raise


def _score_part(part: Any, name: str, X: Any) -> np.ndarray:
    with _naming(name):
        proba: np.ndarray = part.predict_proba(X)
    return proba


def _hide_in_part(part: Any, name: str, X: Any, usual: np.ndarray, rows: np.ndarray) -> np.ndarray:
    with _naming(name):
        if hasattr(part, "occluded_proba"):
            proba: np.ndarray = part.occluded_proba(X, rows)
            return proba
        return np.stack([part.predict_proba(shown)[rows] for shown in _hide_in_turn(X, usual)], axis=1)


def _hide_in_turn(X: Any, usual: np.ndarray) -> Iterator[Any]:
    """Yield a log as it is, then with each sensor in turn at its usual value in all rows."""
    yield X
    for sensor, value in enumerate(usual):
        if isinstance(X, pd.DataFrame):
            frame = X.copy()
            frame.isetitem(sensor, value)
            yield frame
        else:
            values = np.array(X, dtype=np.float64)
            values[:, sensor] = value
            yield values


def _is_dropped(part: Any) -> bool:
    return isinstance(part, str) and part == DROP


def _is_classifier(part: Any) -> bool:
    return not isinstance(part, type) and hasattr(part, "fit") and hasattr(part, "predict_proba")
