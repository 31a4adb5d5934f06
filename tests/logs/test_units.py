"""The units that a log is told in: one choice by its length, the same for lengths and rates."""

import pandas as pd
import pytest

from eventlstm.logs.units import Units, tell_length


def nanoseconds(length):
    return float(pd.Timedelta(length).as_unit("ns").value)


@pytest.mark.parametrize(
    ("length", "told", "a_unit"),
    [
        ("40s", "40 seconds", "an hour"),
        ("60s", "1 minute", "an hour"),
        ("19min", "19 minutes", "an hour"),
        ("3h", "3 hours", "an hour"),
        ("20h", "20 hours", "an hour"),
        ("1D", "1 day", "a day"),
        ("8D 8h", "8.33 days", "a day"),
        ("5000D", "5000 days", "a day"),
    ],
)
def test_a_log_is_told_in_the_largest_unit_that_it_fills(length, told, a_unit):
    units = Units.of(nanoseconds(length), 100, is_datetime=True)
    assert (units.tell(nanoseconds(length)), units.a_unit) == (told, a_unit)


@pytest.mark.parametrize("length", ["5s", "19min", "23h", "25h", "400D"])
def test_a_rate_is_the_number_of_alarms_over_the_time_in_its_unit(length):
    units = Units.of(nanoseconds(length), 100, is_datetime=True)
    a_day = 7 / (nanoseconds(length) / nanoseconds("1D"))
    assert a_day * units.factor == pytest.approx(7 / (nanoseconds(length) / units.rated))
    assert units.rated == nanoseconds("1h" if units.per == "hour" else "1D")


@pytest.mark.parametrize("step", [0.1, 1, 1.0, 60, 86_400])
def test_where_times_are_numbers_alarms_are_counted_among_a_thousand_rows_whatever_the_step(step):
    units = Units.of(5000 * step, 5000, is_datetime=False)
    assert units.a_unit == "in 1,000 rows" and not units.has_dates
    assert 10 / (5000 * step) * units.factor == pytest.approx(2)


def test_a_part_of_a_log_is_told_in_the_unit_of_the_log():
    assert Units.of(nanoseconds("8D 8h"), 100, is_datetime=True).tell(nanoseconds("20h")) == "0.833 days"
    assert tell_length(nanoseconds("20h")) == "20 hours"


def test_a_log_without_observed_time_has_units_too():
    assert Units.of(0.0, 1, is_datetime=True).tell(0.0) == "0 seconds"
    assert Units.of(0.0, 0, is_datetime=False).factor == 1000
