"""Lines of text as rows: CSV and JSON alike, and what is broken counted, never fatal."""

import json

import numpy as np
import pandas as pd
import pytest

from eventlstm.watching.faults import Faults
from eventlstm.watching.row_decoder import RowDecoder

HEADER = b"machine,time,a,b,note"


def make(is_datetime=True, runs=("machine",)):
    told = []
    decoder = RowDecoder(["b", "a"], "time", list(runs), Faults(told.append), is_datetime)
    decoder.told = told
    return decoder


def test_csv_and_json_hold_the_same_rows():
    table = pd.DataFrame(
        {
            "machine": ["p1", "p,2"],
            "time": ["2024-01-01 00:00", "2024-01-01 00:10"],
            "a": [0.1, 1e-30],
            "b": [7, np.nan],
        }
    )
    as_csv = make().decode(table.to_csv(index=False).encode().splitlines())
    as_json = make().decode([json.dumps(row).encode() for row in table.to_dict("records")])
    for rows in (as_csv, as_json):
        assert rows.runs == ["p1", "p,2"]
        assert list(rows.times) == [pd.Timestamp("2024-01-01 00:00"), pd.Timestamp("2024-01-01 00:10")]
        np.testing.assert_array_equal(rows.values, [[7, 0.1], [np.nan, 1e-30]])  # in the order of the sensors


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"p1,2024-01-01,1,2", "4 cells, the header 5"),
        (b"p1,2024-01-01,1,2,x,y", "6 cells, the header 5"),
        (b"p1,2024-01-01,warm,2,x", "'a' holds 'warm', where a finite number"),
        (b"p1,2024-01-01,1,inf,x", "'b' holds 'inf', where a finite number"),
        (b"p1,2024-01-01,nan,inf,x", "'b' holds 'inf', where a finite number"),
        (b"p1,yesterday,1,2,x", "'yesterday', where a date-time was wanted"),
        (b"p1,17,1,2,x", "'time' holds numbers, not what the model"),
        (b"p1,2024-01-01T00:00+02:00,1,2,x", "unlike the rows before"),
        (b"p1,,1,2,x", "'time' holds '', where a name or a time"),
        (b",2024-01-01,1,2,x", "'machine' holds '', where a name or a time"),
        (b"p1,2024-01-01,\xff,2,x", "not UTF-8"),
        (b'p1,"2024,1,2,x', "cells"),
    ],
)
def test_a_broken_line_is_counted_and_all_others_are_rows(line, fault):
    decoder = make()
    good = [b"p1,2024-01-02,1,2,x", b"p1,2024-01-03,1,2,x"]
    rows = decoder.decode([HEADER, good[0], line, good[1]])
    assert list(rows.times) == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")] and len(rows.values) == 2
    decoder.faults.tell()
    (told,) = decoder.told
    assert told.startswith("1 line was left out, 1 in all; the last:") and fault in told and "\n" not in told


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"time": "2024-01-01", "machine": "p", "a": 1}', "no 'b'"),
        (b'{"time": "2024-01-01", "machine": "p", "a": "x", "b": 1}', "'a' holds 'x'"),
        (b'{"time": "2024-01-01", "machine": "p", "a": {}, "b": 1}', "'a' holds '{}'"),
        (b'{"time": "2024-01-01", "machine": null, "a": 1, "b": 1}', "'machine' holds 'None'"),
        (b'{"time": true, "machine": "p", "a": 1, "b": 1}', "'time' holds 'True'"),
        (b'{"time": 5, "machine": "p", "a": 1, "b": 1}', "holds numbers"),
        (b'{"time": "2024-01-01", "machine": "p", "a": Infinity, "b": 1}', "finite number"),
        (b"[" * 10_000, ""),
    ],
)
def test_a_broken_object_is_counted(line, fault):
    decoder = make()
    good = b'{"time": "2024-01-01", "machine": "p", "a": null, "b": 1}'
    rows = decoder.decode([good, line])
    assert len(rows.runs) == 1 and np.isnan(rows.values[0, 1]) and decoder.faults.n_faults == 1
    decoder.faults.tell()
    assert fault in decoder.told[0]


def test_faults_are_told_at_most_once_a_minute_and_at_the_end():
    told = []
    faults = Faults(told.append)
    faults.resume(5)
    faults.tell()
    for fault in "abc":
        faults.add(fault)
        faults.tell()
    faults.tell(at_once=True)
    faults.tell(at_once=True)
    assert told == ["1 line was left out, 6 in all; the last: a", "2 lines were left out, 8 in all; the last: c"]


def test_a_header_without_a_column_of_the_model_is_an_error():
    with pytest.raises(ValueError, match=r"no column 'a'; the file has 'time', 'machine', 'A', 'b'\."):
        make().decode([b"time,machine,A,b"])


def test_a_header_that_comes_again_is_no_row_and_may_order_columns_anew():
    decoder = make()
    rows = decoder.decode([HEADER, b"p,2024-01-01,1,2,x", HEADER, b"a,b,time,machine", b"3,4,2024-01-02,p"])
    np.testing.assert_array_equal(rows.values, [[2, 1], [4, 3]])
    assert decoder.faults.n_faults == 0


def test_a_byte_order_mark_carriage_returns_and_blank_lines_are_passed_over():
    rows = make().decode([b"\xef\xbb\xbftime,machine,a,b\r", b"2024-01-01,p,1,2\r", b"", b"\r"])
    np.testing.assert_array_equal(rows.values, [[2, 1]])


def test_times_with_a_zone_become_utc_whatever_the_zones_are():
    decoder = make(runs=())
    lines = [b"time,a,b", b"2024-03-31T01:30:00+01:00,1,2", b"2024-03-31T03:30:00+02:00,1,2"]
    rows = decoder.decode(lines)
    assert list(rows.times) == [pd.Timestamp("2024-03-31T00:30Z"), pd.Timestamp("2024-03-31T01:30Z")]
    assert rows.runs == [None, None] and list(decoder.decode([lines[1]]).times) == [rows.times[0]]


def test_numbers_and_several_columns_of_the_run_are_taken():
    rows = make(False, ("site", "machine")).decode([b"site,machine,time,a,b", b"s,7,1.5,1,2", b"s,8,2,1,2"])
    assert rows.runs == [("s", "7"), ("s", "8")] and list(rows.times) == [1.5, 2.0]


def test_the_order_of_day_and_month_is_kept_once_it_is_known():
    decoder = make(runs=())
    decoder.decode([b"time,a,b", b"13/02/2024 10:00,1,2"])
    again = make(runs=())
    again.resume(json.loads(json.dumps(decoder.state())))
    assert list(again.decode([b"03/04/2024 10:00,1,2"]).times) == [pd.Timestamp("2024-04-03 10:00")]
