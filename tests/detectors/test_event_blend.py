"""A blend hears its parts as the mean of their log-odds, and is an estimator of scikit-learn like any other."""

import re
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from eventlstm import CausalFeatures, EventBlend, EventClassifier, LSTMClassifier, RunKFold, load, save
from eventlstm.recurrent.members import SUREST


def of_windows(classifier, **parameters):
    """A quick part: a classifier of windows of two rows."""
    defaults = {"mode": "windows", "window_size": 2, "inputs": None, "n_estimators": 1}
    return EventClassifier(classifier, **(defaults | parameters))


def tiny_network(**parameters):
    return LSTMClassifier(hidden_size=3, max_epochs=2, min_steps=1, **parameters)


def quick_blend(**parameters):
    parts = [("line", of_windows(LogisticRegression())), ("bayes", of_windows(GaussianNB()))]
    return EventBlend(parts, **({"random_state": 0} | parameters))


def tiny_blend(**parameters):
    """The default parts, made cheap and nothing else."""
    blend = EventBlend(**({"random_state": 0} | parameters))
    for view in ("relative", "whitened"):
        blend.set_params(**{f"{view}__estimator": tiny_network(), f"{view}__window_size": 4})
    return blend.set_params(forest__estimator__n_estimators=3, boosting__estimator__max_iter=3)


def make_log(n_classes=2):
    """Four machines with events that all parts can find."""
    index = pd.MultiIndex.from_product([range(4), range(60)], names=["machine", "time"])
    time = index.get_level_values("time").to_numpy()
    y = pd.Series(np.isin(time, [10, 11, 29, 30, 31, 50, 51]).astype(int), index=index)
    y += (n_classes > 2) * (y & (time > 40))
    rng = np.random.RandomState(0)
    return pd.DataFrame({"speed": 2.0 * y + rng.normal(size=240), "heat": rng.normal(size=240)}, index=index), y


@pytest.mark.parametrize("weights", [None, [1, 1], [3, 1], (0.25, 0.75)])
def test_the_blend_is_the_weighted_mean_of_the_log_odds_of_its_parts(weights):
    X, y = make_log()
    blend = quick_blend(weights=weights).fit(X, y)
    of_parts = [np.maximum(part.predict_proba(X), SUREST) for part in blend.estimators_]
    log_odds = np.average([np.log(p[:, 1] / p[:, 0]) for p in of_parts], axis=0, weights=weights)
    np.testing.assert_allclose(blend.predict_proba(X)[:, 1], 1 / (1 + np.exp(-log_odds)))


def test_for_more_classes_it_is_the_mean_of_log_probabilities():
    X, y = make_log(3)
    blend = quick_blend(weights=[2, 1]).fit(X, y)
    of_parts = [np.log(np.maximum(part.predict_proba(X), SUREST)) for part in blend.estimators_]
    odds = np.exp(np.average(of_parts, axis=0, weights=[2, 1]))
    np.testing.assert_allclose(blend.predict_proba(X), odds / odds.sum(axis=1, keepdims=True))
    assert set(blend.predict(X)) <= {0, 1, 2}


def test_weights_are_read_when_a_log_is_scored():
    X, y = make_log()
    fitted = quick_blend().fit(X, y)
    again = quick_blend(weights=[5, 1]).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(fitted.set_params(weights=[5, 1]).predict_proba(X), again)
    alone = fitted.set_params(weights=[0, 2]).predict_proba(X)
    np.testing.assert_array_equal(alone, fitted.named_estimators_.bayes.predict_proba(X))


def test_a_part_dropped_is_not_fitted_and_leaves_the_others_as_they_were():
    X, y = make_log()
    whole = tiny_blend().fit(X, y)
    blend = tiny_blend().set_params(relative="drop").fit(X, y)
    assert blend.names_ == ["whitened", "forest", "boosting"] == list(blend.named_estimators_)
    expected = whole.set_params(weights=[0, 1, 2, 1]).predict_proba(X)
    np.testing.assert_array_equal(blend.predict_proba(X), expected)


@pytest.mark.parametrize("n_jobs", [2, 7, None])
def test_the_numbers_do_not_depend_on_the_threads(n_jobs):
    X, y = make_log()
    scores = [tiny_blend(n_jobs=threads).fit(X, y).predict_proba(X) for threads in (1, n_jobs)]
    np.testing.assert_array_equal(*scores)


class Slow(ClassifierMixin, BaseEstimator):
    """Counts how many are at work at a time."""

    lock, running, most = threading.Lock(), 0, 0

    def fit(self, X, y):
        with self.lock:
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
        time.sleep(0.05)
        with self.lock:
            Slow.running -= 1
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_parts_and_their_members_together_have_no_more_threads_than_the_blend(n_jobs):
    X, y = make_log()
    parts = [(name, of_windows(Slow(), n_estimators=3, n_jobs=4)) for name in "ab"]
    Slow.most = 0
    EventBlend(parts, n_jobs=n_jobs).fit(X, y)
    assert Slow.most <= n_jobs


def test_the_default_parts_are_two_views_of_networks_and_two_kinds_of_trees():
    parameters = EventBlend().get_params()
    for view in ("relative", "whitened"):
        assert parameters[f"{view}__inputs"] == view and parameters[f"{view}__n_estimators"] == 2
        assert parameters[f"{view}__mode"] == "stateful" and isinstance(
            parameters[f"{view}__estimator"], LSTMClassifier
        )
    kinds = {"forest": ExtraTreesClassifier, "boosting": HistGradientBoostingClassifier}
    for part, kind in kinds.items():
        assert isinstance(parameters[f"{part}__estimator"], kind)
        assert isinstance(parameters[f"{part}__inputs"], CausalFeatures) and parameters[f"{part}__window_size"] == 1
    assert parameters["boosting__inputs__lags"] == 10 and parameters["forest__inputs__lags"] == 0
    assert parameters["forest__estimator__bootstrap"] and parameters["forest__estimator__max_samples"] == 40_000


def test_the_default_weights_stay_where_a_default_part_is_changed():
    X, y = make_log()
    blend = tiny_blend()
    assert blend.weights == [1, 1, 2, 1] and EventBlend().weights is None
    assert EventBlend().set_params(forest__n_jobs=1, weights=[1, 1, 1, 1]).weights == [1, 1, 1, 1]
    untouched = EventBlend(random_state=0)
    assert list(untouched._weigh(["relative", "whitened", "forest", "boosting"])) == [1, 1, 2, 1]
    np.testing.assert_array_equal(blend.fit(X, y)._weigh(blend.names_), [1, 1, 2, 1])


def test_a_fitted_blend_of_a_version_with_other_default_parts_is_asked_as_it_was(tmp_path):
    X, y = make_log()
    old = EventBlend([("level", of_windows(GaussianNB())), ("trees", of_windows(LogisticRegression()))]).fit(X, y)
    expected = old.predict_proba(X)
    vars(old)["estimators"] = None
    np.testing.assert_array_equal(old.predict_proba(X), expected)
    np.testing.assert_array_equal(old.set_params(weights=[0, 1]).predict_proba(X), old.estimators_[1].predict_proba(X))


def test_parameters_of_parts_are_reached_by_their_names_also_of_the_default_ones():
    blend = EventBlend()
    assert blend.set_params(relative__window_size=8, forest="drop", weights=[2, 1, 1, 1]) is blend
    parameters = blend.get_params()
    assert parameters["relative__window_size"] == 8 and parameters["whitened__window_size"] == 32
    assert parameters["forest"] == "drop" and parameters["weights"] == [2, 1, 1, 1]
    assert [name for name, _ in blend.estimators] == ["relative", "whitened", "forest", "boosting"]
    copy = clone(blend)
    assert copy.get_params()["relative__window_size"] == 8
    assert copy.estimators[0][1] is not blend.estimators[0][1]
    assert blend.set_params(estimators=None, n_jobs=2).estimators is None
    with pytest.raises(ValueError, match="Invalid parameter 'lvl'"):
        EventBlend().set_params(lvl__window_size=8)


def test_seeds_come_from_the_blend_and_without_one_from_the_parts():
    X, y = make_log()
    tree = of_windows(DecisionTreeClassifier(max_features=1), random_state=3)
    seeds = [
        EventBlend([("tree", tree)], random_state=seed).fit(X, y).estimators_[0].random_state
        for seed in (0, 0, 1, None)
    ]
    assert seeds[0] == seeds[1] != seeds[2] and seeds[3] == 3


def test_a_pipeline_may_be_a_part_and_gets_the_weights():
    X, y = make_log()
    weight = np.where(X.index.get_level_values("machine") == 0, 0.0, 2.0)
    part = make_pipeline(StandardScaler(), of_windows(LogisticRegression())).set_output(transform="pandas")
    blend = EventBlend([("line", part)]).fit(X, y, weight)
    alone = clone(part).fit(X, y, eventclassifier__sample_weight=weight)
    np.testing.assert_array_equal(blend.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(
        EventBlend([("line", part)]).fit(X, y).predict_proba(X), part.fit(X, y).predict_proba(X)
    )


def test_a_search_reaches_weights_and_parameters_of_parts():
    X, y = make_log()
    grid = {"weights": [[1, 1], [1, 0]], "line__estimator__C": [0.1], "bayes__window_size": [1, 2]}
    search = GridSearchCV(quick_blend(), grid, cv=RunKFold(2), scoring="average_precision").fit(X, y)
    assert set(search.best_params_) == set(grid) and np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_reaches_the_networks_of_the_default_parts():
    X, y = make_log()
    grid = {"relative__estimator__hidden_size": [2, 3]}
    search = GridSearchCV(tiny_blend(), grid, cv=RunKFold(2), scoring="average_precision").fit(X, y)
    network = search.best_estimator_.named_estimators_.relative.estimators_[0]
    assert network.hidden_size == search.best_params_["relative__estimator__hidden_size"]


def test_it_is_scored_out_of_fold_and_gets_a_threshold():
    X, y = make_log()
    scores = cross_val_predict(quick_blend(), X, y, cv=RunKFold(2), method="predict_proba")[:, 1]
    assert scores[y == 1].mean() > scores[y == 0].mean()
    tuned = TunedThresholdClassifierCV(quick_blend(), cv=RunKFold(2), scoring="f1").fit(X, y)
    assert 0 < tuned.best_threshold_ < 1 and set(tuned.predict(X)) == {0, 1}


def test_what_was_learnt_of_the_log_is_kept():
    X, y = make_log()
    blend = quick_blend().fit(X, y)
    assert blend.n_features_in_ == 2 and list(blend.feature_names_in_) == ["speed", "heat"]
    assert list(blend.classes_) == [0, 1] and blend.index_names_ == ["machine", "time"]
    with pytest.raises(ValueError, match="lost the index"):
        blend.predict_proba(X.reset_index(drop=True))


@pytest.mark.parametrize("weights", [None, [2, 1, 1, 1]])
def test_it_is_saved_and_loaded_as_one(weights, tmp_path):
    X, y = make_log()
    blend = tiny_blend(weights=weights).fit(X, y)
    save(blend, tmp_path / "blend")
    loaded = load(tmp_path / "blend")
    np.testing.assert_array_equal(loaded.predict_proba(X), blend.predict_proba(X))
    assert list(loaded.named_estimators_) == ["relative", "whitened", "forest", "boosting"]
    save(tiny_blend(weights=weights, n_jobs=2).fit(X, y).set_params(n_jobs=None), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "blend").read_bytes()


LINE, BAYES = ("line", of_windows(LogisticRegression())), ("bayes", of_windows(GaussianNB()))
NOT_PARTS = {
    "no list": (5, "'estimators' parameter of EventBlend must be"),
    "no parts": ([], "must be a list of pairs"),
    "no pairs": ([LINE[1]], "must be a list of pairs"),
    "all dropped": ([("line", "drop")], "not all of them 'drop'"),
    "a name twice": ([LINE, LINE], "'line' is not such a pair"),
    "a name with underscores": ([("my__line", LINE[1])], "'my__line' is not such a pair"),
    "a name that is a parameter": ([("weights", LINE[1])], "'weights' is not such a pair"),
    "a class": ([("line", LogisticRegression)], "'line' is not such a pair"),
    "no classifier": ([LINE, ("scale", StandardScaler())], "'scale' is not such a pair"),
}


@pytest.mark.parametrize("case", NOT_PARTS)
def test_what_is_no_list_of_parts_is_refused(case):
    estimators, message = NOT_PARTS[case]
    with pytest.raises(ValueError, match=message):
        EventBlend(estimators).fit(*make_log())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "each of the 2 parts: line, bayes"),
        ([1, -1], "zero or more"),
        ([1, np.nan], "zero or more"),
        ([0, 0], "leaves no part to hear. Give line or bayes a weight"),
    ],
)
def test_wrong_weights_are_refused_before_the_fit_and_after_it(weights, message):
    X, y = make_log()
    with pytest.raises(ValueError, match=message):
        quick_blend(weights=weights).fit(X, y)
    fitted = quick_blend().fit(X, y).set_params(weights=weights)
    with pytest.raises(ValueError, match=message):
        fitted.predict_proba(X)


def test_parts_exchanged_after_the_fit_are_refused():
    X, y = make_log()
    blend = quick_blend().fit(X, y).set_params(estimators=[LINE])
    with pytest.raises(ValueError, match=r"changed since fit, which saw the parts line, bayes. Fit again"):
        blend.predict_proba(X)


class Failing(Slow):
    """Fails in a way that nobody foresaw."""

    def fit(self, X, y):
        raise KeyError("lost")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_a_part_names_it(n_jobs):
    X, y = make_log()
    with pytest.raises(ValueError, match=r"^Part 'steps' of the blend: GaussianNB cannot train step by step"):
        EventBlend([LINE, ("steps", EventClassifier(GaussianNB(), window_size=4))], n_jobs=n_jobs).fit(X, y)
    with pytest.raises(TypeError, match=r"^Part 'typed' of the blend: object of type 'int' has no len"):
        EventBlend([LINE, ("typed", Typed())], n_jobs=n_jobs).fit(X, y)
    with pytest.raises(KeyError, match="in the part 'odd' of the blend"):
        EventBlend([LINE, ("odd", of_windows(Failing()))], n_jobs=n_jobs).fit(X, y)


class Typed(Slow):
    """Fails over a type."""

    def fit(self, X, y):
        return len(5)


def test_a_part_that_fails_to_score_is_named():
    X, y = make_log()
    blend = quick_blend().fit(X, y)
    blend.estimators_[1].estimators_[0].theta_ = np.zeros((2, 7))
    with pytest.raises(ValueError, match=r"^Part 'bayes' of the blend: "):
        blend.predict_proba(X)


def test_a_part_that_has_not_seen_a_class_is_named():
    X, y = make_log(3)

    class Blind(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            return super().fit(X, np.minimum(y, 1))

    with pytest.raises(ValueError, match=re.escape("Part 'blind' of the blend: it has learnt the classes [")):
        EventBlend([LINE, ("blind", Blind())]).fit(X, y)


def test_weights_that_a_part_cannot_take_are_refused_by_its_name():
    X, y = make_log()
    blend = EventBlend([LINE, ("near", make_pipeline(StandardScaler(), KNeighborsClassifier()))])
    assert blend.fit(X, y, np.ones(len(X))).names_ == ["line", "near"]
    with pytest.raises(ValueError, match="Part 'near' of the blend: KNeighborsClassifier takes no sample_weight"):
        blend.fit(X, y, np.arange(len(X)))


def test_a_log_that_will_not_do_is_refused_once_for_all_parts():
    X, y = make_log()
    with pytest.raises(ValueError, match=r"^y is in another order than X"):
        quick_blend().fit(X, y[::-1])
    with pytest.raises(ValueError, match=r"^The index is unsorted"):
        quick_blend().fit(X[::-1], y[::-1])
    with pytest.raises(ValueError, match=r"^The labels hold one class only"):
        quick_blend().fit(X, y * 0)
    with pytest.raises(ValueError, match=r"^The labels hold one class only"):
        quick_blend().fit(X, y, 1 - y)
    with pytest.raises(ValueError, match=r"^X contains NaN"):
        quick_blend().fit(X.where(X > 0), y)


# With windows of one row, a row is judged by itself, as these checks suppose of every estimator, and with a solver that
# goes to the end, a weight of two is exactly two copies.
FREE, TIED = (LogisticRegression(C=C, solver="newton-cholesky", tol=1e-6) for C in (1, 0.1))
ROW_BY_ROW = EventBlend([(name, of_windows(line, window_size=1)) for name, line in (("free", FREE), ("tied", TIED))])


@parametrize_with_checks([ROW_BY_ROW])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_forty_checks():
    assert len(list(estimator_checks_generator(ROW_BY_ROW))) > 40
