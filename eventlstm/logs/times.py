"""Times as they are written in files and options, read by one reader: numbers, date-times, and digits that are dates.

A column of times (n_rows,) becomes an index of numbers or date-times and a `Clock`, which says how it was written, so
that files of events and options of the command line are read as the log was.
"""

from __future__ import annotations

import warnings
from datetime import tzinfo
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.tseries.api import guess_datetime_format

from .columns import quote, refuse, refuse_missing

# A time zone at the end of an ISO date-time; the day of a date alone, as in 2024-05-31, is none.
TIME_ZONE = r"\d[T ]\d.*(?:Z|[+-]\d{2}:?(?:\d{2})?)$"
WRITE_ALIKE = "Write all times alike, as numbers or like 2024-05-31T13:00:00."
# Dates written in digits alone, by how many they are: 20240531, 2024053113, ... and with milliseconds.
DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S.%f"}
N_DIGITS_TO_SECONDS = 14
YEARS = (1900, 2100)  # outside of which digits count something else
# Of a counter, at most 1 in 27 numbers of 8 digits is a date, but for one that counts the days of one month.
DATES_SHARE = 0.5
# What nanoseconds reach, in which times are subtracted.
FIRST_TIME, LAST_TIME = pd.Timestamp.min, pd.Timestamp.max


class Clock(NamedTuple):
    """How the times of a log are written."""

    is_datetime: bool
    zone: tzinfo | None
    day_first: bool | None  # None where the order of day and month is not known from the log

    @property
    def kind(self) -> str:
        """What the times are, in words."""
        return f"date-times {'without' if self.zone is None else 'with'} a time zone" if self.is_datetime else "numbers"


def parse_times(column: pd.Series, like: Clock | None = None) -> tuple[pd.Index, Clock]:
    """Return numbers or date-times, none of them missing, and how they are written.

    `like` is the clock of a log that these times belong to: its order of day and month is theirs, and where it holds
    numbers, digits are no dates.
    """
    refuse_missing(column)
    day_first = None
    if types.is_string_dtype(column.dtype):  # or objects
        column, day_first = _parse_text(column.astype("str"), None if like is None else like.day_first)
    if types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
        refuse(column, np.isinf(column), "a finite number", "Correct the file.")
        column = _parse_digits(column) if like is None or like.is_datetime else column
    elif not types.is_datetime64_any_dtype(column.dtype):
        refuse(column, column.notna(), "a number or a date-time", "Name another column as the time.")
    if types.is_datetime64_any_dtype(column.dtype):
        times = pd.DatetimeIndex(column, name=column.name)
        return times, Clock(True, times.tz, day_first)
    return pd.Index(column, name=column.name), Clock(False, None, None)


def refuse_beyond(times: pd.Index) -> None:
    """Refuse date-times so far from today that they cannot be counted in nanoseconds."""
    if isinstance(times, pd.DatetimeIndex):
        beyond = (times.tz_localize(None) < FIRST_TIME) | (times.tz_localize(None) > LAST_TIME)
        refuse(times.to_series(), beyond, f"a date from {FIRST_TIME.year + 1} to {LAST_TIME.year - 1}", "Correct it.")


def read_time(text: str, clock: Clock, name: str) -> Any:
    """Return the point in time that an option says, read as the times of the log are.

    Parameters
    ----------
    text : str
        What was typed.
    clock : Clock
        How the times of the log are written.
    name : str
        The option.

    Returns
    -------
    Timestamp or float
        In the time zone of the log, which is also that of a text without one.

    Raises
    ------
    ValueError
        If the text is no time of the kind of the log, leaves the month in doubt, or is beyond what a log can hold.
    """
    try:
        times, own = parse_times(pd.Series([text], name=name, dtype="str"), clock)
        refuse_beyond(times)
        if own.is_datetime != clock.is_datetime or (clock.zone is None and own.zone is not None):
            raise ValueError
        if clock.is_datetime:
            return (times.tz_localize(clock.zone) if own.zone is None else times.tz_convert(clock.zone))[0]
        return float(times[0])
    except ValueError:
        example = " such as 2024-05-31T13:00" if clock.is_datetime else ""
        kind = "a number" if not clock.is_datetime else f"a date-time{example}{_say_zone(clock)}"
        raise ValueError(f"{name} {quote(text)} is not {kind}, as the times of the log are.") from None


def _say_zone(clock: Clock) -> str:
    return ", without a time zone" if clock.zone is None else ""


def to_instants(times: pd.Index) -> np.ndarray:
    """Return numbers in the order of the times; microseconds, unlike nanoseconds, reach an end in 9999."""
    return times.as_unit("us").asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy()


def _parse_text(text: pd.Series, day_first: bool | None) -> tuple[pd.Series, bool | None]:
    """Return numbers if the first is one, else date-times: in ISO form if the first is, else in its pattern."""
    if pd.to_numeric(text.iloc[:1], errors="coerce").notna().all():
        numbers = pd.to_numeric(text, errors="coerce")
        refuse(text, numbers.isna(), "a number, as in data row 1,", WRITE_ALIKE)
        return numbers, None
    # pandas takes now and today for what they say, and ISO takes 2021 for a year.
    refuse(text, ~text.str.contains(r"\d") | text.str.isdigit(), "a date-time", WRITE_ALIKE)
    times = _parse_iso_times(text)
    if pd.isna(times.iloc[0]):
        times, day_first = _parse_patterned_times(text, day_first)
    refuse(text, times.isna(), "a date-time", WRITE_ALIKE)
    return times, day_first


def _parse_iso_times(text: pd.Series) -> pd.Series:
    """Return date-times, NaT where the text is none in ISO form."""
    try:
        return pd.to_datetime(text, format="ISO8601", errors="coerce")
    except ValueError:  # offsets from UTC differ, or some date-times have none
        zoned = text.str.contains(TIME_ZONE)
    kind = "with" if zoned.iloc[0] else "without"
    refuse(text, zoned != zoned.iloc[0], f"a date-time {kind} time zone, as in data row 1,", WRITE_ALIKE)
    return pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)


def _parse_patterned_times(text: pd.Series, day_first: bool | None) -> tuple[pd.Series, bool | None]:
    """Return date-times in the pattern of the first, if the places of month and day are certain or known."""
    patterns = _guess_patterns(str(text.iloc[0]), day_first)
    readings = {p: pd.to_datetime(text, format=p, errors="coerce", utc="%z" in p) for p in patterns}
    if len(readings) > 1 and all(reading.notna().all() for reading in readings.values()):
        wanted, (one, other) = "a date that leaves no doubt which is the month", readings.values()
        refuse(text, one != other, wanted, WRITE_ALIKE)
        return one, None
    best = max(readings, key=lambda p: readings[p].count(), default=None)
    return (pd.Series(pd.NaT, text.index), None) if best is None else (readings[best], _puts_day_first(best))


def _guess_patterns(text: str, day_first: bool | None) -> list[str]:
    """Return the patterns that a date-time may be of, without those of another order of day and month than known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that 31/05/2024 can be read in one way only
        guesses = {guess_datetime_format(text, dayfirst=first) for first in (False, True)} - {None}
    guesses -= {p for p in guesses if p.startswith("%Y") and "%m" in p and p.index("%d") < p.index("%m")}  # no one's
    return sorted(p for p in guesses if day_first is None or _puts_day_first(p) in (None, day_first))


def _puts_day_first(pattern: str) -> bool | None:
    """Return whether the day stands before a month in digits, None where the month is a word or follows the year."""
    if "%m" not in pattern or pattern.startswith("%Y"):
        return None
    return pattern.index("%d") < pattern.index("%m")


def _parse_digits(numbers: pd.Series) -> pd.Series:
    """Return the date-times whose digits some numbers are, and numbers that count something else as they are."""
    n_digits = len(str(int(numbers.median()))) if len(numbers) else 0
    if n_digits not in DIGITS:
        return numbers
    unit = 10 ** (n_digits - 4)
    within = numbers.between(YEARS[0] * unit, YEARS[1] * unit, inclusive="left")
    digits = numbers.where(within, 0).astype("int64").astype("str")
    if n_digits > N_DIGITS_TO_SECONDS:
        digits = digits.str[:N_DIGITS_TO_SECONDS] + "." + digits.str[N_DIGITS_TO_SECONDS:]
    dates = pd.to_datetime(digits, format=DIGITS[n_digits], errors="coerce")
    if dates.notna().mean() <= DATES_SHARE:
        return numbers
    wanted = f"a date in {n_digits} digits, as in most rows,"
    refuse(numbers, dates.isna() | (numbers % 1 != 0), wanted, "Write dates like 2024-05-31T13:00, or count from 0.")
    return dates
