"""Where stretches begin, judged row by row: the same for a log at once, in pieces, and whatever comes after."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm.logs.causal_gaps import N_SLOWER, cut_causally, gap_rule
from eventlstm.logs.index import read_index
from eventlstm.logs.steps import find_stretches, learn_gaps

from .test_steps import RATES, clock, runs


def rule_of(*rates):
    return gap_rule("auto", learn_gaps(read_index(runs(*rates))), is_datetime=False)


def cut(times, rule):
    return cut_causally(read_index(runs(times)), rule).tolist()


def cut_in_pieces(times, rule, sizes):
    """Return the first rows of stretches of rows that come some at a time."""
    pace, starts, row, sizes = rule.start(1), [0], 1, iter(sizes)
    while row < len(times):
        piece = times[None, row - 1 : row + next(sizes)]
        is_gap, pace = rule.find(np.diff(piece), piece[:, 1:], pace)
        starts += (row + np.flatnonzero(is_gap[0])).tolist()
        row += piece.shape[1] - 1
    return starts


# The first step of a run that is slower than all that were learnt from may be a gap as well as a rate.
KNOWN = [name for name in RATES if name != "a slow machine of three rows"]


@pytest.mark.parametrize("name", KNOWN)
def test_what_else_a_log_holds_does_not_change_where_a_run_is_cut(name):
    for times in RATES[name]:
        assert cut(times, rule_of(*RATES[name])) == [0]


@pytest.mark.parametrize("name", KNOWN)
def test_a_log_like_that_of_the_fit_is_cut_as_by_all_its_rows(name):
    for times in RATES[name]:
        step = np.diff(times).max()
        torn = np.concatenate([times, times[-1] + 100 * step + times - times[0]])
        assert cut(torn, rule_of(*RATES[name])) == find_stretches(runs(torn)).tolist() == [0, len(times)]


def test_a_run_slower_than_all_of_the_fit_is_soon_taken_for_what_it_is():
    rule = rule_of(np.arange(100))
    assert cut(np.arange(50) * 60, rule) == [0, 1]  # the first step may be a gap
    slow = np.append(np.arange(50) * 60, 50 * 60 + 6000)
    assert cut(slow, rule) == [0, 1, 50]


def test_two_long_steps_in_succession_are_no_rate_in_a_run_known_well():
    steps = np.ones(500)
    steps[[300, 301, 400]] = 50
    assert cut(clock(*steps), rule_of(np.arange(100))) == [0, 301, 302, 401]


def test_a_slower_rate_is_followed_and_left_again():
    steps = np.concatenate([np.ones(30), np.full(10, 30), np.ones(3000), [30]])
    assert cut(clock(*steps), rule_of(np.arange(100))) == [0, 31, 32, 3041]


@pytest.mark.parametrize(("max_gap", "starts"), [(None, [0]), (5, [0, 3]), (20, [0])])
def test_a_length_that_is_given_holds_for_all_runs(max_gap, starts):
    assert cut(np.array([0, 1, 2, 12, 13]), gap_rule(max_gap, [3.0], is_datetime=False)) == starts


def test_decimal_times_that_are_a_rounding_over_the_length_are_no_gap():
    times = np.arange(1, 40) / 10
    assert cut(times, gap_rule(0.1, [3.0], is_datetime=False)) == [0]


def test_a_step_longer_than_any_level_is_a_gap():
    rule = rule_of(np.arange(100))
    assert cut(np.array([0, 1e15, 2e15, 4e15]) * 2.0**N_SLOWER, rule) == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from([1, 2, 9, 11, 60, 700, 10_000]), min_size=1, max_size=150),
    sizes=st.lists(st.integers(1, 40), min_size=150, max_size=150),
    keep=st.integers(1, 150),
    rates=st.sampled_from([(1,), (1, 60), (60, 10_000)]),
)
def test_pieces_and_what_comes_later_change_nothing(steps, sizes, keep, rates):
    rule = rule_of(*(np.arange(60) * rate for rate in rates))
    times = clock(*steps)
    whole = cut(times, rule)
    assert cut_in_pieces(times, rule, sizes) == whole
    assert cut(times[:keep], rule) == [start for start in whole if start < keep]


def test_runs_side_by_side_are_cut_as_each_alone():
    rng, rule = np.random.default_rng(0), rule_of(np.arange(100), np.arange(100) * 60)
    steps = rng.choice([1, 2, 40, 60, 5000], size=(6, 200), p=[0.5, 0.2, 0.1, 0.1, 0.1]).astype(float)
    times = np.cumsum(steps, axis=1)
    together, pace = [], rule.start(6)
    for k in range(200):
        is_gap, pace = rule.find(steps[:, k : k + 1], times[:, k : k + 1], pace)
        together.append(is_gap[:, 0])
    for lane, found in enumerate(np.array(together).T):
        assert np.append(0, 1 + np.flatnonzero(found)).tolist() == cut(np.append(0, times[lane]), rule)
