"""Alarms of all rows at once are those of the policy, row by row."""

import numpy as np
import pandas as pd
import pytest

from eventlstm.alarms.alarm_policy import AlarmPolicy, rules_of
from eventlstm.alarms.flags import flag_at_once, flag_by_row, is_simple
from eventlstm.alarms.machine import cut_at_gaps
from eventlstm.logs.index import read_index

RNG = np.random.default_rng(0)
STEPS = RNG.choice([1, 1, 1, 2, 9], size=300)
RUNS = np.repeat([0, 1, 2], 100)
INDEXES = {
    "rows": pd.RangeIndex(300),
    "minutes": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(STEPS), unit="min"),
    "decimals": pd.Index(np.cumsum(STEPS) * 0.1),
    "runs": pd.MultiIndex.from_arrays(
        [RUNS, pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(STEPS), unit="min")]
    ),
}
OF_ROWS = [{"merge_gap": 0}, {"merge_gap": 4}, {"min_duration": 3}, {"min_duration": 2, "merge_gap": 3}]
OF_TIME = [
    {"merge_gap": "3min"},
    {"min_duration": "2min", "merge_gap": "0min"},
    {"min_duration": "3min", "merge_gap": "5min", "max_gap": "8min"},
    {"min_duration": 2, "merge_gap": "4min"},
]
OF_NUMBERS = [{"merge_gap": 0.3}, {"min_duration": 0.2, "merge_gap": 0.3}, {"min_duration": 0.3, "max_gap": 0.5}]
CASES = [
    (kind, rules) for kind in INDEXES for rules in [*OF_ROWS, *{"rows": [], "decimals": OF_NUMBERS}.get(kind, OF_TIME)]
]


@pytest.mark.parametrize(("kind", "rules"), CASES, ids=str)
@pytest.mark.parametrize("threshold", [-1.0, 0.2, 1.0, 5.0])
def test_alarms_at_once_are_those_row_by_row(kind, rules, threshold):
    score = pd.Series(pd.Series(RNG.normal(size=300)).ewm(span=3).mean().to_numpy(), INDEXES[kind])
    policy = AlarmPolicy(threshold, **rules)
    rows = read_index(score)
    read = rules_of(policy, rows.is_datetime)
    assert is_simple(read)
    log = score.to_numpy(), read, rows, cut_at_gaps(rows, read.max_gap)
    at_once = flag_at_once(*log)
    np.testing.assert_array_equal(at_once, flag_by_row(*log))
    np.testing.assert_array_equal(at_once, policy.flag(score) == 1)


@pytest.mark.parametrize(
    "rules", [{"smoothing": 5}, {"k": 2, "n": 3}, {"cooldown": 4}, {"max_duration": 9}, {"n": 2}, {"off": 0.4}], ids=str
)
def test_rules_that_need_a_state_are_not_simple(rules):
    assert not is_simple(rules_of(AlarmPolicy(0.5, **rules), False))
