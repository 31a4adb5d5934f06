"""The rows under alarm found from the rows above alone."""

import numpy as np
import pytest

from eventlstm.alarms.alarm_policy import AlarmPolicy, rules_of
from eventlstm.alarms.flags import flag_by_row, flag_from_above, is_simple
from eventlstm.logs.index import RowIndex


@pytest.mark.parametrize("merge_gap", [0, 1, 2, 5])
@pytest.mark.parametrize("min_duration", [0, 1, 3])
def test_the_rows_above_tell_the_same_alarms_as_going_row_by_row(merge_gap, min_duration):
    rng = np.random.default_rng(merge_gap * 10 + min_duration)
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9, 2.0) * 20:
        scores = rng.random(rng.integers(1, 60)).round(1)
        starts = np.unique(np.append(0, rng.integers(0, len(scores), rng.integers(0, 4))))
        rows = RowIndex(np.zeros(len(scores), dtype=np.int32), np.arange(len(scores)), False)
        policy = AlarmPolicy(threshold=threshold, merge_gap=merge_gap, min_duration=min_duration)
        rules = rules_of(policy, is_datetime=False)
        assert is_simple(rules)
        np.testing.assert_array_equal(flag_from_above(scores, rules, starts), flag_by_row(scores, rules, rows, starts))
