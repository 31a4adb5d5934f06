"""Row by row equal to batch, whatever the log, the pieces it comes in, the order of machines, and where it is cut."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import eventlstm as el
from eventlstm.alarms.model_scores import policy_of, score_rows

from .models import FIT, LABELS, MAKERS, SENSORS, accepts_missing, classifier, fitted, make_log, network

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
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.lists(st.sampled_from([1, 1, 1, 1, 2, 90]), min_size=2, max_size=24), min_size=1, max_size=3),
    seed=st.integers(0, 2**20),
)
def test_scores_and_alarms_are_those_of_batch_scoring(name, steps, seed, tmp_path):
    log, rng, model = make_log(steps, seed), np.random.default_rng(seed), fitted(name)
    if accepts_missing(name):
        log = spoil(log, rng)
    expected = pd.Series(score_rows(model, log), index=log.index)
    policy = policy_for(name, float(expected.quantile(0.7)))
    told = feed(el.StreamingDetector(model, policy), mixed(log, rng), rng, tmp_path / "state")
    told = told.loc[log.index]
    if name in BITWISE:
        assert told["score"].tolist() == expected.tolist()
    np.testing.assert_allclose(told["score"], expected, rtol=1e-6, atol=1e-6)
    near = np.abs(expected - policy.threshold).min() < 1e-6  # which side a rounding falls is not promised
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
    assert told[0] == ("unknown_run", "warming_up") and told[1:6] == [("warming_up",)] * 5
    assert told[6:10] == [()] * 4 and told[10] == ("gap", "warming_up") and told[-1] == ()


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
    assert late["status"].tolist() == [("late",), ("warming_up",), ("late",), ()]
    assert np.isnan(late["score"].iloc[[0, 2]]).all()
    expected = score_rows(stream.model, log)
    np.testing.assert_allclose(late["score"].iloc[[1, 3]], expected[[5, 6]], atol=1e-6)
    assert math.isnan(stream.update(log.iloc[0], run="m0", time=log.index[0][1]).score)
    stream.late = "raise"
    with pytest.raises(ValueError, match=r"A row of 'm0' at 2024-01-01 00:00:03 came after one"):
        stream.update_many(log.iloc[[7, 3]])
    np.testing.assert_allclose(stream.update_many(log.iloc[7:8])["score"], expected[7:8], atol=1e-6)


def test_without_a_threshold_there_are_scores_and_no_alarms():
    stream = el.StreamingDetector(fitted("default members"))
    update = stream.update(FIT.iloc[0], run="m0", time=FIT.index[0][1])
    assert update.alarm is update.alarm_id is None and math.isnan(update.threshold) and stream.policy is None


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


def test_a_step_that_looks_at_other_rows_is_refused():
    changes = FunctionTransformer(lambda X: X.diff().fillna(0.0)).set_output(transform="pandas")
    model = make_pipeline(changes, classifier(network())).fit(FIT, LABELS)
    with pytest.raises(TypeError, match="FunctionTransformer makes of a row what depends on other rows"):
        el.StreamingDetector(model)


def test_other_classes_than_an_event_and_none_are_refused():
    model = classifier(network()).fit(FIT, LABELS.map({0: "quiet", 1: "fault"}))
    with pytest.raises(ValueError, match=r"knows the classes \['fault', 'quiet'\]"):
        el.StreamingDetector(model)


def test_a_policy_that_does_not_go_together_is_refused_at_once():
    with pytest.raises(ValueError, match="k=3 of n=1"):
        el.StreamingDetector(fitted("default members"), el.AlarmPolicy(threshold=0.5, k=3))
    with pytest.raises(ValueError, match="late='ignore' is unknown"):
        el.StreamingDetector(fitted("default members"), late="ignore")


def test_what_is_kept_of_a_machine_does_not_grow():
    stream = el.StreamingDetector(fitted("blend"))
    stream.update_many(make_log([[1] * 40]))
    before = stream._watched.snapshot(slice(0, 1))
    stream.update_many(make_log([[1] * 240]).iloc[41:])
    assert [array.shape for array in stream._watched.snapshot(slice(0, 1))] == [array.shape for array in before]


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
