"""What a row is described by: the rows up to it, each feature what its name says, and alike in every way of asking."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import eventlstm as el
from eventlstm import CausalFeatures
from eventlstm.logs.input_scaler import InputScaler
from eventlstm.logs.whitening import learn_whitening, turn

ALL = CausalFeatures(lags=3, whitened_lags=2, views=("level", "relative", "whitened"), spans=(4, 9))
ORDER = "a row is described by the rows before it, in their order"
EXPECTED = {"check_methods_sample_order_invariance": ORDER, "check_methods_subset_invariance": ORDER}


def make_log(n_machines=3, n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([[f"m{k}" for k in range(n_machines)], range(n_rows)], names=["machine", "t"])
    values = rng.normal(size=(len(index), 3)).cumsum(axis=0) @ rng.normal(size=(3, 4))
    X = pd.DataFrame(values, index=index, columns=["heat", "flow", "speed", "load"])
    return X, pd.Series((values[:, 0] > np.quantile(values[:, 0], 0.8)).astype(int), index=index)


@parametrize_with_checks([CausalFeatures()], expected_failed_checks=lambda _: EXPECTED)
def test_every_check_of_scikit_learn_passes_but_those_that_no_past_can(estimator, check):
    check(estimator)


def test_each_feature_is_what_its_name_says():
    X, _ = make_log(n_machines=1)
    table = ALL.set_output(transform="pandas").fit_transform(X)
    assert table.index.equals(X.index) and len(set(table.columns)) == table.shape[1]
    np.testing.assert_array_equal(table["heat_lag0"], X["heat"])
    np.testing.assert_array_equal(table["flow_lag2"], X["flow"].shift(2).bfill())
    center, matrix = learn_whitening(X.to_numpy(), np.ones(len(X)))
    whitened = pd.DataFrame(turn(X.to_numpy() - center, matrix), index=X.index)
    of_names = table[[f"whitened{k}_lag1" for k in range(matrix.shape[1])]]
    np.testing.assert_allclose(of_names, whitened.shift(1).bfill(), atol=1e-12)
    for view in ("level", "relative", "whitened"):
        values = np.ascontiguousarray(X.to_numpy())
        expected = InputScaler(view, spans=(4, 9)).fit(values, starts=[0]).transform(values, starts=[0])
        alone = CausalFeatures(lags=0, whitened_lags=0, views=(view,), spans=(4, 9)).fit(X)
        np.testing.assert_array_equal(table[alone.get_feature_names_out()], expected)


def test_the_features_of_a_prefix_are_the_prefix_of_the_features():
    X, _ = make_log()
    fitted = ALL.set_output(transform="default").fit(X)
    whole = fitted.transform(X)
    for stop in (1, 2, 59, 60, 61, 150):
        np.testing.assert_array_equal(fitted.transform(X[:stop]), whole[:stop])


def test_nothing_crosses_from_one_machine_to_the_next():
    X, _ = make_log()
    fitted = ALL.set_output(transform="default").fit(X)
    whole = fitted.transform(X)
    for k, machine in enumerate(X.index.unique("machine")):
        np.testing.assert_array_equal(fitted.transform(X.loc[[machine]]), whole[60 * k : 60 * (k + 1)])


def test_rows_without_weight_teach_nothing():
    X, _ = make_log()
    weight = np.r_[np.ones(120), np.zeros(60)]
    other = X.copy()
    other.iloc[120:] = 1e5
    fitted = [CausalFeatures(views=("whitened",)).fit(table, None, weight) for table in (X, other)]
    np.testing.assert_array_equal(fitted[0].transform(X), fitted[1].transform(X))


def test_codes_are_lags_and_nothing_else():
    X, _ = make_log()
    X["mode"] = np.arange(len(X)) % 3
    fitted = CausalFeatures(lags=2, views=("relative",), categorical_channels=["mode"]).fit(X)
    names = fitted.get_feature_names_out()
    assert [name for name in names if name.startswith("mode")] == ["mode_lag1", "mode_lag0"]
    alone = CausalFeatures(lags=0, whitened_lags=1, categorical_channels=["mode"]).fit(X)
    np.testing.assert_array_equal(alone.transform(X)[:, -1], X["mode"])
    assert alone.get_feature_names_out()[-1] == "mode"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lags": 0, "whitened_lags": 0}, "leave no features"),
        ({"views": ("relativ",)}, "'relativ'. Choose among level, relative, whitened"),
        ({"lags": -1}, "lags"),
    ],
    ids=str,
)
def test_parameters_that_make_no_features_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        CausalFeatures(**parameters).fit(make_log()[0])


def test_a_log_that_lost_its_index_is_refused():
    X, _ = make_log()
    with pytest.raises(ValueError, match="lost the index"):
        CausalFeatures().fit(X).transform(X.to_numpy())


@pytest.mark.parametrize("last", [LogisticRegression(), ExtraTreesClassifier(5, random_state=0)])
def test_inside_an_event_classifier_it_scores_as_in_a_pipeline(last):
    X, y = make_log()
    features = CausalFeatures(lags=2, views=("relative",))
    inside = el.EventClassifier(last, mode="windows", window_size=1, inputs=features, n_estimators=1, random_state=0)
    inside.fit(X, y)
    pipeline = make_pipeline(features, inside.estimators_[0]).fit(X, y)
    np.testing.assert_allclose(inside.predict_proba(X), pipeline.predict_proba(X), atol=1e-12)


def test_windows_of_features_are_those_of_the_rows_before(monkeypatch):
    X, y = make_log()
    model = el.EventClassifier(LogisticRegression(), mode="windows", window_size=5, n_estimators=2, random_state=0)
    whole = model.fit(X, y).predict_proba(X)
    monkeypatch.setattr("eventlstm.detectors.member_scores.BLOCK", 7)
    np.testing.assert_allclose(model.predict_proba(X), whole, rtol=1e-5)


def test_saved_features_are_the_same_to_the_bit(tmp_path):
    X, y = make_log()
    el.save(ALL.set_output(transform="default").fit(X), tmp_path / "features")
    np.testing.assert_array_equal(el.load(tmp_path / "features").transform(X), ALL.transform(X))
    forest = ExtraTreesClassifier(5, random_state=0)
    model = el.EventClassifier(forest, mode="windows", window_size=1, inputs=ALL, random_state=0).fit(X, y)
    el.save(model, tmp_path / "model")
    np.testing.assert_array_equal(el.load(tmp_path / "model").predict_proba(X), model.predict_proba(X))


def test_a_log_too_large_for_its_features_is_learnt_from_rows_evenly_spread(monkeypatch):
    X, y = make_log()
    features = CausalFeatures(lags=2, whitened_lags=1, views=("relative",))
    n_features = features.fit(X).n_channels
    monkeypatch.setattr("eventlstm.detectors.event_classifier.MOST_VALUES", 60 * n_features)
    seen = []

    class Noting(LogisticRegression):
        def fit(self, X, y):
            seen.append((X, y))
            return super().fit(X, y)

    el.EventClassifier(Noting(), mode="windows", window_size=1, inputs=features, n_estimators=1).fit(X, y)
    rows = np.linspace(0, len(X) - 1, 60).astype(int)
    np.testing.assert_array_equal(seen[0][0], features.transform(X)[rows])
    np.testing.assert_array_equal(seen[0][1], y.to_numpy()[rows])
