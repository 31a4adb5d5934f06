"""The units that a log is told in: one choice, by how long the log was observed, for all that is said of it."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

from .shared import NANOSECONDS_A_DAY

SECOND = 10**9
LENGTHS = (("day", NANOSECONDS_A_DAY), ("hour", 3_600 * SECOND), ("minute", 60 * SECOND), ("second", SECOND))
ROWS_RATED = 1000  # where times are numbers, alarms are counted among so many rows


class Units(NamedTuple):
    """How lengths of time and rates of alarms are told for a log."""

    name: str  # of lengths of time: "day", "hour", "minute", "second"; "row" where times are numbers
    length: float  # of one in the unit of the index, nanoseconds for date-times
    per: str  # what alarms are counted in: "day", "hour" or "1,000 rows"
    factor: float  # what turns a rate a day, or a step where times are numbers, into one in `per`

    @classmethod
    def of(cls, observed: float, n_rows: int, *, is_datetime: bool) -> Self:
        """Return the units for a log of so much observed time, that of all runs together, in the unit of its index."""
        if not is_datetime:
            a_row = observed / n_rows if n_rows and observed else 1.0
            return cls("row", a_row, f"{ROWS_RATED:,} rows", ROWS_RATED * a_row)
        name, length = choose_length(observed)
        per = "day" if name == "day" else "hour"
        return cls(name, length, per, dict(LENGTHS)[per] / NANOSECONDS_A_DAY)

    @property
    def has_dates(self) -> bool:
        """Whether times are date-times or lengths of time, and not numbers."""
        return self.name != "row"

    @property
    def rated(self) -> float:
        """The time that alarms are counted in, in the unit of the index."""
        return self.factor * (NANOSECONDS_A_DAY if self.has_dates else 1)

    @property
    def a_unit(self) -> str:
        """What follows a rate: "a day", "an hour" or "in 1,000 rows"."""
        return {"day": "a day", "hour": "an hour"}.get(self.per, f"in {self.per}")

    def tell(self, span: float) -> str:
        """Return a length of time, in the unit of the index, as text."""
        return tell_count(span / self.length, self.name)


def choose_length(span: float) -> tuple[str, int]:
    """Return the unit in which a length of nanoseconds is best told, and how long one is."""
    return next((unit for unit in LENGTHS if span >= unit[1]), LENGTHS[-1])


def tell_length(span: float) -> str:
    """Return a length of nanoseconds as text, in the unit that suits it."""
    name, length = choose_length(span)
    return tell_count(span / length, name)


def tell_count(number: float, what: str) -> str:
    """Return a number of things as text."""
    shown = tell_number(number, 3)
    return f"{shown} {what}{'s' * (shown != '1')}"


def tell_number(number: float, n_digits: int) -> str:
    """Return a number as text, with so many digits and those before the point."""
    return f"{number:.0f}" if math.isfinite(number) and abs(number) >= 10**n_digits else f"{number:.{n_digits}g}"
