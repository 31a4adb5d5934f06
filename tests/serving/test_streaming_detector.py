"""Row by row equal to batch, whatever the log, the pieces it comes in, the order of machines, and where it is cut."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

import eventlstm as el
from eventlstm.alarms.model_scores import policy_of, score_rows

from .models import FIT, LABELS, MAKERS, SENSORS, TINY, accepts_missing, classifier, fitted, make_log, network

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*rows have fewer than window_size", "ignore:.*fit saw one every", "ignore:norm="
)
# The same numbers go through the same code: trees.
BITWISE = ("forest of windows", "boosting of features", "outliers")


def policy_for(name, threshold):
    return policy_of(fitted(name)).set_params(threshold=threshold, merge_gap=2)


def spoil(log, rng):
    """Leave out one value in ten."""
    return log.where(rng.random(log.shape) > 0.1)


def mixed(log, rng):
    """Return the rows in an order that keeps those of each machine in time."""
    order = rng.permutation(len(log))
    runs = log.index.get_level_values(0).to_numpy()
    by_machine = {run: iter(np.flatnonzero(runs == run)) for run in np.unique(runs)}
    return log.iloc[[next(by_machine[run]) for run in runs[order]]]


def feed(stream, log, rng, path=None):
    """Return what a stream says of a log in pieces; with a path, the stream is written and read again now and then."""
    parts, row = [], 0
    while row < len(log):
        piece = log.iloc[row : row + rng.integers(1, 25)]
        if len(piece) == 1:
            ((key, values),) = piece.iterrows()
            update = stream.update(values.to_dict(), run=key[0], time=key[1])
            parts.append(pd.DataFrame([update._asdict()], index=piece.index).drop(columns=["run", "time"]))
        else:
            parts.append(stream.update_many(piece))
        row += len(piece)
        if path is not None and rng.random() < 0.2:
            stream.save(path)
            stream = el.StreamingDetector.load(path, stream.model, stream.policy)
    return pd.concat(parts).loc[log.index]


def alarms_of(told):
    """Return run, start and end of the alarms that a stream tells of."""
    events = []
    for run, own in told.groupby(level=0, sort=False):
        for row, (time, state) in enumerate(own.droplevel(0).iterrows()):
            if state["alarm"] == "opened":
                events.append([run, time, time, state["alarm_id"]])
            elif state["alarm"] == "on":
                assert (events[-1][0], events[-1][3], events[-1][1]) == (run, state["alarm_id"], state["since"])
                events[-1][2] = time
            elif state["alarm"] == "closed":
                assert events[-1][3] == state["alarm_id"] and events[-1][2] == own.index[row - 1][1]
    return [tuple(event[:3]) for event in events]


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.lists(st.sampled_from([1, 1, 1, 1, 2, 90]), min_size=2, max_size=24), min_size=1, max_size=3),
    seed=st.integers(0, 2**20),
)
def test_scores_and_alarms_are_those_of_batch_scoring(name, steps, seed, tmp_path):
    log, rng, model = make_log(steps, seed), np.random.default_rng(seed), fitted(name)
    if accepts_missing(name):
        log = spoil(log, rng)
    expected = pd.Series(score_rows(model, log), index=log.index)
    policy = policy_for(name, float(expected.quantile(0.7, interpolation=str(rng.choice(["linear", "lower"])))))
    told = feed(el.StreamingDetector(model, policy), mixed(log, rng), rng, tmp_path / "state")
    told = told.loc[log.index]
    if name in BITWISE:
        assert told["score"].tolist() == expected.tolist()
    np.testing.assert_allclose(told["score"], expected, rtol=1e-6, atol=1e-6)
    away = np.abs(expected / policy.threshold - 1)
    near = ((away > 0) & (away < 2e-6)).any()  # such a score is taken for equal to the threshold
    events = policy.to_events(expected)
    assert near or alarms_of(told) == list(events[["run", "start", "end"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("name", ["default members", "forecasts step by step"])
def test_numbers_as_times_and_a_log_of_one_machine_are_served(name):
    log, labels = FIT.loc["m0"].reset_index(drop=True), LABELS.loc["m0"].reset_index(drop=True)
    model = MAKERS[name]().fit(log, labels)
    stream, expected = el.StreamingDetector(model), score_rows(model, log)
    told = [stream.update(row, time=time) for time, row in zip(log.index, log.to_numpy(), strict=True)]
    np.testing.assert_allclose([update.score for update in told], expected, atol=1e-6)
    assert stream.runs == [None]


def test_several_levels_name_a_machine():
    log = pd.concat({"hall": FIT})
    model = classifier(network()).fit(log, LABELS.to_numpy())
    stream = el.StreamingDetector(model, el.AlarmPolicy(threshold=0.1))
    np.testing.assert_allclose(stream.update_many(log)["score"], score_rows(model, log), atol=1e-6)
    assert stream.runs == [("hall", "m0"), ("hall", "m1")]


def test_scales_of_a_run_are_those_of_the_machine_of_its_name():
    model = fitted("forecasts step by step")
    stranger = FIT.rename(index={"m1": "m9"}, level=0)
    for log in (FIT, stranger):
        stream = el.StreamingDetector(model)
        np.testing.assert_allclose(stream.update_many(log)["score"], model.anomaly_score(log), rtol=1e-6)


def test_the_status_tells_of_a_new_machine_of_a_gap_and_of_a_short_history():
    log = make_log([[1] * 9 + [500] + [1] * 20])
    told = el.StreamingDetector(fitted("default members")).update_many(log)["status"].tolist()
    assert told[0] == ("unknown_run", "warming_up") and told[1:5] == [("warming_up",)] * 4
    assert told[5:10] == [()] * 5 and told[10] == ("gap", "warming_up") and told[-1] == ()


def test_the_status_tells_what_was_missing_and_what_stands_there():
    log = make_log([[1] * 5])
    log.iloc[0, 0] = log.iloc[2, 1] = np.nan
    told = el.StreamingDetector(fitted("filled and scaled")).update_many(log)
    assert told["filled"].tolist()[:4] == [{"heat": "median"}, {}, {"flow": "last value"}, {}]
    assert ["missing" in status for status in told["status"]] == [True, False, True, False, False, False]


def test_the_status_tells_of_a_sensor_that_stands_still_as_never_before():
    log = make_log([[1] * 200])
    log.iloc[100:190, 0] = 7.0
    told = el.StreamingDetector(fitted("default members")).update_many(log)["status"]
    stuck = np.flatnonzero(["stuck" in status for status in told])
    assert stuck.tolist() == list(range(160, 190))


def test_a_setting_that_stands_still_by_design_is_not_stuck():
    log = make_log([[1] * 300])
    log["mode"] = np.arange(301) // 100
    told = el.StreamingDetector(fitted("default members")).update_many(log)["status"]
    assert not any("stuck" in status for status in told)


def test_a_late_row_is_refused_or_left_out():
    log = make_log([[1] * 8])
    stream = el.StreamingDetector(fitted("default members"), late="drop")
    stream.update_many(log.iloc[:5])
    late = stream.update_many(log.iloc[[3, 5, 4, 6]])
    assert late["status"].tolist() == [("late",), (), ("late",), ()]
    assert np.isnan(late["score"].iloc[[0, 2]]).all()
    expected = score_rows(stream.model, log)
    np.testing.assert_allclose(late["score"].iloc[[1, 3]], expected[[5, 6]], atol=1e-6)
    assert math.isnan(stream.update(log.iloc[0], run="m0", time=log.index[0][1]).score)
    stream.late = "raise"
    with pytest.raises(ValueError, match=r"A row of 'm0' at 2024-01-01 00:00:03 came after one"):
        stream.update_many(log.iloc[[7, 3]])
    np.testing.assert_allclose(stream.update_many(log.iloc[7:8])["score"], expected[7:8], atol=1e-6)


@pytest.mark.parametrize("policy", [None, el.AlarmPolicy(merge_gap=2)])
def test_without_a_threshold_alarms_are_above_one_half_as_in_score_logs(policy, tmp_path):
    model = fitted("forest of windows")
    stream = el.StreamingDetector(model, policy)
    el.score_logs(model, {"a": FIT}, tmp_path, policy=policy, kind="parquet")
    wanted = pd.read_parquet(tmp_path / "a.scores.parquet")["alarm"]
    told = stream.update_many(FIT)["alarm"].isin(["opened", "on"])
    assert stream.threshold == 0.5 and told.tolist() == (wanted == 1).tolist() and 0 < told.sum() < len(FIT)


def test_the_threshold_and_rules_of_the_model_are_taken():
    stream = el.StreamingDetector(fitted("threshold around"))
    assert stream.threshold == np.nextafter(0.2, 0) and stream.policy.max_gap == pd.Timedelta("10s")
    assert el.StreamingDetector(fitted("outliers")).threshold == 3.0


def test_an_alarm_that_lasts_over_a_gap_ends_before_it():
    log = make_log([[1] * 10 + [500] + [1] * 5])
    policy = policy_for("default members", -1.0)
    stream = el.StreamingDetector(fitted("default members"), policy)
    told = stream.update_many(log)
    assert told["alarm"].tolist() == ["opened"] + ["on"] * 10 + ["opened"] + ["on"] * 5
    assert len(policy.to_events(told["score"])) == 2 and told["alarm_id"].nunique() == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"heat": 1.0, "flow": 2.0}, "A row came without 'mode'"),
        ({"heat": 1.0, "flow": "warm", "mode": 0}, "A row has 'warm' in 'flow', where a number is wanted"),
        ({"heat": np.nan, "flow": 2.0, "mode": 0}, r"A row has nan in 'heat'.*ForwardFill\(\)"),
        ({"heat": np.inf, "flow": 2.0, "mode": 0}, "A row has inf in 'heat'"),
        ({"heat": None, "flow": 2.0, "mode": 0}, "A row has nan in 'heat'"),
        ([1.0, 2.0], "A row of 2 values came, but the model was fitted on 3 sensors"),
    ],
)
def test_a_row_that_is_refused_leaves_the_stream_as_it_was(row, message):
    log = make_log([[1] * 8])
    stream = el.StreamingDetector(fitted("default members"))
    stream.update_many(log.iloc[:5])
    with pytest.raises(ValueError, match=message):
        stream.update(row, run="m0", time=log.index[5][1])
    with pytest.raises(ValueError, match=message):
        stream.update(row, run="a new one", time=log.index[5][1])
    assert stream.runs == ["m0"]
    np.testing.assert_allclose(stream.update_many(log.iloc[5:])["score"], score_rows(stream.model, log)[5:], atol=1e-6)


def test_a_row_that_a_step_of_another_library_refuses_leaves_the_stream_as_it_was():
    model = make_pipeline(el.ForwardFill(), PCA(2).set_output(transform="pandas"), classifier(network()))
    model.fit(FIT, LABELS)
    log = make_log([[1] * 8, [1] * 8])
    stream, fine = el.StreamingDetector(model), model[1].transform
    stream.update_many(log.iloc[:12])

    def refuse(X):
        raise ValueError("a step that fails")

    model[1].transform = refuse
    for rows in (log.iloc[12:], log.iloc[12:].rename(index={"m1": "m7"}, level=0)):
        with pytest.raises(ValueError, match="a step that fails"):
            stream.update_many(rows)
    model[1].transform = fine
    assert stream.runs == ["m0", "m1"]
    np.testing.assert_allclose(stream.update_many(log.iloc[12:])["score"], score_rows(model, log)[12:], atol=1e-6)


def test_times_of_another_kind_are_refused():
    stream = el.StreamingDetector(fitted("default members"))
    with pytest.raises(ValueError, match="says its time by numbers, but fit saw date-times"):
        stream.update(FIT.iloc[0], run="m0", time=3)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (classifier(network()), NotFittedError, "not fitted"),
        (LogisticRegression().fit(FIT, LABELS), TypeError, "LogisticRegression judges rows by themselves"),
        (StandardScaler().fit(FIT), TypeError, "StandardScaler is no model of logs"),
    ],
)
def test_what_is_no_fitted_model_of_logs_is_refused(model, error, message):
    with pytest.raises(error, match=message):
        el.StreamingDetector(model)


@pytest.mark.parametrize(
    "look",
    [
        lambda X: X.diff().fillna(0.0),
        lambda X: X.shift(7).fillna(0.0),
        lambda X: X.rolling(8).max().fillna(0.0),
        lambda X: X.ffill().fillna(0.0),
        lambda X: X.interpolate().fillna(0.0),
        lambda X: X - X.mean(),
    ],
)
def test_a_step_that_looks_at_other_rows_is_refused(look):
    changes = FunctionTransformer(look).set_output(transform="pandas")
    model = make_pipeline(changes, classifier(network())).fit(FIT, LABELS)
    with pytest.raises(TypeError, match="FunctionTransformer makes of a row what depends on other rows"):
        el.StreamingDetector(model)


def test_a_part_of_a_blend_that_looks_at_other_rows_is_refused():
    X, y = FIT.loc["m0"].to_numpy(), LABELS.loc["m0"].to_numpy()
    around = CalibratedClassifierCV(FrozenEstimator(classifier(network()).fit(X, y)))
    model = el.EventBlend([("around", around), ("own", classifier(network()))]).fit(X, y)
    with pytest.raises(TypeError, match="CalibratedClassifierCV makes of a row what depends on other rows"):
        el.StreamingDetector(model)


def test_parts_of_a_blend_that_judge_rows_by_themselves_are_heard():
    model = el.EventBlend([("rows", LogisticRegression()), ("own", classifier(network()))]).fit(FIT, LABELS)
    told = el.StreamingDetector(model).update_many(FIT)
    np.testing.assert_allclose(told["score"], score_rows(model, FIT), atol=1e-6)
    alone = el.EventBlend([("rows", LogisticRegression())]).fit(FIT, LABELS)
    with pytest.raises(TypeError, match="EventBlend judges rows by themselves"):
        el.StreamingDetector(alone)


def test_a_subclass_that_scores_in_a_way_of_its_own_is_refused():
    class Own(el.EventClassifier):
        def predict_proba(self, X):
            return 1 - super().predict_proba(X)

    class OwnNetwork(el.LSTMClassifier):
        def predict_proba_steps(self, X, state=None):
            return super().predict_proba_steps(X, state)

    for model in (Own(network(), n_estimators=1), classifier(OwnNetwork(**TINY))):
        with pytest.raises(TypeError):
            el.StreamingDetector(model.fit(FIT, LABELS))


def test_a_threshold_that_is_the_score_of_a_row_alarms_as_in_batch_scoring():
    for name in ("default members", "forecasts step by step", "forest of windows"):
        score = pd.Series(score_rows(fitted(name), FIT), FIT.index)
        for threshold in score.iloc[::17]:
            policy = policy_for(name, threshold)
            told = el.StreamingDetector(fitted(name), policy).update_many(FIT)
            events = policy.to_events(score)[["run", "start", "end"]]
            assert alarms_of(told) == list(events.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    "rules",
    [
        {"k": 2, "n": 4},
        {"smoothing": 5},
        {"off": 0.0},
        {"min_duration": "3s"},
        {"cooldown": 8},
        {"max_duration": 6, "cooldown": "4s"},
        {"max_gap": "1s", "merge_gap": 0},
    ],
    ids=str,
)
def test_alarms_by_all_rules_are_those_of_batch_scoring(rules):
    log = make_log([[1, 1, 2] * 40, [1] * 60 + [200] + [1] * 40], seed=3)
    score = pd.Series(score_rows(fitted("outliers"), log), log.index)
    policy = el.AlarmPolicy(**{"threshold": float(score.quantile(0.6)), **rules})
    if "off" in rules:
        policy.set_params(off=float(score.quantile(0.4)))
    told = el.StreamingDetector(fitted("outliers"), policy).update_many(log)
    events = policy.to_events(score)[["run", "start", "end"]]
    assert len(events) > 1 and alarms_of(told) == list(events.itertuples(index=False, name=None))


def test_a_machine_that_was_refused_is_as_new_when_it_comes_again():
    log = make_log([[60] * 12])
    model = make_pipeline(OneHotEncoder(sparse_output=False).set_output(transform="pandas"), classifier(network()))
    codes = FIT[["mode"]].astype(int)
    model.fit(codes, LABELS)
    stream, slow = el.StreamingDetector(model), log[["mode"]].astype(int)
    with pytest.raises(ValueError, match="unknown categories"):
        stream.update_many(slow.assign(mode=[*slow["mode"][:-1], 99]))
    assert stream.runs == []
    fast = make_log([[1] * 30 + [60] + [1] * 10])[["mode"]].astype(int)
    told = stream.update_many(fast)
    np.testing.assert_allclose(told["score"], score_rows(model, fast), atol=1e-6)
    assert "gap" in told["status"].iloc[31]


@pytest.mark.parametrize("error", [ValueError("a member that fails"), KeyboardInterrupt()])
def test_a_row_that_a_member_refuses_leaves_the_stream_as_it_was(error):
    log, model = make_log([[1] * 8, [1] * 8]), fitted("bagged windows")
    stream, expected = el.StreamingDetector(model), score_rows(model, log)
    stream.update_many(log.iloc[:12])
    ask = stream._model.model.core.ask

    def refuse(windows):
        raise error

    stream._model.model.core.ask = [refuse]
    for rows in (log.iloc[12:], log.iloc[12:].rename(index={"m1": "m7"}, level=0)):
        with pytest.raises(type(error)):
            stream.update_many(rows)
    stream._model.model.core.ask = ask
    assert stream.runs == ["m0", "m1"]
    np.testing.assert_allclose(stream.update_many(log.iloc[12:])["score"], expected[12:], atol=1e-6)


def test_values_too_large_for_the_model_are_refused_as_in_batch_scoring():
    log = make_log([[1] * 8])
    stream = el.StreamingDetector(fitted("rnn, focal"))
    stream.update_many(log.iloc[:4])
    with pytest.raises(ValueError, match="values beyond what float32 can tell"):
        stream.update(log.iloc[4] * [1e39, 1, 1], run="m0", time=log.index[4][1])
    np.testing.assert_allclose(stream.update_many(log.iloc[4:])["score"], score_rows(stream.model, log)[4:], atol=1e-6)


def test_codes_that_are_words_are_words_also_where_they_look_like_numbers():
    log = FIT.assign(mode=FIT["mode"].astype(int).astype(str))
    encode = make_column_transformer(
        (OrdinalEncoder(), ["mode"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    model = make_pipeline(encode, classifier(network())).fit(log, LABELS)
    stream = el.StreamingDetector(model)
    np.testing.assert_allclose(stream.update_many(log)["score"], score_rows(model, log), atol=1e-6)
    with pytest.raises(ValueError, match=r"A row has '20' in 'heat', where a number is wanted"):
        el.StreamingDetector(fitted("default members")).update(
            {**FIT.iloc[0], "heat": "20"}, run="m0", time=FIT.index[0][1]
        )


def test_missing_values_of_pandas_are_filled():
    log = make_log([[1] * 5]).astype("Float64")
    log.iloc[2, 1] = pd.NA
    told = el.StreamingDetector(fitted("filled and scaled")).update_many(log)
    assert told["filled"].iloc[2] == {"flow": "last value"}
    stream = el.StreamingDetector(fitted("filled and scaled"))
    assert stream.update(log.iloc[2], run="m0", time=log.index[2][1]).filled == {"flow": "median"}


def test_whole_numbers_as_times_are_exact():
    log = FIT.loc["m0"].iloc[:100].reset_index(drop=True)
    log.index = 1_700_000_000_000_000_001 + 100 * log.index
    model = classifier(network()).fit(log, (np.arange(100) % 30 > 20).astype(int))
    stream = el.StreamingDetector(model)
    for time, row in log.iterrows():
        assert stream.update(row, time=time).status != ("late",)
    with pytest.raises(ValueError, match="came after one"):
        stream.update(log.iloc[0], time=int(log.index[-1]))
    mixed = el.StreamingDetector(
        classifier(network()).fit(FIT.loc["m0"].reset_index(drop=True), LABELS.loc["m0"].to_numpy())
    )
    for time in (0, 1, 1.5, 2, 3.25):
        assert mixed.update(FIT.iloc[0], time=time).status != ("late",)


def test_a_machine_that_is_gone_is_forgotten_and_may_come_back(tmp_path):
    log = make_log([[1] * 8, [1] * 8, [1] * 8])
    stream = el.StreamingDetector(fitted("blend"), el.AlarmPolicy(threshold=-1.0))
    stream.update_many(log)
    stream.forget("m1")
    assert stream.runs == ["m0", "m2"]
    stream.save(tmp_path / "state")
    for one in (stream, el.StreamingDetector.load(tmp_path / "state", stream.model, stream.policy)):
        again = one.update_many(log.loc[["m1"]])
        np.testing.assert_allclose(again["score"], score_rows(stream.model, log.loc[["m1"]]), atol=1e-6)
        assert again["status"].iloc[0][0] == "unknown_run" and again["alarm"].iloc[0] == "opened"
    with pytest.raises(KeyError):
        stream.forget("m8")


@pytest.mark.parametrize("time", ["", "nan", None, pd.NaT, "three o'clock", np.nan])
def test_what_is_no_time_is_refused(time):
    with pytest.raises(ValueError, match=r"which is none\. Pass the time of the row"):
        el.StreamingDetector(fitted("default members")).update(FIT.iloc[0], run="m0", time=time)


def test_machines_without_a_name_are_refused():
    stream = el.StreamingDetector(fitted("default members"))
    with pytest.raises(ValueError, match="of the machine NaN"):
        stream.update(FIT.iloc[0], run=np.nan, time=FIT.index[0][1])
    nameless = FIT.iloc[:3].set_axis(
        pd.MultiIndex.from_arrays([[1.0, np.nan, np.nan], FIT.index.get_level_values(1)[:3]]), axis=0
    )
    with pytest.raises(ValueError, match="rows without the name of their run"):
        stream.update_many(nameless)
    assert stream.runs == []


def test_a_frame_is_no_row_and_names_are_needed_where_the_model_has_none():
    with pytest.raises(TypeError, match="call update_many"):
        el.StreamingDetector(fitted("default members")).update(FIT.iloc[:1], run="m0", time=FIT.index[0][1])
    model = classifier(network()).fit(FIT.loc["m0"].to_numpy(), LABELS.loc["m0"].to_numpy())
    with pytest.raises(TypeError, match="without names of sensors"):
        el.StreamingDetector(model).update(dict(FIT.iloc[0]), time=0)


def test_the_types_of_an_answer_do_not_depend_on_what_it_says():
    stream = el.StreamingDetector(fitted("default members"), el.AlarmPolicy(threshold=0.9))
    quiet = stream.update_many(FIT.iloc[:2])
    loud = el.StreamingDetector(fitted("default members"), el.AlarmPolicy(threshold=-1.0)).update_many(FIT.iloc[:2])
    assert quiet.dtypes.tolist() == loud.dtypes.tolist() and quiet["since"].iloc[0] is None


def test_the_state_is_known_by_what_the_model_says_and_not_by_its_threads_or_seeds(tmp_path):
    seeded = el.EventClassifier(network(random_state=None), n_estimators=1, random_state=np.random.RandomState(0))
    model = seeded.fit(FIT, LABELS)
    stream = el.StreamingDetector(model)
    stream.update_many(FIT.iloc[:20])
    stream.save(tmp_path / "state")
    el.StreamingDetector.load(tmp_path / "state", pickle.loads(pickle.dumps(model)).set_params(n_jobs=2, verbose=1))
    for other in (clone(seeded).fit(FIT, 1 - LABELS), clone(seeded).fit(FIT, LABELS)):
        with pytest.raises(ValueError, match="of another model"):
            el.StreamingDetector.load(tmp_path / "state", other)


def test_an_alarm_goes_on_though_the_state_was_looked_at_without_rules(tmp_path):
    policy = el.AlarmPolicy(threshold=-1.0)
    stream = el.StreamingDetector(fitted("default members"), policy)
    stream.update(FIT.iloc[0], run="m0", time=FIT.index[0][1].to_pydatetime())
    stream.save(tmp_path / "state")
    el.StreamingDetector.load(tmp_path / "state", stream.model).save(tmp_path / "state")
    told = el.StreamingDetector.load(tmp_path / "state", stream.model, policy).update_many(FIT.iloc[1:3])
    assert told["alarm"].tolist() == ["on", "on"] and told["since"].iloc[0] == FIT.index[0][1]


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_state_is_refused_in_one_line(seed, tmp_path):
    stream = el.StreamingDetector(fitted("rnn, focal"))
    stream.update_many(FIT.iloc[:3])
    stream.save(tmp_path / "state")
    content, rng = bytearray((tmp_path / "state").read_bytes()), np.random.default_rng(seed)
    (tmp_path / "state").write_bytes(content[: rng.integers(1, len(content) - 30)])
    with pytest.raises(ValueError, match="holds no state of a stream"):
        el.StreamingDetector.load(tmp_path / "state", stream.model)


def test_other_classes_than_an_event_and_none_are_refused():
    model = classifier(network()).fit(FIT, LABELS.map({0: "quiet", 1: "fault"}))
    with pytest.raises(ValueError, match=r"knows the classes \['fault', 'quiet'\]"):
        el.StreamingDetector(model)


def test_a_policy_that_does_not_go_together_is_refused_at_once():
    with pytest.raises(ValueError, match="k=3 of n=1"):
        el.StreamingDetector(fitted("default members"), el.AlarmPolicy(threshold=0.5, k=3))
    with pytest.raises(ValueError, match="late='ignore' is unknown"):
        el.StreamingDetector(fitted("default members"), late="ignore")


def test_what_is_kept_of_a_machine_does_not_grow(tmp_path):
    stream = el.StreamingDetector(fitted("blend"))
    sizes = []
    for rows in (slice(0, 41), slice(41, 241)):
        stream.update_many(make_log([[1] * 240]).iloc[rows])
        stream.save(tmp_path / "state")
        sizes.append((tmp_path / "state").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 50  # digits of numbers in JSON


def test_many_machines_are_the_same_as_each_alone():
    log = make_log([[1] * 6] * 40)
    together = el.StreamingDetector(fitted("blend")).update_many(mixed(log, np.random.default_rng(0)))
    np.testing.assert_allclose(together["score"].loc[log.index], score_rows(fitted("blend"), log), atol=1e-6)


def test_the_state_in_a_file_is_that_of_its_model_and_no_other(tmp_path):
    stream = el.StreamingDetector(fitted("default members"), el.AlarmPolicy(threshold=0.1))
    stream.update_many(FIT)
    stream.metadata["offset"] = 17
    stream.save(tmp_path / "state")
    loaded = el.StreamingDetector.load(tmp_path / "state", stream.model, stream.policy)
    assert loaded.metadata == {"offset": 17} and loaded.runs == ["m0", "m1"]
    with pytest.raises(ValueError, match=r"state of a stream of another model\. Load it with the model"):
        el.StreamingDetector.load(tmp_path / "state", fitted("peephole"))
    (tmp_path / "state").write_bytes(b"no state")
    with pytest.raises(ValueError, match="holds no state of a stream"):
        el.StreamingDetector.load(tmp_path / "state", stream.model)


def test_the_file_holds_no_pickle_and_metadata_must_be_plain(tmp_path):
    stream = el.StreamingDetector(fitted("blend"))
    stream.update_many(FIT.iloc[:3])
    stream.save(tmp_path / "state")
    with np.load(tmp_path / "state", allow_pickle=False) as content:
        head = json.loads(content["head"].tobytes())
        assert all(content[name].dtype.kind in "iufb" for name in content.files)
    assert head["runs"] == ["m0"]
    stream.metadata["what"] = object()
    with pytest.raises(TypeError, match="Keep in metadata what JSON holds"):
        stream.save(tmp_path / "state")
    el.StreamingDetector.load(tmp_path / "state", stream.model)  # the old one is whole


def test_columns_of_a_frame_may_come_in_another_order_and_with_more_beside_them():
    stream = el.StreamingDetector(fitted("default members"))
    told = stream.update_many(FIT.assign(more=1.0)[["more", *reversed(SENSORS)]])
    np.testing.assert_allclose(told["score"], score_rows(stream.model, FIT), atol=1e-6)
