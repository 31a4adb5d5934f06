"""Boosted trees come back as they were, and numbers that would lead outside of them are refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from eventlstm import load, save
from eventlstm.archive.boosted_trees import flatten_trees, restore_trees
from eventlstm.archive.tree_checks import MAX_TREES

SIDES = ("left", "right")


pytestmark = pytest.mark.usefixtures("one_openmp_thread")


def make_rows(n_classes=2):
    """Rows with missing values, and labels that trees of some depth are needed for."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int) + (n_classes > 2) * (X[:, 2] > 1)
    X[::7, 1] = np.nan
    return X, y


def fit_trees(n_classes=2, **parameters):
    trees = HistGradientBoostingClassifier(max_iter=4, early_stopping=False, random_state=0, **parameters)
    return trees.fit(*make_rows(n_classes))


def flat(trees):
    """Return the plain attributes of fitted trees, which a test may change."""
    parameters = trees.get_params(deep=False)
    plain = flatten_trees(trees, trees.__getstate__())
    return {name: value for name, value in plain.items() if name not in parameters}


def restored(plain, **parameters):
    trees = HistGradientBoostingClassifier(**parameters)
    trees.__dict__.update(restore_trees(trees, plain))
    return trees


@pytest.mark.parametrize("n_classes", [2, 3])
def test_loaded_trees_are_the_saved_ones_bit_for_bit(n_classes, tmp_path):
    X, _ = make_rows()
    trees = fit_trees(n_classes)
    save(trees, tmp_path / "trees")
    loaded = load(tmp_path / "trees")
    np.testing.assert_array_equal(loaded.predict_proba(X), trees.predict_proba(X))
    for found, wanted in zip(loaded.staged_predict_proba(X), trees.staged_predict_proba(X), strict=True):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(loaded._predictors, trees._predictors, strict=True):
        assert [tree.nodes.tobytes() for tree in found] == [tree.nodes.tobytes() for tree in wanted]
    np.testing.assert_array_equal(loaded._bin_mapper.transform(X), trees._bin_mapper.transform(X))
    save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "trees").read_bytes()


def test_names_of_features_and_classes_come_back(tmp_path):
    X, y = make_rows()
    X = pd.DataFrame(X, columns=["flow", "heat", "noise"])
    trees = HistGradientBoostingClassifier(max_iter=2, random_state=0).fit(X, np.where(y, "fault", "ok"))
    save(trees, tmp_path / "trees")
    loaded = load(tmp_path / "trees")
    np.testing.assert_array_equal(loaded.predict(X), trees.predict(X))
    assert list(loaded.feature_names_in_) == ["flow", "heat", "noise"]


def test_loaded_trees_are_fitted_on_as_the_saved_ones(tmp_path):
    X, y = make_rows()
    trees = fit_trees(warm_start=True)
    save(trees, tmp_path / "trees")
    loaded = load(tmp_path / "trees").set_params(max_iter=6).fit(X, y)
    assert loaded.n_iter_ == 6
    np.testing.assert_array_equal(loaded.predict_proba(X), trees.set_params(max_iter=6).fit(X, y).predict_proba(X))


def test_unfitted_trees_come_back_unfitted(tmp_path):
    save(HistGradientBoostingClassifier(max_iter=7), tmp_path / "trees")
    loaded = load(tmp_path / "trees")
    assert loaded.max_iter == 7 and not hasattr(loaded, "classes_")


def test_trees_that_split_by_categories_are_refused_on_saving(tmp_path):
    X, y = make_rows()
    X[:, 2] = np.arange(len(X)) % 3
    trees = HistGradientBoostingClassifier(max_iter=2, categorical_features=[2]).fit(X, y)
    with pytest.raises(ValueError, match=r"categorical features cannot be stored. Encode them before it"):
        save(trees, tmp_path / "trees")


def node(field, value, kind="inner"):
    """Return a change of the first inner node or leaf of the second tree."""

    def change(plain):
        fields, first = plain["node_fields_"], plain["n_nodes_"][0]
        leaf = fields["is_leaf"][first:] == (kind == "leaf")
        fields[field][first + int(leaf.argmax())] = value(plain) if callable(value) else value

    return change


def attribute(name, value):
    """Return a change of a whole attribute."""

    def change(plain):
        plain[name] = value(plain[name]) if callable(value) else value

    return change


def without(name):
    return lambda plain: plain.pop(name)


def field(name, value):
    """Return a change of a field of all nodes."""
    return lambda plain: plain["node_fields_"].update({name: value(plain["node_fields_"][name])})


HOSTILE = {
    "a child behind the tree": (node("left", lambda plain: plain["n_nodes_"][1]), "lead out of their tree"),
    "a child far away": (node("right", 2**32 - 1), "lead out of their tree"),
    "a child that is its parent": (node("left", 0), "lead out of their tree, or back"),
    "two parents of one node": (node("right", 1), "several parents"),
    "a feature too many": (node("feature_idx", 3), "unknown feature"),
    "a negative feature": (node("feature_idx", -1), "unknown feature"),
    "a split by categories": (node("is_categorical", 1), "splits by categories"),
    "a leaf that is none": (node("is_leaf", 0, "leaf"), "lead out of their tree|unknown feature"),
    "an inner node that is a leaf": (node("is_leaf", 1), "several parents, or with none"),
    "a tree without nodes": (attribute("n_nodes_", lambda n: np.append(n, 0)), "other nodes than it counts"),
    "no trees": (attribute("n_nodes_", lambda n: n[:0]), "0 trees"),
    "too many trees": (attribute("n_nodes_", np.ones(MAX_TREES + 1, dtype=np.int64)), "can be stored"),
    "counts that cancel": (
        attribute("n_nodes_", lambda n: np.append(n, [2**62, 2**62, 2**62, 2**62])),
        "other nodes than it counts",
    ),
    "counts of another tree": (attribute("n_nodes_", lambda n: n + np.array([1, -1, 0, 0])), "nodes"),
    "counts as fractions": (attribute("n_nodes_", lambda n: n.astype(float)), "int64"),
    "counts in a list": (attribute("n_nodes_", lambda n: n.tolist()), "int64"),
    "a field of another length": (field("left", lambda left: left[:-1]), "uint32"),
    "a field of another kind": (field("left", lambda left: left.astype(np.int64)), "uint32"),
    "a field too few": (lambda plain: plain["node_fields_"].pop("gain"), "other fields"),
    "fields that are none": (attribute("node_fields_", None), "other fields"),
    "fewer features": (attribute("n_features_in_", 2), "int64"),
    "features past counting": (attribute("n_features_in_", 2**60), "int64"),
    "features as a fraction": (attribute("n_features_in_", 3.0), "number of features"),
    "bins past counting": (attribute("n_bins_", np.array([2**40, 0, 0])), "too many bins"),
    "bins without thresholds": (attribute("n_bins_", lambda n: n + np.array([1, 0, 0])), "float64"),
    "more classes": (attribute("classes_", np.arange(3)), "a tree for each class"),
    "one class": (attribute("classes_", np.arange(1)), "no classes"),
    "a first guess of another shape": (attribute("_baseline_prediction", np.zeros((1, 3))), "float64"),
    "a seed that is none": (attribute("_random_seed", 3), "seed"),
    "an attribute of its own": (attribute("_preprocessor", None), "other attributes"),
    "an attribute too few": (without("n_features_in_"), "other attributes"),
    "names of other features": (attribute("feature_names_in_", np.array(["a"], dtype=object)), "object"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_numbers_that_lead_outside_are_refused(case):
    change, message = HOSTILE[case]
    plain = flat(fit_trees())
    assert restored(plain).n_iter_ == 4
    change(plain)
    with pytest.raises(ValueError, match=message):
        restored(plain)


def test_an_iteration_with_too_few_trees_is_refused():
    plain = flat(fit_trees(3))
    n_last = int(plain["n_nodes_"][-1])
    plain["n_nodes_"] = plain["n_nodes_"][:-1]
    plain["node_fields_"] = {name: values[:-n_last] for name, values in plain["node_fields_"].items()}
    with pytest.raises(ValueError, match="too few trees"):
        restored(plain)


@pytest.mark.parametrize("max_bins", [0, 256, "all"])
def test_bins_that_no_fit_makes_are_refused(max_bins):
    with pytest.raises(ValueError, match="number of bins"):
        restored(flat(fit_trees()), max_bins=max_bins)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_let_through_can_be_walked_to_its_end(data):
    plain = flat(fit_trees(max_leaf_nodes=3))
    fields, n_all = plain["node_fields_"], int(plain["n_nodes_"].sum())
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(["left", "right", "is_leaf", "feature_idx", "is_categorical"]))
        fields[name][data.draw(st.integers(0, n_all - 1))] = data.draw(st.integers(0, 12))
    try:
        trees = restored(plain)
    except ValueError:
        return
    for (tree,) in trees._predictors:
        walk(tree.nodes)


def walk(nodes):
    """Visit all nodes of a tree from its root, each once."""
    visited, waiting = set(), [0]
    while waiting:
        k = waiting.pop()
        assert 0 <= k < len(nodes) and k not in visited
        visited.add(k)
        if not nodes[k]["is_leaf"]:
            assert 0 <= nodes[k]["feature_idx"] < 3 and not nodes[k]["is_categorical"]
            waiting += [int(nodes[k][side]) for side in SIDES]
    assert len(visited) == len(nodes)
