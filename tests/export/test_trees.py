"""Trees of scikit-learn as tree ensembles: every row comes to the leaf that it comes to in scikit-learn."""

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from eventlstm.export import trees
from eventlstm.export.graph import Graph

EXACT = 1e-12
X = np.random.default_rng(0).normal(size=(120, 3)).round(1)
NEW = np.random.default_rng(1).normal(size=(300, 3)).round(1)
CLASSES = {n: (np.random.default_rng(2).random(120) * n + X[:, 0]).clip(0, n - 1).astype(int) for n in (2, 3)}


def run(write, *arguments):
    """Return what a graph makes of the new samples."""
    graph = Graph()
    found = write(*arguments, graph.input("x", np.float64, "batch", X.shape[1]))
    graph.output("y", found, "batch", None)
    session = onnxruntime.InferenceSession(graph.finish({}).SerializeToString())
    return session.run(None, {"x": NEW})[0]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "forest",
    [
        ExtraTreesClassifier(9, random_state=0),
        RandomForestClassifier(9, max_features=1, min_samples_leaf=3, random_state=0),
        RandomForestClassifier(4, max_depth=1, random_state=0),
        RandomForestClassifier(4, min_samples_split=200, random_state=0),  # of single leaves
        DecisionTreeClassifier(random_state=0),
    ],
)
def test_probabilities_of_forests_are_those_of_scikit_learn(forest, n_classes):
    forest.fit(X, CLASSES[n_classes])
    np.testing.assert_allclose(run(trees.forest_proba, forest), forest.predict_proba(NEW), atol=EXACT)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_of_boosting_are_those_of_scikit_learn(n_classes):
    boosted = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=2).fit(X, CLASSES[n_classes])
    np.testing.assert_allclose(run(trees.boosted_proba, boosted), boosted.predict_proba(NEW), atol=EXACT)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
def test_forecasts_of_boosting_are_those_of_scikit_learn(loss):
    boosted = HistGradientBoostingRegressor(loss=loss, max_iter=20).fit(X, np.exp(X[:, 0]))
    np.testing.assert_allclose(run(trees.boosted_forecast, boosted)[:, 0], boosted.predict(NEW), rtol=EXACT)


def test_forecasts_of_several_targets_are_those_of_scikit_learn():
    forest = ExtraTreesRegressor(5, random_state=0).fit(X, X[:, :2] * [1.0, 1000.0])
    np.testing.assert_allclose(run(trees.forest_forecast, forest), forest.predict(NEW), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_isolation_forests_are_those_of_scikit_learn(seed):
    forest = IsolationForest(n_estimators=12, max_samples=20, max_features=2, random_state=seed).fit(X)
    np.testing.assert_allclose(run(trees.isolation_score, forest)[:, 0], -forest.score_samples(NEW), rtol=EXACT)


def test_no_root_has_a_node_and_a_leaf_of_one_number(monkeypatch):
    """Which runtimes of before 1.26 take for a tree of a single leaf."""
    joined = []
    join = trees._join
    monkeypatch.setattr(trees, "_join", lambda tables: joined.append(join(tables)) or joined[-1])
    apart = []
    for seed in range(20):
        forest = IsolationForest(n_estimators=12, max_samples=20, random_state=seed).fit(X)
        np.testing.assert_allclose(run(trees.isolation_score, forest)[:, 0], -forest.score_samples(NEW), rtol=EXACT)
        apart.append(sum(len(table.leaves) - len(table.feature) - 1 for table in joined[-1]))
    assert not any(table.seems_a_leaf for tables in joined for table in tables)
    assert sum(apart)  # some had to be moved apart
