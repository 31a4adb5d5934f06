"""Alarms are the same at once and row by row, start when they are known, and obey each rule on its own."""

import json
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from eventlstm import AlarmPolicy, to_events

N_ROWS = 40
MINUTES = pd.date_range("2024-01-01", periods=N_ROWS, freq="min", tz="UTC")
SCORES = st.lists(
    st.one_of(st.sampled_from([0.0, 0.4, 0.6, 1.0, np.nan]), st.floats(0, 1)), min_size=N_ROWS, max_size=N_ROWS
)
NUMBER_SPANS = st.one_of(st.integers(0, 4), st.sampled_from([0.1, 0.3, 0.7, 2.0]))
CLOCK_SPANS = st.one_of(st.integers(0, 4), st.sampled_from(["0s", "2min", "5min", pd.Timedelta("3min")]))
bare_policy = partial(AlarmPolicy, merge_gap=0)
seeds = pytest.mark.parametrize("seed", range(4))


@st.composite
def policies(draw, spans, max_gap):
    """Policies with each rule in use or not."""
    n = draw(st.integers(1, 4))
    return AlarmPolicy(
        threshold=0.5,
        smoothing=draw(st.sampled_from([None, 1, 3, 7.5])),
        off=draw(st.sampled_from([None, 0.3])),
        k=draw(st.integers(1, n)),
        n=n,
        min_duration=draw(spans),
        merge_gap=draw(spans),
        cooldown=draw(spans),
        max_duration=draw(st.sampled_from([None, 1, 4])),
        max_gap=draw(st.sampled_from([None, max_gap])),
    )


def rough(seed):
    """Scores that rise above a half again and again, for a while or for a row."""
    rng = np.random.RandomState(seed)
    return pd.Series(np.convolve(rng.rand(N_ROWS + 4), np.ones(5) / 5, mode="valid") + rng.normal(0, 0.1, N_ROWS))


def flag_row_by_row(policy, score, cuts=()):
    """Flags of one run, whose state is written to JSON and read again at the cuts."""
    state, flags = policy.start_stream(), []
    for row, (time, value) in enumerate(score.items()):
        if row in cuts:
            state = json.loads(json.dumps(state))
        on, state = policy.step(time, value, state)
        flags.append(int(on))
    return flags


def starts_of(flags):
    return set(np.flatnonzero(np.diff(np.asarray(flags), prepend=0) == 1))


@settings(max_examples=40, deadline=None)
@given(
    policies(NUMBER_SPANS, 0.3),
    SCORES,
    st.lists(st.sampled_from([0.1, 0.3, 0.7]), min_size=N_ROWS, max_size=N_ROWS),
    st.sets(st.integers(0, N_ROWS)),
)
def test_alarms_row_by_row_are_those_at_once_wherever_the_state_is_saved(policy, score, steps, cuts):
    score = pd.Series(score, index=np.cumsum(steps))
    assert flag_row_by_row(policy, score, cuts) == policy.flag(score).tolist()


@settings(max_examples=40, deadline=None)
@given(
    policies(CLOCK_SPANS, "3min"),
    SCORES,
    st.lists(st.sampled_from([1, 2, 4]), min_size=N_ROWS, max_size=N_ROWS),
    st.sets(st.integers(0, N_ROWS)),
)
def test_so_they_are_on_a_clock(policy, score, steps, cuts):
    score = pd.Series(score, index=MINUTES[0] + pd.to_timedelta(np.cumsum(steps), unit="min"))
    assert flag_row_by_row(policy, score, cuts) == policy.flag(score).tolist()


@settings(max_examples=20, deadline=None)
@given(policies(NUMBER_SPANS, None), SCORES, st.integers(0, N_ROWS))
def test_flags_of_a_prefix_are_a_prefix_of_the_flags(policy, score, n_rows):
    np.testing.assert_array_equal(policy.flag(score[:n_rows]), policy.flag(score)[:n_rows])


@settings(max_examples=20, deadline=None)
@given(policies(CLOCK_SPANS, "3min"), SCORES)
def test_nothing_crosses_from_a_run_into_the_next(policy, score):
    index = pd.MultiIndex.from_arrays([np.arange(N_ROWS) // 15, MINUTES])
    score = pd.Series(score, index=index)
    alone = [policy.flag(run.droplevel(0)) for _, run in score.groupby(level=0)]
    np.testing.assert_array_equal(policy.flag(score), np.concatenate(alone))


@settings(max_examples=20, deadline=None)
@given(policies(CLOCK_SPANS, None), SCORES)
def test_rows_without_a_score_change_no_other_row_and_start_no_alarm(policy, score):
    score = pd.Series(score, index=MINUTES)
    flags = policy.flag(score)
    seen = score.notna()
    pd.testing.assert_series_equal(flags[seen], policy.flag(score[seen]))
    np.testing.assert_array_equal(flags, flags.where(seen).ffill().fillna(0))


@settings(max_examples=20, deadline=None)
@given(policies(CLOCK_SPANS, "3min"), SCORES)
def test_the_table_lists_what_the_flags_show(policy, score):
    score = pd.Series(score, index=pd.MultiIndex.from_arrays([np.arange(N_ROWS) // 15, MINUTES]))
    pd.testing.assert_frame_equal(policy.to_events(score), to_events(policy.flag(score), score))


@seeds
def test_a_bare_threshold_flags_the_rows_above_it(seed):
    score = rough(seed)
    np.testing.assert_array_equal(bare_policy(0.5).flag(score.to_numpy()), score > 0.5)
    np.testing.assert_array_equal(bare_policy(score[3]).flag(score), score > score[3])


@seeds
@pytest.mark.parametrize("span", [1, 4, 15.5])
def test_smoothing_is_the_exponentially_weighted_mean_of_pandas(seed, span):
    score = rough(seed).mask(np.arange(N_ROWS) % 7 == 3)
    smooth = score.ewm(span=span, adjust=True, ignore_na=True).mean()
    np.testing.assert_array_equal(
        bare_policy(0.5, smoothing=span).flag(score)[score.notna()], smooth[score.notna()] > 0.5
    )


@seeds
@pytest.mark.parametrize(("k", "n"), [(1, 3), (2, 3), (3, 3), (3, 5), (30, 70)])
def test_k_of_n_is_a_rolling_count(seed, k, n):
    score = rough(seed)
    count = (score > 0.45).rolling(n, min_periods=1).sum()
    np.testing.assert_array_equal(bare_policy(0.45, k=k, n=n).flag(score), count >= k)


def test_between_the_two_levels_the_score_stays_as_it_was():
    assert bare_policy(0.5, off=0.3).flag([0.4, 0.6, 0.4, 0.3, 0.4, 0.6]).tolist() == [0, 1, 1, 0, 0, 1]


def test_an_alarm_starts_when_its_last_condition_is_met_and_not_before():
    score = [0, 1, 1, 1, 1, 0]
    assert bare_policy(0.5, min_duration=3).flag(score).tolist() == [0, 0, 0, 1, 1, 0]
    assert bare_policy(0.5, k=2, n=3, min_duration=2).flag(score).tolist() == [0, 0, 0, 1, 1, 1]


@seeds
def test_an_alarm_that_is_held_open_moves_no_start_and_adds_none(seed):
    score = rough(seed)
    plain, merged = bare_policy(0.5), bare_policy(0.5, merge_gap=3)
    assert starts_of(merged.flag(score)) < starts_of(plain.flag(score))
    assert (merged.flag(score) >= plain.flag(score)).all()


def test_a_gap_in_the_score_is_bridged_up_to_its_length_and_not_beyond():
    score = [1, 0, 0, 1, 0, 0, 0, 1]
    assert bare_policy(0.5, merge_gap=2).flag(score).tolist() == [1, 1, 1, 1, 1, 1, 0, 1]


def test_no_alarm_starts_while_it_cools_down():
    score = [1, 0, 1, 0, 0, 1, 0, 1, 1, 1]
    assert bare_policy(0.5, cooldown=4).flag(score).tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert bare_policy(0.5, cooldown=2).flag(score).tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 1, 1]


def test_an_alarm_that_lasts_ends_and_may_start_again():
    assert bare_policy(0.5, max_duration=2).flag(np.ones(7)).tolist() == [1, 1, 0, 1, 1, 0, 1]
    assert bare_policy(0.5, max_duration=2, cooldown=3).flag(np.ones(7)).tolist() == [1, 1, 0, 0, 0, 1, 1]
    assert bare_policy(0.5, max_duration=2, min_duration=2).flag(np.ones(7)).tolist() == [0, 1, 1, 0, 0, 1, 1]


@seeds
def test_on_a_steady_clock_a_span_of_time_is_as_many_rows(seed):
    score = pd.Series(rough(seed).to_numpy(), index=MINUTES)
    in_rows = bare_policy(0.5, min_duration=2, merge_gap=2, cooldown=4, max_duration=5)
    in_time = bare_policy(0.5, min_duration="1min", merge_gap="2min", cooldown="4min", max_duration="5min")
    pd.testing.assert_series_equal(in_rows.flag(score), in_time.flag(score))


def test_a_gap_in_time_ends_an_alarm_and_what_is_remembered():
    score = pd.Series(1.0, index=MINUTES[[0, 1, 2, 30, 31, 32]])
    policy = bare_policy(0.5, min_duration=2, max_gap="5min")
    assert policy.flag(score).tolist() == [0, 1, 1, 0, 1, 1]
    assert policy.to_events(score)["start"].tolist() == [MINUTES[1], MINUTES[31]]


def test_an_alarm_names_the_sensors_that_raised_it_and_not_those_that_follow():
    score = np.array([0, 1, 1, 1, 1, 1, 1, 0, 1])
    shares = pd.DataFrame(0.0, index=range(9), columns=["a", "b", "c", "d"])
    shares.iloc[1:3] = [[0.1, 0.6, 0.3, 0.0]]
    shares.iloc[3:7] = [[0.0, 0.0, 0.0, 1.0]]
    shares.iloc[8] = np.nan
    assert bare_policy(0.5).to_events(score, shares)["sensors"].tolist() == [("b", "c", "a"), ()]
    assert bare_policy(0.5).to_events(score, shares.to_numpy())["sensors"][0] == (1, 2, 0)


def test_a_log_without_alarms_has_an_empty_table():
    events = bare_policy(2).to_events(rough(0), np.zeros((N_ROWS, 2)))
    assert events.columns.tolist() == ["run", "start", "end", "peak", "peak_score", "sensors"] and len(events) == 0
    assert bare_policy(2).flag([]).tolist() == []


def test_a_policy_is_cloned_and_pickled_and_changed_like_any_estimator():
    policy = bare_policy(0.5, k=2, n=3, merge_gap="2min")
    score = pd.Series(rough(1).to_numpy(), index=MINUTES)
    for copy in (clone(policy), pickle.loads(pickle.dumps(policy))):
        pd.testing.assert_series_equal(copy.flag(score), policy.flag(score))
    assert policy.set_params(threshold=9.0).flag(score).sum() == 0


def test_a_step_leaves_the_state_it_was_given_as_it_was():
    policy = bare_policy(0.5, smoothing=3, k=1, n=2)
    state = policy.start_stream()
    _, first = policy.step(MINUTES[0], 1.0, state)
    kept = json.dumps(first)
    policy.step(MINUTES[1], 0.0, first)
    assert json.dumps(first) == kept and state == policy.start_stream()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "no threshold"),
        ({"threshold": np.nan}, "threshold"),
        ({"threshold": 0.5, "off": 0.6}, "off=0.6 is higher than threshold=0.5"),
        ({"threshold": 0.5, "k": 3, "n": 2}, "k=3 of n=2"),
        ({"threshold": 0.5, "merge_gap": "2min"}, "merge_gap='2min' is a length of time, but the index holds numbers"),
        ({"threshold": 0.5, "cooldown": -1}, "cooldown"),
        ({"threshold": 0.5, "max_duration": 0}, "max_duration"),
        ({"threshold": 0.5, "smoothing": 0.5}, "smoothing"),
    ],
)
def test_rules_that_make_no_sense_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        bare_policy(**parameters).flag([0.1, 0.9])


def test_a_bare_decimal_is_no_length_of_time_on_a_clock():
    with pytest.raises(ValueError, match=r"merge_gap=2.0 is not a length of time"):
        bare_policy(0.5, merge_gap=2.0).flag(pd.Series(1.0, index=MINUTES))


@pytest.mark.parametrize(
    ("score", "attribution", "message"),
    [
        ([0.1, np.inf], None, "infinite"),
        ([[0.1], [0.2]], None, "one score per row"),
        ([0.1, 0.9], [[1.0, 0.0]], r"where \(2, n_sensors\) is wanted"),
        (pd.Series([0.1, 0.9]), pd.DataFrame({"a": [1, 1]}, index=[4, 5]), "Align it"),
    ],
)
def test_scores_and_shares_of_other_rows_are_refused(score, attribution, message):
    with pytest.raises(ValueError, match=message):
        bare_policy(0.5).to_events(score, attribution)


@pytest.mark.parametrize("time", [MINUTES[3], MINUTES[2], 7, pd.NaT])
def test_a_row_that_does_not_follow_the_one_before_is_refused(time):
    policy = bare_policy(0.5)
    _, state = policy.step(MINUTES[3], 0.1, policy.start_stream())
    with pytest.raises(ValueError, match=r"came after one at|Pass the time of the row"):
        policy.step(time, 0.1, state)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match="Start a new stream"):
        bare_policy(0.5).step(0, 0.1, {"count": 3})
