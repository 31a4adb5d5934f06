"""What is told of alarms: one line of JSON for each that opens, rises to a new peak, or closes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pandas as pd

TOLD_EVERY_SECONDS = 10.0  # how often at most a rising peak is told


class ScoredRow(NamedTuple):
    """One row as a detector has seen it; times are Timestamps or numbers."""

    run: Any
    time: Any
    score: float
    threshold: float
    alarm: str | None
    alarm_id: str | None
    since: Any
    status: tuple[str, ...]


class AlarmBook:
    """The alarms that are on, a line of JSON as a dict for what becomes of each.

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
        self._on: dict[Any, dict[str, Any]] = {}  # by run, the line that would close the alarm

    @property
    def n_on(self) -> int:
        """How many alarms are on."""
        return len(self._on)

    def state(self) -> list[Any]:
        """Return the alarms that are on, as JSON can hold them."""
        hidden = ("told_at", "is_new", "since_time", "until_time")
        return [[run, {key: v for key, v in on.items() if key not in hidden}] for run, on in self._on.items()]

    def resume(self, state: Iterable[Any]) -> None:
        """Go on with the alarms of a state."""
        for run, line in state:
            on = {**line, "told_at": time.monotonic(), "is_new": False}
            on["since_time"], on["until_time"] = _read_time(line["since"]), _read_time(line["until"])
            self._on[_key(run)] = on

    def follow(self, row: ScoredRow) -> list[dict[str, Any]]:
        """Return the lines that a row calls for."""
        on = self._on.get(row.run)
        is_on = row.alarm in ("opened", "on")
        lines = []
        if on is not None and (not is_on or on["id"] != row.alarm_id):
            lines.append(self._close(row.run, row))  # also where a gap ended it
            on = None
        if is_on and on is None:
            lines.append(self._open(row))
        elif is_on and on is not None:
            lines += self._go_on(on, row)
        return lines

    def tell_all(self) -> list[dict[str, Any]]:
        """Return a line for each alarm that is on, as far as it goes by now."""
        return [self._line("updated", run, on) for run, on in self._on.items()]

    def _open(self, row: ScoredRow) -> dict[str, Any]:
        start = row.since if row.since is not None and not pd.isna(row.since) else row.time
        on = {
            "id": row.alarm_id,
            "since": tell_time(start),
            "until": tell_time(row.time),
            "peak": tell_time(row.time),
            "peak_score": _finite(row.score),
            "score": _finite(row.score),
            "threshold": _finite(row.threshold),
            "told_at": time.monotonic(),
            "is_new": False,
            "since_time": start,
            "until_time": row.time,
        }
        self._on[row.run] = on
        return self._line("opened", row.run, on, row)

    def _go_on(self, on: dict[str, Any], row: ScoredRow) -> list[dict[str, Any]]:
        on.update(until=tell_time(row.time), until_time=row.time, score=_finite(row.score))
        if not math.isnan(row.score) and (on["peak_score"] is None or row.score > on["peak_score"]):
            on.update(peak=on["until"], peak_score=row.score, is_new=True)
        now = time.monotonic()
        if not on["is_new"] or now - on["told_at"] < self._told_every:
            return []
        on.update(told_at=now, is_new=False)
        return [self._line("updated", row.run, on, row)]

    def _close(self, run: Any, row: ScoredRow) -> dict[str, Any]:
        on = self._on.pop(run)
        on["score"] = _finite(row.score)
        return self._line("closed", run, on, row)

    def _line(self, kind: str, run: Any, on: dict[str, Any], row: ScoredRow | None = None) -> dict[str, Any]:
        on |= self._explain(run, on["since_time"], on["until_time"])
        hidden = ("told_at", "is_new", "since_time", "until_time")
        line = {"kind": kind, "machine": tell_machine(run), **{key: v for key, v in on.items() if key not in hidden}}
        return line | ({"status": list(row.status)} if row is not None and row.status else {})


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


def _key(run: Any) -> Any:
    return tuple(run) if isinstance(run, list) else run
