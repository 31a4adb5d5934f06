"""Estimators of scikit-learn inside of a graph: trees by our own tables, all others by skl2onnx, in double precision.

Samples are ``(batch, n_features)``.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline

from ..alarms.model_scores import steps_of
from ..logs.flatten_windows import FlattenWindows
from .graph import OPSET, Graph, Tensor
from .refusal import refuse
from .trees import (
    FORECASTING_FORESTS,
    FORESTS,
    boosted_forecast,
    boosted_proba,
    forest_forecast,
    forest_proba,
    isolation_score,
)

# What skl2onnx writes and ONNX Runtime does not run in double precision; trees of others than above are among them.
NOT_RUN = {"Imputer", "SVMRegressor", "TreeEnsembleClassifier", "TreeEnsembleRegressor"}
MAX_REASON_LENGTH = 120
# Samples on which what skl2onnx writes has to be like the estimator: normal ones of these sizes.
PROBED_SIZES, N_PROBES, PROBED_ALIKE = (0.1, 1.0, 10.0, 1000.0), 32, 1e-6


def proba_of_samples(member: Any, x: Tensor, n_features: int) -> Tensor:
    """Return the probabilities (batch, n_classes) of a classifier."""
    *before, last = steps_of(member)
    x, n_features = transform_all(before, x, n_features)
    if isinstance(last, FORESTS):
        return forest_proba(last, x)
    if isinstance(last, HistGradientBoostingClassifier):
        return boosted_proba(last, x)
    return inline(last, x, n_features, "probabilities", last.predict_proba, zipmap=False)


def forecast_of_samples(member: Any, x: Tensor, n_features: int) -> Tensor:
    """Return the forecast (batch, n_targets) of a regressor."""
    *before, last = steps_of(member)
    x, n_features = transform_all(before, x, n_features)
    if isinstance(last, MultiOutputRegressor):
        return x.graph.concat([forecast_of_samples(one, x, n_features) for one in last.estimators_], axis=1)
    if isinstance(last, FORECASTING_FORESTS):
        return forest_forecast(last, x)
    if isinstance(last, HistGradientBoostingRegressor):
        return boosted_forecast(last, x)
    return inline(last, x, n_features, "variable", last.predict).reshape(0, -1)


def score_of_samples(detector: Any, x: Tensor, n_features: int) -> Tensor:
    """Return how abnormal a detector of outliers finds samples, (batch, 1)."""
    *before, last = steps_of(detector)
    x, n_features = transform_all(before, x, n_features)
    if isinstance(last, IsolationForest):
        return isolation_score(last, x)
    if not hasattr(last, "score_samples"):
        refuse(last, "it has no score_samples. Use IsolationForest or LSTMAutoencoder.")
    return inline(last, x, n_features, "score_samples", last.score_samples, score_samples=True).reshape(-1, 1) * -1.0


def transform_all(steps: list[Any], x: Tensor, n_features: int) -> tuple[Tensor, int]:
    """Return what transformers make of samples one after the other, and how many features that has."""
    for step in steps:
        x, n_features = transform(step, x, n_features)
    return x, n_features


def transform(step: Any, x: Tensor, n_features: int) -> tuple[Tensor, int]:
    """Return what a transformer of single samples makes of them, and how many features that has."""
    if step is None or step == "passthrough" or isinstance(step, FlattenWindows):
        return x, n_features
    if isinstance(step, Pipeline):
        return transform_all(steps_of(step), x, n_features)
    if isinstance(step, SimpleImputer):
        return _fill(step, x), n_features
    return inline(step, x, n_features, "variable", step.transform), len(_names_out(step))


def _names_out(step: Any) -> Any:
    try:
        return step.get_feature_names_out()
    except (AttributeError, ValueError, TypeError):
        refuse(step, "it does not say how many features it makes. Leave it out of the pipeline.")


def _fill(imputer: SimpleImputer, x: Tensor) -> Tensor:
    """Return samples with what an imputer has learnt in place of NaN."""
    fill = np.asarray(imputer.statistics_)
    if imputer.add_indicator or fill.dtype.kind != "f" or np.isnan(fill).any() or not np.isnan(imputer.missing_values):
        refuse(
            imputer, "it does more than fill NaN by a number. Use ForwardFill, or the imputer without add_indicator."
        )
    return x.graph.where(x.graph.apply("IsNaN", x, dtype=bool), x.graph.constant(fill.astype(np.float64)), x)


def inline(
    estimator: Any, x: Tensor, n_features: int, output: str, method: Callable[[np.ndarray], Any], **options: Any
) -> Tensor:
    """Return an output of an estimator, that of a method, as skl2onnx writes it, its nodes taken into the graph."""
    model = _convert(estimator, n_features, options)
    known = [value.name for value in model.graph.output]
    if output not in known:
        refuse(estimator, f"skl2onnx writes {', '.join(known)} of it, where {output} is wanted.")
    unrun = sorted({node.op_type for node in model.graph.node} & NOT_RUN)
    if unrun:
        refuse(estimator, f"ONNX Runtime does not run its {unrun[0]} in double precision. Use another estimator.")
    _refuse_unlike(estimator, model, n_features, output, method)
    return _take_in(x.graph, model, x, output)


def _convert(estimator: Any, n_features: int, options: dict[str, Any]) -> Any:
    from onnx.shape_inference import infer_shapes
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType

    try:
        model = convert_sklearn(
            estimator,
            initial_types=[("x", DoubleTensorType([None, n_features]))],
            target_opset=OPSET,
            options={id(estimator): options} if options else None,
        )
        infer_shapes(model, check_type=True, strict_mode=True)  # some mix single with double precision
    except Exception as error:  # of its own kinds, and whatever its converters run into
        reason = textwrap.shorten(str(error), MAX_REASON_LENGTH).rstrip(".")
        refuse(estimator, f"skl2onnx does not know how ({type(error).__name__}: {reason}).")
    return model


def _refuse_unlike(
    estimator: Any, model: Any, n_features: int, output: str, method: Callable[[np.ndarray], Any]
) -> None:
    """Refuse an estimator of which skl2onnx has written something else, as it does of a calibrated pipeline."""
    from onnx.reference import ReferenceEvaluator

    sizes = np.repeat(PROBED_SIZES, N_PROBES)[:, None]
    probes = np.random.RandomState(0).normal(size=(len(sizes), n_features)) * sizes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names of features, which probes have none of
        try:
            wanted = np.asarray(method(probes), dtype=np.float64)
            outputs: Any = ReferenceEvaluator(model).run([output], {"x": probes})
            found = np.reshape(outputs[0], wanted.shape)
        except Exception as error:  # of whatever an estimator or a node runs into
            refuse(estimator, f"it cannot be compared with what skl2onnx writes ({type(error).__name__}).")
    if not np.allclose(found, wanted, rtol=PROBED_ALIKE, atol=PROBED_ALIKE, equal_nan=True):
        refuse(estimator, "skl2onnx writes something that gives other numbers. Use another estimator.")


def _take_in(graph: Graph, model: Any, x: Tensor, output: str) -> Tensor:
    """Take the nodes that lead to an output into a graph, under names of its own."""
    from onnx import compose, helper

    prefix = f"{graph.name('sklearn')}_"
    inner = compose.add_prefix(model, prefix).graph
    graph.nodes.append(helper.make_node("Identity", [x.name], [f"{prefix}x"]))
    wanted, kept = {f"{prefix}{output}"}, []
    for node in reversed(inner.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= _names_used(node)
    graph.nodes += reversed(kept)
    graph.constants |= {value.name: value for value in inner.initializer if value.name in wanted}
    return Tensor(graph, f"{prefix}{output}", np.dtype(np.float64))


def _names_used(node: Any) -> set[str]:
    """Return the names of values that a node takes, those in its subgraphs included."""
    inside = [inner for attribute in node.attribute for inner in attribute.g.node]
    return set(node.input).union(*(_names_used(inner) for inner in inside))
