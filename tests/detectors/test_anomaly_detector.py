"""The detector of anomalies finds what is planted, and its scores know of nothing but the rows up to each."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from sklearn.base import BaseEstimator, OutlierMixin, RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import eventlstm as el
from eventlstm import AnomalyDetector, LSTMAutoencoder, LSTMForecaster
from eventlstm.detectors.anomaly_detector import models_of
from eventlstm.logs.checking import check_scoring
from eventlstm.logs.lanes import walk
from eventlstm.thresholds import AutoThreshold, DynamicThreshold, LabelledThreshold, QuantileThreshold, TailThreshold

N_ROWS, STEP = 160, pd.Timedelta("1min")
SENSORS = ["flow", "heat", "load"]
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}

# With a window of one row and no smoothing, a row is judged by itself, as the checks suppose of every estimator.
ROW_BY_ROW = AnomalyDetector(
    LSTMAutoencoder(
        hidden_size=4, latent_size=2, max_epochs=3, lr=0.05, precision="float64", batch_size=None, dropout=0.0
    ),
    window_size=1,
    smoothing=1,
    inputs="level",
    n_estimators=1,
    contamination=0.1,
    normal_label=None,
)
# The defaults, made cheaper; a budget of false alarms may find no row of `fit` abnormal, which a check wants.
DEFAULT = AnomalyDetector(LSTMForecaster(hidden_size=4, max_epochs=2), normal_label=None, contamination=0.1)
EXPECTED_FAILURES = {
    "check_methods_sample_order_invariance": "a row is judged by the rows before it, in their order",
    "check_methods_subset_invariance": "a row is judged by the rows before it, which a subset lacks",
}

pytestmark = pytest.mark.usefixtures("one_torch_thread", "one_openmp_thread")
few_rows_are_meant = pytest.mark.filterwarnings(
    "ignore:.*(unbroken rows of history|the threshold is a guess):UserWarning"
)


@parametrize_with_checks([ROW_BY_ROW])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@few_rows_are_meant
@parametrize_with_checks([DEFAULT], expected_failed_checks=lambda _: EXPECTED_FAILURES, xfail_strict=True)
def test_the_defaults_fail_no_check_of_scikit_learn_but_those_that_they_cannot_pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [ROW_BY_ROW, DEFAULT], ids=["row by row", "default"])
def test_scikit_learn_has_more_than_forty_checks_those_of_outliers_among_them(estimator):
    names = {check.func.__name__ for _, check in estimator_checks_generator(estimator)}
    assert len(list(estimator_checks_generator(estimator))) > 40
    assert {"check_outliers_train", "check_outliers_fit_predict", "check_outlier_contamination"} <= names


class LastRow(RegressorMixin, BaseEstimator):
    """Forecast that all stays as it is."""

    def fit(self, X, y):
        """Learn how many sensors there are."""
        self.n_sensors_ = y.shape[1] if y.ndim > 1 else 1
        return self

    def predict(self, X):
        """Return the last row of each window."""
        return X[:, -self.n_sensors_ :]


class Distance:
    """A detector as PyOD has them: no class of scikit-learn, and high scores are abnormal."""

    def __init__(self, power=2.0):
        self.power = power

    def get_params(self, deep=True):
        """Return the parameters."""
        return {"power": self.power}

    def set_params(self, **parameters):
        """Set parameters."""
        vars(self).update(parameters)
        return self

    def fit(self, X, y=None):
        """Learn the centre."""
        self.center_ = X.mean(axis=0)
        self.decision_scores_ = self.decision_function(X)
        return self

    def decision_function(self, X):
        """Return the distance from it."""
        return (np.abs(X - self.center_) ** self.power).sum(axis=1)


STEPS = {"hidden_size": 6, "max_epochs": 8, "lr": 0.02, "batch_size": 8, "n_jobs": 1}
SMALL = {**STEPS, "batch_size": 32}
KINDS = {
    "forecaster": LSTMForecaster(**STEPS),
    "forecaster of windows": LSTMForecaster(bidirectional=True, **SMALL),
    "forecaster with attention": LSTMForecaster(pooling="additive", early_stopping=True, **SMALL),
    "ridge": Ridge(),
    "regressor of one target": HistGradientBoostingRegressor(max_iter=10),
    "persistence": LastRow(),
    "autoencoder": LSTMAutoencoder(latent_size=4, **SMALL),
    "autoencoder that stops": LSTMAutoencoder(latent_size=4, early_stopping=True, **SMALL),
    "pca": PCA(4),
    "isolation forest": IsolationForest(n_estimators=20),
    "local outlier factor": LocalOutlierFactor(novelty=True),
    "like PyOD": Distance(),
    "autoencoder in a pipeline": make_pipeline(StandardScaler(), LSTMAutoencoder(latent_size=4, **SMALL)),
}
SCORERS = ("isolation forest", "local outlier factor", "like PyOD", "autoencoder in a pipeline")
each_kind = pytest.mark.parametrize("kind", KINDS)


def quiet_log(n_runs=3, n_rows=N_ROWS, seed=0):
    """Return a log of three sensors that follow a wave, two of them with noise of their own size."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_rows) + rng.uniform(0, 40, (n_runs, 1))
    wave = np.stack([np.sin(t / 4), 10 * np.cos(t / 4) + 50, 0.1 * np.sin(t / 9)], axis=2)
    values = wave + rng.normal(size=wave.shape) * [0.1, 1.0, 0.01]
    times = pd.date_range("2024-01-01", periods=n_rows, freq=STEP)
    index = pd.MultiIndex.from_product([[f"m{k}" for k in range(n_runs)], times], names=["machine", "time"])
    return pd.DataFrame(values.reshape(-1, 3), index=index, columns=SENSORS)


def plant(X, sensor="heat", begin=90, n_rows=8, size=40.0):
    """Return a log with a step up in a sensor of the second machine, and labels of it."""
    X = X.copy()
    rows = X.index.get_loc(X.loc[["m1"]].index[begin]) + np.arange(n_rows)
    X.iloc[rows, X.columns.get_loc(sensor)] += size
    return X, pd.Series(np.isin(np.arange(len(X)), rows).astype(int), index=X.index)


X = quiet_log()
TEST, EVENT = plant(quiet_log(seed=1))


def tiny(kind="ridge", **changes):
    plain = {"window_size": 6, "smoothing": 4, "threshold": 8.0, "n_jobs": 1, "random_state": 0}
    return AnomalyDetector(clone(KINDS[kind]), **{**plain, **changes})


_FITTED = {}


def fitted(kind="ridge"):
    """Return a copy of a model that is fitted once."""
    if kind not in _FITTED:
        _FITTED[kind] = tiny(kind).fit(X)
    return copy.deepcopy(_FITTED[kind])


@each_kind
def test_a_planted_anomaly_is_ranked_on_top(kind):
    score = fitted(kind).anomaly_score(TEST)
    assert score.shape == (len(TEST),)
    assert np.isfinite(score).all()
    begin = EVENT.to_numpy().argmax()
    assert begin <= score.argmax() < begin + EVENT.sum() + 4, "the mean over 4 rows lags"
    assert average_precision_score(EVENT, score) > 0.1


@each_kind
def test_scores_of_a_prefix_are_a_prefix_of_the_scores(kind):
    model = fitted(kind)
    whole = model.anomaly_score(TEST)
    for n_rows in (20, N_ROWS - 1, N_ROWS, N_ROWS + 1, 2 * N_ROWS + 50):
        np.testing.assert_allclose(model.anomaly_score(TEST.iloc[:n_rows]), whole[:n_rows], **ROUNDING)


@each_kind
def test_later_rows_and_other_runs_change_no_score(kind):
    model = fitted(kind)
    wild = TEST.copy()
    wild.loc["m0"] = 1e9
    wild.iloc[-40:] = -1e9
    score = model.anomaly_score(wild)
    assert np.isfinite(score).all()
    np.testing.assert_allclose(score[N_ROWS : 2 * N_ROWS], model.anomaly_score(TEST)[N_ROWS : 2 * N_ROWS], **ROUNDING)
    np.testing.assert_allclose(score[2 * N_ROWS : -40], model.anomaly_score(TEST)[2 * N_ROWS : -40], **ROUNDING)


@each_kind
def test_nothing_of_the_rows_before_a_gap_is_seen_after_it(kind):
    model = fitted(kind)
    run = TEST.loc[["m0"]]
    begin = 50
    wild = run.copy()
    wild.iloc[:begin] = -1e6
    late = np.where(np.arange(N_ROWS) < begin, 0, 100) * STEP
    times = run.index.get_level_values("time") + pd.TimedeltaIndex(late)
    wild.index = pd.MultiIndex.from_arrays([run.index.get_level_values(0), times], names=run.index.names)
    after = model.anomaly_score(wild)[begin:]
    np.testing.assert_allclose(after, model.anomaly_score(run.iloc[begin:]), **ROUNDING)
    model.max_gaps_ = [np.inf]  # what max_gap=None learns
    assert np.abs(model.anomaly_score(wild)[begin:] - after).max() > 1e-3


@pytest.mark.parametrize("kind", ["forecaster", "ridge", "pca", "isolation forest"])
def test_scores_do_not_depend_on_where_the_log_is_cut_into_blocks(kind, monkeypatch):
    model = fitted(kind)
    whole = model.anomaly_score(TEST)
    monkeypatch.setattr("eventlstm.recurrent.members.BLOCK", 7)
    monkeypatch.setattr("eventlstm.recurrent.forward.PREDICT_STEPS", 7)
    monkeypatch.setattr(
        "eventlstm.detectors.row_models.walk", lambda *parts, **size: walk(*parts, block_rows=7, **size)
    )
    np.testing.assert_allclose(model.anomaly_score(TEST), whole, **ROUNDING)


@each_kind
def test_the_number_of_threads_changes_no_bit(kind):
    alone, crowd = fitted(kind), tiny(kind, n_jobs=2).fit(X)
    assert np.array_equal(alone.anomaly_score(TEST), crowd.anomaly_score(TEST))


@each_kind
def test_a_copy_and_a_pickle_score_the_same(kind):
    model = fitted(kind)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(twin.anomaly_score(TEST), model.anomaly_score(TEST))
        pd.testing.assert_series_equal(twin.held_out_scores_, model.held_out_scores_)
    with pytest.raises(NotFittedError):
        clone(model).anomaly_score(TEST)


@pytest.mark.parametrize("changes", [{}, {"inputs": "relative"}, {"norm": "mahalanobis", "targets": "level"}], ids=str)
@pytest.mark.parametrize("kind", ["forecaster", "autoencoder"])
def test_an_archive_scores_the_same_and_takes_new_thresholds(kind, changes, tmp_path):
    model = tiny(kind, threshold=QuantileThreshold(0.2), **changes).fit(X)
    el.save(model, tmp_path / "model")
    twin = el.load(tmp_path / "model")
    assert (repr(twin), twin.offset_, twin.threshold_) == (repr(model), model.offset_, model.threshold_)
    assert np.array_equal(twin.anomaly_score(TEST), model.anomaly_score(TEST))
    pd.testing.assert_frame_equal(twin.attribution(TEST), model.attribution(TEST))
    changed = (one.set_threshold(QuantileThreshold(0.3)).threshold_ for one in (twin, model))
    assert len(set(changed)) == 1


@pytest.mark.parametrize(
    "threshold",
    [
        AutoThreshold(false_alarm_rate=0.01),
        DynamicThreshold(),
        LabelledThreshold(),
        QuantileThreshold(0.01),
        TailThreshold(0.001),
    ],
    ids=str,
)
def test_a_threshold_is_archived(threshold, tmp_path):
    score = np.random.default_rng(0).exponential(size=5000)
    threshold.fit(score, score > 5.0 if isinstance(threshold, LabelledThreshold) else None)
    el.save(threshold, tmp_path / "threshold")
    assert np.array_equal(el.load(tmp_path / "threshold").flag(score), threshold.flag(score))


def test_a_default_detector_is_archived_with_its_date_times(tmp_path):
    model = AnomalyDetector(LSTMForecaster(**STEPS), random_state=0)
    with pytest.warns(UserWarning, match="the threshold is a guess"):
        model.fit(X)
    el.save(model, tmp_path / "model")
    twin = el.load(tmp_path / "model")
    pd.testing.assert_series_equal(twin.held_out_scores_, model.held_out_scores_)
    assert np.array_equal(twin.predict(TEST), model.predict(TEST))


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        *((kind, targets) for kind in ("forecaster", "ridge") for targets in ("level", "change", "both")),
        ("autoencoder", "both"),
        ("pca", "both"),
    ],
)
@pytest.mark.parametrize("inputs", ["level", "relative", "whitened"])
def test_an_anomaly_is_found_whatever_models_see_and_forecast(kind, targets, inputs):
    model = tiny(kind, targets=targets, inputs=inputs).fit(X)
    score = model.anomaly_score(TEST)
    assert np.isfinite(score).all()
    assert 0.5 < np.median(model.anomaly_score(X)) < 1.5
    assert EVENT.to_numpy().argmax() <= score.argmax() < EVENT.to_numpy().argmax() + EVENT.sum() + 4


def test_the_scores_are_one():
    model = fitted()
    score = model.anomaly_score(TEST)
    assert score.dtype == np.float64
    assert np.array_equal(model.score_samples(TEST), -score)
    assert np.array_equal(model.decision_function(TEST), -score - model.offset_)
    assert (model.threshold_, model.offset_) == (8.0, -8.0)
    assert np.array_equal(model.predict(TEST), np.where(score > 8.0, -1, 1))
    assert (model.predict(TEST) == -1).any()
    assert np.array_equal(tiny().fit_predict(X), fitted().predict(X))


def test_scores_are_about_one_on_quiet_rows():
    score = fitted().anomaly_score(quiet_log(seed=2))
    assert 0.8 < score.mean() < 1.3


def test_smoothing_is_the_exponentially_weighted_mean_of_each_run():
    rough, smooth = (tiny(smoothing=span).fit(X) for span in (1, 9))
    first = rough.quiet_parts_.sum()
    score = pd.Series(rough.anomaly_score(TEST), index=TEST.index)
    for run, part in pd.Series(smooth.anomaly_score(TEST), index=TEST.index).groupby(level=0):
        expected = pd.concat([pd.Series([first]), score.loc[run]]).ewm(span=9, adjust=False).mean().to_numpy()[1:]
        np.testing.assert_allclose(part, expected, rtol=1e-9)


def test_a_row_s_score_is_what_the_shares_of_its_sensors_are_of():
    model = tiny(smoothing=1).fit(X)
    log = check_scoring(model, TEST)
    errors = models_of(model, model.estimators_).errors(log, 1)
    errors /= np.repeat(list(model.run_scales_.values()), N_ROWS, axis=0)
    first = log.starts[:, None] + np.arange(len(model.cold_))  # (n_stretches, n_first)
    errors[first] /= model.cold_
    squares = np.minimum(np.abs(errors / model.scorer_.scale_), 100) ** 2
    np.testing.assert_allclose(model.anomaly_score(TEST), squares.mean(axis=1), rtol=1e-9)
    shares = model.attribution(TEST)
    np.testing.assert_allclose(shares, squares / squares.sum(axis=1, keepdims=True), rtol=1e-9)
    assert shares.index.equals(TEST.index)
    assert list(shares.columns) == SENSORS


@pytest.mark.parametrize("share", [0.004, 0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("kind", ["ridge", "forecaster", "isolation forest"])
def test_contamination_is_the_share_of_the_rows_of_fit_found_abnormal(kind, share):
    model = tiny(kind, contamination=share).fit(X)
    assert (model.predict(X) == -1).sum() == int(share * len(X))
    assert model.threshold_ == -model.offset_


def test_another_threshold_needs_no_other_training():
    model = fitted()
    members, score = model.estimators_, model.anomaly_score(TEST)
    for rate in (0.3, 0.1, 0.05):
        assert model.set_threshold(QuantileThreshold(rate)) is model
        shares = [(score > model.threshold_).mean() for score in (model.held_out_scores_, model.quiet_scores_)]
        assert max(shares) == pytest.approx(rate, abs=1 / len(model.held_out_scores_))
        assert model.offset_ == -model.threshold_
    assert model.estimators_ is members
    assert np.array_equal(model.anomaly_score(TEST), score)
    assert model.set_threshold(3).threshold_ == 3.0
    labelled = model.set_threshold(LabelledThreshold(), pd.Series(score, TEST.index), EVENT)
    assert average_precision_score(EVENT, labelled.predict(TEST) == -1) > 0.5


def test_the_automatic_threshold_is_that_of_the_budget_on_the_rows_held_out_and_on_all_quiet_ones():
    long = quiet_log(n_runs=2, n_rows=4000)
    model = tiny(threshold="auto", max_false_alarms_per_day=30.0).fit(long)
    rule = AutoThreshold(30.0, merge_gap=15)
    parts = model.held_out_scores_, model.quiet_scores_
    assert model.threshold_ == max(clone(rule).fit(scores).threshold_ for scores in parts)
    n_alarms = len(el.AlarmPolicy(model.threshold_).to_events(model.held_out_scores_))
    assert n_alarms <= 30 * 2 * 800 / 1440
    assert tiny(threshold=rule).fit(long).threshold_ == model.threshold_


@pytest.mark.parametrize("kind", ["ridge", "forecaster"])
def test_a_cold_start_raises_no_more_alarms_than_rows_with_history(kind):
    rng = np.random.default_rng(0)
    values = lfilter([1.0], [1.0, -1.6, 0.9], rng.normal(size=(1200, 2)), axis=0)
    model = tiny(kind, threshold=QuantileThreshold(0.05)).fit(values[:800])
    warm = model.anomaly_score(values)
    begins = rng.integers(800, 1180, 60)
    cold = np.array([model.anomaly_score(values[begin : begin + 10]) for begin in begins])
    history = np.array([warm[begin : begin + 10] for begin in begins])
    assert cold.mean() < 1.5 * history.mean()
    assert (cold > model.threshold_).mean() < 0.15


def test_a_calm_end_of_the_quiet_rows_lowers_no_threshold():
    noise = np.random.default_rng(0).normal(size=(1000, 2))
    noise[-200:] *= 0.3
    model = tiny(threshold=QuantileThreshold(0.1)).fit(noise)
    assert model.threshold_ == QuantileThreshold(0.1).fit(model.quiet_scores_).threshold_
    assert model.threshold_ > QuantileThreshold(0.1).fit(model.held_out_scores_).threshold_


@pytest.mark.parametrize("kind", ["ridge", "forecaster", "pca"])
def test_a_sensor_that_stood_still_says_nothing_until_it_moves(kind):
    X = quiet_log(n_runs=1, n_rows=400).assign(still=7.0)
    model = tiny(kind).fit(X.iloc[:300])
    assert (model.attribution(X)["still"] == 0.0).all()
    X.iloc[350:360, -1] = 9.0
    assert model.attribution(X)["still"].iloc[352:360].min() > 0.5


def test_rows_held_out_are_the_last_of_each_run_and_keep_their_times():
    held_out = fitted().held_out_scores_
    assert len(held_out) == 3 * N_ROWS * 0.2
    for number, run in enumerate(("m0", "m1", "m2")):
        wanted = X.loc[run].index[-N_ROWS // 5 :]
        assert held_out.loc[number].index.equals(wanted.rename("time").as_unit(held_out.loc[number].index.unit))
    score = pd.Series(fitted().anomaly_score(X), X.index)
    np.testing.assert_allclose(held_out.loc[1], score.loc["m1"][-N_ROWS // 5 :], rtol=1e-12)


def test_rows_held_out_are_not_learnt():
    spoilt = X.copy()
    late = np.arange(N_ROWS) >= 0.8 * N_ROWS
    spoilt[np.tile(late, 3)] = X[np.tile(late, 3)].to_numpy()[::-1]
    same_units = {"clip": 1e3, "targets": "level", "n_estimators": 1}
    one, other = (tiny(**same_units).fit(log) for log in (X, spoilt))
    np.testing.assert_allclose(one.levels_.center_, other.levels_.center_)
    np.testing.assert_allclose(one.estimators_[0].coef_, other.estimators_[0].coef_, rtol=1e-6)


def test_runs_of_a_few_rows_hold_out_the_last_of_all():
    index = pd.MultiIndex.from_product([range(10), range(4)])
    values = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.warns(UserWarning, match="unbroken rows of history"):
        model = tiny().fit(pd.DataFrame(values, index=index, columns=["a", "b"]))
    assert model.held_out_scores_.index.get_level_values("run").tolist() == [8] * 4 + [9] * 4


def test_rows_marked_as_not_quiet_are_neither_learnt_nor_held_out():
    wild = X.copy()
    marked = pd.Series(0, index=X.index)
    for rows in (slice(40, 60), slice(140, 150), slice(280, 281)):
        marked.iloc[rows] = 1
        wild.iloc[rows] = 1e3
    found, other = tiny().fit(wild, marked), tiny().fit(X.where(marked == 0, -7.0), marked)
    np.testing.assert_allclose(found.anomaly_score(TEST), other.anomaly_score(TEST), rtol=1e-9)
    np.testing.assert_allclose(found.held_out_scores_, other.held_out_scores_, rtol=1e-9)
    n_settled = (N_ROWS - 20 - 6 - 10 - 6, N_ROWS - 1 - 6, N_ROWS)
    assert [*found.held_out_scores_.groupby(level=0).size()] == [int(0.2 * n) for n in n_settled]


def test_marks_are_words_where_normal_label_says_so_and_nothing_where_it_is_none():
    marked = pd.Series(np.where(np.arange(len(X)) % 50 < 5, "fault", "ok"), index=X.index)
    by_word = tiny(normal_label="ok").fit(X, marked)
    by_number = tiny().fit(X, (marked == "fault").astype(int))
    assert np.array_equal(by_word.anomaly_score(TEST), by_number.anomaly_score(TEST))
    blind = tiny(normal_label=None).fit(X, marked)
    assert np.array_equal(blind.anomaly_score(TEST), fitted().anomaly_score(TEST))


def contaminated(share=0.05, seed=0):
    """Return a log of which a part is far off, and which part."""
    X = quiet_log(seed=seed)
    marked = np.zeros(len(X), dtype=bool)
    for begin in range(25, len(X), int(8 / share)):
        marked[begin : begin + 8] = True
    X.loc[marked, "load"] += 0.5
    X.loc[marked, "flow"] -= 2.0
    return X, marked


@pytest.mark.parametrize("kind", ["ridge", "forecaster", "pca"])
def test_trim_leaves_out_what_is_not_quiet_and_finds_more(kind):
    spoilt, marked = contaminated()
    plain, trimmed = (tiny(kind, trim=trim).fit(spoilt) for trim in (0.0, 0.1))
    units = [(model.levels_.scale_ * model.scorer_.scale_)[[0, 2]] for model in (plain, trimmed)]
    assert (units[1] < 0.8 * units[0]).all(), "scales are those of quiet rows"
    before, after = (average_precision_score(marked, model.anomaly_score(spoilt)) for model in (plain, trimmed))
    assert after > before
    assert len(trimmed.held_out_scores_) < len(plain.held_out_scores_)


def test_without_trim_a_seed_gives_the_same_numbers_again_and_another_seed_others():
    one, again, other = (tiny("forecaster", random_state=seed).fit(X).anomaly_score(TEST) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("kind", ["ridge", "pca", "autoencoder", "forecaster"])
@pytest.mark.parametrize("inputs", ["level", "relative"])
def test_the_units_of_a_sensor_change_nothing(kind, inputs):
    units = np.array([2.0**20, 1.0, 2.0**-30])
    model, other = tiny(kind, inputs=inputs).fit(X), tiny(kind, inputs=inputs).fit(X * units)
    np.testing.assert_allclose(other.anomaly_score(TEST * units), model.anomaly_score(TEST), rtol=1e-6)
    assert other.threshold_ == model.threshold_


@pytest.mark.parametrize("kind", ["ridge", "pca", "persistence"])
def test_other_places_of_the_sensors_are_other_places_of_their_shares(kind):
    turned = ["load", "flow", "heat"]
    model, other = fitted(kind), tiny(kind).fit(X[turned])
    np.testing.assert_allclose(other.anomaly_score(TEST[turned]), model.anomaly_score(TEST), rtol=1e-6)
    pd.testing.assert_frame_equal(other.attribution(TEST[turned])[SENSORS], model.attribution(TEST), rtol=1e-6)


def drifting(seed, sensor, size):
    """Return a log of five sensors of which one drifts away from its neighbours, and the event it is."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(600)[:, None] / 6 + np.arange(5))
    X = pd.DataFrame(wave + 0.15 * rng.normal(size=(600, 5)), columns=list("abcde"))
    begin = 500 + rng.integers(0, 40)
    X.iloc[begin:560, sensor] += np.linspace(0, size, 560 - begin)
    return X, pd.DataFrame({"start": [begin], "end": [559]})


@pytest.mark.parametrize(
    ("estimator", "n_logs"),
    [
        (Ridge(), 40),
        (PCA(3), 20),
        pytest.param(LSTMForecaster(hidden_size=12, max_epochs=10, lr=0.02), 5, marks=pytest.mark.slow),
    ],
)
def test_the_sensor_that_drifts_is_the_first_named(estimator, n_logs):
    first = []
    for seed in range(n_logs):
        X, event = drifting(seed, seed % 5, 3.0)
        model = AnomalyDetector(estimator, window_size=8, threshold=5.0, n_jobs=1, random_state=0).fit(X[:480])
        shares = model.attribution(X, event)
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)
        first.append(shares.iloc[0].argmax() == seed % 5)
    assert np.mean(first) >= 0.95


def test_the_shares_of_an_event_are_the_mean_of_its_first_third():
    model, shares = fitted(), fitted().attribution(TEST)
    events = el.to_events(EVENT)
    begin = EVENT.to_numpy().argmax()
    np.testing.assert_allclose(model.attribution(TEST, events).iloc[0], shares.iloc[begin : begin + 3].mean())
    assert model.attribution(TEST, events).idxmax(axis=1).tolist() == ["heat"]
    elsewhere = events.assign(start=pd.Timestamp("2030-01-01"), end=pd.Timestamp("2030-01-02"))
    assert model.attribution(TEST, elsewhere).isna().all(axis=None)
    by_number = tiny().fit(X.to_numpy()[:N_ROWS]).attribution(TEST.to_numpy())
    assert list(by_number.columns) == ["x0", "x1", "x2"]
    assert by_number.index.equals(pd.RangeIndex(len(TEST)))


@pytest.mark.parametrize("kind", SCORERS)
def test_a_detector_that_scores_rows_as_a_whole_names_no_sensor(kind):
    with pytest.raises(ValueError, match=r"scores rows as a whole\. Use a forecaster, an autoencoder or PCA"):
        fitted(kind).attribution(TEST)


def skewed_noise(n_rows, seed):
    """Return noise of one sensor whose rows hang together and whose upper tail is heavier than the lower."""
    shocks = np.random.default_rng(seed).exponential(size=(n_rows, 1)) - 1.0
    return lfilter([1.0], [1.0, -0.9], shocks, axis=0)


@pytest.mark.parametrize(("rate", "n_rows"), [(1e-2, 20_000), (1e-3, 100_000)])
def test_fresh_quiet_rows_are_flagged_as_often_as_was_asked(rate, n_rows):
    realised = []
    for seed in range(12):
        X = skewed_noise(n_rows + 40_000, seed)
        rule = AutoThreshold(false_alarm_rate=rate)
        model = AnomalyDetector(Ridge(), window_size=8, threshold=rule, random_state=0, n_jobs=1).fit(X[:n_rows])
        realised.append((model.predict(X[n_rows:]) == -1).mean())
    assert rate / 2 < np.median(realised) < 2 * rate


def test_a_day_brings_about_as_many_false_alarms_as_were_allowed():
    realised = []
    for seed in range(8):
        X = pd.DataFrame(skewed_noise(60_000, seed), pd.date_range("2024", periods=60_000, freq="min"), ["noise"])
        model = AnomalyDetector(Ridge(), window_size=8, max_false_alarms_per_day=4.0, random_state=0, n_jobs=1)
        flags = model.fit(X[:30_000]).predict(X[30_000:]) == -1
        realised.append(len(el.to_events(flags)) / (30_000 / 1440))
    assert 2.0 < np.median(realised) < 8.0


def test_too_few_rows_held_out_for_a_threshold_are_warned_of():
    with pytest.warns(UserWarning, match="the threshold is a guess. Hold out"):
        tiny(threshold="auto").fit(X)


def test_a_search_chooses_the_better_detector():
    spoilt, marked = contaminated()
    y = pd.Series(marked.astype(int), index=spoilt.index)
    grid = {"smoothing": [1, 2000], "n_estimators": [1]}
    search = GridSearchCV(tiny(), grid, scoring=el.metrics.anomaly_average_precision, cv=el.RunKFold(3))
    assert search.fit(spoilt, y).best_params_["smoothing"] == 1


def test_parameters_of_the_estimator_are_reached_by_name():
    model = AnomalyDetector(Ridge()).set_params(estimator__alpha=3.0, window_size=4, threshold=5.0)
    assert model.fit(X).estimators_[0].alpha == 3.0


def test_without_an_estimator_it_forecasts_and_stops_early():
    model = AnomalyDetector(window_size=8, threshold=5.0, random_state=0).fit(X.iloc[:N_ROWS])
    assert [type(member) for member in model.estimators_] == [LSTMForecaster] * 2
    assert all("valid_loss" in member.history_[0] for member in model.estimators_)
    assert model.estimators_[0].random_state != model.estimators_[1].random_state


def test_a_log_of_one_sensor_and_regressors_of_one_target():
    for regressor in (RandomForestRegressor(n_estimators=3), Ridge(), LastRow()):
        score = AnomalyDetector(regressor, window_size=4, threshold=5.0, random_state=0).fit(X[["heat"]])
        assert score.anomaly_score(TEST[["heat"]]).shape == (len(TEST),)


@pytest.mark.parametrize("kind", ["forecaster", "ridge", "autoencoder", "pca", "isolation forest"])
def test_values_out_of_all_proportion_are_abnormal_and_nothing_worse(kind):
    log = TEST.copy()
    log.iloc[30:33, 1] = [1e300, -1e300, 1e300]
    model = fitted(kind)
    score = model.anomaly_score(log)
    assert np.isfinite(score).all()
    np.testing.assert_allclose(score[N_ROWS:], model.anomaly_score(TEST)[N_ROWS:], **ROUNDING)
    if kind != "isolation forest":
        assert 30 <= score.argmax() < 40


def test_a_sensor_that_stood_still_is_abnormal_once_it_moves():
    still = X.assign(valve=7.0)
    moved = TEST.assign(valve=7.0)
    moved.iloc[20:25, 3] = 8.0
    score = tiny().fit(still).anomaly_score(moved)
    assert 20 <= score[:N_ROWS].argmax() < 30
    assert np.isfinite(score).all()


def test_what_was_learnt_of_the_log_is_told():
    model = fitted()
    assert (model.n_features_in_, model.feature_names_in_.tolist()) == (3, SENSORS)
    assert (model.has_dates_, model.index_names_) == (True, ["machine", "time"])
    assert model.max_gap_ == 10 * STEP.value
    assert len(model.estimators_) == 2


def shuffled(log):
    return log.iloc[np.random.default_rng(0).permutation(len(log))]


@pytest.mark.parametrize(
    ("model", "log", "y", "message"),
    [
        (tiny(), X.assign(state="on"), None, "Column 'state' of X is of type str"),
        (tiny(), X.assign(flow=np.nan), None, "X contains NaN: 480 such values, the first in column 'flow'"),
        (tiny(), X.assign(flow=np.inf), None, "X contains infinity"),
        (tiny(), X.iloc[:3], None, r"3 quiet rows came \(n_samples=3\), and 10 or more are wanted"),
        (tiny(), X, pd.Series(1, X.index), "0 quiet rows came .* see that y holds normal_label=0"),
        (tiny(), X, shuffled(pd.Series(0, X.index)), r"y is in another order than X. Align it: y = y.loc\[X.index\]"),
        (tiny(), X, pd.Series(0, X.index[:-1]), "y has other rows than X"),
        (tiny(), X.to_numpy(), pd.Series(0, X.index), "X has lost the index that says run and time: y has the levels"),
        (tiny(), shuffled(X), None, "index is unsorted|rows of a run are not together"),
        (tiny(validation_fraction=0.01), X.iloc[:50], None, "50 quiet rows came .* and 200 or more are wanted"),
        (tiny(max_gap=9), X.set_index(pd.RangeIndex(0, 10 * len(X), 10)), None, "No window is left to learn from"),
        (tiny("pca", stride=500), X[:99], np.arange(99) == 0, "none ends at a quiet row.* Lower stride, raise max_gap"),
        (tiny(threshold="best"), X, None, "The 'threshold' parameter of AnomalyDetector must be"),
        (tiny(threshold=LabelledThreshold()), X, None, "LabelledThreshold needs labels"),
        (AnomalyDetector(LogisticRegression()), X, None, "LogisticRegression neither forecasts nor reconstructs nor"),
        (AnomalyDetector(LocalOutlierFactor()), X, None, "LocalOutlierFactor has it with novelty=True"),
        (AnomalyDetector(LSTMForecaster(checkpoint="f")), X, None, "checkpoint can only be gone on from .* AnomalyDe"),
        (
            AnomalyDetector(LSTMAutoencoder(categorical_channels=[0])),
            X,
            None,
            "categorical_channels of LSTMAutoencoder .* have no error. Leave",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(model, log, y, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        warnings.simplefilter("ignore", UserWarning)
        model.fit(log, y)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (TEST[SENSORS[::-1]], r"Pass the columns of fit, in their order: X\[model.feature_names_in_\]"),
        (TEST[["flow", "heat"]], "feature names should match"),
        (TEST.to_numpy(), r"X has lost the index .* fit saw the levels \['machine', 'time'\]. In a pipeline, call"),
        (TEST.assign(flow=np.nan), "X contains NaN"),
        (TEST.iloc[::-1], "index is unsorted"),
    ],
)
def test_a_log_that_does_not_fit_the_model_is_refused_with_the_remedy(log, message):
    for score in (fitted().anomaly_score, fitted().attribution, fitted().predict):
        with pytest.raises(ValueError, match=message):
            score(log)


@pytest.mark.parametrize("threshold", ["best", None, np.nan])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold=.* is unknown. Pass 'auto', a number, or one of"):
        fitted().set_threshold(threshold)


def test_it_takes_a_pipeline_that_keeps_the_index():
    model = make_pipeline(StandardScaler(), tiny()).set_output(transform="pandas").fit(X)
    np.testing.assert_allclose(model.score_samples(TEST), fitted().score_samples(TEST), rtol=1e-6)


def test_it_is_a_detector_to_scikit_learn():
    assert isinstance(fitted(), OutlierMixin)
    assert not hasattr(fitted(), "predict_proba")


@each_kind
def test_a_window_longer_than_the_longest_run_costs_no_more_than_one_of_its_length(kind):
    with pytest.warns(UserWarning, match="unbroken rows of history"):
        model = tiny(kind, window_size=10**9).fit(X)
        assert np.isfinite(model.anomaly_score(X)).all()
    assert model.window_size_ == N_ROWS


@each_kind
@pytest.mark.parametrize(("share", "fewest"), [(0.2, 10), (0.25, 8), (0.3, 7), (0.09, 23)])
@pytest.mark.filterwarnings("ignore:n_neighbors:UserWarning")
def test_a_log_is_long_enough_or_refused_before_anything_is_learnt(kind, share, fewest):
    short = {"window_size": 2, "validation_fraction": share}
    with pytest.raises(ValueError, match=f"{fewest - 1} quiet rows came .* and {fewest} or more are wanted"):
        tiny(kind, **short).fit(X.iloc[: fewest - 1])
    assert np.isfinite(tiny(kind, **short).fit(X.iloc[:fewest]).anomaly_score(X.iloc[:fewest])).all()


@pytest.mark.parametrize(
    "times",
    [
        pd.timedelta_range("0s", periods=60, freq="1min"),
        pd.timedelta_range("-1h", periods=60, freq="s").as_unit("ms"),
        pd.date_range("1970-01-01", periods=60, freq="1min"),
        pd.RangeIndex(60),
        pd.Index(np.arange(60) / 4),
    ],
)
@pytest.mark.parametrize("has_runs", [False, True])
def test_quiet_scores_stand_at_the_times_of_the_log_in_their_own_kind(times, has_runs, tmp_path):
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["run", "time"]) if has_runs else times
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(len(index), 3)), index=index, columns=SENSORS)
    small = LSTMForecaster(hidden_size=2, max_epochs=1)
    model = AnomalyDetector(small, n_estimators=1, window_size=4, threshold=5.0, random_state=0).fit(X)
    el.save(model, tmp_path / "model")
    for fitted in (model, el.load(tmp_path / "model")):
        kept = fitted.quiet_scores_.index.get_level_values("time")
        assert kept.dtype.kind == times.dtype.kind
        assert kept.tolist() == index.get_level_values(-1).tolist()
