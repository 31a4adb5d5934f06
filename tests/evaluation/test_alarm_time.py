"""How much of the time alarms take, and which do not end, in words."""

import re

import numpy as np
import pandas as pd
import pytest

from eventlstm.evaluation.alarm_time import describe_alarm_time, find_stuck_alarms, match_flags
from eventlstm.logs.units import Units

N_ROWS = 500
TIMES = pd.date_range("2024-01-01", periods=N_ROWS, freq="h")
FLEET = pd.MultiIndex.from_product([["A", "B", "C"], TIMES], names=["machine", "time"])
ROW, ON_B, ON_C = (
    np.tile(np.arange(N_ROWS), 3),
    FLEET.get_level_values(0) == "B",
    FLEET.get_level_values(0) == "C",
)


def describe(flags, index=FLEET, labels=None):
    flags = pd.Series(np.asarray(flags, dtype=int), index=index)
    labels = None if labels is None else pd.Series(np.asarray(labels, dtype=int), index=index)
    units = Units.of(len(index) * 3.6e12, len(index), is_datetime=index.get_level_values(-1).dtype.kind in "mM")
    return describe_alarm_time(match_flags(flags, labels), index, units, is_labelled=labels is not None)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (ROW >= 20, [r"96% of the time", r"does not end on 3 of 3 runs, the longest on A: on from 2024-01-01 20"]),
        (ON_B & (ROW >= 400), [r"does not end on 1 of 3 runs, the longest on B: on from 2024-01-17 16.*, 4\.17 days"]),
        (ON_B, [r"33% of the time", "does not end on 1 of 3 runs, the longest on B: on from 2024-01-01 00:00:00"]),
        ((ON_B & (ROW >= 440)) | (ON_C & (ROW >= 300)), ["does not end on 2 of 3 runs, the longest on C"]),
        (ROW % 10 < 5, ["50% of the time"]),
    ],
)
def test_alarms_that_take_much_of_the_time_or_do_not_end_are_told(flags, said):
    notes = describe(flags)
    assert len(notes) == len(said) and all(len(note) < 300 for note in notes)
    for note, wanted in zip(notes, said, strict=True):
        assert re.search(wanted, note)


@pytest.mark.parametrize(
    "flags",
    [
        np.zeros(3 * N_ROWS),
        ROW % 50 < 5,  # 10 % of the time, in short alarms
        (ROW >= 200) & (ROW < 280),  # long, but they end
        ROW >= N_ROWS - 31,  # on at the end as one high row may leave them
        ON_B & (ROW >= 460),  # not yet a tenth of the run
    ],
)
def test_alarms_that_are_short_or_end_are_not(flags):
    assert describe(flags) == []


def test_an_alarm_for_an_event_at_the_end_of_a_run_is_no_stuck_one():
    failing = ROW >= 400
    assert describe(ROW >= 395, labels=failing) == []
    assert "does not end on 3 of 3 runs" in describe(ROW >= 380)[0]
    (stuck,) = describe(ROW >= 380, labels=(ROW >= 400) & (ROW < 440))
    assert "does not end on 3 of 3 runs" in stuck


@pytest.mark.parametrize(
    "index", [pd.RangeIndex(N_ROWS), pd.timedelta_range("0s", periods=N_ROWS, freq="h"), TIMES.tz_localize("UTC")]
)
def test_of_a_single_run_no_machine_is_named(index):
    notes = describe(np.arange(N_ROWS) >= 100, index)
    assert notes[1].startswith(f"The alarm does not end: on from {index[100]} to the last row, ")
    assert len(find_stuck_alarms(match_flags(pd.Series((np.arange(N_ROWS) >= 100).astype(int), index)))) == 1
