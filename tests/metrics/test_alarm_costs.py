"""Measures of alarms count what an operator sees: days of quiet time, delays with the missed events, costs."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

import eventlstm as el
from eventlstm.metrics import (
    alarm_curve,
    alarm_duty,
    delay_quantile,
    detection_delays,
    event_precision_score,
    event_recall_at_budget,
    event_recall_score,
    expected_cost,
    false_alarm_rate,
    lead_times,
    redundant_alarms,
    timing_score,
)

FROM_ALARMS = (alarm_duty, false_alarm_rate, redundant_alarms, timing_score, delay_quantile)


def rows(*spans, n=100):
    """Flags of the rows from the first to the last of each span."""
    flags = np.zeros(n, dtype=int)
    for first, last in spans:
        flags[first : last + 1] = 1
    return flags


def on_clock(values, freq="5min"):
    """Values as the rows of one run, a step of the clock apart."""
    return pd.Series(values, index=pd.date_range("2024-01-01", periods=len(values), freq=freq))


@st.composite
def labels_and_flags(draw):
    n = draw(st.integers(2, 40))
    bits = st.lists(st.sampled_from([0, 0, 1]), min_size=n, max_size=n)
    return np.array(draw(bits)), np.array(draw(bits))


def test_a_day_has_as_many_false_alarms_as_it_has():
    y, p = on_clock(rows((100, 105), n=2 * 288), "5min"), rows((3, 4), (50, 50), (102, 104), (400, 420), n=2 * 288)
    quiet_days = (2 * 288 - 6) / 288
    assert false_alarm_rate(y, p) == pytest.approx(3 / quiet_days)
    assert false_alarm_rate(y, p, per="hour") == pytest.approx(3 / quiet_days / 24)
    assert false_alarm_rate(y.to_numpy(), p) == false_alarm_rate(y.to_numpy(), p, per="step") == 3 / 570


def test_time_over_a_gap_is_not_observed():
    clock = pd.date_range("2024-01-01", periods=48, freq="h").append(pd.date_range("2024-02-01", periods=48, freq="h"))
    y, p = pd.Series(0, index=clock), rows((10, 11), (50, 50), n=96)
    assert false_alarm_rate(y, p) == pytest.approx(2 / 4)
    assert false_alarm_rate(y, p, max_gap="99D") == pytest.approx(2 / 33)
    assert alarm_duty(y, p) == pytest.approx(3 / 96)


def test_machines_add_their_time():
    y, p = on_clock(rows(n=48), "h"), rows((10, 11), n=48)
    fleet = pd.concat({"a": y, "b": y, "c": y})
    assert false_alarm_rate(fleet, np.tile(p, 3)) == pytest.approx(false_alarm_rate(y, p)) == 0.5


def test_time_around_an_event_is_not_quiet():
    y, p = rows((20, 29), n=50), rows((15, 18), (22, 23), (40, 41), n=50)
    assert alarm_duty(y, p) == 6 / 40
    assert alarm_duty(y, p, early=5, late=1) == 2 / 34
    assert false_alarm_rate(y, p, early=5, late=1) == 1 / 34


def test_slow_rows_stand_for_more_time_than_fast_ones():
    y = pd.Series(rows(n=6), index=[0, 1, 2, 5, 6, 7])
    assert alarm_duty(y, [0, 0, 1, 0, 0, 0]) == 3 / 8


def test_delays_are_told_of_every_event():
    y, p = on_clock(rows((10, 19), (40, 49), (70, 79))), rows((8, 9), (13, 14), (52, 53), (70, 75))
    minutes = [15.0, np.nan, 0.0]
    delays = detection_delays(y, p)
    np.testing.assert_array_equal(delays / pd.Timedelta("1min"), minutes)
    assert delays.index.names == ["run", "start"]
    assert delays.index.get_level_values("start").tolist() == y.index[[10, 40, 70]].tolist()
    np.testing.assert_array_equal(detection_delays(y, p, early=2, late=3) / pd.Timedelta("1min"), [-10, 60, 0])
    np.testing.assert_array_equal(detection_delays(y.to_numpy(), p), [3, np.nan, 0])


def test_a_missed_event_is_longer_than_any_delay():
    y, p = rows((10, 19), (40, 49), (70, 79)), rows((13, 14), (70, 75))
    assert [delay_quantile(y, p, q=q) for q in (0.3, 1 / 3, 0.5, 2 / 3)] == [0, 0, 3, 3]
    assert np.isnan(delay_quantile(y, p, q=0.7))
    assert delay_quantile(on_clock(y), p) == 15 * 60
    assert np.isnan(delay_quantile(y, rows((13, 13))))


def test_a_warning_comes_before_the_event_or_not_at_all():
    y, p = rows((10, 19), (40, 49), (70, 79)), rows((7, 7), (9, 12), (40, 41), (60, 60))
    np.testing.assert_array_equal(lead_times(y, p, early=5), [3, np.nan, np.nan])
    np.testing.assert_array_equal(lead_times(y, p, early=10), [3, np.nan, 10])
    assert lead_times(on_clock(y), p, early="15min").iloc[0] == pd.Timedelta("15min")


@settings(max_examples=40, deadline=None)
@given(log=labels_and_flags(), early=st.integers(1, 6))
def test_a_lead_is_a_delay_of_the_other_sign(log, early):
    delays = detection_delays(*log, early=early).to_numpy()
    np.testing.assert_array_equal(lead_times(*log, early=early), np.where(delays < 0, -delays, np.nan))


def test_alarms_after_the_first_are_redundant():
    y = rows((10, 19), (40, 49), (70, 79))
    assert redundant_alarms(y, rows((10, 10), (12, 12), (14, 14), (40, 49), (60, 60))) == 1.0
    assert redundant_alarms(y, y) == 0.0
    assert redundant_alarms(y, rows((10, 10), (12, 12), (14, 14), (70, 70))) == 1.0
    assert np.isnan(redundant_alarms(y, rows((0, 3))))


def test_timing_is_best_at_the_start_and_nothing_out_of_its_limits():
    y = rows((40, 49))
    alarm_at = {row: timing_score(y, rows((row, row))) for row in (25, 30, 31, 35, 39, 40, 41, 45, 49, 50)}
    assert alarm_at[40] == 1.0
    assert alarm_at[35] == pytest.approx(0.5**math.e) and alarm_at[45] == pytest.approx(0.5)
    assert alarm_at[30] == alarm_at[50] == alarm_at[25] == 0.0
    assert timing_score(y, rows((30, 30), (35, 35))) == alarm_at[35]  # the first within the limits counts
    assert alarm_at[31] < alarm_at[35] < alarm_at[39] < 1 > alarm_at[41] > alarm_at[45] > alarm_at[49] > 0


def test_the_limits_of_timing_are_told_in_rows_or_time():
    y, p = rows((40, 49), (80, 81)), rows((35, 36), (82, 82))
    for early, late in (("100min", "20min"), (20, 4), (pd.Timedelta("100min"), 4)):
        assert timing_score(on_clock(y), p, early=early, late=late) == pytest.approx((0.75**math.e + 0.5) / 2)
    assert timing_score(y, p, early=20, late=4) == pytest.approx((0.75**math.e + 0.5) / 2)
    assert timing_score(y, rows((40, 40), (80, 80)), early=0, late=0) == 1.0


def test_a_missed_event_lowers_timing():
    assert timing_score(rows((10, 19), (40, 49)), rows((10, 10))) == 0.5


def test_costs_add_up():
    y, p = on_clock(rows((100, 105), (200, 205), n=288)), rows((3, 4), (102, 104), (250, 251), n=288)
    assert expected_cost(y, p, miss=10, false_alarm=1) == pytest.approx(10 + 2)
    assert expected_cost(y, p, miss=10, false_alarm=1, delay=288) == pytest.approx(10 + 2 + 2)
    assert expected_cost(y, p, miss=10, false_alarm=1, delay=12, per="hour") == pytest.approx((10 + 2 + 2) / 24)
    assert expected_cost(y, rows((99, 99), (199, 199), n=288), miss=10, false_alarm=1, delay=9, early=1) == 0


def test_runs_are_apart():
    y = pd.concat({"a": on_clock([0, 0, 1, 1]), "b": on_clock([1, 1, 0, 0])})
    p = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    assert detection_delays(y, p).index.get_level_values("run").tolist() == ["a", "b"]
    np.testing.assert_array_equal(detection_delays(y, p) / pd.Timedelta("5min"), [1, 0])
    assert redundant_alarms(y, p) == 0.0


@settings(max_examples=40, deadline=None)
@given(log=labels_and_flags(), shift=st.integers(-5000, 5000))
def test_a_shift_of_the_clock_changes_nothing(log, shift):
    y, p = log
    labels = on_clock(y)
    moved = labels.set_axis(labels.index + shift * pd.Timedelta("7min"))
    for measure in FROM_ALARMS:
        np.testing.assert_equal(measure(moved, p), measure(labels, p))


@settings(max_examples=30, deadline=None)
@given(log=labels_and_flags(), match=st.sampled_from(["onset", "overlap"]), early=st.integers(0, 3))
def test_the_curve_is_made_of_the_measures_at_each_threshold(log, match, early):
    y, score = on_clock(log[0]), np.convolve(log[1], [0.2, 0.5, 0.3])[: len(log[1])]
    options = {"match": match, "early": early}
    for point in alarm_curve(y, score, **options).itertuples():
        flags = (score > point.threshold).astype(int)
        expected = {
            "false_alarm_rate": false_alarm_rate(y, flags, **options),
            "event_recall": event_recall_score(y, flags, **options),
            "event_precision": event_precision_score(y, flags, **options),
            "alarm_duty": alarm_duty(y, flags, early=early),
            "median_delay": delay_quantile(y, flags, **options),
        }
        assert {name: getattr(point, name) for name in expected} == pytest.approx(expected, nan_ok=True)


def test_the_curve_of_rules_with_a_level_that_ends_alarms_goes_below_that_level():
    y, score = [0, 0, 1, 1, 0, 0, 1, 0], [0.1, 0.3, 0.9, 0.2, 0.1, 0.4, 0.5, 0.2]
    curve, plain = (
        el.metrics.alarm_curve(y, score, policy=el.AlarmPolicy(off=off, merge_gap=0)) for off in (0.35, None)
    )
    low = plain["threshold"] <= 0.35
    assert low.any() and not low.all()
    pd.testing.assert_frame_equal(curve[low], plain[low])


@settings(max_examples=30, deadline=None)
@given(log=labels_and_flags())
def test_events_within_the_budget_are_those_of_the_curve_and_more_with_more_budget(log):
    y, score = log[0], np.convolve(log[1], [0.2, 0.5, 0.3])[: len(log[1])]
    found = [event_recall_at_budget(y, score, budget=budget) for budget in (0.0, 0.05, 0.2, 1.0)]
    mapped = [event_recall_at_budget(y, np.exp(3 * score), budget=budget) for budget in (0.0, 0.05, 0.2, 1.0)]
    np.testing.assert_array_equal(found, mapped)
    if not 0 < y.sum() < len(y):
        assert np.isnan(found).all()
        return
    assert found == sorted(found)
    curve = alarm_curve(y, score)
    assert found[-1] == curve["event_recall"].max()


def test_a_budget_that_alarms_growing_together_come_back_to_is_not_met():
    y, p = rows((50, 59)), rows((49, 59))
    score = np.where(np.arange(100) % 2 == 0, 0.5, 0.4) + 0.1 * p
    score[0] = 0.1  # the lowest threshold, at which all else is one alarm
    assert event_recall_at_budget(y, score, budget=0.0, match="overlap") == 1.0
    score[2:10:2] = 0.9
    assert event_recall_at_budget(y, score, budget=0.0, match="overlap") == 0.0


def test_thresholds_may_be_given_and_come_back_falling():
    curve = alarm_curve([0, 1, 0], [0.1, 0.9, 0.2], thresholds=[0.15, 0.5])
    assert curve["threshold"].tolist() == [0.5, 0.15]
    assert curve["n_alarms"].tolist() == [1, 1]
    assert curve["false_alarm_rate"].tolist() == [0, 0]


class TwoInARow(BaseEstimator):
    """The least that an alarm policy can be."""

    def __init__(self, threshold=0.0):
        self.threshold = threshold

    def flag(self, score):
        """Return 1 on rows above the threshold after one above it."""
        assert isinstance(score, pd.Series)
        above = score > self.threshold
        return (above & above.shift(fill_value=False)).astype(int)


def test_a_policy_makes_the_alarms_of_the_curve():
    y, score = on_clock(rows((20, 29), n=50)), np.zeros(50)
    score[[5, 22, 23, 24, 40]] = 0.9
    assert event_recall_at_budget(y, score, budget=0.0) == 0.0
    assert event_recall_at_budget(y, score, budget=0.0, policy=TwoInARow()) == 1.0
    assert alarm_curve(y, score, thresholds=[0.5], policy=TwoInARow())["median_delay"].tolist() == [15 * 60]


def test_alarms_score_models_in_cross_validation():
    log = el.datasets.make_sensor_log(n_machines=4, n_days=5, random_state=0)
    model, cv = DecisionTreeClassifier(max_depth=4, random_state=0), el.RunKFold(2)
    cost = make_scorer(expected_cost, miss=20.0, false_alarm=1.0, greater_is_better=False)
    at_budget = make_scorer(event_recall_at_budget, response_method="predict_proba", budget=2.0, match="overlap")
    for scoring in (cost, at_budget, make_scorer(false_alarm_rate, greater_is_better=False)):
        assert np.isfinite(cross_val_score(model, log.X, log.y, cv=cv, scoring=scoring)).all()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (false_alarm_rate([1, 1], [1, 1]), "no quiet time"),
        (alarm_duty([1, 1], [1, 1]), "no quiet time"),
        (false_alarm_rate([0], [1]), "one row lasts no time"),
        (delay_quantile([0, 0], [0, 1]), "no event"),
        (timing_score([0, 0], [0, 1]), "no event"),
        (event_recall_at_budget([0, 0], [0, 1]), "no event"),
        (expected_cost([0], [0], miss=1, false_alarm=1), "one row lasts no time"),
    ],
)
def test_what_is_undefined_is_nan_without_a_warning(value, why):
    assert np.isnan(value), why


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: false_alarm_rate([0, 1], [0, 1], per="day"), "per='day' does not fit an index of numbers"),
        (lambda: false_alarm_rate(on_clock([0, 1]), [0, 1], per="step"), "per='step' does not fit an index of date"),
        (lambda: delay_quantile([0, 1], [0, 1], q=0), "q=0 is no share"),
        (lambda: event_recall_at_budget([0, 1], [0, 1], budget=-1), "budget=-1 is no number"),
        (lambda: timing_score([0, 1], [0, 1], early=-1), "early=-1 is negative"),
        (lambda: detection_delays(on_clock([0, 1]), [0, 1], early=2.5), "early=2.5 is not a length of time"),
        (lambda: alarm_curve([0, 1], [0, 1], match="start"), "match='start' is unknown"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_alarm_within_one_event_is_no_early_alarm_of_the_next():
    y, p = np.zeros(40, dtype=int), np.zeros(40, dtype=int)
    y[5:15] = y[17:27] = 1
    p[5:10] = p[14] = p[17:27] = 1
    assert el.metrics.timing_score(y, p) == 1.0
    p[17:27] = 0
    assert el.metrics.timing_score(y, p) == 0.5
