"""Trees asked about a few rows at once: all of them go down together, where scikit-learn asks one after the other.

The leaves, and so the probabilities, are scikit-learn's to the bit; many rows are left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import expit
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier

from ..archive.boosted_trees import COUNTS, NODES, flatten_trees

# From so many rows on, scikit-learn's own way is faster.
FEW_ROWS = 48

Proba = Callable[[np.ndarray], np.ndarray]


class Trees(NamedTuple):
    """The nodes of several trees, one after the other; a leaf is its own child, so that who is there stays."""

    roots: np.ndarray  # (n_trees,)
    feature: np.ndarray  # (n_nodes,)
    threshold: np.ndarray  # (n_nodes,)
    children: np.ndarray  # (2 * n_nodes,) the left one and the right one of each node
    values: np.ndarray  # (n_nodes, n_values)
    depth: int

    @classmethod
    def of(cls, counts: Any, feature: Any, threshold: Any, left: Any, right: Any, is_leaf: Any, values: Any) -> Self:
        """Return trees of `counts` nodes each, whose children are numbered within their tree."""
        roots = np.append(0, np.cumsum(counts)[:-1])
        first, own = np.repeat(roots, counts), np.arange(sum(counts))
        children = np.stack([np.where(is_leaf, own, child + first) for child in (left, right)], axis=1)
        here, depth = roots, 0
        while len(here):
            here, depth = np.unique(children[here[~is_leaf[here]]]), depth + 1
        feature, threshold = np.where(is_leaf, 0, feature), np.where(is_leaf, 0.0, threshold)
        return cls(roots, feature.astype(np.intp), threshold, children.ravel(), values, depth - 1)

    def leaves(self, X: np.ndarray) -> np.ndarray:
        """Return the values of the leaves that rows come to, (n_trees, n_rows, n_values)."""
        first = np.arange(len(X)) * X.shape[1]  # of each row in all of them
        flat, node = np.ascontiguousarray(X).ravel(), np.repeat(self.roots[:, None], len(X), axis=1)
        for _ in range(self.depth):
            goes_right = flat.take(self.feature.take(node) + first) > self.threshold.take(node)
            node = self.children.take(2 * node + goes_right)
        return self.values[node]


def quick_proba(model: Any) -> Proba:
    """Return the `predict_proba` of a classifier, that of trees in a way that is quick for a few rows too."""
    few = _few_rows_proba(model)
    if few is None:
        own: Proba = model.predict_proba
        return own
    return lambda X: few(X) if len(X) < FEW_ROWS else model.predict_proba(X)


def _few_rows_proba(model: Any) -> Proba | None:
    is_forest = type(model) in (ExtraTreesClassifier, RandomForestClassifier)
    if is_forest and model.n_outputs_ == 1:
        return _forest_proba(model)
    if type(model) is HistGradientBoostingClassifier and model.is_categorical_ is None and len(model.classes_) == 2:
        return _boosting_proba(model)
    return None


def _forest_proba(forest: Any) -> Proba:
    parts = [tree.tree_ for tree in forest.estimators_]
    feature, left, right = (
        np.concatenate([getattr(tree, name) for tree in parts])
        for name in ("feature", "children_left", "children_right")
    )
    threshold, values = np.concatenate([tree.threshold for tree in parts]), [tree.value[:, 0] for tree in parts]
    counts = [tree.node_count for tree in parts]
    trees = Trees.of(counts, feature, threshold, left, right, left < 0, np.concatenate(values))

    def proba(X: np.ndarray) -> np.ndarray:
        return add_up(trees.leaves(X.astype(np.float32, copy=False))) / len(parts)

    return proba


def _boosting_proba(model: Any) -> Proba:
    flat = flatten_trees(model, vars(model))
    nodes, baseline = flat[NODES], flat["_baseline_prediction"]
    trees = Trees.of(
        flat[COUNTS],
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["left"],
        nodes["right"],
        nodes["is_leaf"].astype(bool),
        nodes["value"][:, None],
    )

    def proba(X: np.ndarray) -> np.ndarray:
        leaves = trees.leaves(X.astype(np.float64, copy=False))
        event = expit(add_up(np.concatenate([np.broadcast_to(baseline, (1, len(X), 1)), leaves])))[:, 0]
        return np.stack([1 - event, event], axis=1)

    return proba


def add_up(parts: np.ndarray) -> np.ndarray:
    """Return the sum over the first axis, one after the other as scikit-learn adds; a plain sum would pair them up."""
    total: np.ndarray = np.cumsum(parts, axis=0)[-1]
    return total
