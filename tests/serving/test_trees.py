"""Trees that are asked of a few rows at once say to the bit what scikit-learn says."""

import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

from eventlstm.serving.trees import FEW_ROWS, quick_proba

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1500, 12)).round(2)  # values that come again, and so stand on thresholds
EVENT = (X[:, 0] + RNG.normal(size=1500) > 1).astype(int)
CLASSES = np.digitize(X[:, 1], [-1, 1])


@pytest.mark.parametrize("y", [EVENT, CLASSES], ids=["event", "classes"])
@pytest.mark.parametrize(
    "model",
    [
        ExtraTreesClassifier(30, random_state=0),
        ExtraTreesClassifier(5, min_samples_leaf=5, random_state=0),
        RandomForestClassifier(10, max_depth=3, random_state=0),
        HistGradientBoostingClassifier(max_iter=40),
        HistGradientBoostingClassifier(max_iter=5, learning_rate=1.0, max_leaf_nodes=None),
        AdaBoostClassifier(n_estimators=3, random_state=0),
    ],
    ids=lambda model: (
        f"{type(model).__name__} {model.get_params().get('max_iter', model.get_params().get('n_estimators'))}"
    ),
)
def test_probabilities_are_those_of_scikit_learn_to_the_bit(model, y):
    proba = quick_proba(model.fit(X, y))
    rows = np.random.default_rng(1).normal(size=(3 * FEW_ROWS, 12)).round(2)
    for n_rows in (1, 2, 7, FEW_ROWS - 1, FEW_ROWS, 3 * FEW_ROWS):
        np.testing.assert_array_equal(proba(rows[:n_rows]), model.predict_proba(rows[:n_rows]))


@pytest.mark.parametrize("kind", [ExtraTreesClassifier, HistGradientBoostingClassifier])
def test_a_tree_of_a_single_leaf_is_a_tree(kind):
    model = kind(**({"n_estimators": 2} if kind is ExtraTreesClassifier else {"max_iter": 2}), max_depth=1)
    same = np.ones((40, 2))
    model.fit(same, np.arange(40) % 2)
    np.testing.assert_array_equal(quick_proba(model)(same[:3]), model.predict_proba(same[:3]))
