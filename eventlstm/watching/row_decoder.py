"""Rows of a log from lines of text: CSV with a header, or a JSON object a line, told apart by the first line."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..logs.columns import check_present, quote, refuse_repeated
from ..logs.shared import FloatArray
from ..logs.times import Clock, parse_times, refuse_beyond
from .faults import Faults

# What pandas takes for a missing value in a CSV file, and so what a model saw as one in fit.
MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
# A date-time that can be read in one way only: of rows that trickle in, ten times as fast as by all ways.
PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", re.ASCII)
BYTE_ORDER_MARK = "\ufeff"


class DecodedRows(NamedTuple):
    """Rows in the order in which they came."""

    runs: list[Any]  # the text that names the run, a tuple of them for several columns, None where there is no column
    times: pd.Index  # (n_rows,)
    values: FloatArray  # (n_rows, n_sensors), NaN where a value is missing


class RowDecoder:
    """What turns lines into rows of the sensors of a model; those that are none are counted and left out.

    Parameters
    ----------
    sensors : sequence of str
        Columns of the sensors, in the order wanted.
    time : str
        Column of the time.
    runs : sequence of str
        Columns that name the run; none for a single one.
    faults : Faults
        Where lines that are left out are counted.
    is_datetime : bool or None, default=None
        Whether times are date-times; None for whatever the first are.
    """

    def __init__(
        self, sensors: Sequence[str], time: str, runs: Sequence[str], faults: Faults, is_datetime: bool | None = None
    ) -> None:
        self.sensors, self.time, self.runs, self.faults = list(sensors), time, list(runs), faults
        self.header: list[str] | None = None  # of the CSV; None where lines are JSON, or none has come
        self.is_json: bool | None = None
        self.clock = None if is_datetime is None else Clock(is_datetime, None, None)
        self.has_zone: bool | None = None

    @property
    def _has_dates(self) -> bool:
        return self.clock is not None and self.clock.is_datetime

    def state(self) -> dict[str, Any]:
        """Return what was learnt of the lines, as JSON can hold it."""
        day_first = None if self.clock is None else self.clock.day_first
        return {"header": self.header, "is_json": self.is_json, "day_first": day_first, "has_zone": self.has_zone}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of before."""
        self.is_json, self.has_zone = state["is_json"], state["has_zone"]
        if state["header"] is not None:
            self._read_header(state["header"])
        if self.clock is not None:
            self.clock = self.clock._replace(day_first=state["day_first"])

    def decode(self, lines: Sequence[bytes]) -> DecodedRows:
        """Return the rows that lines hold.

        Raises
        ------
        ValueError
            If the first line is the header of a CSV that lacks a column.
        """
        rows = [row for line in lines if (row := self._decode_line(line)) is not None]
        times, kept = self._read_times([row[0] for row in rows])
        rows = rows if len(kept) == len(rows) else [rows[k] for k in kept]
        values = np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, len(self.sensors))
        return DecodedRows([row[1] for row in rows], times, values)

    def _decode_line(self, line: bytes) -> tuple[Any, Any, list[float]] | None:
        """Return the time as it is written, the run and the values; None for a line that is no row."""
        try:
            text = line.decode("utf-8").strip("\r\n")
            if not text.strip(BYTE_ORDER_MARK + " \t"):
                return None
            if self.is_json is None:
                self.is_json = text.strip(BYTE_ORDER_MARK).lstrip().startswith("{")
            return self._decode_object(text) if self.is_json else self._decode_cells(text)
        except (ValueError, RecursionError, csv.Error) as error:
            if self.is_json is False and self.header is None:
                raise
            self.faults.add(_describe(error))
            return None

    def _decode_object(self, text: str) -> tuple[Any, Any, list[float]]:
        found = json.loads(text.strip(BYTE_ORDER_MARK))
        if not isinstance(found, dict):
            raise ValueError(f"{quote(text)} is not a JSON object, with a name for each value.")
        try:
            cells = [found[name] for name in (self.time, *self.runs, *self.sensors)]
        except KeyError as error:
            raise ValueError(f"A row has no {error.args[0]!r}; it has {_shorten(list(found))}.") from None
        return self._row(cells)

    def _decode_cells(self, text: str) -> tuple[Any, Any, list[float]] | None:
        cells = next(csv.reader([text])) if '"' in text else text.split(",")
        if self.header is None or self._is_header(cells):
            self._read_header([cells[0].strip(BYTE_ORDER_MARK), *cells[1:]])
            return None
        if len(cells) != len(self.header):
            raise ValueError(f"A row has {len(cells)} cells, the header {len(self.header)}: {quote(text)}.")
        return self._row([cells[place] for place in self._places])

    def _is_header(self, cells: list[str]) -> bool:
        """Return whether a line names the columns anew, as the first of a rotated file does."""
        place = self._places[0]
        return len(cells) > place and (cells[place] == self.time or self.time in cells) and self._names_all(cells)

    def _names_all(self, cells: list[str]) -> bool:
        return {self.time, *self.runs, *self.sensors} <= {cells[0].strip(BYTE_ORDER_MARK), *cells[1:]}

    def _read_header(self, header: list[str]) -> None:
        refuse_repeated(header, "is there twice. Rename or remove one.")
        asked = [self.time, *self.runs, *self.sensors]
        check_present(header, asked)
        self.header, self._places = header, [header.index(name) for name in asked]

    def _row(self, cells: list[Any]) -> tuple[Any, Any, list[float]]:
        n_runs = len(self.runs)
        time, runs, values = cells[0], cells[1 : 1 + n_runs], cells[1 + n_runs :]
        for name, value in zip((self.time, *self.runs), cells, strict=False):
            if value is None or isinstance(value, dict | list | bool) or (isinstance(value, str) and value in MISSING):
                raise ValueError(f"{name!r} holds {quote(value)}, where a name or a time was wanted.")
        run = None if not runs else str(runs[0]) if n_runs == 1 else tuple(map(str, runs))
        return time, run, self._numbers(values)

    def _numbers(self, values: list[Any]) -> list[float]:
        try:
            numbers = list(map(float, values))
        except (ValueError, TypeError, OverflowError):
            numbers = [_number(name, value) for name, value in zip(self.sensors, values, strict=True)]
        if any(map(math.isinf, numbers)):
            numbers = [_number(name, value) for name, value in zip(self.sensors, values, strict=True)]
        return numbers

    def _read_times(self, written: list[Any]) -> tuple[pd.Index, list[int]]:
        """Return the times of rows, and which rows have one."""
        parts = list(self._parse_parts(written, 0))
        kept = [place for part, first in parts for place in range(first, first + len(part))]
        times = [part for part, _ in parts]
        return (times[0].append(times[1:]) if times else pd.Index([])), kept

    def _parse_parts(self, written: list[Any], first: int) -> Iterator[tuple[pd.Index, int]]:
        """Yield times and the place of the first; where one is at fault, each half is read for itself."""
        if not written:
            return
        try:
            yield self._parse(written), first
        except (ValueError, TypeError, OverflowError) as error:
            middle = len(written) // 2
            if not middle:
                self.faults.add(_describe(error).replace(" in data row 1", ""))
            else:
                yield from self._parse_parts(written[:middle], first)
                yield from self._parse_parts(written[middle:], first + middle)

    def _parse(self, written: list[Any]) -> pd.Index:
        """Return times written alike, those with a zone in UTC, which is what differing zones become."""
        if (
            len(written) == 1
            and self.has_zone is False
            and self._has_dates
            and isinstance(written[0], str)
            and PLAIN.fullmatch(written[0])
        ):
            return pd.DatetimeIndex([datetime.fromisoformat(written[0])], name=self.time)
        is_text = isinstance(written[0], str)
        if any(isinstance(text, str) != is_text for text in written):
            raise TypeError("some times are text")
        column = pd.Series(written, name=self.time, dtype="str" if is_text else None)
        times, clock = parse_times(column, self.clock)
        refuse_beyond(times)
        has_zone = clock.zone is not None
        if self.clock is not None and clock.is_datetime != self.clock.is_datetime:
            raise ValueError(f"Column {self.time!r} holds {clock.kind}, not what the model was fitted on.")
        if self.has_zone not in (None, has_zone):
            raise ValueError(f"Column {self.time!r} holds {clock.kind}, unlike the rows before.")
        day_first = clock.day_first if self.clock is None or self.clock.day_first is None else self.clock.day_first
        self.clock, self.has_zone = Clock(clock.is_datetime, None, day_first), has_zone
        return times.tz_convert("UTC") if has_zone else times


def _number(name: str, value: Any) -> float:
    """Return a finite number, NaN for a missing one."""
    if value is None or (isinstance(value, str) and value.strip() in MISSING):
        return math.nan
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        number = math.inf
    if math.isinf(number):
        raise ValueError(f"{name!r} holds {quote(value)}, where a finite number was wanted.")
    return number


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, json.JSONDecodeError):
        return f"a line is not JSON ({text})."
    return "a line is not UTF-8 text." if isinstance(error, UnicodeDecodeError) else text or type(error).__name__


def _shorten(names: list[str]) -> str:
    return quote(", ".join(names))
