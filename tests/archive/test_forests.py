"""Forests come back as they were, and numbers that would lead outside of their trees are refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from eventlstm import load, save
from eventlstm.archive.forests import flatten_forest, restore_forest

SIDES = ("left_child", "right_child")
each_kind = pytest.mark.parametrize("kind", [ExtraTreesClassifier, RandomForestClassifier])


def make_rows(n_classes=2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    return X, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int) + (n_classes > 2) * (X[:, 2] > 1)


def fit_forest(n_classes=2, kind=ExtraTreesClassifier, **parameters):
    return kind(4, min_samples_leaf=5, random_state=0, **parameters).fit(*make_rows(n_classes))


def flat(forest):
    """Return the plain attributes of a fitted forest, which a test may change."""
    parameters = forest.get_params(deep=False)
    plain = flatten_forest(forest, forest.__getstate__())
    return {name: value for name, value in plain.items() if name not in parameters}


def restored(plain, **parameters):
    forest = ExtraTreesClassifier(**parameters)
    forest.__dict__.update(restore_forest(forest, plain))
    return forest


@each_kind
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_loaded_forest_is_the_saved_one_bit_for_bit(kind, n_classes, tmp_path):
    X, _ = make_rows()
    forest = fit_forest(n_classes, kind)
    save(forest, tmp_path / "forest")
    loaded = load(tmp_path / "forest")
    for method in ("predict_proba", "predict", "apply"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(forest, method)(X))
    np.testing.assert_array_equal(loaded.feature_importances_, forest.feature_importances_)
    assert [tree.get_depth() for tree in loaded.estimators_] == [tree.get_depth() for tree in forest.estimators_]
    save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "forest").read_bytes()


def test_names_of_features_and_classes_come_back(tmp_path):
    X, y = make_rows()
    X = pd.DataFrame(X, columns=["flow", "heat", "noise"])
    forest = ExtraTreesClassifier(2, random_state=0, bootstrap=True, max_samples=50).fit(X, np.where(y, "fault", "ok"))
    save(forest, tmp_path / "forest")
    loaded = load(tmp_path / "forest")
    np.testing.assert_array_equal(loaded.predict(X), forest.predict(X))
    assert list(loaded.feature_names_in_) == ["flow", "heat", "noise"]


@each_kind
def test_a_loaded_forest_is_fitted_on_as_the_saved_one(kind, tmp_path):
    X, y = make_rows()
    forest = fit_forest(kind=kind, warm_start=True)
    save(forest, tmp_path / "forest")
    loaded = load(tmp_path / "forest").set_params(n_estimators=6).fit(X, y)
    assert len(loaded.estimators_) == 6
    np.testing.assert_array_equal(loaded.predict_proba(X), forest.set_params(n_estimators=6).fit(X, y).predict_proba(X))


def test_an_unfitted_forest_comes_back_unfitted(tmp_path):
    save(ExtraTreesClassifier(max_depth=7), tmp_path / "forest")
    loaded = load(tmp_path / "forest")
    assert loaded.max_depth == 7 and not hasattr(loaded, "classes_")


@pytest.mark.parametrize(
    ("forest", "message"),
    [
        (ExtraTreesClassifier(2, bootstrap=True, oob_score=True), "Set oob_score=False"),
        (ExtraTreesClassifier(2), "several outputs"),
    ],
    ids=["scores", "outputs"],
)
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_what_arrays_do_not_hold_is_refused_on_saving(forest, message, tmp_path):
    X, y = make_rows()
    forest.fit(X, np.stack([y, y], axis=1) if "outputs" in message else y)
    with pytest.raises(ValueError, match=message):
        save(forest, tmp_path / "forest")
    assert not list(tmp_path.iterdir())


def node(field, value, kind="inner"):
    """Return a change of the first inner node or leaf of the second tree."""

    def change(plain):
        fields, first = plain["node_fields_"], plain["n_nodes_"][0]
        leaf = (fields["left_child"][first:] < 0) == (kind == "leaf")
        fields[field][first + int(leaf.argmax())] = value(plain) if callable(value) else value

    return change


def attribute(name, value):
    def change(plain):
        plain[name] = value(plain[name]) if callable(value) else value

    return change


def field(name, value):
    return lambda plain: plain["node_fields_"].update({name: value(plain["node_fields_"][name])})


HOSTILE = {
    "a child behind the tree": (node("left_child", lambda plain: plain["n_nodes_"][1]), "lead out of their tree"),
    "a child before the tree": (node("right_child", -2), "lead out of their tree"),
    "a child that is its parent": (node("left_child", 0), "lead out of their tree, or back"),
    "two parents of one node": (node("right_child", 1), "several parents"),
    "one child": (node("left_child", -1), "one child"),
    "a feature too many": (node("feature", 3), "unknown feature"),
    "a negative feature": (node("feature", -1), "unknown feature"),
    "no threshold": (node("threshold", np.nan), "without a threshold"),
    "a leaf that is none": (node("left_child", 1, "leaf"), "lead out|several parents|unknown feature"),
    "missing values that go nowhere": (node("missing_go_to_left", 2), "neither 0 nor 1"),
    "a share over one": (attribute("node_values_", lambda values: values + 1), "no shares"),
    "a share that is none": (attribute("node_values_", lambda values: values * np.nan), "no shares"),
    "values of more classes": (attribute("node_values_", lambda values: np.repeat(values, 2, axis=1)), "float64"),
    "a tree without nodes": (attribute("n_nodes_", lambda n: np.append(n, 0)), "other nodes than it counts"),
    "no trees": (attribute("n_nodes_", lambda n: n[:0]), "0 trees"),
    "counts that cancel": (attribute("n_nodes_", lambda n: np.append(n, [2**62] * 4)), "other nodes than it counts"),
    "a field of another length": (field("feature", lambda values: values[:-1]), "int64"),
    "a field of another kind": (field("feature", lambda values: values.astype(np.int32)), "int64"),
    "fields that are none": (attribute("node_fields_", None), "other fields"),
    "fewer features": (attribute("n_features_in_", 2), "unknown feature|more features"),
    "features as a fraction": (attribute("n_features_in_", 3.0), "counts nothing"),
    "more features tried than there are": (attribute("n_features_tried_", 4), "more features"),
    "one class": (attribute("classes_", np.arange(1)), "no classes"),
    "another number of classes": (attribute("n_classes_", 3), "number of classes"),
    "a depth below none": (attribute("tree_depths_", lambda depths: depths - 99), "out of bounds"),
    "seeds of fewer trees": (attribute("tree_seeds_", lambda seeds: seeds[:-1]), "int64"),
    "an attribute of its own": (attribute("estimator_", None), "other attributes"),
    "an attribute too few": (lambda plain: plain.pop("n_features_in_"), "other attributes"),
    "names of other features": (attribute("feature_names_in_", np.array(["a"], dtype=object)), "object"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_numbers_that_lead_outside_are_refused(case):
    change, message = HOSTILE[case]
    plain = flat(fit_forest())
    assert len(restored(plain).estimators_) == 4
    change(plain)
    with pytest.raises(ValueError, match=message):
        restored(plain)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_let_through_can_be_walked_to_its_end(data):
    plain = flat(fit_forest(max_leaf_nodes=3))
    fields, n_all = plain["node_fields_"], int(plain["n_nodes_"].sum())
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(["left_child", "right_child", "feature"]))
        fields[name][data.draw(st.integers(0, n_all - 1))] = data.draw(st.integers(-2, 12))
    try:
        forest = restored(plain)
    except ValueError:
        return
    for tree in forest.estimators_:
        walk(tree.tree_.__getstate__()["nodes"])


def walk(nodes):
    """Visit all nodes of a tree from its root, each once."""
    visited, waiting = set(), [0]
    while waiting:
        k = waiting.pop()
        assert 0 <= k < len(nodes) and k not in visited
        visited.add(k)
        if nodes[k]["left_child"] != -1:
            assert 0 <= nodes[k]["feature"] < 3
            waiting += [int(nodes[k][side]) for side in SIDES]
    assert len(visited) == len(nodes)
