"""A classifier of two classes from a detector of outliers, which learns the more frequent class alone."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, has_fit_parameter

from .._validation import HasMethods, check_is_fitted, check_sample_weight, fit_context, validate_data
from ..alarms.model_scores import score_rows
from ..logs.log_windows import LogWindows
from ..recurrent.members import takes_3d

# Quantiles of the quiet scores: the middle, and the border, of which the distance is the unit of scores.
MIDDLE, BORDER = 0.5, 0.99


class OutlierClassifier(ClassifierMixin, BaseEstimator):
    """Classify samples by how abnormal a detector of outliers finds them.

    The detector is fitted on the samples of the more frequent class; the other class is what is abnormal to it.

    Parameters
    ----------
    detector : estimator
        A detector with `score_samples` or `decision_function`, such as `LSTMAutoencoder` or `IsolationForest`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The classes.
    detector_ : estimator
        The fitted detector.
    quiet_class_ : int
        Which of the classes it learnt.
    border_ : float
        The score that a hundredth of the quiet samples exceed: there both classes are as probable.
    spread_ : float
        How far that is above the middle score of the quiet samples.
    n_features_in_ : int
        Numbers in a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when `X` was a DataFrame with string columns.

    Notes
    -----
    The probability of the abnormal class is ``1 / (1 + exp(-arcsinh(z)))`` with ``z = (score - border_) / spread_``. It
    rises with the score however high that is, where a plain logistic would soon be one for all. It is an order more
    than a probability: `CalibratedClassifierCV` makes one of it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from eventlstm.detectors.outlier_classifier import OutlierClassifier
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = np.arange(300) >= 290
    >>> X[y] += 6.0
    >>> proba = OutlierClassifier(IsolationForest(random_state=0)).fit(X, y).predict_proba(X)[:, 1]
    >>> bool(proba[y].min() > proba[~y].max())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"detector": [HasMethods("fit")]}

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the detector on the more frequent class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or windows
            Samples; arrays of three axes and `LogWindows` are handed on as they are.
        y : array-like of shape (n_samples,)
            Two classes.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each sample; those of weight zero are left out.

        Returns
        -------
        OutlierClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If there are more or fewer classes than two, or the detector takes no `sample_weight` and there are several.
        """
        X, y = self._check_fit(X, y)
        weight = np.ones(len(y))
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self._refuse_other_than_two(numbers[weight > 0])
        # counted, not weighed: balanced weights make both classes as heavy, and rounding would choose
        self.quiet_class_ = int(np.bincount(numbers[weight > 0]).argmax())
        quiet = np.flatnonzero((numbers == self.quiet_class_) & (weight > 0))
        samples, weight = X.take(quiet, axis=0), weight[quiet]
        self.detector_ = self._fit_detector(samples, weight, weighted=sample_weight is not None)
        score = score_rows(self.detector_, samples)
        middle, self.border_ = np.quantile(score, [MIDDLE, BORDER], weights=weight, method="inverted_cdf").tolist()
        self.spread_ = self.border_ - middle or 1.0
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or windows
            Samples, of the shape in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Probabilities, in the order of `classes_`; that of the abnormal class rises with the detector's score.
        """
        check_is_fitted(self)
        score = score_rows(self.detector_, X if is_whole(X) else validate_data(self, X, reset=False))
        odds = np.arcsinh((score - self.border_) / self.spread_)  # their logarithm
        proba = np.stack([expit(odds), expit(-odds)], axis=1)
        return proba if self.quiet_class_ else proba[:, ::-1]

    def predict(self, X: Any) -> np.ndarray:
        """Return the more probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or windows
            Samples, of the shape in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def _check_fit(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        if y is None:
            raise ValueError("OutlierClassifier requires y to be passed, but the target y is None. Pass a class each.")
        if is_whole(X):
            self.n_features_in_ = X.shape[1] * X.shape[2]
            y = column_or_1d(y)
            check_consistent_length(X, y)
        else:
            X, y = validate_data(self, X, y)
        check_classification_targets(y)
        return X, y

    def _refuse_other_than_two(self, numbers: np.ndarray) -> None:
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported: {type(self.detector).__name__} tells normal from abnormal, "
                f"but y holds {len(self.classes_)} classes. Pass y == 'fault', say."
            )
        if len(np.unique(numbers)) < 2:
            raise ValueError("The samples with weight are of one class; two are wanted. Label an event.")

    def _fit_detector(self, samples: Any, weight: np.ndarray, *, weighted: bool) -> Any:
        detector = clone(self.detector)
        if weighted and has_fit_parameter(detector, "sample_weight"):
            return detector.fit(samples, sample_weight=weight)
        if np.ptp(weight) > 0:
            raise ValueError(
                f"{type(detector).__name__} takes no sample_weight in fit. Leave it out, or use another detector."
            )
        return detector.fit(samples)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = takes_3d(self.detector)
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = True  # it never sees what the other class looks like
        return tags


def is_whole(X: Any) -> bool:
    """Return whether samples are windows that are not flattened."""
    return isinstance(X, LogWindows) or getattr(X, "ndim", 2) == 3
