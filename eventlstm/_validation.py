"""The one place that touches the private helpers of scikit-learn and imbalanced-learn."""

from __future__ import annotations

from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper as BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE as NODE_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import NODE_DTYPE as FOREST_NODE_DTYPE
from sklearn.tree._tree import Tree
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_parameter_constraints
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = [
    "FOREST_NODE_DTYPE",
    "NODE_DTYPE",
    "BinMapper",
    "HasMethods",
    "Interval",
    "StrOptions",
    "Tree",
    "TreePredictor",
    "check_feature_names_in",
    "check_is_fitted",
    "check_sample_weight",
    "constraints_of",
    "fit_context",
    "loss_of_trees",
    "resample_as_fitted",
    "validate_arguments",
    "validate_data",
    "validate_parameters",
    "validate_steps",
]


def validate_parameters(estimator: Any) -> None:
    """Hold the parameters of an estimator to its table of constraints, outside of `fit`; without one all are let be."""
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def validate_arguments(constraints: dict[str, Any], arguments: dict[str, Any], caller: str) -> None:
    """Hold arguments to those of a table of constraints that bear their names."""
    shared = constraints.keys() & arguments.keys()
    known = {name: constraints[name] for name in shared}
    validate_parameter_constraints(known, {name: arguments[name] for name in shared}, caller)


def constraints_of(estimator: Any) -> dict[str, Any]:
    """Return the table of constraints on an estimator's parameters."""
    return dict(estimator._parameter_constraints)


def validate_steps(pipeline: Any) -> None:
    """Refuse steps that do not make a pipeline."""
    pipeline._validate_steps()


def loss_of_trees(trees: Any) -> Any:
    """Return the loss that boosted trees predict by."""
    return trees._get_loss(sample_weight=None)


def resample_as_fitted(sampler: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """Resample by what `fit` has counted: ``fit_resample`` would take these few rows for all there are."""
    return sampler._fit_resample(X, y)
