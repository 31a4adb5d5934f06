"""Which sensor raises the score of a classifier: planted ones are found, from the rows up to each and no others."""

import copy
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.detectors.attribution import share_out
from eventlstm.detectors.occlusion import falls_of, learn_usual
from eventlstm.logs import CausalFeatures
from eventlstm.logs.rows import Rows

N_ROWS, SENSORS = 150, ["flow", "heat", "power", "still", "speed"]
MOVING = [0, 1, 2, 4]
WINDOW_SIZE = 8
ROUNDING = {"atol": 1e-6, "rtol": 0.0}

pytestmark = pytest.mark.usefixtures("one_torch_thread", "one_openmp_thread")


def planted_log(n_runs, seed):
    """Return a log of sensors in different units, one of which carries each event, and which."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_runs, N_ROWS, len(SENSORS)))
    values[..., 3] = 0.0
    label, planted = np.zeros((n_runs, N_ROWS), dtype=int), []
    for run in range(n_runs):
        for begin in (40 + rng.integers(20), 100 + rng.integers(30)):
            planted.append(MOVING[len(planted) % len(MOVING)])
            values[run, begin : begin + 15, planted[-1]] += np.linspace(3, 6, 15)
            label[run, begin : begin + 15] = 1
    index = pd.MultiIndex.from_product(
        [[f"m{k}" for k in range(n_runs)], pd.date_range("2024-01-01", periods=N_ROWS, freq="10min")],
        names=["machine", "time"],
    )
    X = values.reshape(-1, len(SENSORS)) * [1, 100, 0.01, 1, 10] + [0, 50, 0, 7, -20]
    return pd.DataFrame(X, index, SENSORS), pd.Series(label.ravel(), index, name="failure"), planted


X, Y, _ = planted_log(8, seed=0)
X_TEST, Y_TEST, PLANTED = planted_log(10, seed=1)
EVENTS = el.to_events(Y_TEST)


def network():
    return el.LSTMClassifier(hidden_size=8, max_epochs=8, min_steps=250, lr=0.02)


def classifier(mode, estimator=None, **changes):
    plain = {"window_size": WINDOW_SIZE, "n_estimators": 2, "spans": (5, 20), "n_jobs": 1, "random_state": 0}
    return el.EventClassifier(network() if estimator is None else estimator, mode=mode, **{**plain, **changes})


def trees():
    boosted = HistGradientBoostingClassifier(max_iter=30, max_depth=3, random_state=0)
    return classifier("windows", boosted, inputs=None, n_estimators=1, window_size=4)


def forest():
    estimator = ExtraTreesClassifier(30, min_samples_leaf=5, random_state=0)
    return classifier(
        "windows", estimator, inputs=CausalFeatures(lags=3, views=("relative",)), n_estimators=1, window_size=1
    )


def blend():
    """Return the default parts with tiny networks and few trees."""
    small = {"estimator": network(), "window_size": WINDOW_SIZE, "n_estimators": 1, "spans": (5, 20)}
    parts = {f"{part}__{name}": value for part in ("relative", "whitened") for name, value in small.items()}
    trees = {"forest__estimator__n_estimators": 20, "boosting__estimator__max_iter": 20}
    return el.EventBlend(n_jobs=1, random_state=0).set_params(**parts, **trees)


MAKE = {
    "stateful": lambda: classifier("stateful", inputs=("relative", "whitened")),
    "windows": lambda: classifier("windows", inputs=("relative", "whitened"), stride=2),
    "trees": trees,
    "forest": forest,
    "blend": blend,
}
_FITTED = {}


def fitted(kind):
    """Return a copy of a model that is fitted once."""
    if kind not in _FITTED:
        _FITTED[kind] = MAKE[kind]().fit(X, Y)
    return copy.deepcopy(_FITTED[kind])


each_kind = pytest.mark.parametrize("kind", MAKE)


@each_kind
def test_the_planted_sensor_is_the_first_of_nine_events_in_ten(kind):
    shares = fitted(kind).attribution(X_TEST, EVENTS)
    assert shares.index.equals(EVENTS.index) and shares.columns.tolist() == SENSORS
    assert np.mean(shares.to_numpy().argmax(axis=1) == PLANTED) >= 0.9


@each_kind
def test_shares_of_rows_sum_to_one_and_a_sensor_that_stands_still_has_none(kind):
    shares = fitted(kind).attribution(X_TEST)
    assert shares.index.equals(X_TEST.index) and (shares >= 0).all(axis=None)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    raised = shares.nunique(axis=1) > 1
    assert raised.mean() > 0.2 and (shares.loc[raised, "still"] == 0).all()


@each_kind
def test_the_first_probabilities_are_those_of_the_model(kind):
    model = fitted(kind)
    proba = model.occluded_proba(X_TEST)
    assert proba.shape == (len(X_TEST), 1 + len(SENSORS), 2)
    np.testing.assert_allclose(proba.sum(axis=2), 1.0)
    np.testing.assert_allclose(proba[:, 0], model.predict_proba(X_TEST), **ROUNDING)


@each_kind
def test_rows_asked_alone_get_what_they_get_among_all(kind):
    model = fitted(kind)
    rows = np.array([0, 3, WINDOW_SIZE, 2 * WINDOW_SIZE - 1, N_ROWS - 1, N_ROWS, 3 * N_ROWS + 77])
    np.testing.assert_allclose(model.occluded_proba(X_TEST, rows), model.occluded_proba(X_TEST)[rows], **ROUNDING)
    assert model.occluded_proba(X_TEST, []).shape == (0, 1 + len(SENSORS), 2)


@each_kind
def test_nothing_after_a_row_changes_what_it_is_due_to(kind):
    model = fitted(kind)
    whole = model.occluded_proba(X_TEST)
    for n_rows in (20, N_ROWS - 1, N_ROWS + 5, 3 * N_ROWS + 50):
        np.testing.assert_allclose(model.occluded_proba(X_TEST.iloc[:n_rows]), whole[:n_rows], **ROUNDING)


@each_kind
def test_other_runs_change_nothing(kind):
    model = fitted(kind)
    wild = X_TEST.copy()
    wild.loc[["m0", "m3"]] = 1e6
    together = model.occluded_proba(wild)[N_ROWS : 2 * N_ROWS]
    np.testing.assert_allclose(together, model.occluded_proba(X_TEST.loc[["m1"]]), **ROUNDING)


@pytest.mark.parametrize("member", [0, 1], ids=["relative", "whitened"])
def test_a_sensor_is_hidden_in_the_block_of_a_row_and_the_one_before(member):
    """The blocks of the definition, one network and run at a time, as a plain loop."""
    model = fitted("stateful")
    log, scaler, network = X_TEST.loc[["m2"]], model.scalers_[member], model.estimators_[member]
    model.set_params(n_estimators=1, inputs=scaler.view).estimators_, model.scalers_ = [network], [scaler]
    values = np.concatenate([np.repeat(log.to_numpy()[:1], WINDOW_SIZE, axis=0), log.to_numpy()])
    moves = scaler.move_steps(values[None])[0][0]
    still = np.array([model.usual_, *np.zeros((3, len(SENSORS)))])  # the level; no change, at its moving averages
    wanted = np.empty((N_ROWS, len(SENSORS), 2))
    for row in range(N_ROWS):
        begin = row - row % WINDOW_SIZE  # of the block before, as copies of the first row are before the run
        for sensor in range(len(SENSORS)):
            shown = moves[: row + WINDOW_SIZE + 1].copy()
            shown[begin:, :, sensor] = still[:, sensor]
            channels = scaler.to_channels(shown).astype(np.float32)
            wanted[row, sensor] = network.predict_proba_steps(channels)[0][-1]
    np.testing.assert_allclose(model.occluded_proba(log)[:, 1:], wanted, atol=1e-5)


@pytest.mark.parametrize(("kind", "rounding"), [("trees", 0), ("forest", 1e-9), ("windows", 1e-5)])
def test_in_windows_a_sensor_is_hidden_throughout(kind, rounding):
    """In all lags and moving averages too, as though it had stood there in the whole log."""
    model = fitted(kind)
    hidden = X_TEST.copy()
    hidden["heat"] = model.usual_[1]
    np.testing.assert_allclose(model.occluded_proba(X_TEST)[:, 2], model.predict_proba(hidden), atol=rounding, rtol=0)


@pytest.mark.parametrize(("kind", "rounding"), [("trees", 0), ("forest", 0), ("windows", 1e-6)])
@pytest.mark.parametrize("size", ["HIDDEN_ROWS", "BLOCK_ROWS", "BLOCK"])
def test_the_size_of_blocks_changes_nothing(kind, rounding, size, monkeypatch):
    model, rows = fitted(kind), np.arange(0, len(X_TEST), 4)
    whole = model.occluded_proba(X_TEST, rows)
    monkeypatch.setattr(f"eventlstm.detectors.hiding.{size}", 30)
    np.testing.assert_allclose(model.occluded_proba(X_TEST, rows), whole, atol=rounding, rtol=0)


def test_of_two_copies_of_a_sensor_the_whitened_view_names_the_first():
    log, test = (frame.assign(copy=2 * frame["flow"] + 1) for frame in (X, X_TEST))
    model = classifier("stateful", inputs="whitened", n_estimators=1).fit(log, Y)
    shares = model.attribution(test, EVENTS)
    assert (shares["copy"] == 0).all()
    assert (shares["flow"][np.array(PLANTED) == 0] > 0.5).mean() >= 0.9


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_the_number_of_lanes_changes_nothing(n_lanes, monkeypatch):
    model = fitted("stateful")
    whole = model.occluded_proba(X_TEST)
    monkeypatch.setattr("eventlstm.detectors.hiding.LANES", n_lanes)
    np.testing.assert_allclose(model.occluded_proba(X_TEST), whole, **ROUNDING)


def test_members_that_cannot_repeat_their_state_are_asked_of_one_sensor_after_the_other(monkeypatch):
    model = fitted("stateful")
    whole = model.occluded_proba(X_TEST)
    monkeypatch.delattr(el.LSTMClassifier, "repeat_state")
    np.testing.assert_allclose(model.occluded_proba(X_TEST), whole, **ROUNDING)


def test_threads_change_nothing():
    model = fitted("blend")
    np.testing.assert_array_equal(
        model.set_params(n_jobs=2).occluded_proba(X_TEST), fitted("blend").occluded_proba(X_TEST)
    )


@each_kind
def test_the_units_of_a_sensor_do_not_matter(kind):
    shares = fitted(kind).attribution(X_TEST, EVENTS)
    units = [4.0, 0.5, 64.0, 2.0, 0.125]  # exact in floats
    scaled = MAKE[kind]().fit(X * units, Y).attribution(X_TEST * units, EVENTS)
    np.testing.assert_allclose(scaled, shares, atol=1e-4)


@each_kind
def test_a_saved_model_attributes_as_before(kind, tmp_path):
    model = fitted(kind)
    el.save(model, tmp_path / "model.eventlstm")
    twin = el.load(tmp_path / "model.eventlstm")
    pd.testing.assert_frame_equal(twin.attribution(X_TEST), model.attribution(X_TEST), check_exact=True)


def test_a_model_of_before_refuses_in_one_line():
    model = fitted("stateful")
    del model.usual_
    with pytest.raises(ValueError, match=r"did not learn what is usual for a sensor, which attribution needs\. Fit it"):
        model.attribution(X_TEST)


def test_a_blend_hides_sensors_in_parts_of_any_kind():
    piped = make_pipeline(StandardScaler(), PCA(), classifier("stateful", n_estimators=1))
    piped.set_output(transform="pandas")
    nested = el.EventBlend([("trees", trees())])
    model = el.EventBlend([("piped", piped), ("nested", nested)], weights=[1, 1], random_state=0, n_jobs=1).fit(X, Y)
    assert np.mean(model.attribution(X_TEST, EVENTS).to_numpy().argmax(axis=1) == PLANTED) >= 0.9
    hidden = X_TEST.copy()
    hidden["power"] = model.usual_[2]
    alone = model.set_params(weights=[1, 0]).occluded_proba(X_TEST, np.arange(60, 90))
    np.testing.assert_array_equal(alone[:, 3], model.predict_proba(hidden)[60:90])
    by_number = el.EventBlend([("trees", trees())]).fit(X.to_numpy(), Y.to_numpy())
    assert by_number.attribution(X_TEST.to_numpy()[:20]).columns.tolist() == ["x0", "x1", "x2", "x3", "x4"]


def test_a_part_without_weight_is_not_asked():
    model = fitted("blend").set_params(weights=[0, 0, 0, 1])
    alone = model.named_estimators_["boosting"].occluded_proba(X_TEST)
    np.testing.assert_array_equal(model.occluded_proba(X_TEST), alone)


def test_what_is_usual_is_the_median_of_the_commonest_class_or_its_commonest_code():
    values = np.array([[1.0, 3], [2, 3], [9, 5], [90, 5], [95, 5]])
    log = Rows(values, np.array([0]), np.array([0]), np.array(["ok", "ok", "ok", "bad", "bad"]), None)
    quiet_class, usual = learn_usual(log, codes=(1,))
    assert quiet_class == 1 and usual.tolist() == [2, 3]
    weighed = log._replace(weight=np.array([0.0, 0, 1, 1, 1]))
    assert learn_usual(weighed)[0] == 0


def test_codes_and_several_classes_are_attributed():
    state = (X["heat"] > 60).astype(float)
    coded, kinds = X.assign(state=state), Y.map({0: "ok", 1: "leak"}).where(X["flow"] < 2, "jam")
    kinds = kinds.where(Y == 1, "ok")
    model = classifier("stateful", n_estimators=1, categorical_channels=["state"], inputs="level").fit(coded, kinds)
    assert model.classes_[model.quiet_class_] == "ok" and model.usual_[-1] in (0.0, 1.0)
    test = X_TEST.assign(state=(X_TEST["heat"] > 60).astype(float))
    shares = model.attribution(test, EVENTS).drop(columns="state")
    by_flow = np.array(PLANTED) == 0
    assert (shares.to_numpy().argmax(axis=1)[by_flow] == 0).mean() >= 0.9
    proba = model.occluded_proba(test, [40])
    falls = falls_of(proba, model.quiet_class_)
    odds = np.log((1 - proba[..., 2]) / proba[..., 2])[0]
    np.testing.assert_allclose(falls[0], np.maximum(odds[0] - odds[1:], 0), rtol=1e-4, atol=1e-5)


def test_the_shares_of_an_event_are_those_of_its_mean_fall():
    model = fitted("windows")
    begin = X_TEST.index.get_loc((EVENTS["run"][0], EVENTS["start"][0]))
    falls = falls_of(model.occluded_proba(X_TEST), model.quiet_class_)[begin : begin + 15]
    wanted = share_out(falls.mean(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(model.attribution(X_TEST, EVENTS).iloc[0], wanted, atol=1e-5)
    elsewhere = EVENTS.iloc[[0]].assign(start=pd.Timestamp("2030-01-01"), end=pd.Timestamp("2030-01-02"))
    assert model.attribution(X_TEST, elsewhere).isna().all(axis=None)


@pytest.mark.parametrize("rows", [[-1], [3, 2], [2, 2], [N_ROWS], [0.5], [[1]], [True]])
def test_rows_that_are_not_of_the_log_are_refused(rows):
    with pytest.raises(ValueError, match="must be numbers of the 150 rows of the log, rising"):
        fitted("trees").occluded_proba(X_TEST.loc[["m0"]], rows)


@pytest.mark.parametrize("run_length", [100, 5000], ids=["many runs", "one long run"])
def test_hiding_sensors_takes_no_more_memory_than_scoring_beyond_its_result(run_length):
    member = el.LSTMClassifier(hidden_size=1, max_epochs=1, min_steps=1)
    model = classifier("stateful", member, window_size=40, n_estimators=1, inputs="relative").fit(X, Y)
    log = noise(5000 // run_length, run_length)
    rows = np.arange(0, 5000, 9)
    scoring = peak_of(lambda: model.predict_proba(log))
    hiding = peak_of(lambda: model.occluded_proba(log, rows)) - len(rows) * (1 + len(SENSORS)) * 2 * 8
    assert hiding <= scoring


def test_hiding_sensors_in_windows_holds_no_more_of_a_longer_log_than_its_rows():
    model, logs = fitted("forest"), [noise(1, n_rows) for n_rows in (20_000, 60_000)]
    shorter, longer = (peak_of(lambda log=log: model.occluded_proba(log, np.arange(50))) for log in logs)
    assert longer - shorter <= 2 * (logs[1].size - logs[0].size) * 8  # a row has ten times as many features as sensors


def noise(n_runs, run_length):
    """Return a log without events."""
    times = pd.date_range("2024-01-01", periods=run_length, freq="10min")
    index = pd.MultiIndex.from_product([range(n_runs), times], names=X.index.names)
    values = np.random.default_rng(0).normal(size=(len(index), len(SENSORS)))
    return pd.DataFrame(values, index, SENSORS)


def peak_of(call):
    """Return the most bytes taken during a call."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
