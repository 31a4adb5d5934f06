"""What a report says of why an event was found: the sensors that raised its score, and the earlier events like it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.alarms.alarm_policy import AlarmPolicy
from eventlstm.evaluation.openings import OPENING_ROWS, find_openings
from eventlstm.evaluation.scored_log import ScoredLog
from eventlstm.evaluation.sensors import DUE, FARTHEST, RAISED, name_highest
from eventlstm.evaluation.similar_events import Units, find_similar

N_ROWS, SENSORS = 160, ["flow", "heat", "power"]
QUICK = {"n_resamples": 10, "baselines": False}

pytestmark = pytest.mark.usefixtures("one_openmp_thread")


def planted_log(n_runs, seed, *, dated=True, first_day=1):
    """Return a log of runs one after the other, two events in each, and which sensor carries each event."""
    rng = np.random.default_rng(seed)
    values, label, planted = rng.normal(size=(n_runs, N_ROWS, 3)), np.zeros((n_runs, N_ROWS), dtype=int), []
    for run in range(n_runs):
        for begin in (60, 120):
            planted.append(len(planted) % 3)
            values[run, begin : begin + 20, planted[-1]] += 6
            label[run, begin : begin + 20] = 1
    days = [pd.Timestamp(2024, 1, first_day) + pd.Timedelta(2 * run, "D") for run in range(n_runs)]
    times = [day + pd.Timedelta(10 * row, "min") if dated else row for day in days for row in range(N_ROWS)]
    runs = np.repeat([f"m{k}" for k in range(n_runs)], N_ROWS)
    index = pd.MultiIndex.from_arrays([runs, times], names=["machine", "time"])
    return pd.DataFrame(values.reshape(-1, 3), index, SENSORS), pd.Series(label.ravel(), index, name="failure"), planted


X, Y, _ = planted_log(4, 0)
X_TEST, Y_TEST, PLANTED = planted_log(4, 1, first_day=20)


def fitted_trees():
    trees = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    model = el.EventClassifier(trees, mode="windows", window_size=3, inputs=None, n_estimators=1, random_state=0)
    return make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(X, Y)


def scored(X=X_TEST, y=Y_TEST, score=None, **rules):
    score = y.to_numpy(dtype=float) if score is None else score
    return ScoredLog.of(X, y, score, AlarmPolicy(**{"merge_gap": 0, **rules}))


def similar_in(log, train=None):
    return find_similar(log, *find_openings(log, 0.5), train)


def test_a_classifier_names_the_sensors_that_raised_the_score_also_inside_of_others(tmp_path):
    piped = fitted_trees()
    held = FixedThresholdClassifier(FrozenEstimator(piped), threshold=0.5, pos_label=1).fit(X, Y)
    for model in (piped, held):
        numbers = el.report(model, X_TEST, Y_TEST, tmp_path / "page.html", threshold=0.5, **QUICK)
        assert numbers["sensors_from"] == RAISED
        assert [event["sensors"][0] for event in numbers["events"]] == [SENSORS[sensor] for sensor in PLANTED]
    page = (tmp_path / "page.html").read_text()
    assert f"<th>{RAISED}</th>" in page and "log-odds of the event fall" in page


def test_it_is_asked_of_the_first_rows_of_alarms_alone(tmp_path, monkeypatch):
    asked = []
    whole = el.EventClassifier.occluded_proba
    spy = lambda self, X, rows=None: asked.append(rows) or whole(self, X, rows)  # noqa: E731
    monkeypatch.setattr(el.EventClassifier, "occluded_proba", spy)
    el.report(fitted_trees(), X_TEST, Y_TEST, tmp_path / "page.html", threshold=0.5, **QUICK)
    (rows,) = asked
    assert 0 < len(rows) <= OPENING_ROWS * len(PLANTED)


def test_models_that_say_nothing_of_sensors_keep_the_farthest(tmp_path):
    foreign = LogisticRegression().fit(X, Y)
    old = fitted_trees()
    del old[-1].usual_
    for model in (foreign, old):
        numbers = el.report(model, X_TEST, Y_TEST, tmp_path / "page.html", threshold=0.5, **QUICK)
        assert numbers["sensors_from"] == FARTHEST
        assert [event["sensors"][0] for event in numbers["events"]] == [SENSORS[sensor] for sensor in PLANTED]


def test_sensors_are_named_by_what_they_are_more_than_others():
    shares = pd.Series([0.1, 0.7, 0.2, 0.0], ["a", "b", "c", "d"])
    assert name_highest(shares, RAISED) == ["b"]
    assert name_highest(shares, DUE) == ["b", "c", "a"]
    assert name_highest(shares * 0 + 0.25, RAISED) == []
    assert name_highest(shares * np.nan, RAISED) == []
    assert name_highest(shares[:1], RAISED) == ["a"]


def test_an_opening_is_the_first_ten_rows_of_the_alarm_or_those_before_the_peak_of_a_missed_event():
    y, score = np.zeros((2, 100))
    y[20:40] = y[50:70] = y[80:84] = y[90:100] = 1
    score[25:38] = score[81:83] = score[97:] = 1.0
    score[64] = 0.4
    both = pd.MultiIndex.from_product([["a", "b"], range(100)])
    log = scored(pd.DataFrame(index=both), pd.Series(np.tile(y, 2).astype(int), both), np.tile(score, 2))
    begin, end = find_openings(log, 0.5)
    assert list(zip(begin[:4], end[:4], strict=True)) == [(25, 34), (55, 64), (81, 82), (97, 99)]
    assert (begin[4:] == begin[:4] + 100).all() and (end[4:] == end[:4] + 100).all()
    without = scored(X_TEST, Y_TEST * 0)
    assert [len(part) for part in find_openings(without, 0.5)] == [0, 0]


@pytest.mark.parametrize("dated", [True, False], ids=["dates", "numbers"])
def test_only_events_before_the_alarm_are_similar_and_the_nearest_has_the_same_sensor(dated):
    X, y, planted = planted_log(4, 1, dated=dated)
    found = similar_in(scored(X, y))
    assert found[0] == [] and [len(similar) for similar in found] == [0, 1, 2, 3, 3, 3, 3, 3]
    for k, similar in enumerate(found):
        distances = [past["distance"] for past in similar]
        assert all(past["event"] < k for past in similar) and distances == sorted(distances)
        if k >= 3:
            assert planted[similar[0]["event"]] == planted[k] and similar[0]["distance"] < 0.5 * distances[-1]
    first = find_similar(scored(X.iloc[:N_ROWS], y.iloc[:N_ROWS]), np.array([60, 120]), np.array([69, 129]), None)
    assert first[1][0] == pytest.approx(found[1][0])  # nothing of later runs is known


def test_events_of_other_machines_count_by_the_clock_and_not_by_the_order_of_runs():
    turned = X_TEST.rename({f"m{k}": f"n{9 - k}" for k in range(4)}).sort_index()
    y = Y_TEST.set_axis(X_TEST.rename({f"m{k}": f"n{9 - k}" for k in range(4)}).index).sort_index()
    found = similar_in(scored(turned, y))
    assert [len(similar) for similar in found] == [3, 3, 3, 3, 2, 3, 0, 1]  # the last run is the first in time
    assert {past["event"] for past in found[4]} == {6, 7}


def test_events_learnt_from_are_known_unless_they_are_of_this_log_or_later():
    log = scored()
    for similar in similar_in(log, (X, Y)):
        assert len(similar) == 3
    (first, *_) = similar_in(log, (X, Y))
    assert {(past["event"], past["run"]) for past in first} <= {(None, f"m{k}") for k in range(4)}
    numbers = [
        [[past["event"] for past in one] for one in similar_in(log, train)] for train in (None, (X_TEST, Y_TEST))
    ]
    assert numbers[0] == numbers[1]
    later, y_later, _ = planted_log(2, 3, first_day=30)
    assert similar_in(log, (later.rename({"m0": "n0", "m1": "n1"}), y_later)) == similar_in(log)
    assert similar_in(log, (X[SENSORS[::-1]], Y)) == similar_in(log)
    assert similar_in(log, (X.reset_index(drop=True), Y.reset_index(drop=True))) == similar_in(log)


def test_few_quiet_rows_and_sensors_that_stand_still_or_are_missing_do_no_harm():
    broken = X_TEST.assign(still=1.0, twin=2 * X_TEST["heat"], gone=np.nan)
    broken.iloc[60:64, 0] = np.nan
    whole = similar_in(scored(broken))
    assert [[past["event"] for past in similar] for similar in whole[3:]] == [
        [past["event"] for past in similar] for similar in similar_in(scored())[3:]
    ]
    assert similar_in(scored(X_TEST * 0)) == [[]] * len(PLANTED)
    late = X_TEST.iloc[59:], Y_TEST.iloc[59:]
    assert similar_in(scored(*late))[1] == similar_in(scored(*late), None)[1]
    short = X_TEST.iloc[58:85], Y_TEST.iloc[58:85].to_numpy().copy()
    short[1][10:14] = 0
    assert similar_in(scored(short[0], pd.Series(short[1], short[0].index)))[1] == []


def in_units(quiet, values):
    return Units(quiet, np.zeros(len(quiet))).before(1.0, values)


def test_units_are_those_of_rows_before_and_learnt_anew_where_many_are_new():
    rng = np.random.default_rng(0)
    quiet, values, when = rng.normal(size=(500, 2)), rng.normal(size=(3, 2)), rng.permutation(500)
    units = Units(quiet, when)
    assert units.before(19, values) is None
    for now in range(30, 501):
        seen, n_rows = units.before(now, values), list(units.learnt)[-1]
        assert now / 1.06 - 1 < n_rows <= now
        before = quiet[np.argsort(when)[:n_rows]]
        np.testing.assert_array_equal(seen, Units(before, np.zeros(n_rows)).before(1, values))
    assert len(units.learnt) < 70 and n_rows == 500


def test_whitened_quiet_rows_do_not_hang_together_and_have_deviation_one():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(500, 1))
    quiet = np.hstack([common + 0.1 * rng.normal(size=(500, 2)), 100 * rng.normal(size=(500, 1)), np.ones((500, 1))])
    seen = in_units(np.hstack([quiet, quiet[:, :1] * 3]), np.hstack([quiet, quiet[:, :1] * 3]))
    assert seen.shape == (500, 3)
    np.testing.assert_allclose(np.cov(seen.T, bias=True), np.eye(3), atol=1e-9)
    hanging_apart = in_units(quiet, np.array([[1.0, 1, 0, 1], [1, -1, 0, 1]]))
    together, apart = np.linalg.norm(hanging_apart, axis=1)
    assert apart > 5 * together
