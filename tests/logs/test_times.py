"""Times as they are written: one reader for logs, files of events and options, and nothing taken for what it is not."""

import numpy as np
import pandas as pd
import pytest

from eventlstm import to_labels
from eventlstm.logs.files import read_log
from eventlstm.logs.times import parse_times, read_time

DAYS = pd.date_range("2024-01-20", periods=60, freq="12h")
DIGITS = {"%Y%m%d%H%M%S": DAYS, "%Y%m%d%H%M": DAYS, "%Y%m%d%H": DAYS, "%Y%m%d": DAYS[::2]}


def column(values, **kind):
    return pd.Series(values, name="t", **kind)


@pytest.mark.parametrize("pattern", DIGITS)
@pytest.mark.parametrize("kind", ["int64", "float64", "Int64", "str", "object"])
def test_digits_that_are_all_dates_are_date_times(pattern, kind):
    written = column(DIGITS[pattern].strftime(pattern))
    times, clock = parse_times(written.astype(kind if kind in ("str", "object") else "int64").astype(kind))
    assert times.equals(DIGITS[pattern]) and clock.is_datetime


def test_digits_to_the_millisecond_are_date_times():
    times, _ = parse_times(column([20240131235959_500, 20240201000000_250]))
    assert times.equals(pd.DatetimeIndex(["2024-01-31 23:59:59.500", "2024-02-01 00:00:00.250"]))


COUNTERS = {
    "seconds since 1970": np.arange(1706742000, 1706742060),
    "milliseconds since 1970": np.arange(1706742000000, 1706742000060),
    "nanoseconds since 1970": np.arange(60) + 1706742000 * 10**9,
    "eight digits that count": np.arange(20231200, 20231999),
    "twelve digits that count": np.arange(202312312300, 202312312999),
    "days of a spreadsheet": np.arange(45300, 45360) + 0.5,
    "a few seconds": np.arange(60) / 4,
    "below zero": np.arange(-20240131, -20240101),
}


@pytest.mark.parametrize("numbers", COUNTERS.values(), ids=COUNTERS)
def test_numbers_that_count_something_else_stay_numbers(numbers):
    times, clock = parse_times(column(numbers))
    assert times.equals(pd.Index(numbers)) and not clock.is_datetime


@pytest.mark.parametrize(
    "wrong",
    [20240230000000, 20240131240000, 20240131236000, 2024013123000, 20241331000000, 20240131230000.5],
)
def test_digits_that_are_mostly_dates_are_asked_about(wrong):
    dates = DAYS.strftime("%Y%m%d%H%M%S").astype("float64").to_series()
    dates.iloc[7] = wrong
    with pytest.raises(
        ValueError, match=r"in data row 8, where a date in 14 digits, as in most rows, was wanted\. Write"
    ):
        parse_times(column(dates.to_numpy()))


@pytest.mark.parametrize("word", ["now", "today", "NOW", "NaT", "yesterday", " now "])
def test_a_word_is_no_time(word):
    for written in ([word, "2024-01-01"], ["2024-01-01", word], ["31.01.2024", word]):
        with pytest.raises(ValueError, match="where a date-time"):
            parse_times(column(written, dtype="str"))


ISO = parse_times(column(["2024-01-20T00:00", "2024-01-21T00:00"]))[1]
DAY_FIRST = parse_times(column(["20.01.2024 00:00", "03.02.2024 00:00"]))[1]
MONTH_FIRST = parse_times(column(["01/20/2024 00:00", "02/03/2024 00:00"]))[1]
IN_DIGITS = parse_times(column(["20240120", "20240203"]))[1]
ZONED = parse_times(column(["2024-01-20T00:00+02:00", "2024-01-21T00:00+02:00"]))[1]
NUMBERS = parse_times(column([0, 1]))[1]


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("2024-02-03", ISO),
        ("2024-02-03", DAY_FIRST),
        ("2024-02-03", MONTH_FIRST),
        ("03.02.2024", DAY_FIRST),
        ("03/02/2024", DAY_FIRST),
        ("3-2-2024", DAY_FIRST),
        ("03.02.2024 00:00:00", DAY_FIRST),
        ("02/03/2024", MONTH_FIRST),
        ("02.03.2024 00:00", MONTH_FIRST),
        ("20240203", IN_DIGITS),
        ("20240203000000", ISO),
        ("3 February 2024", ISO),
        (" 2024-02-03T00:00:00 ", ISO),
    ],
)
def test_an_option_is_read_as_the_times_of_the_log_are(text, clock):
    assert read_time(text, clock, "--until") == pd.Timestamp("2024-02-03")


def test_an_option_without_a_time_zone_is_of_that_of_the_log():
    assert read_time("2024-02-03", ZONED, "--until") == pd.Timestamp("2024-02-03T00:00+02:00")
    assert read_time("2024-02-03T12:00Z", ZONED, "--until") == pd.Timestamp("2024-02-03T14:00+02:00")
    assert read_time("1.5e2", NUMBERS, "--until") == 150


@pytest.mark.parametrize(
    ("text", "clock"),
    [(text, ISO) for text in ("now", "today", "NaT", "", "nan", "2024", "12", "2024-13-01", "9999-12-31", "1500-01-01")]
    + [("03.02.2024", ISO), ("02/13/2024", DAY_FIRST), ("13.02.2024", MONTH_FIRST), ("2024-02-03T00:00Z", ISO)]
    + [(text, NUMBERS) for text in ("nan", "inf", "-inf", "now", "2024-02-03", "1,5", "")]
    + [("x" * 10**6, ISO)],
)
def test_an_option_that_is_no_certain_time_of_the_log_is_refused_in_one_line(text, clock):
    with pytest.raises(ValueError, match=r"^--until '.* is not a .*as the times of the log are") as caught:
        read_time(text, clock, "--until")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("times", "event"),
    [
        (["20.01.2024 00:00", "03.02.2024 00:00", "04.02.2024 00:00"], "03.02.2024"),
        (["20/01/2024", "03/02/2024", "04/02/2024"], "03/02/2024"),
        (["01/20/2024", "02/03/2024", "02/04/2024"], "02/03/2024 00:00"),
        (["20240120", "20240203", "20240204"], "20240203"),
        (["20240120000000", "20240203000000", "20240204000000"], "202402030000"),
        (["20240120000000", "20240203000000", "20240204000000"], "2024-02-03"),
    ],
)
def test_events_are_read_as_the_times_of_the_log_are(tmp_path, times, event):
    (tmp_path / "log.csv").write_text("t,a\n" + "".join(f"{time},1\n" for time in times))
    (tmp_path / "events.csv").write_text(f"start,end\n{event},{event}\n")
    assert read_log(tmp_path / "log.csv", time="t", events=tmp_path / "events.csv").y.tolist() == [0, 1, 0]


def test_events_of_a_log_that_counts_are_numbers_though_their_digits_are_dates(tmp_path):
    (tmp_path / "log.csv").write_text("t,a\n0,1\n20240101,1\n90240101,1\n")
    (tmp_path / "events.csv").write_text("start,end\n20240101,20240102\n")
    assert read_log(tmp_path / "log.csv", time="t", events=tmp_path / "events.csv").y.tolist() == [0, 1, 0]


@pytest.mark.parametrize("start", ["03.02.2024", "03/02/2024", "now", 20, 1.5])
def test_times_of_a_table_of_events_are_not_guessed_either(start):
    events = pd.DataFrame({"start": [start], "end": [start]})
    with pytest.raises(ValueError, match=r"which is the month|where a date-time was|are numbers, those of the log are"):
        to_labels(events, DAYS)


@pytest.mark.parametrize("year", ["9999", "2263", "1500", "1677", "0001"])
def test_a_date_too_far_away_to_count_is_named_with_its_row(tmp_path, year):
    (tmp_path / "log.csv").write_text(f"t,a\n2024-01-01,1\n{year}-01-01,2\n")
    with pytest.raises(
        ValueError, match=rf"log\.csv: Column 't' holds '{year}-01-01.*in data row 2, where a date from"
    ):
        read_log(tmp_path / "log.csv", time="t")
