"""Networks trained on balanced bags of windows ``(n_windows, n_timesteps, n_channels)``, and heard as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils import check_target_type
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import average_precision_score
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets

from .._validation import HasMethods, Interval, StrOptions, check_is_fitted, check_sample_weight, fit_context
from ..logs.shared import LARGEST_SEED, warn
from ..sampling.bags import find_units
from ..training.crew import side_by_side, train_side_by_side
from .bagged_member import Trained, TrainingSet, score
from .checking import CheckedWindows, check_windows
from .lstm_classifier import LSTMClassifier
from .members import SUREST, make_members, mean_log_odds, refuse_unseeded_checkpoints


class BalancedBaggingLSTMClassifier(ClassifierMixin, BaseEstimator):
    """Several networks, each trained on a bag of windows that a sampler has balanced.

    The parameters, by what they set:

    - Members: `estimator`, `n_estimators`, `warm_start`.
    - Bags: `max_samples`, `bootstrap`, `sampler`, `sampling_strategy`, `replacement`.
    - Probabilities: `oob_score`, `correct_prior`.
    - Machine: `n_jobs`, `verbose`, `random_state`.

    Parameters
    ----------
    estimator : estimator or None, default=None
        A classifier of windows; None is ``LSTMClassifier()``, which a search over ``estimator__loss`` and the like
        needs to be given. Any scikit-learn classifier with `predict_proba` will do: it gets the windows flattened.
    n_estimators : int, default=10
        Members.
    max_samples : int or float, default=1.0
        What is drawn for each member before its sampler runs: the number or the share of the windows of an array, of
        the runs or events of a log.
    bootstrap : bool, default=True
        Whether it is drawn with replacement. Without, and with all of it, members differ by their sampler and seed.
    sampler : sampler or None, default=None
        A sampler of imbalanced-learn, or `TemporalOversampler`, that balances each bag; None is
        ``RandomUnderSampler(sampling_strategy, replacement)``.
    sampling_strategy : float, str, dict or callable, default="auto"
        The ratio or the numbers that the sampler is to reach, as in imbalanced-learn; "auto" leaves a `sampler` what it
        has been told.
    replacement : bool, default=False
        Whether the default sampler draws with replacement.
    oob_score : bool or callable, default=False
        Whether to score each window by the members that have not drawn it. True is the average precision; a callable
        ``metric(y_true, y_pred)`` gets the classes, as in scikit-learn's forests.
    n_jobs : int or None, default=None
        Threads for the members, side by side; None and negative numbers are one a core. Inside of
        ``joblib.parallel_config("loky", n_jobs=4)``, or of "dask", "ray" or "spark", members train on the workers of
        that backend, as many as said here or there (`eventlstm.training.backends`). The results do not depend on it.
    correct_prior : bool, default=False
        Whether probabilities are freed from the balancing, and from what weights and losses of the members did to them.
        The same limits hold as in `LSTMClassifier`: exact for samplers that choose at random, the shares only for
        others. Set it before `fit`.
    warm_start : bool, default=False
        Whether `fit` keeps the members of the last call and adds those that `n_estimators` has more.
    verbose : int, default=0
        Handed on to the members: whether they show their progress.
    random_state : int, RandomState or None, default=None
        Where bags and the seeds of samplers and members come from. With an int, the global generators are left alone.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    estimators_ : list of estimators
        The fitted members.
    estimators_samples_ : list of ndarray
        For each member the numbers of the windows it was trained on, after its sampler; repeated as often as drawn,
        and without those that the sampler made.
    class_counts_ : ndarray of shape (n_estimators, n_classes)
        How many windows of each class a member was trained on, made ones included.
    class_factors_ : ndarray of shape (n_estimators, n_classes)
        By which factor a member saw the weight of each class, against all windows.
    oob_decision_function_ : ndarray of shape (n_windows, n_classes)
        With `oob_score`: probabilities by the members that have not drawn a window, NaN where all have.
    oob_score_ : float
        With `oob_score`: the average precision for each class but the most frequent, averaged, by `sample_weight`; or
        what the callable returns. NaN where no window of some class is out of a bag.
    n_features_in_ : int
        ``n_timesteps_ * n_channels_``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        The names of the columns, when `X` was a DataFrame with string columns.
    n_timesteps_ : int
        Steps of a window in `fit`.
    n_channels_ : int
        Channels of a step in `fit`.

    Warns
    -----
    UserWarning
        When some windows were drawn by all members and have no out-of-bag probability, or a warm start adds nothing.

    See Also
    --------
    EventClassifier : Takes it as ``EventClassifier(BalancedBaggingLSTMClassifier(), mode="windows", n_estimators=1)``.
    imblearn.ensemble.BalancedBaggingClassifier : The same for rows of a table.

    Notes
    -----
    Windows of an array are drawn one by one. Of a `LogWindows`, whole runs (stretches without a gap) are drawn, or,
    where fewer than two of them hold events, events with what lies around them: overlapping windows of one event would
    otherwise be in and out of a bag at once, and the out-of-bag score would be one of windows all but learnt by heart.
    A bag that lacks a class is drawn anew. Members with ``early_stopping=True`` watch the windows out of their bag.

    A member counts with the logarithm of its probabilities, floored at one in a million; imbalanced-learn averages the
    probabilities. There is no `max_features`: the columns of a flattened window are steps of the same few sensors,
    and a network that is handed some of them has no time left to read along. Accuracy as an out-of-bag score is highest
    where no event is ever found, hence the average precision.

    References
    ----------
    Breiman, "Bagging predictors", 1996.
    Liu, Wu and Zhou, "Exploratory undersampling for class-imbalance learning", 2009.
    Hido, Kashima and Takahashi, "Roughly balanced bagging for imbalanced data", 2009.
    Wallace, Small, Brodley and Trikalinos, "Class imbalance, redux", 2011 (why bagging suits undersampling).

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import BalancedBaggingLSTMClassifier, LSTMClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 8, 2))
    >>> y = (X[:, -2:, 0].mean(axis=1) > 1).astype(int)
    >>> small = LSTMClassifier(hidden_size=4, max_epochs=5)
    >>> model = BalancedBaggingLSTMClassifier(small, n_estimators=3, correct_prior=True, random_state=0).fit(X, y)
    >>> bool((model.class_counts_[:, 0] == model.class_counts_[:, 1]).all())
    True
    >>> model.predict_proba(X).shape
    (200, 2)
    """

    classes_: np.ndarray

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(Integral, 1, None, closed="left"), Interval(Real, 0, 1, closed="right")],
        "bootstrap": ["boolean"],
        "sampler": [HasMethods("fit_resample"), None],
        "sampling_strategy": [
            Interval(Real, 0, 1, closed="right"),
            StrOptions({"auto", "majority", "minority", "not minority", "not majority", "all"}),
            dict,
            callable,
        ],
        "replacement": ["boolean"],
        "oob_score": ["boolean", callable],
        "n_jobs": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left"), None],
        "correct_prior": ["boolean"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        *,
        max_samples: Any = 1.0,
        bootstrap: bool = True,
        sampler: Any = None,
        sampling_strategy: Any = "auto",
        replacement: bool = False,
        oob_score: Any = False,
        n_jobs: int | None = None,
        correct_prior: bool = False,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.bootstrap = bootstrap
        self.sampler = sampler
        self.sampling_strategy = sampling_strategy
        self.replacement = replacement
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.correct_prior = correct_prior
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    @property
    def n_channels(self) -> int:
        """Channels of a time step in windows that come flattened to 2-D: what the estimator says, or one."""
        found = self._template().get_params()
        return next((found[name] for name in sorted(found) if name.split("__")[-1] == "n_channels"), 1)

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, lengths: Any = None) -> Self:
        """Train the members on windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows.
        y : array-like of shape (n_windows,)
            Classes, two or more, numbers or strings.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss; windows of weight zero are never drawn.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        BalancedBaggingLSTMClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, there is one class only, no bag can be drawn that holds every class, or a
            member or its sampler fails.
        """
        goes_on = self.warm_start and hasattr(self, "estimators_")
        windows, y, weight = self._check_fit(X, y, sample_weight, lengths, reset=not goes_on)
        before = self._members_before() if goes_on else []
        members, rngs = self._make_members(len(before))
        training_set = self._plan(windows, y, weight)
        how = repeat(self.max_samples), repeat(self.bootstrap)
        trained = before + train_side_by_side(_train, self.n_jobs, members, rngs, repeat(training_set), *how)
        self.estimators_ = [one.member for one in trained]
        self.estimators_samples_ = [one.samples for one in trained]
        self.class_counts_ = np.stack([one.counts for one in trained])
        self.class_factors_ = np.stack([one.factors for one in trained])
        if self.oob_score:
            self._score_out_of_bag(training_set, [one.rest for one in trained])
        return self

    def predict_proba(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the probability of each class: the mean of the members' log-odds.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Probabilities, in the order of `classes_`.
        """
        check_is_fitted(self)
        windows, _ = check_windows(self, X, reset=False, dtype=self._dtype(), lengths=lengths)
        return mean_log_odds(np.stack(self._ask(repeat(windows), range(len(self.estimators_)))))

    def predict(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the most probable class.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,)
            Classes.
        """
        proba = self.predict_proba(X, lengths=lengths)
        return self.classes_[proba.argmax(axis=1)]

    def _check_fit(
        self, X: Any, y: Any, sample_weight: Any, lengths: Any, *, reset: bool
    ) -> tuple[CheckedWindows, np.ndarray, np.ndarray | None]:
        """Check the input of a fit and learn its shape and classes."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Pass a class per window."
            )
        if getattr(y, "ndim", 1) > 1:
            check_target_type(y)  # a table of labels is refused in imbalanced-learn's words
        windows, y = check_windows(self, X, y, reset=reset, dtype=self._dtype(), lengths=lengths)
        check_classification_targets(y)
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
        classes, present = np.unique(y), np.unique(y if weight is None else y[weight > 0])
        if len(present) < 2:
            raise ValueError(
                f"The windows to train on are of one class only, {present.tolist()}; two or more are wanted. If this "
                "is a fold of a cross-validation, no event fell into its training part: take fewer folds or RunKFold."
            )
        if not reset and not np.array_equal(classes, self.classes_):
            raise ValueError(f"y has the classes {classes}, but training began with {self.classes_}. Fit anew.")
        self.classes_ = classes
        self.n_timesteps_, self.n_channels_ = windows.values.shape[1:]
        return windows, y, weight

    def _dtype(self) -> str:
        """Return the type of the numbers: float32, unless the estimator asks for more or is none of ours."""
        template = self._template()
        return "float32" if getattr(template, "precision", "float64") != "float64" else "float64"

    def _template(self) -> Any:
        return LSTMClassifier() if self.estimator is None else self.estimator

    def _plan(self, windows: CheckedWindows, y: np.ndarray, weight: np.ndarray | None) -> TrainingSet:
        """Return what all members are trained on."""
        used = np.arange(len(y)) if weight is None else np.flatnonzero(weight > 0)
        channels = getattr(self._template(), "categorical_channels", None)
        codes = () if channels is None else tuple(channels)
        unit = find_units(windows.take(used).values, y[used])
        return TrainingSet(windows, y, weight, used, unit, self._make_sampler(), codes)

    def _make_sampler(self) -> Any:
        """Return the sampler of all members, told of its ratio."""
        if self.sampler is None:
            return RandomUnderSampler(sampling_strategy=self.sampling_strategy, replacement=self.replacement)
        sampler = clone(self.sampler, safe=False)
        told = isinstance(self.sampling_strategy, str) and self.sampling_strategy == "auto"
        return sampler if told else sampler.set_params(sampling_strategy=self.sampling_strategy)

    def _members_before(self) -> list[Trained]:
        """Return the members that a warm start keeps."""
        n_before = len(self.estimators_)
        if self.oob_score:
            raise ValueError(
                "oob_score cannot be found in a warm start, whose first members' bags are gone. Set oob_score=False, "
                "or warm_start=False."
            )
        if self.n_estimators < n_before:
            raise ValueError(
                f"n_estimators={self.n_estimators} is fewer than the {n_before} members that warm_start=True keeps. "
                "Raise it, or set warm_start=False."
            )
        if self.n_estimators == n_before:
            warn(f"warm_start=True adds nothing: n_estimators is {n_before} as before.")
        kept = zip(self.estimators_, self.estimators_samples_, self.class_counts_, self.class_factors_, strict=True)
        return [Trained(*one, rest=np.empty(0, dtype=np.intp)) for one in kept]

    def _make_members(self, n_before: int) -> tuple[list[Any], list[np.random.RandomState]]:
        """Clone the estimator for members not there yet, and seed them, and for each what draws its bag."""
        template = self._template()
        refuse_unseeded_checkpoints(template, self)
        draw = check_random_state(self.random_state)
        of_members, of_bags = (np.random.RandomState(draw.randint(LARGEST_SEED)) for _ in range(2))
        members = make_members(template, self.n_estimators, of_members, self.verbose)
        rngs = [np.random.RandomState(of_bags.randint(LARGEST_SEED)) for _ in members]
        for member in members if self.correct_prior else ():
            names = [name for name in member.get_params() if name.split("__")[-1] == "correct_prior"]
            member.set_params(**dict.fromkeys(names, True))
        return members[n_before:], rngs[n_before:]

    def _ask(self, windows: Iterable[CheckedWindows], asked: Sequence[int]) -> list[np.ndarray]:
        """Return the probabilities of some members, each for its turn of windows, side by side."""
        members = [self.estimators_[k] for k in asked]
        factors = [self.class_factors_[k] if self.correct_prior else None for k in asked]
        return side_by_side(score, self.n_jobs, members, windows, repeat(self.classes_), factors)

    def _score_out_of_bag(self, training_set: TrainingSet, rests: list[np.ndarray]) -> None:
        """Score each window by the members that have not drawn it."""
        asked = [k for k, rest in enumerate(rests) if len(rest)]
        total, n_heard = np.zeros((len(training_set.y), len(self.classes_))), np.zeros(len(training_set.y))
        for k, proba in zip(asked, self._ask((training_set.windows.take(rests[k]) for k in asked), asked), strict=True):
            total[rests[k]] += np.log(np.maximum(proba, SUREST))
            n_heard[rests[k]] += 1
        heard = np.isin(np.arange(len(training_set.y)), training_set.used) & (n_heard > 0)
        if heard.sum() < len(training_set.used):
            warn(
                f"{len(training_set.used) - int(heard.sum())} of {len(training_set.used)} windows were drawn by all "
                "members and have no out-of-bag probability. Raise "
                "n_estimators; a log needs several runs or events for it.",
            )
        self.oob_decision_function_ = np.full(total.shape, np.nan)
        self.oob_decision_function_[heard] = softmax(total[heard] / n_heard[heard, None], axis=1)
        weight = None if training_set.weight is None else training_set.weight[heard]
        self.oob_score_ = self._judge(training_set.y[heard], self.oob_decision_function_[heard], weight)

    def _judge(self, y: np.ndarray, proba: np.ndarray, weight: np.ndarray | None) -> float:
        """Return the score of probabilities out of the bag."""
        if callable(self.oob_score):
            return float(self.oob_score(y, self.classes_[proba.argmax(axis=1)])) if len(y) else np.nan
        found, counts = np.unique(y, return_counts=True)
        if len(found) < len(self.classes_):
            return np.nan
        rare = np.delete(np.arange(len(found)), counts.argmax())
        return float(np.mean([average_precision_score(y == found[k], proba[:, k], sample_weight=weight) for k in rare]))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _train(
    member: Any, rng: np.random.RandomState, training_set: TrainingSet, max_samples: Any, bootstrap: bool
) -> Trained:
    return training_set.train(member, rng, max_samples, bootstrap)
