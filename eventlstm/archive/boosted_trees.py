"""scikit-learn's boosted trees as plain arrays, and back.

What comes from a file is made into trees only after each number that they go by is known to lie inside.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from .._validation import NODE_DTYPE, BinMapper, TreePredictor, loss_of_trees
from .checks import holds, labels
from .tree_checks import TreeChecks

CHECKS = TreeChecks("HistGradientBoostingClassifier")
# Bins of a feature, at most; one byte holds the number of a bin.
MAX_BINS = 255
# Words of 32 bits in the set of categories of a split; there are none here.
BITSET_WORDS = 8
# Fitted attributes that are plain already, and whether all models have them.
PLAIN = {
    "classes_": True,
    "n_features_in_": True,
    "feature_names_in_": False,
    "do_early_stopping_": True,
    "train_score_": True,
    "validation_score_": True,
    "n_trees_per_iteration_": True,
    "_baseline_prediction": True,
    "_random_seed": True,
    "_use_validation_data": True,
    "_fitted_with_sw": False,
}
FLAGS = ("do_early_stopping_", "_use_validation_data", "_fitted_with_sw")
NODES, COUNTS, THRESHOLDS, BIN_COUNTS = "node_fields_", "n_nodes_", "bin_thresholds_", "n_bins_"
CATEGORIES = "Encode them before it, one column a category, and set categorical_features=None."


def flatten_trees(trees: HistGradientBoostingClassifier, state: dict[str, Any]) -> dict[str, Any]:
    """Return parameters and fitted attributes of boosted trees, all of them plain.

    All nodes of all trees come one after the other, an array for each field of a node, with the number of nodes of
    each tree beside them; so do the thresholds of the bins of all features.

    Raises
    ------
    ValueError
        If the trees split by categories, or are too many.
    """
    parameters = trees.get_params(deep=False)
    plain = {name: state[name] for name in parameters}
    if "_predictors" not in state:
        return plain
    if state["is_categorical_"] is not None:
        raise ValueError(f"HistGradientBoostingClassifier with categorical features cannot be stored. {CATEGORIES}")
    plain |= {name: state[name] for name in PLAIN if name in state}
    nodes = [tree.nodes for iteration in state["_predictors"] for tree in iteration]
    CHECKS.number(len(nodes))
    every = np.concatenate(nodes)
    plain[NODES] = {name: np.ascontiguousarray(every[name]) for name in NODE_DTYPE.names}
    plain[COUNTS] = np.array([len(tree) for tree in nodes])
    thresholds = state["_bin_mapper"].bin_thresholds_
    plain[THRESHOLDS] = np.concatenate(thresholds)
    plain[BIN_COUNTS] = np.array([len(of_feature) for of_feature in thresholds])
    return plain


def restore_trees(trees: HistGradientBoostingClassifier, plain: dict[str, Any]) -> dict[str, Any]:
    """Return the state of boosted trees with these plain fitted attributes; `trees` has the parameters.

    Raises
    ------
    ValueError
        If attributes are missing, unknown or of another kind than fits make, or a node leads out of its tree.
    """
    if not plain:
        return {}
    required = {name for name, always in PLAIN.items() if always} | {NODES, COUNTS, THRESHOLDS, BIN_COUNTS}
    CHECKS.require(required <= set(plain) <= required | set(PLAIN), "has other attributes than a fit makes")
    state = {name: plain[name] for name in PLAIN if name in plain}
    n_features = _check_plain(state)
    per_iteration, seed = state["n_trees_per_iteration_"], state["_random_seed"]
    trees.n_trees_per_iteration_ = per_iteration  # the loss is made by it
    bins = _read_bins(trees.max_bins, seed, plain[THRESHOLDS], plain[BIN_COUNTS], n_features)
    predictors = _read_trees(plain[NODES], plain[COUNTS], n_features)
    CHECKS.require(len(predictors) % per_iteration == 0, "has an iteration with too few trees")
    return state | {
        "is_categorical_": None,
        "_bin_mapper": bins,
        "_feature_subsample_rng": np.random.default_rng(seed),
        "_is_categorical_remapped": None,
        "_loss": loss_of_trees(trees),
        "_n_features": n_features,
        "_predictors": [predictors[k : k + per_iteration] for k in range(0, len(predictors), per_iteration)],
        "_preprocessor": None,
        "_scorer": None,
    }


def _check_plain(state: dict[str, Any]) -> int:
    """Check the attributes that are plain, and return the number of features."""
    n_features, per_iteration = state["n_features_in_"], state["n_trees_per_iteration_"]
    CHECKS.require(type(n_features) is int and n_features > 0, "has no number of features")
    classes = state["classes_"]
    CHECKS.require(holds(labels, classes, None) and len(classes) > 1, "has no classes")
    n_raw = 1 if len(classes) == 2 else len(classes)
    CHECKS.require(type(per_iteration) is int and per_iteration == n_raw, "has not a tree for each class")
    CHECKS.array(state["_baseline_prediction"], np.float64, (1, n_raw))
    CHECKS.size(state["_baseline_prediction"])
    CHECKS.require(isinstance(state["_random_seed"], np.uint64), "has no seed")
    for name in FLAGS:
        CHECKS.require(type(state.get(name, False)) is bool, f"has {name} that is neither True nor False")
    for name in ("train_score_", "validation_score_"):
        CHECKS.array(state[name], np.float64)
    if "feature_names_in_" in state:
        CHECKS.array(state["feature_names_in_"], object, (n_features,))
    return n_features


def _read_trees(fields: Any, n_nodes: Any, n_features: int) -> list[Any]:
    """Return the trees of which all nodes come one after the other."""
    starts = CHECKS.fields(fields, NODE_DTYPE, n_nodes)
    CHECKS.size(fields["value"])
    CHECKS.require(not np.isnan(fields["num_threshold"]).any(), "has nodes without a threshold")
    for name in ("is_leaf", "missing_go_to_left"):
        CHECKS.require((fields[name] <= 1).all(), f"has nodes whose {name} is neither 0 nor 1")
    CHECKS.require(not fields["is_categorical"].any(), "splits by categories")
    inner = fields["is_leaf"] == 0
    features = fields["feature_idx"][inner]
    CHECKS.require(((features >= 0) & (features < n_features)).all(), "has nodes that ask for an unknown feature")
    CHECKS.walks(inner, [fields[side][inner].astype(np.int64) for side in ("left", "right")], starts, n_nodes)
    nodes = np.empty(len(inner), dtype=NODE_DTYPE)
    for name in NODE_DTYPE.names:
        nodes[name] = fields[name]
    no_categories = np.zeros((0, BITSET_WORDS), dtype=np.uint32)
    cut = np.split(nodes, starts[1:])
    return [TreePredictor(tree, no_categories, no_categories) for tree in cut]


def _read_bins(max_bins: Any, seed: np.uint64, thresholds: Any, n_bins: Any, n_features: int) -> Any:
    """Return the bins of the features, thresholds (n_features,) arrays."""
    CHECKS.require(isinstance(max_bins, Integral) and 0 < int(max_bins) <= MAX_BINS, "has no number of bins")
    CHECKS.array(n_bins, np.int64, (n_features,))
    CHECKS.require(((n_bins >= 0) & (n_bins <= MAX_BINS)).all(), "has features with too many bins")
    CHECKS.array(thresholds, np.float64, (int(n_bins.sum()),))
    by_feature = np.split(thresholds, np.cumsum(n_bins)[:-1])
    CHECKS.require(all((np.diff(of_feature) >= 0).all() for of_feature in by_feature), "has bins that fall")
    mapper = BinMapper(n_bins=max_bins + 1, random_state=seed)
    mapper.is_categorical_ = np.zeros(n_features, dtype=np.uint8)
    mapper.missing_values_bin_idx_ = max_bins
    mapper.bin_thresholds_ = by_feature
    mapper.n_bins_non_missing_ = (n_bins + 1).astype(np.uint32)
    return mapper
