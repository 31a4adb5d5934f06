"""scikit-learn's searches, calibration and threshold tuning take a log as it is, run by run."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the import below possible
from sklearn.inspection import permutation_importance
from sklearn.metrics import average_precision_score, f1_score, log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eventlstm import EventClassifier, LSTMClassifier, RunKFold, refit_nanmean
from eventlstm.metrics import alarm_curve

N_RUNS, N_ROWS, EVENT_ROWS = 6, 120, 15
FOLDS = RunKFold(2)
GRID = {"eventclassifier__window_size": [4, 12], "eventclassifier__estimator__hidden_size": [2, 6]}
EPOCHS = "eventclassifier__estimator__max_epochs"


def tiny_log():
    """Return a log in which the flow climbs during an event of each machine."""
    rng = np.random.default_rng(0)
    values = rng.normal(scale=0.3, size=(N_RUNS, N_ROWS, 2))
    label = np.zeros((N_RUNS, N_ROWS), dtype=int)
    for run, begin in enumerate(rng.integers(40, N_ROWS - EVENT_ROWS, size=N_RUNS)):
        values[run, begin : begin + EVENT_ROWS, 0] += np.linspace(0.5, 3, EVENT_ROWS)
        label[run, begin : begin + EVENT_ROWS] = 1
    times = pd.date_range("2024-01-01", periods=N_ROWS, freq="10min")
    index = pd.MultiIndex.from_product([[f"m{k}" for k in range(N_RUNS)], times], names=["machine", "time"])
    X = pd.DataFrame(values.reshape(-1, 2), index=index, columns=["flow", "heat"])
    return X, pd.Series(label.ravel(), index=index, name="failure")


X, y = tiny_log()


def pipeline(**changes):
    member = LSTMClassifier(hidden_size=4, max_epochs=4, lr=0.03)
    model = EventClassifier(member, window_size=8, n_estimators=1, spans=(5, 20), random_state=0, **changes)
    return make_pipeline(StandardScaler(), model).set_output(transform="pandas")


def search(n_jobs=None):
    return GridSearchCV(pipeline(), GRID, cv=FOLDS, scoring="average_precision", n_jobs=n_jobs)


@pytest.mark.slow
def test_a_grid_search_in_two_processes_gives_the_numbers_of_one():
    one, two = search(n_jobs=1).fit(X, y), search(n_jobs=2).fit(X, y)
    for name in ("split0_test_score", "split1_test_score", "mean_test_score", "rank_test_score"):
        assert np.array_equal(one.cv_results_[name], two.cv_results_[name])
    assert one.best_params_ == two.best_params_
    assert one.best_score_ > 0.8
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))


@pytest.mark.parametrize("mode", ["stateful", "windows"])
def test_cross_validated_scores_are_those_of_fits_on_the_other_runs(mode):
    scores = cross_val_predict(pipeline(mode=mode), X, y, cv=FOLDS, method="predict_proba")
    by_hand = np.empty_like(scores)
    for train, test in FOLDS.split(X, y):
        by_hand[test] = pipeline(mode=mode).fit(X.iloc[train], y.iloc[train]).predict_proba(X.iloc[test])
    assert np.array_equal(scores, by_hand)
    assert average_precision_score(y, scores[:, 1]) > 0.8


def test_a_scorer_sees_the_runs_in_the_index_of_the_labels():
    def worst_machine(y_true, y_score):
        of_machine = y_true.groupby("machine").indices.values()
        return min(average_precision_score(y_true.iloc[rows], y_score[rows]) for rows in of_machine)

    scorer = make_scorer(worst_machine, response_method="predict_proba")
    assert (cross_val_score(pipeline(), X, y, cv=FOLDS, scoring=scorer) > 0.5).all()


def fbeta_at_budget(y_true, y_score, budget, beta=0.5):
    """Return the best event F-beta before false alarms exceed a budget a day; NaN without an event."""
    curve = alarm_curve(y_true, y_score, early="1h")
    within = curve[(curve["false_alarm_rate"] <= budget).cumprod() == 1].fillna({"event_precision": 0.0})
    precision, recall = within["event_precision"], within["event_recall"]
    if recall.isna().any():
        return np.nan
    return ((1 + beta**2) * precision * recall / (beta**2 * precision + recall).where(recall > 0, 1.0)).max()


AT_BUDGET = make_scorer(fbeta_at_budget, response_method="predict_proba", budget=1.0)


@pytest.mark.slow
def test_a_search_is_scored_by_events_at_a_budget_of_false_alarms_in_two_processes():
    grid = {"eventclassifier__estimator__max_epochs": [1, 8]}
    two = GridSearchCV(pipeline(), grid, cv=FOLDS, scoring=AT_BUDGET, n_jobs=2).fit(X, y)
    one = GridSearchCV(pipeline(), grid, cv=FOLDS, scoring=AT_BUDGET, n_jobs=1).fit(X, y)
    for name in ("split0_test_score", "split1_test_score"):
        assert np.array_equal(one.cv_results_[name], two.cv_results_[name])
    assert two.best_score_ > 0.7


@pytest.mark.slow
def test_a_search_by_events_passes_over_folds_without_one():
    rare = y.where(y.index.get_level_values("machine") < "m2", 0)  # two machines of six have an event
    folds = list(RunKFold(6).split(X))  # without labels, so that four folds test on quiet machines
    grid = {"eventclassifier__estimator__max_epochs": [1, 8]}
    search = GridSearchCV(pipeline(), grid, cv=folds, scoring=AT_BUDGET, n_jobs=2, refit=refit_nanmean())
    with pytest.warns(UserWarning, match="non-finite"):
        search.fit(X, rare)
    scores = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(6)])
    tested = [rare.iloc[test].any() for _, test in folds]
    assert np.isnan(scores).all(axis=1).tolist() == [not has for has in tested]
    assert search.best_index_ == np.nanmean(scores, axis=0).argmax()


def test_a_threshold_is_tuned_on_whole_runs():
    tuned = TunedThresholdClassifierCV(pipeline(), cv=FOLDS, scoring="f1").fit(X, y)
    assert 0 < tuned.best_threshold_ < 1
    assert tuned.best_score_ > 0.6
    assert f1_score(y, tuned.predict(X)) > 0.6


def test_a_tuned_threshold_can_be_searched_over():
    tuned = TunedThresholdClassifierCV(pipeline(), cv=FOLDS, scoring="f1")
    outer = GridSearchCV(tuned, {"estimator__eventclassifier__window_size": [4, 8]}, cv=FOLDS, scoring="f1").fit(X, y)
    assert np.isfinite(outer.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("ensemble", [True, False])
def test_probabilities_are_calibrated_on_whole_runs(ensemble):
    calibrated = CalibratedClassifierCV(pipeline(), cv=FOLDS, ensemble=ensemble).fit(X, y)
    assert log_loss(y, calibrated.predict_proba(X)) < log_loss(y, np.full(len(y), y.mean()))
    assert len(calibrated.calibrated_classifiers_) == (2 if ensemble else 1)


def test_a_halving_search_spends_epochs_on_logs():
    halving = HalvingGridSearchCV(
        pipeline(), GRID, resource=EPOCHS, min_resources=1, max_resources=4, factor=2, cv=FOLDS, scoring="f1"
    ).fit(X, y)
    assert halving.n_resources_ == [1, 2, 4]
    assert halving.best_estimator_[-1].estimators_[0].n_iter_ == 4


def test_a_halving_search_spends_epochs_on_windows():
    windows = np.random.default_rng(0).normal(size=(80, 6))
    labels = (windows[:, -2:].mean(axis=1) > 0).astype(int)
    halving = HalvingGridSearchCV(
        LSTMClassifier(random_state=0, lr=0.03),
        {"hidden_size": [2, 3, 5]},
        resource="max_epochs",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=KFold(2),
    ).fit(windows, labels)
    assert halving.n_resources_ == [1, 2]
    assert halving.best_estimator_.n_iter_ == 2


@pytest.mark.slow
def test_searches_nest_without_groups():
    scores = cross_val_score(search(), X, y, cv=RunKFold(3), scoring="average_precision")
    assert scores.shape == (3,)
    assert (scores > 0.5).all()


def test_a_learning_curve_grows_by_rows():
    sizes, train, test = learning_curve(
        pipeline(), X, y, cv=FOLDS, train_sizes=[0.75, 1.0], scoring="average_precision"
    )
    assert sizes.tolist() == [270, 360]
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()


def test_the_sensor_that_shows_the_event_is_the_important_one():
    model = pipeline().fit(X, y)
    importance = permutation_importance(model, X, y, scoring="average_precision", n_repeats=2, random_state=0)
    assert importance.importances_mean[0] > 0.3
    assert abs(importance.importances_mean[1]) < 0.1
