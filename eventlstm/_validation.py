"""The one place that touches the private helpers of scikit-learn and imbalanced-learn."""

from __future__ import annotations

from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper as BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE as NODE_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = [
    "NODE_DTYPE",
    "BinMapper",
    "HasMethods",
    "Interval",
    "StrOptions",
    "TreePredictor",
    "check_is_fitted",
    "check_sample_weight",
    "fit_context",
    "loss_of_trees",
    "resample_as_fitted",
    "validate_data",
    "validate_parameters",
]


def validate_parameters(estimator: Any) -> None:
    """Hold the parameters of an estimator to its table of constraints, outside of `fit`."""
    estimator._validate_params()


def loss_of_trees(trees: Any) -> Any:
    """Return the loss that boosted trees predict by."""
    return trees._get_loss(sample_weight=None)


def resample_as_fitted(sampler: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """Resample by what `fit` has counted: ``fit_resample`` would take these few rows for all there are."""
    return sampler._fit_resample(X, y)
