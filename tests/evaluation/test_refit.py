"""A search over folds without events still finds its best candidate."""

import pickle

import numpy as np
import pytest
from hypothesis import settings
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV, KFold

from eventlstm import refit_nanmean

quickly = settings(max_examples=60, deadline=None)


def recall_where_defined(model, X, y):
    return recall_score(y, model.predict(X)) if y.any() else np.nan


def test_a_search_survives_folds_without_events():
    rng = np.random.default_rng(0)
    y = np.append(np.tile([0, 1], 20), np.zeros(20, dtype=int))
    X = y[:, None] + 0.1 * rng.normal(size=(60, 1))
    grid, folds = {"C": [1e-9, 1.0]}, KFold(3)
    with pytest.warns(UserWarning, match="non-finite"):
        search = GridSearchCV(
            LogisticRegression(), grid, cv=folds, scoring=recall_where_defined, refit=refit_nanmean()
        ).fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"C": 1.0}
    assert pickle.loads(pickle.dumps(search)).best_index_ == 1
    clone(search)


def test_the_best_mean_wins_and_the_first_of_equals():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, size=(4, 6)).astype(float)
    results = {f"split{k}_test_recall": row for k, row in enumerate(scores)} | {"split0_test_f1": np.zeros(6)}
    results["split4_test_recall"] = np.full(6, np.nan)
    assert refit_nanmean("recall")(results) == scores.mean(axis=0).argmax()
    assert refit_nanmean("f1")(results) == 0


def test_a_candidate_that_failed_on_a_fold_is_passed_over():
    results = {"split0_test_score": [0.1, 0.9, 0.2], "split1_test_score": [0.1, np.nan, 0.2]}
    assert refit_nanmean()(results) == 2


@pytest.mark.parametrize(
    ("metric", "scores", "message"),
    [
        (None, [[np.nan, np.nan]], "No candidate was scored on every fold that has a score"),
        (None, [[np.nan, 1.0], [1.0, np.nan]], "No candidate was scored on every fold"),
        ("f1", [[1.0, 1.0]], r"metric='f1' was not scored. Pass one of \['score'\]"),
    ],
)
def test_a_search_without_a_best_is_refused(metric, scores, message):
    with pytest.raises(ValueError, match=message):
        refit_nanmean(metric)({f"split{k}_test_score": row for k, row in enumerate(scores)})
