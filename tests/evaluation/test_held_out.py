"""Models side by side: every score and every threshold comes from other rows than those measured."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from eventlstm import RunKFold, RunTimeSplit, choose_threshold
from eventlstm.evaluation.baselines import baselines
from eventlstm.evaluation.held_out import (
    choose_splitter,
    compare,
    cross_fitted_thresholds,
    format_table,
    held_out_scores,
    verdict,
)
from eventlstm.metrics import detection_report


def test_the_threshold_of_a_fold_does_not_depend_on_its_labels_or_scores():
    rng = np.random.RandomState(0)
    fold = np.repeat([0, 1, 2], 60)
    y = rng.binomial(1, 0.3, 180)
    scores = rng.normal(size=180) + y
    thresholds = cross_fitted_thresholds(y, scores, fold)
    for own in range(3):
        rows = fold == own
        other_y, other_scores = np.where(rows, 1 - y, y), np.where(rows, -5 * scores, scores)
        changed = cross_fitted_thresholds(other_y, other_scores, fold)
        np.testing.assert_array_equal(changed[rows], thresholds[rows])
        assert (thresholds[rows] == choose_threshold(y[~rows], scores[~rows])).all()
        assert (changed[~rows] != thresholds[~rows]).all()


def test_rows_that_no_fold_tests_have_no_say_and_no_threshold():
    rng = np.random.RandomState(0)
    fold = np.repeat([-1, 0, 1], 60)
    y = rng.binomial(1, 0.3, 180)
    scores = np.where(fold < 0, np.nan, rng.normal(size=180) + y)
    thresholds = cross_fitted_thresholds(y, scores, fold)
    assert np.isnan(thresholds[:60]).all() and np.isfinite(thresholds[60:]).all()
    np.testing.assert_array_equal(cross_fitted_thresholds(np.where(fold < 0, 1, y), scores, fold), thresholds)


def test_held_out_scores_come_from_a_fit_without_their_fold():
    X, y = make_log()
    splitter, calls = RunKFold(3), []
    scores, fold = held_out_scores(LogisticRegression(), X, y, splitter, lambda: calls.append(1))
    assert len(calls) == 3
    for number, (train, test) in enumerate(splitter.split(X, y)):
        fitted = LogisticRegression().fit(X.iloc[train], y.iloc[train])
        np.testing.assert_array_equal(scores[test], fitted.predict_proba(X.iloc[test])[:, 1])
        assert (fold[test] == number).all()


def test_a_model_is_cloned_and_stays_unfitted():
    X, y = make_log()
    model = LogisticRegression()
    compare({"line": model}, X, y, RunKFold(2))
    assert not hasattr(model, "coef_")


def test_the_first_rows_in_time_are_never_tested_and_left_out_of_the_measures():
    X, y = make_log()
    splitter = RunTimeSplit(2)
    scores, fold = held_out_scores(LogisticRegression(), X, y, splitter)
    early = fold < 0
    assert early.sum() == len(X) // 3 and np.isnan(scores[early]).all() and np.isfinite(scores[~early]).all()
    table, threshold = compare({"line": LogisticRegression()}, X, y, splitter)
    labels = y.to_numpy()
    own = cross_fitted_thresholds(labels, scores, fold)
    assert table.loc["line"].to_dict() == detection_report(labels[~early], scores[~early], own[~early])
    assert threshold["line"] == choose_threshold(labels[~early], scores[~early])


def test_a_row_has_the_number_of_the_fold_that_it_was_scored_in_whatever_the_splitter_draws():
    class Drawing(RunKFold):
        tests: ClassVar = []

        def split(self, X, y=None, groups=None):
            """Keep what is drawn."""
            for train, test in super().split(X, y, groups):
                self.tests.append(test)
                yield train, test

    X, y = make_log()
    _, fold = held_out_scores(LogisticRegression(), X, y, Drawing(3, shuffle=True))
    assert [np.flatnonzero(fold == k).tolist() for k in range(3)] == [np.sort(test).tolist() for test in Drawing.tests]


def test_models_are_measured_on_the_same_rows():
    X, y = make_log()
    models = {"line": LogisticRegression(), "tree": DecisionTreeClassifier(random_state=0), "none": DummyClassifier()}
    table, threshold = compare(models, X, y, RunKFold(3))
    assert list(table.index) == list(threshold) == list(models)
    assert table["prevalence"].nunique() == 1
    assert table.loc["none", "average_precision"] < 0.5 < table.loc["line", "average_precision"]
    alone, _ = compare({"tree": models["tree"]}, X, y, RunKFold(3))
    pd.testing.assert_series_equal(alone.loc["tree"], table.loc["tree"])


def test_a_variant_is_measured_on_the_fits_of_its_model():
    X, y = make_log()
    votes = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(random_state=0))]
    model, fits = VotingClassifier(votes, voting="soft"), []
    variants = {"both": {"line alone": {"weights": [1, 0]}}, "absent": {"nothing": {"weights": [0, 1]}}}
    table, threshold = compare({"both": model}, X, y, RunKFold(3), lambda: fits.append(1), variants)
    assert list(table.index) == list(threshold) == ["both", "line alone"] and len(fits) == 3
    alone, _ = compare({"both": model, "line alone": votes[0][1]}, X, y, RunKFold(3))
    pd.testing.assert_frame_equal(table, alone)
    assert model.weights is None


def test_the_baselines_are_fitted_on_windows_and_beat_chance():
    X, y = make_log()
    models = baselines(window_size=4, random_state=0)
    assert list(models) == ["logistic regression", "gradient boosting"]
    models["gradient boosting"].set_params(estimator__max_iter=10)
    table, _ = compare(models, X, y, RunKFold(2))
    assert (table["average_precision"] > table["prevalence"]).all()


@pytest.mark.parametrize(
    ("runs_with_events", "n_splits", "expected"),
    [
        (4, 3, "RunKFold(n_splits=3, shuffle=False, random_state=None)"),
        (2, 5, "RunKFold(n_splits=2, shuffle=False, random_state=None)"),
        (1, 5, "RunTimeSplit(n_splits=3, gap=0)"),  # as many folds as hold an event each
        (0, 5, "RunTimeSplit(n_splits=2, gap=0)"),
    ],
)
def test_runs_are_held_out_where_two_of_them_have_events(runs_with_events, n_splits, expected):
    X, y = make_log()
    machine = X.index.get_level_values("machine").to_numpy()
    assert repr(choose_splitter(X, y.where(machine < runs_with_events, 0), n_splits)) == expected


@pytest.mark.parametrize("flip", [False, True])
def test_the_chosen_splitter_splits_the_log_it_was_chosen_for(flip):
    X, y = make_log()
    machine = X.index.get_level_values("machine").to_numpy()
    y = y.where(machine < 2, 0)
    y = 1 - y if flip else y
    folds = list(choose_splitter(X, y, 5).split(X, y))
    assert len(folds) == 2 and all(y.iloc[test].nunique() == 2 for _, test in folds)


def test_one_fold_is_refused_before_anything_is_fitted():
    X, y = make_log()
    with pytest.raises(ValueError, match=r"n_splits=1 leaves no other fold to take a threshold from. Take at least 2"):
        choose_splitter(X, y, 1)


def test_the_table_shows_each_measure_and_the_level_of_chance():
    text = format_table(make_table({"LSTM": 0.5, "trees": np.nan}))
    head, ours, trees, chance = text.splitlines()
    assert head.split() == ["average", "precision", "mcc", "f1", "recall", "precision"]
    assert ours.split() == ["LSTM", "0.500", "0.250", "0.250", "0.250", "0.250"]
    assert trees.split() == ["trees", "-", "0.250", "0.250", "0.250", "0.250"]
    assert chance.split() == ["random", "scores", "(prevalence)", "0.040", "0.000", "-", "-", "0.040"]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({}, "."),
        ({"trees": 0.4}, ", ahead of trees (0.400). Take the LSTM."),
        ({"trees": 0.4, "line": 0.1}, ", ahead of trees (0.400) and line (0.100). Take the LSTM."),
        ({"trees": 0.6}, ", and does not beat trees (0.600). Take the trees: --model trees."),
        ({"trees": 0.5}, ", and does not beat trees (0.500). Take the trees: --model trees."),
        (
            {"trees": 0.6, "line": 0.1},
            ", ahead of line (0.100) but does not beat trees (0.600). Take the trees: --model trees.",
        ),
        (
            {"trees": 0.4, "line": 0.1, "forest": 0.2},
            ", ahead of trees (0.400), line (0.100) and forest (0.200). Take the LSTM.",
        ),
        ({"line": 0.9}, ", and does not beat line (0.900). Take the line, which costs less."),
    ],
)
def test_the_verdict_names_what_is_beaten_and_what_is_not(others, said):
    table = make_table({"LSTM": 0.5, **others})
    assert verdict(table, "LSTM", {"trees": "--model trees"}) == "The LSTM reaches an average precision of 0.500" + said


def make_table(average_precision):
    """A table of measures, a row a model."""
    table = pd.DataFrame({"average_precision": average_precision})
    return table.assign(mcc=0.25, f1=0.25, recall=0.25, precision=0.25, prevalence=0.04)


def make_log():
    """Four machines with two events each, that a line tells from quiet rows fairly well."""
    index = pd.MultiIndex.from_product([range(4), range(60)], names=["machine", "time"])
    time = index.get_level_values("time").to_numpy()
    y = pd.Series(np.isin(time, [10, 11, 29, 30, 31, 50, 51]).astype(int), index=index, name="failure")
    rng = np.random.RandomState(0)
    return pd.DataFrame({"speed": 3.0 * y + rng.normal(size=240), "heat": rng.normal(size=240)}, index=index), y
