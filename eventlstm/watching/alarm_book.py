"""What is told of alarms: one line of JSON for each that opens, rises to a new peak, or closes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from ..serving.streaming_detector import Update

TOLD_EVERY_SECONDS = 10.0  # how often at most a rising peak is told


class AlarmOn:
    """An alarm that is on: the line that would close it now, and when it was told last."""

    def __init__(self, line: dict[str, Any]) -> None:
        self.line = line
        self.told_at = time.monotonic()
        self.is_higher = False  # than it was told last


class AlarmBook:
    """The alarms that are on, and a line of JSON, as a dict, for what becomes of each.

    Lines have "kind" ("opened", "updated", "closed"), "machine", "id", "since", "until" (its last row so far), "peak"
    and "peak_score", the "score" of the row, the "threshold", and what `explain` adds. The last line of an id is the
    whole of what is known of the alarm.

    Parameters
    ----------
    explain : callable
        Takes run, start and end of an alarm as times, and returns what to add to its line.
    told_every : float, default=10.0
        Seconds between two updates of an alarm, at least.
    """

    def __init__(
        self, explain: Callable[[Any, Any, Any], dict[str, Any]], told_every: float = TOLD_EVERY_SECONDS
    ) -> None:
        self._explain, self._told_every = explain, told_every
        self._on: dict[Any, AlarmOn] = {}  # by run

    @property
    def n_on(self) -> int:
        """How many alarms are on."""
        return len(self._on)

    def state(self) -> list[Any]:
        """Return the alarms that are on, as JSON can hold them."""
        return [[run, on.line] for run, on in self._on.items()]

    def resume(self, state: Iterable[Any]) -> None:
        """Go on with the alarms of a state."""
        self._on = {as_run(run): AlarmOn(line) for run, line in state}

    def follow(self, row: Update) -> list[dict[str, Any]]:
        """Return the lines that a row calls for."""
        on = self._on.get(row.run)
        is_on = row.alarm in ("opened", "on")
        lines = []
        if on is not None and (not is_on or on.line["id"] != row.alarm_id):
            del self._on[row.run]  # also where a gap ended it, and another opens on this row
            lines.append(self._tell("closed", row.run, on))
            on = None
        if is_on and on is None:
            on = self._on[row.run] = AlarmOn(_first_line(row))
            lines.append(self._tell("opened", row.run, on, row))
        elif is_on and on is not None and self._go_on(on, row):
            lines.append(self._tell("updated", row.run, on, row))
        return lines

    def tell_all(self) -> list[dict[str, Any]]:
        """Return a line for each alarm that is on, as far as it goes by now."""
        return [self._tell("updated", run, on) for run, on in self._on.items()]

    def _go_on(self, on: AlarmOn, row: Update) -> bool:
        """Take one more row of an alarm, and return whether it is to be told."""
        line = on.line
        line.update(until=tell_time(row.time), score=_finite(row.score))
        if not math.isnan(row.score) and (line["peak_score"] is None or row.score > line["peak_score"]):
            line.update(peak=line["until"], peak_score=row.score)
            on.is_higher = True
        return on.is_higher and time.monotonic() - on.told_at >= self._told_every

    def _tell(self, kind: str, run: Any, on: AlarmOn, row: Update | None = None) -> dict[str, Any]:
        on.told_at, on.is_higher = time.monotonic(), False
        on.line |= self._explain(run, _read_time(on.line["since"]), _read_time(on.line["until"]))
        status = {"status": list(row.status)} if row is not None and row.status else {}
        return {"kind": kind, "machine": tell_machine(run), **on.line, **status}


def _first_line(row: Update) -> dict[str, Any]:
    told, score = tell_time(row.time), _finite(row.score)
    scores = {"peak": told, "peak_score": score, "score": score, "threshold": _finite(row.threshold)}
    return {"id": row.alarm_id, "since": told, "until": told, **scores}


def tell_time(value: Any) -> Any:
    """Return a time as JSON can hold it: a number, or the text of a date-time."""
    return value.item() if hasattr(value, "item") else value if isinstance(value, int | float) else str(value)


def tell_machine(run: Any) -> Any:
    """Return what a machine is called, None where there is but one."""
    return " / ".join(map(str, run)) if isinstance(run, tuple) else run


def _finite(score: float) -> float | None:
    return float(score) if math.isfinite(score) else None


def _read_time(told: Any) -> Any:
    return pd.Timestamp(told) if isinstance(told, str) else told


def as_run(run: Any) -> Any:
    """Return a run as it was before JSON made a list of a tuple."""
    return tuple(run) if isinstance(run, list) else run
