"""What is no number is refused from every container: nothing is taken for a sensor in silence."""

import datetime
from decimal import Decimal

import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

from eventlstm import (
    AnomalyDetector,
    EventClassifier,
    ForwardFill,
    LogWindows,
    LSTMClassifier,
    RunKFold,
    RunTimeSplit,
    suggest_window_size,
)

N_ROWS = 60
TIMES = pd.date_range("2024-01-01", periods=N_ROWS, freq="1min")
Y = np.arange(N_ROWS) // 10 % 2
NETWORK = LSTMClassifier(hidden_size=2, max_epochs=1, min_steps=1)
DOORS = {
    "EventClassifier": lambda X: EventClassifier(NETWORK, window_size=2, n_estimators=1).fit(X, Y),
    "AnomalyDetector": lambda X: AnomalyDetector(Ridge(), window_size=2, threshold=5.0).fit(X),
    "ForwardFill": lambda X: ForwardFill().fit(X),
    "LogWindows": lambda X: LogWindows(X, 8),
    "suggest_window_size": suggest_window_size,
}
each_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


def numbers():
    return np.random.default_rng(0).normal(size=(N_ROWS, 1))


TABLES = {
    "polars": pl.DataFrame({"time": TIMES.to_numpy(), "a": numbers()[:, 0]}),
    "polars of numbers": pl.DataFrame({"a": numbers()[:, 0]}),
    "polars, lazy": pl.LazyFrame({"a": numbers()[:, 0]}),
    "Arrow": pa.table({"time": TIMES, "a": numbers()[:, 0]}),
    "a batch of Arrow": pa.record_batch({"a": numbers()[:, 0]}),
    "narwhals": narwhals.from_native(pl.DataFrame({"a": numbers()[:, 0]})),
}


@each_door
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_without_an_index_is_refused_by_name_with_the_way_to_one(door, table):
    with pytest.raises(ValueError, match=r"^X is a (polars|pyarrow|narwhals) .*to_pandas\(\)\.set_index") as caught:
        door(table)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("splitter", [RunKFold(2), RunTimeSplit(2)])
def test_a_splitter_refuses_a_table_without_an_index_too(splitter):
    with pytest.raises(ValueError, match=r"^X is a polars DataFrame"):
        next(splitter.split(TABLES["polars"], Y))


ARRAYS = {
    "date-times": np.stack([TIMES, TIMES], axis=1),
    "time spans": np.stack([TIMES - TIMES[0]], axis=1),
    "digits": numbers().astype("U8"),
    "bytes": numbers().astype("S8"),
    "text of any length": numbers().astype(np.dtypes.StringDType()),
    "digits as objects": numbers().astype(str).astype(object),
    "a list of digits": numbers().astype(str).tolist(),
    "Timestamps": [[time] for time in TIMES],
    "dates": [[time.date()] for time in TIMES],
    "one Timedelta": np.array([[pd.Timedelta("1s")], *numbers()[1:].tolist()], dtype=object),
    "times of the day": [[datetime.time(minute=minute)] for minute in range(N_ROWS)],
    "datetime64 as objects": np.array([[time] for time in TIMES.to_numpy()], dtype=object),
}


@each_door
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_of_no_numbers_is_refused(door, array):
    with pytest.raises(ValueError, match=r"^X (is of type|holds) .* sensors are numbers\..*set_index") as caught:
        door(array)
    assert len(str(caught.value)) < 300


COLUMNS = {
    "date-times": TIMES,
    "zoned": TIMES.tz_localize("UTC"),
    "time spans": TIMES - TIMES[0],
    "text": ["on"] * N_ROWS,
    "digits": pd.Series(["1"] * N_ROWS, dtype=object),
    "categories": pd.Categorical([1] * N_ROWS),
    "periods": pd.period_range("2024", periods=N_ROWS, freq="D"),
    "Arrow's date-times": pd.array(TIMES, dtype="timestamp[us][pyarrow]"),
    "Arrow's text": pd.array(["1"] * N_ROWS, dtype="string[pyarrow]"),
    "dates": [time.date() for time in TIMES],
}


@each_door
@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_of_no_numbers_is_named(door, column):
    X = pd.DataFrame({"a": numbers()[:, 0], "other": np.asarray(column) if isinstance(column, list) else column})
    with pytest.raises(ValueError, match=r"^Column 'other' of X (is of type|holds) .*set_index") as caught:
        door(X)
    assert len(str(caught.value)) < 300


@each_door
def test_a_mask_is_not_lost(door):
    with pytest.raises(ValueError, match=r"masked array of which 1 values are masked\. Pass .*filled\(np\.nan\)"):
        door(np.ma.masked_array(numbers(), mask=np.arange(N_ROWS)[:, None] == 3))
    door(np.ma.masked_array(numbers(), mask=False))


@each_door
@pytest.mark.parametrize("names", [["a", "a"], ["a", "b", "a"], [1, 1], ["", ""], ["b", "a", "a", "b"]])
def test_two_columns_of_one_name_are_refused_in_words_of_ours(door, names):
    X = pd.DataFrame(np.tile(numbers(), len(names)), columns=names)
    with pytest.raises(ValueError, match=r"names of columns of X come more than once, the first is .*duplicated\(\)"):
        door(X)


@each_door
@pytest.mark.parametrize("kind", ["bool", "boolean", "bool[pyarrow]", "Int64", "int64[pyarrow]", "object", "float32"])
def test_truth_values_and_numbers_of_any_type_are_sensors(door, kind):
    on = pd.Series(np.random.default_rng(0).uniform(size=N_ROWS) < 0.5)
    door(pd.DataFrame({"a": numbers()[:, 0], "on": (on.astype("bool") if "bool" in kind else on * 1).astype(kind)}))


def test_numbers_of_other_kinds_as_objects_are_sensors():
    ForwardFill().fit(np.array([[1], [2.5], [True], [None], [Decimal(3)]], dtype=object))


WINDOWS = {
    "date-times": np.zeros((4, 3, 1), dtype="M8[s]"),
    "time spans": np.zeros((4, 3, 1), dtype="m8[s]"),
    "digits": np.full((4, 3, 1), "1"),
    "digits of polars": pl.DataFrame({"a": ["1"] * 4}),
    "masked": np.ma.masked_equal(np.arange(12.0).reshape(4, 3), 3),
}


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_windows_of_no_numbers_are_refused_too(windows):
    with pytest.raises(ValueError, match=r"^X (is of type|holds|is a masked)"):
        NETWORK.fit(windows, [0, 1, 0, 1])
