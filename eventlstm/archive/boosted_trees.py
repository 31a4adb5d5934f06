"""scikit-learn's boosted trees as plain arrays, and back.

Its compiled code walks a tree without looking whether a node or a feature is there. What comes from a file is made
into trees only after each number that it goes by is known to lie inside.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from .._validation import NODE_DTYPE, BinMapper, TreePredictor, loss_of_trees
from .checks import LARGEST, holds, labels

# Python takes about ten times the bytes for a tree that a smallest one has in a file; fits make some hundred trees.
MAX_TREES = 100_000
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
    _check_number(len(nodes))
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
    _require(required <= set(plain) <= required | set(PLAIN), "has other attributes than a fit makes")
    state = {name: plain[name] for name in PLAIN if name in plain}
    n_features = _check_plain(state)
    per_iteration, seed = state["n_trees_per_iteration_"], state["_random_seed"]
    trees.n_trees_per_iteration_ = per_iteration  # the loss is made by it
    bins = _read_bins(trees.max_bins, seed, plain[THRESHOLDS], plain[BIN_COUNTS], n_features)
    predictors = _read_trees(plain[NODES], plain[COUNTS], n_features)
    _require(len(predictors) % per_iteration == 0, "has an iteration with too few trees")
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
    _require(type(n_features) is int and n_features > 0, "has no number of features")
    classes = state["classes_"]
    _require(holds(labels, classes, None) and len(classes) > 1, "has no classes")
    n_raw = 1 if len(classes) == 2 else len(classes)
    _require(type(per_iteration) is int and per_iteration == n_raw, "has not a tree for each class")
    _check_array(state["_baseline_prediction"], np.float64, (1, n_raw))
    _check_size(state["_baseline_prediction"])
    _require(isinstance(state["_random_seed"], np.uint64), "has no seed")
    for name in FLAGS:
        _require(type(state.get(name, False)) is bool, f"has {name} that is neither True nor False")
    for name in ("train_score_", "validation_score_"):
        _check_array(state[name], np.float64)
    if "feature_names_in_" in state:
        _check_array(state["feature_names_in_"], object, (n_features,))
    return n_features


def _read_trees(fields: Any, n_nodes: Any, n_features: int) -> list[Any]:
    """Return the trees of which all nodes come one after the other."""
    _require(isinstance(fields, dict) and set(fields) == set(NODE_DTYPE.names), "has nodes of other fields")
    _check_array(n_nodes, np.int64)
    _check_number(len(n_nodes))
    _check_array(fields["value"], NODE_DTYPE["value"])
    n_all = len(fields["value"])
    for name in NODE_DTYPE.names:
        _check_array(fields[name], NODE_DTYPE[name], (n_all,))
    _check_size(fields["value"])
    _require(not np.isnan(fields["num_threshold"]).any(), "has nodes without a threshold")
    for name in ("is_leaf", "missing_go_to_left"):
        _require((fields[name] <= 1).all(), f"has nodes whose {name} is neither 0 nor 1")
    # Each count first: with a negative or huge one among them, the sum may be right by chance.
    _require(((n_nodes > 0) & (n_nodes <= n_all)).all() and n_nodes.sum() == n_all, "has other nodes than it counts")
    starts = np.cumsum(n_nodes) - n_nodes
    _check_nodes(fields, starts, n_nodes, n_features)
    nodes = np.empty(n_all, dtype=NODE_DTYPE)
    for name in NODE_DTYPE.names:
        nodes[name] = fields[name]
    no_categories = np.zeros((0, BITSET_WORDS), dtype=np.uint32)
    cut = np.split(nodes, starts[1:])
    return [TreePredictor(tree, no_categories, no_categories) for tree in cut]


def _check_nodes(fields: dict[str, np.ndarray], starts: np.ndarray, n_nodes: np.ndarray, n_features: int) -> None:
    """Refuse nodes that ask for a feature that is not there, or that are no trees.

    In a tree, each node but the first is the child of one other; where children also come after their parents, as
    they do in a fit, walks end.
    """
    inner = fields["is_leaf"] == 0
    _require(not fields["is_categorical"].any(), "splits by categories")
    features = fields["feature_idx"][inner]
    _require(((features >= 0) & (features < n_features)).all(), "has nodes that ask for an unknown feature")
    first, size = np.repeat(starts, n_nodes)[inner], np.repeat(n_nodes, n_nodes)[inner]
    parents = np.flatnonzero(inner)
    children = [fields[side][inner].astype(np.int64) for side in ("left", "right")]
    for child in children:
        _require(((child < size) & (first + child > parents)).all(), "has nodes that lead out of their tree, or back")
    reached = np.sort(np.concatenate([first + child for child in children]))
    others = np.delete(np.arange(len(inner)), starts)
    _require(np.array_equal(reached, others), "has nodes with several parents, or with none")


def _read_bins(max_bins: Any, seed: np.uint64, thresholds: Any, n_bins: Any, n_features: int) -> Any:
    """Return the bins of the features, thresholds (n_features,) arrays."""
    _require(isinstance(max_bins, Integral) and 0 < int(max_bins) <= MAX_BINS, "has no number of bins")
    _check_array(n_bins, np.int64, (n_features,))
    _require(((n_bins >= 0) & (n_bins <= MAX_BINS)).all(), "has features with too many bins")
    _check_array(thresholds, np.float64, (int(n_bins.sum()),))
    by_feature = np.split(thresholds, np.cumsum(n_bins)[:-1])
    _require(all((np.diff(of_feature) >= 0).all() for of_feature in by_feature), "has bins that fall")
    mapper = BinMapper(n_bins=max_bins + 1, random_state=seed)
    mapper.is_categorical_ = np.zeros(n_features, dtype=np.uint8)
    mapper.missing_values_bin_idx_ = max_bins
    mapper.bin_thresholds_ = by_feature
    mapper.n_bins_non_missing_ = (n_bins + 1).astype(np.uint32)
    return mapper


def _check_number(n_trees: int) -> None:
    _require(0 < n_trees <= MAX_TREES, f"has {n_trees} trees, where 1 to {MAX_TREES} can be stored")


def _check_size(values: np.ndarray) -> None:
    """Refuse numbers whose sum over all trees might be none."""
    _require((np.abs(values) <= LARGEST).all(), f"has values that are not numbers within {LARGEST:g}")


def _check_array(found: Any, dtype: Any, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what is no array of a dtype and a shape, by default one dimension of any length."""
    right = isinstance(found, np.ndarray) and found.dtype == dtype
    right = right and (found.ndim == 1 if shape is None else found.shape == shape)
    _require(right, f"has an attribute that is not {shape or 'a list'} of {np.dtype(dtype)}")


def _require(holds: Any, fault: str) -> None:
    if not holds:
        raise ValueError(f"HistGradientBoostingClassifier {fault}")
