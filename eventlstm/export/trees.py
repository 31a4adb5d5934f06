"""Trees of scikit-learn as one tree ensemble of a graph, in double precision: the splits are those of scikit-learn.

scikit-learn's forests round features to float32 before they compare, and so does the graph; its histogram boosting
compares as they are. Thresholds stay in double precision, so that every row takes the same leaf.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from .graph import ML, Tensor
from .refusal import refuse
from .views import unbend

LEAF = -1
AT_MOST, SUM = 0, 1  # ONNX's numbers of a mode of nodes and of the way to put trees together


class Tree(NamedTuple):
    """A tree as arrays over its nodes, the root first, each leading to others or to a leaf."""

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray  # LEAF at leaves
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray  # (n_nodes, n_targets)


def sum_trees(x: Tensor, trees: Iterable[Tree]) -> Tensor:
    """Return the sums (batch, n_targets) of the leaves that samples (batch, n_features) come to in trees."""
    trees = list(trees)
    n_targets = trees[0].value.shape[1]
    # A leaf has one target: for several, there is a copy of the tree for each.
    tables = _join([_tabulate(tree, target) for target in range(n_targets) for tree in trees])
    return _ensemble(x, tables, np.repeat(np.arange(n_targets), len(trees)), n_targets)


class Table(NamedTuple):
    """A tree as ONNX lists it: inner nodes and leaves apart, each child by its number and whether it is a leaf."""

    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    left_is_leaf: np.ndarray
    right: np.ndarray
    right_is_leaf: np.ndarray
    leaves: np.ndarray  # values

    def shift(self, n_nodes: int, n_leaves: int) -> Table:
        """Return the tree behind others of so many nodes and leaves."""
        left, right = (
            child + np.where(is_leaf, n_leaves, n_nodes)
            for child, is_leaf in ((self.left, self.left_is_leaf), (self.right, self.right_is_leaf))
        )
        return self._replace(left=left, right=right)

    def with_spare_leaf(self) -> Table:
        """Return the tree with a leaf before its own to which nothing leads."""
        left, right = self.left + self.left_is_leaf, self.right + self.right_is_leaf
        return self._replace(left=left, right=right, leaves=np.insert(self.leaves, 0, 0.0))

    @property
    def seems_a_leaf(self) -> bool:
        """Whether the children of the root, a node and a leaf, have the same number."""
        return bool(self.left[0] == self.right[0] and self.left_is_leaf[0] != self.right_is_leaf[0])


def _join(tables: list[Table]) -> list[Table]:
    """Return trees one behind the other.

    ONNX Runtime (1.21 and 1.23, not 1.26) takes a root whose children have the same number for a leaf, also where one
    of them is a node: a leaf to which nothing leads moves the numbers apart.
    """
    joined: list[Table] = []
    n_nodes = n_leaves = 0
    for table in tables:
        moved = table.shift(n_nodes, n_leaves)
        if moved.seems_a_leaf:
            moved = table.with_spare_leaf().shift(n_nodes, n_leaves)
        joined.append(moved)
        n_nodes, n_leaves = n_nodes + len(moved.feature), n_leaves + len(moved.leaves)
    return joined


def _tabulate(tree: Tree, target: int) -> Table:
    is_leaf = tree.left == LEAF
    values = tree.value[is_leaf, target]
    if is_leaf[0]:  # ONNX wants a node at the root
        zero, yes = np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool)
        return Table(zero, np.zeros(1), zero, zero, yes, zero, yes, values)
    number = np.where(is_leaf, np.cumsum(is_leaf) - 1, np.cumsum(~is_leaf) - 1)
    left, right = tree.left[~is_leaf], tree.right[~is_leaf]
    missing = tree.missing_left[~is_leaf].astype(np.int64)
    split = tree.feature[~is_leaf], tree.threshold[~is_leaf], missing
    return Table(*split, number[left], is_leaf[left], number[right], is_leaf[right], values)


def _ensemble(x: Tensor, tables: list[Table], targets: np.ndarray, n_targets: int) -> Tensor:
    """Return the sums of trees one behind the other, each of one target."""
    from onnx import TensorProto, helper

    roots = np.cumsum([0, *(len(table.feature) for table in tables[:-1])])
    every = Table(*(np.concatenate(part) for part in zip(*tables, strict=True)))
    of_leaf = np.repeat(targets, [len(table.leaves) for table in tables])

    def doubles(name: str, values: np.ndarray) -> Any:
        return helper.make_tensor(name, TensorProto.DOUBLE, values.shape, values.astype(np.float64))

    def wholes(values: np.ndarray) -> list[int]:
        return [int(value) for value in values]

    return x.graph.apply(
        "TreeEnsemble",
        x,
        domain=ML,
        n_targets=n_targets,
        aggregate_function=SUM,
        tree_roots=wholes(roots),
        nodes_featureids=wholes(every.feature),
        nodes_modes=helper.make_tensor("modes", TensorProto.UINT8, every.feature.shape, AT_MOST * every.feature),
        nodes_splits=doubles("splits", every.threshold),
        nodes_missing_value_tracks_true=wholes(every.missing_left),
        nodes_truenodeids=wholes(every.left),
        nodes_trueleafs=wholes(every.left_is_leaf),
        nodes_falsenodeids=wholes(every.right),
        nodes_falseleafs=wholes(every.right_is_leaf),
        leaf_targetids=wholes(of_leaf),
        leaf_weights=doubles("weights", every.leaves),
    )


def forest_proba(forest: Any, x: Tensor) -> Tensor:
    """Return the probabilities (batch, n_classes) of a forest or a tree."""
    members = getattr(forest, "estimators_", [forest])
    if getattr(forest, "n_outputs_", 1) > 1:
        refuse(forest, "it has several outputs. Fit one for each.")
    binary = len(forest.classes_) == 2
    trees = [
        _read(member.tree_, member.tree_.value[:, 0, 1:] if binary else member.tree_.value[:, 0]) for member in members
    ]
    mean = sum_trees(_as_trees_see(x), trees) / float(len(trees))
    return x.graph.concat([mean * -1.0 + 1.0, mean], axis=1) if binary else mean


def forest_forecast(forest: Any, x: Tensor) -> Tensor:
    """Return the forecast (batch, n_targets) of a forest or a tree of regression."""
    members = getattr(forest, "estimators_", [forest])
    trees = [_read(member.tree_, member.tree_.value[:, :, 0]) for member in members]
    return sum_trees(_as_trees_see(x), trees) / float(len(trees))


def isolation_score(forest: IsolationForest, x: Tensor) -> Tensor:
    """Return how abnormal samples are, (batch, 1): less `score_samples`.

    References
    ----------
    Liu, Ting and Zhou, "Isolation forest", 2008.
    """
    trees = [
        _read(member.tree_, _path_lengths(member.tree_)[:, None], features)
        for member, features in zip(forest.estimators_, forest.estimators_features_, strict=True)
    ]
    usual = len(trees) * _average_path(np.array([forest.max_samples_]))[0]
    if usual == 0.0:
        refuse(forest, "its trees saw one sample each. Raise max_samples.")
    depth = sum_trees(_as_trees_see(x), trees)
    return (depth * (-np.log(2.0) / usual)).map("Exp")


def boosted_raw(boosted: Any, x: Tensor, bent: np.ndarray | None = None) -> Tensor:
    """Return the raw scores (batch, n_trees_per_iteration) of histogram boosting.

    Features that are `bent`, (n_features,), have been seen by it through ``arcsinh``, and come as they were before.
    """
    state = vars(boosted)
    if state.get("is_categorical_") is not None:
        refuse(boosted, "it splits by categories. Encode them before it, and set categorical_features=None.")
    iterations = state["_predictors"]
    n_raw = len(iterations[0])
    raw = [sum_trees(x, [_read_nodes(trees[k].nodes, bent) for trees in iterations]) for k in range(n_raw)]
    return x.graph.concat(raw, axis=1) + state["_baseline_prediction"].reshape(1, n_raw)


def boosted_proba(boosted: HistGradientBoostingClassifier, x: Tensor, bent: np.ndarray | None = None) -> Tensor:
    """Return the probabilities (batch, n_classes) of histogram boosting, of features some of which are `bent`."""
    raw = boosted_raw(boosted, x, bent)
    if len(boosted.classes_) > 2:
        return raw.map("Softmax", axis=1)
    return x.graph.concat([(raw * -1.0).map("Sigmoid"), raw.map("Sigmoid")], axis=1)


def boosted_forecast(boosted: HistGradientBoostingRegressor, x: Tensor) -> Tensor:
    """Return the forecast (batch, 1) of histogram boosting."""
    raw = boosted_raw(boosted, x)
    return raw if boosted.loss in ("squared_error", "absolute_error", "quantile") else raw.map("Exp")


def _as_trees_see(x: Tensor) -> Tensor:
    return x.cast(np.float32).cast(np.float64)


def _read(tree: Any, value: np.ndarray, features: np.ndarray | None = None) -> Tree:
    """Return a tree of scikit-learn's forests; `features` are those it was shown, all by default."""
    feature = np.maximum(tree.feature, 0)
    feature = feature if features is None else np.asarray(features)[feature]
    missing = tree.missing_go_to_left
    return Tree(feature, tree.threshold, tree.children_left, tree.children_right, missing, value)


def _read_nodes(nodes: np.ndarray, bent: np.ndarray | None) -> Tree:
    """Return a tree of histogram boosting, whose thresholds are unbent where its features are."""
    inner = nodes["is_leaf"] == 0
    left, right = (np.where(inner, nodes[side].astype(np.int64), LEAF) for side in ("left", "right"))
    feature = np.where(inner, nodes["feature_idx"], 0)
    threshold = nodes["num_threshold"].copy()
    if bent is not None:
        is_bent = inner & bent[feature] & np.isfinite(threshold)
        threshold[is_bent] = unbend(threshold[is_bent])
    return Tree(feature, threshold, left, right, nodes["missing_go_to_left"], nodes["value"][:, None])


def _path_lengths(tree: Any) -> np.ndarray:
    """Return how deep each node lies, and how much deeper a tree would go on from there in the mean."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # children come after their parents
        for child in (tree.children_left[node], tree.children_right[node]):
            if child != LEAF:
                depth[child] = depth[node] + 1
    return depth + _average_path(tree.n_node_samples)


def _average_path(n_samples: np.ndarray) -> np.ndarray:
    """Return the mean length of a path to a leaf in a tree of so many samples."""
    n = np.maximum(n_samples, 3).astype(np.float64)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(n_samples > 2, many, np.where(n_samples == 2, 1.0, 0.0))


FORESTS = (ExtraTreesClassifier, RandomForestClassifier, DecisionTreeClassifier, ExtraTreeClassifier)
FORECASTING_FORESTS = (ExtraTreesRegressor, RandomForestRegressor, DecisionTreeRegressor, ExtraTreeRegressor)
