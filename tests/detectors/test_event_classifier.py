"""The classifier of logs: a row's score depends on the rows of its stretch up to it, and on nothing else."""

import copy
import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from eventlstm import EventClassifier, FlattenWindows, LogWindows, LSTMClassifier, horizon_labels
from eventlstm.detectors import event_classifier
from eventlstm.training.crew import train_side_by_side

N_RUNS, N_ROWS, EVENT_ROWS = 6, 120, 15
STEP = pd.Timedelta("10min")
ROUNDING = {"atol": 1e-6, "rtol": 0.0}

each_mode = pytest.mark.parametrize("mode", ["stateful", "windows"])


def tiny_log(n_runs=N_RUNS, seed=0):
    """Return a log in which the flow climbs during an event of each machine."""
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=0.3, size=(n_runs, N_ROWS, 2))
    label = np.zeros((n_runs, N_ROWS), dtype=int)
    for run, begin in enumerate(rng.integers(40, N_ROWS - EVENT_ROWS, size=n_runs)):
        values[run, begin : begin + EVENT_ROWS, 0] += np.linspace(0.5, 3, EVENT_ROWS)
        label[run, begin : begin + EVENT_ROWS] = 1
    times = pd.date_range("2024-01-01", periods=N_ROWS, freq=STEP)
    index = pd.MultiIndex.from_product([[f"m{k}" for k in range(n_runs)], times], names=["machine", "time"])
    X = pd.DataFrame(values.reshape(-1, 2), index=index, columns=["flow", "heat"])
    return X, pd.Series(label.ravel(), index=index, name="failure")


X, y = tiny_log()
X_TEST, Y_TEST = tiny_log(seed=1)


def tiny(mode="stateful", estimator=None, **changes):
    member = LSTMClassifier(hidden_size=4, max_epochs=4, lr=0.03) if estimator is None else estimator
    plain = {"window_size": 8, "n_estimators": 2, "spans": (5, 20), "n_jobs": 1, "random_state": 0}
    return EventClassifier(member, mode=mode, **{**plain, **changes})


_FITTED = {}


def fitted(mode):
    """Return a copy of a model that is fitted once."""
    if mode not in _FITTED:
        _FITTED[mode] = tiny(mode).fit(X, y)
    return copy.deepcopy(_FITTED[mode])


def log_odds(proba):
    return np.log(proba[:, 1]) - np.log(proba[:, 0])


@each_mode
def test_events_are_found_on_machines_not_seen_before(mode):
    score = fitted(mode).predict_proba(X_TEST)[:, 1]
    assert average_precision_score(Y_TEST, score) > 0.8


@each_mode
def test_scores_of_a_prefix_are_a_prefix_of_the_scores(mode):
    model = fitted(mode)
    whole = model.predict_proba(X_TEST)
    for n_rows in (20, N_ROWS - 1, N_ROWS, N_ROWS + 1, 3 * N_ROWS + 50):
        np.testing.assert_allclose(model.predict_proba(X_TEST.iloc[:n_rows]), whole[:n_rows], **ROUNDING)


@each_mode
def test_other_runs_in_the_log_change_no_score_of_a_run(mode):
    model = fitted(mode)
    wild = X_TEST.copy()
    wild.loc[["m0", "m3"]] = 1e6
    together = pd.DataFrame(model.predict_proba(wild), index=wild.index)
    for machine in ("m1", "m2", "m4"):
        alone = model.predict_proba(X_TEST.loc[[machine]])
        np.testing.assert_allclose(together.loc[[machine]], alone, **ROUNDING)


@each_mode
def test_nothing_of_the_rows_before_a_gap_is_seen_after_it(mode):
    model = fitted(mode)
    run = X_TEST.loc[["m1"]]
    begin = 50
    wild = run.copy()
    wild.iloc[:begin] = -1e6
    shift = np.where(np.arange(N_ROWS) < begin, 0, 1) * 100 * STEP
    wild.index = pd.MultiIndex.from_arrays(
        [run.index.get_level_values(0), run.index.get_level_values(1) + pd.TimedeltaIndex(shift)], names=run.index.names
    )
    after = model.predict_proba(wild)[begin:]
    np.testing.assert_allclose(after, model.predict_proba(run.iloc[begin:]), **ROUNDING)
    model.max_gaps_ = [np.inf]  # what max_gap=None learns
    unbroken = model.predict_proba(wild)[begin:]
    assert np.abs(unbroken - after).max() > 1e-3


@each_mode
def test_a_run_at_another_pace_changes_no_score_of_a_run(mode):
    model = fitted(mode)
    quick = X_TEST.loc[["m0"]]
    times = quick.index.get_level_values(1)
    quick.index = pd.MultiIndex.from_arrays(
        [quick.index.get_level_values(0), times[0] + (times - times[0]) / 600], names=quick.index.names
    )
    mixed = pd.concat([quick, quick.rename({"m0": "m00"}), quick.rename({"m0": "m000"}), X_TEST.loc[["m1"]]])
    with pytest.warns(UserWarning, match="Of 4 runs, 3 have a row every 00:00:01, but fit saw one every 00:10:00"):
        proba = model.predict_proba(mixed)
    np.testing.assert_allclose(proba[-N_ROWS:], model.predict_proba(X_TEST.loc[["m1"]]), **ROUNDING)


@each_mode
def test_training_sees_nothing_across_a_gap_or_a_run(mode):
    names = [f"r{k}" for k in range(12)]
    halves = X.set_axis(pd.MultiIndex.from_arrays([np.repeat(names, N_ROWS // 2), X.index.get_level_values(1)]))
    gaps = X.index.get_level_values(1) + pd.to_timedelta(np.tile(np.repeat([0, 30], N_ROWS // 2), N_RUNS), "D")
    gapped = X.set_axis(pd.MultiIndex.from_arrays([X.index.get_level_values(0), gaps]))
    as_runs = tiny(mode).fit(halves, y.to_numpy()).predict_proba(halves)
    as_stretches = tiny(mode).fit(gapped, y.to_numpy()).predict_proba(gapped)
    assert np.array_equal(as_runs, as_stretches)
    assert not np.allclose(as_runs, fitted(mode).predict_proba(X))


@each_mode
def test_every_row_gets_one_finite_score_even_in_runs_of_one_row(mode):
    model = fitted(mode)
    lone = X_TEST.groupby("machine").head(1).rename(index=lambda name: f"{name}, started", level="machine")
    log = pd.concat([X_TEST, lone])
    proba = model.predict_proba(log)
    assert proba.shape == (len(log), 2)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    first_of_run = np.arange(N_RUNS) * N_ROWS
    np.testing.assert_allclose(proba[-N_RUNS:], proba[first_of_run], **ROUNDING)
    assert np.array_equal(model.predict(log), proba.argmax(axis=1))


@each_mode
def test_runs_of_one_row_can_be_trained_on(mode):
    lone = X.groupby("machine").head(1).rename(index=lambda name: f"{name}, started", level="machine")
    model = tiny(mode).fit(pd.concat([X, lone]), np.append(y, np.zeros(N_RUNS, dtype=int)))
    assert np.isfinite(model.predict_proba(X)).all()


@each_mode
def test_the_number_of_threads_changes_no_number(mode):
    one, two = (tiny(mode, n_estimators=3, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2))
    assert np.array_equal(one.predict_proba(X_TEST), two.predict_proba(X_TEST))


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_threads_of_torch_are_as_many_after_fit_as_before(n_jobs):
    # In a process of its own: once torch has been told a number, it no longer asks the machine for one.
    program = f"""
import threading, numpy as np, torch
from eventlstm import EventClassifier, LSTMClassifier
def count():
    counts = []
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return counts[0]
before = count()
X = np.random.default_rng(0).normal(size=(90, 2))
EventClassifier(LSTMClassifier(max_epochs=1), n_estimators=2, n_jobs={n_jobs}).fit(X, X[:, 0] > 1).predict_proba(X)
print(before == count() == torch.get_num_threads())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "True", run.stderr


@each_mode
def test_a_seed_gives_the_same_numbers_again_and_another_seed_others(mode):
    first = fitted(mode).predict_proba(X_TEST)
    assert np.array_equal(tiny(mode).fit(X, y).predict_proba(X_TEST), first)
    assert not np.allclose(tiny(mode, random_state=1).fit(X, y).predict_proba(X_TEST), first)


@each_mode
def test_the_global_generators_are_left_alone(mode):
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = states()
    tiny(mode).set_params(estimator__early_stopping=True).fit(X, y).predict_proba(X)
    assert states() == before


@each_mode
def test_a_scaler_before_it_changes_scores_by_rounding_only(mode):
    pipeline = make_pipeline(StandardScaler(), tiny(mode)).set_output(transform="pandas").fit(X, y)
    scaled, raw = pipeline.predict_proba(X_TEST)[:, 1], fitted(mode).predict_proba(X_TEST)[:, 1]
    np.testing.assert_allclose(scaled, raw, atol=1e-3)
    assert average_precision_score(Y_TEST, scaled) == pytest.approx(average_precision_score(Y_TEST, raw), abs=1e-3)


@each_mode
def test_members_differ_and_their_log_odds_are_averaged(mode):
    model = tiny(mode, n_estimators=3).fit(X, y)
    of_members = []
    for k, member in enumerate(model.estimators_):
        alone = copy.deepcopy(model)
        alone.estimators_, alone.scalers_ = [member], [model.scalers_[k % 2]]
        of_members.append(log_odds(alone.predict_proba(X_TEST)))
    assert [scaler.view for scaler in model.scalers_] == ["relative", "whitened"]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(of_members[one] - of_members[other]).max() > 0.05
    np.testing.assert_allclose(log_odds(model.predict_proba(X_TEST)), np.mean(of_members, axis=0), atol=1e-6)


def test_windows_are_scored_as_the_member_scores_them():
    model = tiny("windows", inputs="level", n_estimators=1).fit(X, y)
    starts = np.arange(N_RUNS) * N_ROWS
    seen = model.scalers_[0].transform(X_TEST.to_numpy(), starts=starts).astype(np.float32)
    windows = LogWindows.from_stretches(seen, starts, 8)
    by_hand = model.estimators_[0].predict_proba(windows[:])
    np.testing.assert_allclose(model.predict_proba(X_TEST), by_hand, **ROUNDING)


@each_mode
def test_an_array_is_one_run(mode):
    run, label = X.loc["m0"], y.loc["m0"]
    of_frame = tiny(mode).fit(run, label).predict_proba(run)
    of_array = tiny(mode).fit(run.to_numpy(), label.to_numpy()).predict_proba(run.to_numpy())
    assert np.array_equal(of_frame, of_array)


@each_mode
def test_a_pickle_and_a_copy_predict_the_same(mode):
    model = fitted(mode)
    expected = model.predict_proba(X_TEST)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X_TEST), expected)
    assert np.array_equal(copy.deepcopy(model).predict_proba(X_TEST), expected)
    assert b"torch" not in pickle.dumps(model)


def test_parameters_of_the_estimator_are_reached_by_name():
    model = tiny().set_params(estimator__hidden_size=7, window_size=5)
    assert model.get_params()["estimator__hidden_size"] == 7
    members = clone(model).fit(X, y).estimators_
    assert [member.hidden_size for member in members] == [7, 7]
    assert members[0].random_state != members[1].random_state
    assert model.estimator.random_state is None, "the template is left as it was"


@pytest.mark.slow
def test_without_an_estimator_it_takes_the_default_classifier():
    model = EventClassifier(n_estimators=1, random_state=0).fit(X.iloc[: 2 * N_ROWS], y.iloc[: 2 * N_ROWS])
    (member,) = model.estimators_
    assert isinstance(member, LSTMClassifier)
    expected = LSTMClassifier(random_state=member.random_state, prior_bias=True)  # which "auto" is for this view
    assert member.get_params() == expected.get_params()


def test_what_it_learnt_of_the_log_is_told():
    model = fitted("stateful")
    assert model.index_names_ == ["machine", "time"]
    assert model.feature_names_in_.tolist() == ["flow", "heat"]
    assert model.n_features_in_ == 2
    assert model.classes_.tolist() == [0, 1]


def test_a_network_inside_a_pipeline_is_told_its_channels():
    network = LSTMClassifier(hidden_size=2, max_epochs=1)
    model = tiny("windows", make_pipeline(StandardScaler(), network), inputs="level", n_estimators=1).fit(X, y)
    inside = model.estimators_[0][-1]
    assert (inside.n_timesteps_, inside.n_channels_) == (model.window_size, X.shape[1])
    leaking = make_pipeline(StandardScaler(), LSTMClassifier(early_stopping=True))
    with pytest.raises(ValueError, match=r"early_stopping of a network inside Pipeline .*pass the network itself"):
        tiny("windows", leaking).fit(X, y)


SKLEARN_CLASSIFIERS = {
    "boosting": HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(20, max_depth=4),
}


@pytest.mark.usefixtures("one_openmp_thread")
@pytest.mark.parametrize("name", SKLEARN_CLASSIFIERS)
@pytest.mark.parametrize(("inputs", "stride"), [(None, 1), ("level", 3), ("both", 5)])
def test_any_classifier_can_judge_the_windows(name, inputs, stride):
    model = tiny("windows", SKLEARN_CLASSIFIERS[name], inputs=inputs, stride=stride).fit(X, y)
    proba = model.predict_proba(X_TEST)
    assert proba.shape == (len(X_TEST), 2)
    assert np.isfinite(proba).all()
    assert average_precision_score(Y_TEST, proba[:, 1]) > 0.7


def test_a_classifier_sees_the_flattened_windows_at_every_stride_padded_in_training_as_in_scoring():
    model = tiny("windows", LogisticRegression(), inputs=None, stride=3, n_estimators=1).fit(X, y)
    windows = LogWindows(X, 8, stride=3)
    by_hand = LogisticRegression().fit(windows[:].reshape(len(windows), -1), y.to_numpy()[windows.ends])
    every = LogWindows(X_TEST, 8)[:].reshape(len(X_TEST), -1)
    np.testing.assert_allclose(model.predict_proba(X_TEST), by_hand.predict_proba(every), rtol=1e-9)


@each_mode
@pytest.mark.parametrize("horizon", [5, "50min", pd.Timedelta("50min")], ids=str)
@pytest.mark.parametrize("inside_event", ["positive", "negative"])
def test_a_horizon_trains_on_its_labels(mode, horizon, inside_event):
    ahead = tiny(mode, horizon=horizon, inside_event=inside_event).fit(X, y)
    by_hand = tiny(mode).fit(X, horizon_labels(y, 5, inside_event=inside_event))
    assert np.array_equal(ahead.predict_proba(X_TEST), by_hand.predict_proba(X_TEST))


@each_mode
def test_rows_inside_an_event_can_be_ignored(mode):
    ahead = tiny(mode, horizon=5, inside_event="ignore").fit(X, y)
    by_hand = tiny(mode).fit(X, horizon_labels(y, 5, inside_event="negative"), sample_weight=1.0 - y)
    assert np.array_equal(ahead.predict_proba(X_TEST), by_hand.predict_proba(X_TEST))


def test_rows_inside_an_event_can_be_ignored_by_classifiers_that_take_no_weights():
    model = tiny("windows", KNeighborsClassifier(), horizon=5, inside_event="ignore", inputs="level").fit(X, y)
    assert np.isfinite(model.predict_proba(X_TEST)).all()


def test_runs_without_weight_are_as_if_they_were_not_there():
    exact = LSTMClassifier(hidden_size=4, max_epochs=4, precision="float64", batch_size=None, dropout=0.0)
    weight = (X.index.get_level_values("machine") != "m2").astype(float)
    weighted = tiny("windows", exact).fit(X, y, sample_weight=weight)
    left_out = tiny("windows", exact).fit(X.drop("m2"), y.drop("m2"))
    np.testing.assert_allclose(weighted.predict_proba(X_TEST), left_out.predict_proba(X_TEST), rtol=1e-9)


@each_mode
def test_heavier_events_raise_their_probabilities(mode):
    weighted = tiny(mode).fit(X, y, sample_weight=np.where(y == 1, 20.0, 1.0))
    assert log_odds(weighted.predict_proba(X_TEST)).mean() > log_odds(fitted(mode).predict_proba(X_TEST)).mean() + 0.5


@each_mode
def test_classes_may_be_many_and_have_names(mode):
    kind = np.where(X.index.get_level_values("machine").isin(["m0", "m1", "m2"]), "leak", "jam")
    named = pd.Series(np.where(y == 1, kind, "ok"), index=y.index)
    model = tiny(mode).fit(X, named)
    proba = model.predict_proba(X_TEST)
    assert model.classes_.tolist() == ["jam", "leak", "ok"]
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert average_precision_score(Y_TEST, 1 - proba[:, 2]) > 0.6
    assert set(model.predict(X_TEST)) <= set(model.classes_)
    numbers = model.classes_.searchsorted(named)
    assert np.array_equal(tiny(mode).fit(X, numbers).predict_proba(X_TEST), proba)


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier of windows or steps that keeps what it is given."""

    def __init__(self, early_stopping=True, validation_fraction=0.3):
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction

    def fit(self, X, y, X_val=None, y_val=None):
        self.train_, self.held_out_, self.y_, self.y_val_ = X, X_val, y, y_val
        self.classes_ = np.unique(y)
        return self

    def fit_steps(
        self, X, y, sample_weight, *, starts, burn_in, stride, starts_val=None, sample_weight_val=None, **val
    ):
        self.starts_, self.starts_val_ = starts, starts_val
        return self.fit(X, y, **val)

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict_proba_steps(self, X, state=None):
        return self.predict_proba(X), state


def numbered_log():
    """Return the log with the number of the run in place of its readings."""
    return X.assign(flow=np.repeat(np.arange(N_RUNS), N_ROWS), heat=0.0)


@each_mode
@pytest.mark.parametrize("validation_fraction", [0.01, 0.34, 0.99])
@pytest.mark.parametrize("wanted", [True, np.True_], ids=["bool", "numpy"])
def test_early_stopping_holds_out_whole_runs_with_events_on_both_sides(mode, validation_fraction, wanted):
    recorder = Recorder(wanted, validation_fraction)
    (member,) = tiny(mode, recorder, inputs=None, n_estimators=1).fit(numbered_log(), y).estimators_
    train, held_out = (np.unique(part[:, 0]).tolist() for part in (member.train_, member.held_out_))
    assert sorted(train + held_out) == list(range(N_RUNS))
    assert len(held_out) == {0.01: 1, 0.34: 2, 0.99: N_RUNS - 1}[validation_fraction]
    assert set(member.y_) == set(member.y_val_) == {0, 1}


def test_early_stopping_keeps_runs_apart():
    (member,) = tiny("stateful", Recorder(), inputs=None, n_estimators=1).fit(numbered_log(), y).estimators_
    for part, starts in ((member.train_, member.starts_), (member.held_out_, member.starts_val_)):
        assert len(part) == N_ROWS * len(starts)
        assert starts.tolist() == list(range(0, len(part), N_ROWS))


@each_mode
def test_nothing_is_held_out_unless_early_stopping_asks_for_it(mode):
    (member,) = tiny(mode, Recorder(early_stopping=False), inputs=None, n_estimators=1).fit(X, y).estimators_
    assert member.held_out_ is None


@each_mode
def test_early_stopping_watches_the_runs_held_out(mode):
    model = tiny(mode).set_params(estimator__early_stopping=True, estimator__n_iter_no_change=1).fit(X, y)
    assert all("valid_loss" in record for member in model.estimators_ for record in member.history_)


@pytest.mark.usefixtures("one_openmp_thread")
@pytest.mark.parametrize(("validation_fraction", "scores"), [(0.2, "validation"), (None, "training")])
def test_boosting_is_given_its_validation_set_where_it_wants_one(validation_fraction, scores):
    boosting = HistGradientBoostingClassifier(
        max_iter=5, early_stopping=True, validation_fraction=validation_fraction, n_iter_no_change=2
    )
    model = tiny("windows", boosting, n_estimators=1).fit(X, y)
    assert (len(model.estimators_[0].validation_score_) > 0) == (scores == "validation")


class Coded(LSTMClassifier):
    """A network that is told of codes, and does nothing with it."""

    def __init__(self, categorical_channels=None, max_epochs=1, random_state=None):
        super().__init__(hidden_size=2, max_epochs=max_epochs, random_state=random_state)
        self.categorical_channels = categorical_channels


def coded_log():
    """Return the log with the number of a valve between its sensors."""
    valve = np.arange(len(X)) // 7 % 3
    return pd.DataFrame({"flow": X["flow"], "valve": valve, "heat": X["heat"]}, index=X.index)


@each_mode
@pytest.mark.parametrize("named", [["valve"], [1], np.array([1]), pd.Index(["valve"])], ids=str)
def test_members_are_told_which_of_their_channels_hold_codes(mode, named):
    both = tiny(mode, Coded(), categorical_channels=named, inputs="both").fit(coded_log(), y)
    assert [scaler.view for scaler in both.scalers_] == ["relative", "level"]
    assert [member.categorical_channels for member in both.estimators_] == [[2 * (2 + len(both.spans))], [2]]
    plain = tiny(mode, Coded(), categorical_channels=named, inputs=None).fit(coded_log(), y)
    assert [member.categorical_channels for member in plain.estimators_] == [[1], [1]]
    for model in (both, plain):
        assert np.isfinite(model.predict_proba(coded_log())).all()


class CodedRecorder(Recorder):
    """A recorder that is told of codes."""

    def __init__(self, categorical_channels=None):
        super().__init__(early_stopping=False)
        self.categorical_channels = categorical_channels


@pytest.mark.parametrize("inputs", ["level", "relative", None])
def test_members_see_the_codes_as_they_are(inputs):
    log, options = coded_log(), {"inputs": inputs, "n_estimators": 1}
    model = tiny("stateful", CodedRecorder(), categorical_channels=["valve"], **options).fit(log, y)
    (member,) = model.estimators_
    np.testing.assert_array_equal(member.train_[:, member.categorical_channels], log[["valve"]])
    without = tiny("stateful", CodedRecorder(), **options).fit(log.drop(columns="valve"), y).estimators_[0]
    np.testing.assert_array_equal(np.delete(member.train_, member.categorical_channels, axis=1), without.train_)


@pytest.mark.usefixtures("one_openmp_thread")
def test_a_classifier_that_cannot_be_told_gets_codes_as_they_are_or_not_at_all():
    forest = RandomForestClassifier(5, random_state=0)
    plain = tiny("windows", forest, inputs=None, categorical_channels=["valve"]).fit(coded_log(), y)
    same = tiny("windows", forest, inputs=None).fit(coded_log(), y)
    np.testing.assert_array_equal(plain.predict_proba(coded_log()), same.predict_proba(coded_log()))
    with pytest.raises(ValueError, match=r"RandomForestClassifier has no parameter categorical_channels.*inputs=None"):
        tiny("windows", forest, categorical_channels=["valve"]).fit(coded_log(), y)


def test_text_in_a_categorical_channel_is_refused_with_a_remedy_that_works():
    log = coded_log()
    log["valve"] = np.array(["open", "shut", "stuck"])[log["valve"]]
    for kind in ("str", object, "category"):
        with pytest.raises(ValueError, match=r"Column 'valve' of X, named in categorical_channels.*OrdinalEncoder"):
            tiny(categorical_channels=["valve"]).fit(log.astype({"valve": kind}), y)
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["valve"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = make_pipeline(encoder, tiny(estimator=Coded(), categorical_channels=["valve"], inputs="level"))
    assert np.isfinite(model.fit(log, y).predict_proba(log)).all()


@pytest.mark.parametrize(
    "named", [["pump"], [3], [-1], ["valve", "valve"], ["valve", 1], [1.0], [True], [None]], ids=str
)
def test_categorical_channels_that_are_not_sensors_are_refused_in_one_way(named):
    with pytest.raises(
        ValueError, match=r"categorical_channels=.* each once. X has 3 sensors: \['flow', 'valve', 'heat'\]"
    ):
        tiny(estimator=Coded(), categorical_channels=named).fit(coded_log(), y)
    with pytest.raises(ValueError, match=r"categorical_channels=.* each once. X has 3 sensors\."):
        tiny(estimator=Coded(), categorical_channels=[*named, "flow"]).fit(coded_log().to_numpy(), y.to_numpy())


@each_mode
def test_without_codes_members_are_told_nothing(mode):
    for none in (None, []):
        model = tiny(mode, Coded(categorical_channels=[0]), categorical_channels=none).fit(coded_log(), y)
        assert [member.categorical_channels for member in model.estimators_] == [[0], [0]]


def shuffled(log, seed=0):
    return log.iloc[np.random.default_rng(seed).permutation(len(log))]


def doubled(log):
    return log.iloc[np.sort(np.append(np.arange(len(log)), 5))]


def with_nan():
    gappy = X.copy()
    gappy.iloc[7, 1] = np.nan
    return gappy


quiet = y.copy()
quiet.loc["m1":] = 0


@pytest.mark.parametrize(
    ("model", "log", "labels", "message"),
    [
        (
            make_pipeline(StandardScaler(), tiny()),
            X,
            y,
            r"lost the index .* call pipeline.set_output\(transform='pandas'",
        ),
        (tiny(), X, shuffled(y), r"y is in another order than X. Align it: y = y.loc\[X.index\]"),
        (tiny(), X.iloc[10:], y.iloc[:-10], r"y has other rows than X.* y = y.loc\[X.index\]"),
        (tiny(), X, y.droplevel(0), "y has other rows than X"),
        (tiny(), X.iloc[::-1], y.iloc[::-1], r"unsorted.* Sort the log by run, then time: X = X.sort_index\(\)"),
        (tiny(), shuffled(X), shuffled(y), r"Sort the log by run, then time: X = X.sort_index\(\)"),
        (tiny(), doubled(X), doubled(y), r"duplicated times.* X = X\[~X.index.duplicated"),
        (tiny(), with_nan(), y, r"first in column 'heat' at row 7 .* such as ForwardFill\(\) in a pipeline"),
        (tiny(), X, y.where(y == 0), "y contains NaN"),
        (tiny(), X, None, "requires y to be passed"),
        (tiny("windows", window_size=200), X, y, "longest run of the log has 120 rows.*set window_size to at most 120"),
        (
            tiny("stateful", LogisticRegression()),
            X,
            y,
            "LogisticRegression cannot train step by step.*Set mode='windows'",
        ),
        (tiny(estimator=LSTMClassifier(bidirectional=True)), X, y, "Use mode='windows', or bidirectional=False"),
        (tiny(estimator=LSTMClassifier(early_stopping=True)), X, quiet, "only 1 run .*early_stopping=False"),
        (tiny(horizon=5), X, y.replace({0: "ok", 1: "bad"}), "a horizon needs labels 0 .quiet. and 1 .event."),
        (tiny(horizon="5 bananas"), X, y, "horizon='5 bananas' is not a length of time"),
        (tiny(max_gap="1 banana"), X, y, "max_gap='1 banana' is not a length of time"),
        (tiny(mode="magic"), X, y, "The 'mode' parameter of EventClassifier must be a str among"),
        (tiny(window_size=0), X, y, "The 'window_size' parameter of EventClassifier must be an int"),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:.*unbroken rows of history:UserWarning"
)  # a window of 200 rows is too long on purpose
def test_what_cannot_be_fitted_is_refused_with_the_remedy(model, log, labels, message):
    with pytest.raises(ValueError, match=message):
        model.fit(log, labels)


def test_a_pipeline_that_flattens_windows_by_itself_is_a_member():
    model = tiny("windows", make_pipeline(FlattenWindows(), LogisticRegression())).fit(X, y)
    plain = tiny("windows", LogisticRegression()).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))


def test_weights_are_refused_where_the_classifier_takes_none():
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight"):
        tiny("windows", KNeighborsClassifier()).fit(X, y, sample_weight=1.0 + y)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (X.to_numpy(), r"lost the index .*levels \['machine', 'time'\].* call pipeline.set_output\(transform='pandas'"),
        (X.reset_index(drop=True), r"call pipeline.set_output\(transform='pandas'"),
        (X[["heat", "flow"]], r"feature names should match.*Pass the columns of fit, in their order"),
        (X.assign(speed=1.0), r"feature names should match.*Pass the columns of fit, in their order"),
        (with_nan(), "first in column 'heat' at row 7"),
        (X.iloc[::-1], r"Sort the log by run, then time"),
        (doubled(X), "duplicated times"),
    ],
)
def test_a_log_that_does_not_fit_the_model_is_refused_with_the_remedy(log, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        fitted("stateful").predict_proba(log)


def test_a_pipeline_that_loses_the_index_is_refused_when_it_predicts_too():
    pipeline = make_pipeline(StandardScaler(), tiny()).set_output(transform="pandas").fit(X, y)
    pipeline.set_output(transform="default")
    with pytest.raises(ValueError, match=r"call pipeline.set_output\(transform='pandas'\)"):
        pipeline.predict(X)


@each_mode
def test_a_log_torn_by_a_shuffling_splitter_is_warned_of(mode):
    train, _ = next(KFold(4, shuffle=True, random_state=0).split(X))
    with pytest.warns(UserWarning, match="unbroken rows of history.* use RunKFold"):
        tiny(mode).fit(X.iloc[train], y.iloc[train])


@each_mode
def test_a_whole_log_with_a_few_lost_rows_is_not_called_torn(mode):
    kept = np.random.default_rng(0).random(len(X)) > 0.02
    assert np.isfinite(tiny(mode).fit(X[kept], y[kept]).predict_proba(X[kept])).all()


def test_members_tell_of_their_progress_when_asked(capsys):
    tiny(verbose=1).fit(X, y)
    assert "training" in capsys.readouterr().err


@pytest.mark.parametrize("window_size", [N_ROWS + 1, 1000, 10**9, 2**62])
def test_a_window_longer_than_the_longest_run_is_clipped_to_it(window_size):
    with pytest.warns(UserWarning, match="unbroken rows of history"):
        whole = tiny(window_size=N_ROWS).fit(X, y)
        model = tiny(window_size=window_size).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))
    assert model.window_size_ == N_ROWS


class SinglePrecision(LogisticRegression):
    """A classifier around a network, as skorch makes it: it has a `module`, and takes float32 alone."""

    def __init__(self, module=None):
        super().__init__()
        self.module = module

    def fit(self, X, y):
        assert X.dtype == np.float32
        return super().fit(X, y)

    def predict_proba(self, X):
        assert X.dtype == np.float32
        return super().predict_proba(X)


def searched(net):
    return GridSearchCV(net, {"module": [None]}, cv=2)


@pytest.mark.parametrize("inputs", [None, "level", "relative", "both"])
@pytest.mark.parametrize("around", [lambda net: net, lambda net: make_pipeline("passthrough", net), searched])
def test_networks_of_other_libraries_get_float32_whatever_the_inputs(inputs, around):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 2)), np.arange(80) % 20 > 16
    model = EventClassifier(around(SinglePrecision()), mode="windows", window_size=4, n_estimators=2, inputs=inputs)
    assert np.isfinite(model.fit(X, y.astype(int)).predict_proba(X)).all()


def four_sensors():
    """A log of sensors that follow each other, one of which says other than the rest in events."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(4), range(120)], names=["machine", "t"])
    y = pd.Series(((index.get_level_values("t") % 40) > 33).astype(int), index=index)
    load = rng.normal(size=(480, 1)).cumsum(axis=0)
    X = load @ np.ones((1, 4)) + 0.3 * rng.normal(size=(480, 4))
    X[:, 1] += 1.5 * y
    return pd.DataFrame(X, index=index, columns=list("abcd")), y


@pytest.mark.parametrize("mode", ["stateful", "windows"])
def test_members_see_the_views_in_turn(mode):
    X, y = four_sensors()
    model = tiny(mode, inputs=("relative", "whitened"), n_estimators=3).fit(X, y)
    assert [scaler.view for scaler in model.scalers_] == ["relative", "whitened"]
    alone = tiny(mode, inputs="whitened", n_estimators=1).fit(X, y)
    np.testing.assert_array_equal(alone.scalers_[0].whitening_, model.scalers_[1].whitening_)


@pytest.mark.parametrize("beside", [[], ["a copy"], ["a constant"]])
def test_the_whitened_view_is_left_out_where_one_sensor_tells_all(beside):
    X, y = four_sensors()
    X = X[["a"]].assign(**dict.fromkeys(beside, X["a"] * 2 if "a copy" in beside else 1.0))
    assert [scaler.view for scaler in tiny(inputs=("relative", "whitened")).fit(X, y).scalers_] == ["relative"]
    alone = tiny(inputs="whitened").fit(X, y)
    assert [scaler.view for scaler in alone.scalers_] == ["relative"] and len(alone.predict_proba(X)) == 480


def test_networks_on_whitened_sensors_do_not_begin_at_the_prior_unless_they_are_told():
    X, y = four_sensors()
    model = tiny(inputs=("relative", "whitened"), n_estimators=3).fit(X, y)
    assert [member.prior_bias for member in model.estimators_] == [True, False, True]
    told = tiny(estimator=LSTMClassifier(hidden_size=2, max_epochs=1, prior_bias=True), inputs="whitened").fit(X, y)
    assert all(member.prior_bias is True for member in told.estimators_)


def test_extremely_randomised_trees_see_all_rows_once_where_there_are_no_more_than_max_samples():
    def fit(**parameters):
        return tiny("windows", ExtraTreesClassifier(3, min_samples_leaf=5, **parameters), n_estimators=1).fit(X, y)

    of_all, of_at_most = fit(), fit(bootstrap=True, max_samples=len(X))
    np.testing.assert_array_equal(of_at_most.predict_proba(X), of_all.predict_proba(X))
    assert of_at_most.estimator.bootstrap and not of_at_most.estimators_[0].bootstrap
    few = fit(bootstrap=True, max_samples=50).estimators_[0]
    assert all(tree.tree_.weighted_n_node_samples[0] == 50 for tree in few.estimators_)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [([], "names no view"), (("relative", "levels"), "view='levels' is unknown"), ("all", "inputs")],
)
def test_inputs_that_are_no_views_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        tiny(inputs=inputs).fit(*four_sensors())


def test_no_copy_of_the_log_is_held_while_the_members_train(monkeypatch):
    seen, check = [], event_classifier.check_fit

    def keep_an_eye(*arguments):
        checked = check(*arguments)
        seen.append(weakref.ref(checked[0].values))
        return checked

    def train(function, n_jobs, members, *more):
        gc.collect()
        assert seen[0]() is None
        return train_side_by_side(function, n_jobs, members, *more)

    monkeypatch.setattr(event_classifier, "check_fit", keep_an_eye)
    monkeypatch.setattr(event_classifier, "train_side_by_side", train)
    tiny().fit(X.astype(np.float32), y)
    assert len(seen) == 1
