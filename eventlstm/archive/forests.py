"""scikit-learn's forests as plain arrays, and back.

What comes from a file is made into trees only after each number that they go by is known to lie inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from .._validation import FOREST_NODE_DTYPE, Tree
from ..logs.shared import LARGEST_SEED
from .checks import holds, labels
from .tree_checks import TreeChecks

Forest = Any  # ExtraTreesClassifier or RandomForestClassifier, which come without types
# Of a node that has no children.
LEAF = -1
# Fitted attributes that are plain already, and whether all models have them.
PLAIN = {
    "classes_": True,
    "n_classes_": True,
    "n_features_in_": True,
    "n_outputs_": True,
    "feature_names_in_": False,
    "_n_samples": True,
    "_n_samples_bootstrap": True,
}
# What is dropped: the template of the trees, which parameters make anew, and weights of the rows in `fit`.
NODES, COUNTS, VALUES, SEEDS, DEPTHS, FEATURES = (
    "node_fields_",
    "n_nodes_",
    "node_values_",
    "tree_seeds_",
    "tree_depths_",
    "n_features_tried_",
)
LISTED = {NODES, COUNTS, VALUES, SEEDS, DEPTHS, FEATURES}


def flatten_forest(forest: Forest, state: dict[str, Any]) -> dict[str, Any]:
    """Return parameters and fitted attributes of a forest, all of them plain.

    All nodes of all trees come one after the other, an array for each field of a node, with the number of nodes of
    each tree beside them.

    Raises
    ------
    ValueError
        If the forest has several outputs, or kept scores or rows of its fit.
    """
    plain = {name: state[name] for name in forest.get_params(deep=False)}
    if "estimators_" not in state:
        return plain
    checks = TreeChecks(type(forest).__name__)
    checks.require(state["n_outputs_"] == 1, "with several outputs cannot be stored. Fit one for each")
    checks.require("oob_score_" not in state, "with oob_score cannot be stored. Set oob_score=False")
    checks.number(len(state["estimators_"]))
    plain |= {name: state[name] for name in PLAIN if name in state}
    plain["n_classes_"] = int(state["n_classes_"])
    trees = [tree.tree_.__getstate__() for tree in state["estimators_"]]
    every = np.concatenate([tree["nodes"] for tree in trees])
    plain[NODES] = {name: np.ascontiguousarray(every[name]) for name in FOREST_NODE_DTYPE.names}
    plain[COUNTS] = np.array([len(tree["nodes"]) for tree in trees])
    plain[VALUES] = np.concatenate([tree["values"][:, 0] for tree in trees])  # (n_nodes, n_classes)
    plain[DEPTHS] = np.array([tree["max_depth"] for tree in trees])
    plain[SEEDS] = np.array([tree.random_state for tree in state["estimators_"]])
    plain[FEATURES] = int(state["estimators_"][0].max_features_)
    return plain


def restore_forest(forest: Forest, plain: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a forest with these plain fitted attributes; `forest` has the parameters.

    Raises
    ------
    ValueError
        If attributes are missing, unknown or of another kind than fits make, or a node leads out of its tree.
    """
    if not plain:
        return {}
    checks = TreeChecks(type(forest).__name__)
    required = {name for name, always in PLAIN.items() if always} | LISTED
    checks.require(required <= set(plain) <= required | set(PLAIN), "has other attributes than a fit makes")
    _check_plain(checks, plain)
    state = {name: plain[name] for name in PLAIN if name in plain}
    template = _template(forest)
    trees = [_tree(template, plain, *parts) for parts in _read_trees(checks, plain)]
    return state | {"estimator_": type(template)(), "estimators_": trees, "_sample_weight": None}


def _check_plain(checks: TreeChecks, plain: dict[str, Any]) -> None:
    """Check the attributes that are no nodes."""
    counts = [plain[name] for name in ("n_features_in_", "_n_samples", FEATURES)]
    checks.require(all(type(count) is int and count > 0 for count in counts), "has a number that counts nothing")
    classes = plain["classes_"]
    checks.require(holds(labels, classes, None) and len(classes) > 1, "has no classes")
    checks.require(plain["n_classes_"] == len(classes) and plain["n_outputs_"] == 1, "has another number of classes")
    checks.require(plain[FEATURES] <= plain["n_features_in_"], "tries more features than there are")
    drawn = plain["_n_samples_bootstrap"]
    checks.require(drawn is None or (type(drawn) is int and drawn > 0), "draws no number of rows")
    if "feature_names_in_" in plain:
        checks.array(plain["feature_names_in_"], object, (plain["n_features_in_"],))


def _read_trees(checks: TreeChecks, plain: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray, int, int]]:
    """Return the nodes, the values, the depth and the seed of each tree."""
    fields, n_nodes, values = plain[NODES], plain[COUNTS], plain[VALUES]
    starts = checks.fields(fields, FOREST_NODE_DTYPE, n_nodes)
    n_all = len(fields["feature"])
    checks.array(values, np.float64, (n_all, plain["n_classes_"]))
    checks.require(((values >= 0) & (values <= 1)).all(), "has values that are no shares")
    checks.require(not np.isnan(fields["threshold"]).any(), "has nodes without a threshold")
    checks.require((fields["missing_go_to_left"] <= 1).all(), "has nodes whose missing_go_to_left is neither 0 nor 1")
    inner = fields["left_child"] != LEAF
    checks.require((fields["right_child"][~inner] == LEAF).all(), "has nodes with one child")
    features = fields["feature"][inner]
    asked = (features >= 0) & (features < plain["n_features_in_"])
    checks.require(asked.all(), "has nodes that ask for an unknown feature")
    checks.walks(inner, [fields[side][inner] for side in ("left_child", "right_child")], starts, n_nodes)
    for name in (DEPTHS, SEEDS):
        checks.array(plain[name], np.int64, n_nodes.shape)
        checks.require(((plain[name] >= 0) & (plain[name] <= LARGEST_SEED)).all(), f"has {name} out of bounds")
    nodes = np.empty(n_all, dtype=FOREST_NODE_DTYPE)
    for name in FOREST_NODE_DTYPE.names:
        nodes[name] = fields[name]
    cuts = (np.split(array, starts[1:]) for array in (nodes, values))
    return list(zip(*cuts, plain[DEPTHS].tolist(), plain[SEEDS].tolist(), strict=True))


def _template(forest: Forest) -> Any:
    """Return a tree with the parameters that the forest hands on."""
    return clone(forest.estimator).set_params(**{name: getattr(forest, name) for name in forest.estimator_params})


def _tree(template: Any, plain: dict[str, Any], nodes: np.ndarray, values: np.ndarray, depth: int, seed: int) -> Any:
    tree = clone(template).set_params(random_state=seed)
    n_classes = plain["n_classes_"]
    tree.n_features_in_, tree.n_outputs_, tree.max_features_ = plain["n_features_in_"], 1, plain[FEATURES]
    tree.classes_, tree.n_classes_ = np.arange(float(n_classes)), np.int64(n_classes)
    tree.tree_ = Tree(tree.n_features_in_, np.array([n_classes], dtype=np.intp), 1)
    laid_out = np.ascontiguousarray(values[:, None])  # (n_nodes, n_outputs, n_classes)
    tree.tree_.__setstate__({"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": laid_out})
    return tree
