"""Which sensors tell too little, on which run and from when on, and which stand still by design."""

import numpy as np
import pandas as pd
import pytest

from eventlstm.logs.doubtful_sensors import describe_doubtful_sensors

N_ROWS = 200  # of each machine
INDEX = pd.MultiIndex.from_product(
    [["A", "B", "C"], pd.date_range("2024-01-01", periods=N_ROWS, freq="h")], names=["machine", "time"]
)
NOISE = np.random.default_rng(0).normal(size=3 * N_ROWS)
ROW = np.tile(np.arange(N_ROWS), 3)
ON_B, ON_C = (INDEX.get_level_values(0) == name for name in "BC")


def test_sensors_that_tell_too_little_are_named_and_others_are_not():
    columns = {
        "sound": NOISE,
        "empty": np.nan,
        "still": np.where(ROW % 3, 4.0, np.nan),
        "scarce": np.where(ROW % 3, np.nan, NOISE),
        "frozen": np.where(ON_B & (ROW >= 80), 1.0, NOISE),
    }
    assert describe_doubtful_sensors(pd.DataFrame(columns, index=INDEX)) == [
        "empty holds no value at all.",
        "still never changes.",
        "scarce is missing on 66% of the rows.",
        "frozen does not change on B from 2024-01-04 08:00:00 on.",
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.where(ON_B, np.nan, NOISE), "holds no value on all of B (1 of 3 runs)."),
        (np.where(ON_B | ON_C, np.nan, NOISE), "holds no value on all of B, C (2 of 3 runs)."),
        (np.where(ON_B, 7.0, NOISE), "does not change on all of B (1 of 3 runs)."),
        (np.where(ON_B & (ROW > 0), np.nan, NOISE), "holds no value on B from 2024-01-01 01:00:00 on."),
        (np.where(ON_C & (ROW >= 170), np.nan, NOISE), "holds no value on C from 2024-01-08 02:00:00 on."),
        (np.where(ON_C & (ROW >= 150), 0.0, NOISE), "does not change on C from 2024-01-07 06:00:00 on."),
        (np.where(ON_B & (ROW < 199), np.nan, NOISE), "is missing on most rows of B (1 of 3 runs)."),
        (
            np.where((ON_B & (ROW >= 100)) | (ON_C & (ROW >= 150)), np.nan, NOISE),
            "holds no value on B from 2024-01-05 04:00:00 on, on C from 2024-01-07 06:00:00 on.",
        ),
        (
            np.where(ON_B, np.nan, np.where(ON_C & (ROW >= 100), 1.5, NOISE)),
            "holds no value on all of B (1 of 3 runs).\n does not change on C from 2024-01-05 04:00:00 on.",
        ),
    ],
)
def test_a_sensor_that_dies_is_named_with_machine_and_time(values, said):
    doubts = describe_doubtful_sensors(pd.DataFrame({"temp": values, "vib": NOISE}, index=INDEX))
    assert doubts == [f"temp {part.strip()}" for part in said.split("\n")]


@pytest.mark.parametrize(
    ("rows", "value", "said"),
    [
        (slice(20, None), np.nan, "temp holds no value from 20 on."),
        (slice(150, None), 3.0, "temp does not change from 150 on."),
        (slice(30, 180), np.nan, "temp is missing on 75% of the rows."),
    ],
)
def test_of_a_single_run_the_time_is_named_alone(rows, value, said):
    X = pd.DataFrame({"temp": NOISE[:N_ROWS]}, index=pd.RangeIndex(N_ROWS, name="cycle"))
    X.iloc[rows, 0] = value
    assert describe_doubtful_sensors(X) == [said]


@pytest.mark.parametrize(
    "values",
    {
        "a setting of each machine": np.where(ON_B, 2.0, 1.0),
        "a switch that is thrown seldom": (ROW > 90).astype(float) * ON_B + (ROW > 30) * ON_C,
        "a counter of starts": np.floor((ROW + 10 * ON_B) / 60),
        "a flag that flickers in most runs": np.where(ON_C, 0.0, ROW % 60 == 0),
        "a value of every fourth row": np.where(ROW % 4, np.nan, NOISE),
        "gaps by chance": np.where(np.random.default_rng(1).random(3 * N_ROWS) < 0.3, np.nan, NOISE),
        "a still end of some rows": np.where(ROW >= N_ROWS - 9, 1.0, NOISE),
        "missing in the last rows": np.where(ROW >= N_ROWS - 9, np.nan, NOISE),
        "a shutdown on all machines": np.where(ROW % 100 >= 60, 0.0, NOISE),
        "whole degrees": np.round(2 * np.sin(ROW / 30) + 0.1 * NOISE),
    }.values(),
)
def test_what_stands_still_or_is_missing_by_design_is_no_news(values):
    doubts = describe_doubtful_sensors(pd.DataFrame({"temp": values}, index=INDEX))
    assert [doubt for doubt in doubts if "% of the rows" not in doubt] == []


def test_many_machines_are_counted_and_a_few_named():
    index = pd.MultiIndex.from_product([range(20), range(40)], names=["unit", "cycle"])
    noise = np.random.default_rng(0).normal(size=800)
    dead = np.where(index.get_level_values(0) % 4 == 0, np.nan, noise)
    late = np.where((index.get_level_values(0) % 4 == 0) & (index.get_level_values(1) >= 20), np.nan, noise)
    assert describe_doubtful_sensors(pd.DataFrame({"dead": dead, "late": late}, index=index)) == [
        "dead holds no value on all of 0, 4, 8 and 2 more (5 of 20 runs).",
        "late holds no value on 0 from 20 on, on 4 from 20 on, on 8 from 20 on, from some time on also on 2 more runs.",
    ]
