"""The rows of a source through a detector, chunk by chunk: scores and alarms out, and a state to go on from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..logs.shared import FloatArray
from ..serving.streaming_detector import StreamingDetector, Update
from .alarm_book import AlarmBook, as_run, tell_machine, tell_time
from .faults import Faults
from .recent_rows import Explainer, RecentRows, bare_times
from .row_decoder import DecodedRows, RowDecoder

QUIET = (None, "off")


class LateRowError(ValueError):
    """A row that came after a later one of its machine, where that ends a watch."""


class Watcher:
    """What passes lines to a detector and tells what comes of them.

    Parameters
    ----------
    detector : StreamingDetector
        Its `metadata` holds what is to go on from.
    decoder : RowDecoder
        What turns lines into rows.
    faults : Faults
        Where lines that are left out are counted.
    names : list
        Names of the levels of the index: of the run, then of the time.
    explainer : Explainer
        What is added to the line of an alarm.
    refuses_late : bool, default=False
        Whether a row that comes after a later one of its machine ends the watch, instead of being left out.
    """

    def __init__(
        self,
        detector: StreamingDetector,
        decoder: RowDecoder,
        faults: Faults,
        names: list[Any],
        explainer: Explainer,
        *,
        refuses_late: bool = False,
    ) -> None:
        self.detector, self.decoder, self.faults, self.names = detector, decoder, faults, names
        self.explainer, self.refuses_late = explainer, refuses_late
        self.sensors = decoder.sensors
        self.recent = RecentRows(self.sensors, names)
        self.alarms = AlarmBook(self._explain)
        self.last_times: dict[Any, Any] = {}  # when each machine was heard last, by its clock
        self.n_lines = self.n_rows = 0

    def state(self) -> dict[str, Any]:
        """Return what the detector does not keep itself, as JSON can hold it."""
        return {
            "n_lines": self.n_lines,
            "n_rows": self.n_rows,
            "n_faults": self.faults.n_faults,
            "decoder": self.decoder.state(),
            "alarms": self.alarms.state(),
            "last_times": [[run, tell_time(time)] for run, time in self.last_times.items()],
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of before."""
        self.n_lines, self.n_rows = state["n_lines"], state["n_rows"]
        self.faults.resume(state["n_faults"])
        self.decoder.resume(state["decoder"])
        self.alarms.resume(state["alarms"])
        self.last_times = {as_run(run): time for run, time in state["last_times"]}

    def pass_lines(self, lines: list[bytes]) -> tuple[list[Update], list[dict[str, Any]]]:
        """Return the rows that lines hold with their scores, in the order in which they came, and what to tell.

        Raises
        ------
        ValueError
            If the columns are not those of the model, or a row is late and `refuses_late`.
        """
        rows = self.decoder.decode(lines)
        scored = [row for row in self._score(rows, np.arange(len(rows.runs))) if row is not None]
        self.n_lines += len(lines)
        self.n_rows += len(scored)
        told = [line for row in scored if row.alarm not in QUIET for line in self.alarms.follow(row)]
        for run in dict.fromkeys(row.run for row in scored):
            self.recent.trim(run)
        return scored, told

    def _score(self, rows: DecodedRows, places: Any) -> Iterator[Update | None]:
        """Yield the rows with their scores, None for one that the detector refuses or that is late.

        Where it refuses several at once, each half is tried: a refused row costs as many calls as halves hold it.
        """
        if not len(places):
            return
        try:
            yield from self._ask(rows, places)
        except LateRowError:
            raise
        except ValueError as error:
            if len(places) == 1:
                self.faults.add(" ".join(str(error).split()))
                yield None
                return
            middle = len(places) // 2
            yield from self._score(rows, places[:middle])
            yield from self._score(rows, places[middle:])

    def _ask(self, rows: DecodedRows, places: Any) -> list[Update | None]:
        """Return rows with their scores, None for those that are late, and keep them to explain alarms with."""
        runs, times, values = [rows.runs[k] for k in places], rows.times[places], rows.values[places]
        scored = self._ask_one(runs[0], times[0], values[0]) if len(runs) == 1 else self._ask_many(runs, times, values)
        is_late = np.array(["late" in row.status for row in scored])
        for k in np.flatnonzero(is_late):
            self._tell_late(scored[k])
        self._keep_recent(scored, bare_times(times), values, np.flatnonzero(~is_late))
        return [None if late else row for row, late in zip(scored, is_late, strict=True)]

    def _ask_one(self, run: Any, time: Any, values: FloatArray) -> list[Update]:
        """Return one row with its score: of rows that trickle in, in a tenth of the time that a table takes."""
        return [self.detector.update(values, time=time, run=run)]

    def _ask_many(self, runs: list[Any], times: pd.Index, values: FloatArray) -> list[Update]:
        table = self.detector.update_many(pd.DataFrame(values, index=self._index(runs, times), columns=self.sensors))
        columns = [table[name].tolist() for name in Update._fields[2:]]
        return [Update(*row) for row in zip(runs, times.tolist(), *columns, strict=True)]

    def _keep_recent(self, scored: list[Update], instants: Any, values: FloatArray, kept: Any) -> None:
        places: dict[Any, list[int]] = {}
        for k in kept.tolist():
            places.setdefault(scored[k].run, []).append(k)
        for run, own in places.items():
            self.recent.add(run, instants[own], values[own])
            self.last_times[run] = scored[own[-1]].time

    def _tell_late(self, row: Update) -> None:
        of_run = "" if row.run is None else f" of {tell_machine(row.run)}"
        fault = f"a row{of_run} at {row.time} came after one that is not earlier."
        if self.refuses_late:
            raise LateRowError(f"A{fault[1:]} Send rows in the order of time, or pass --late drop.")
        self.faults.add(fault)

    def _index(self, runs: list[Any], times: pd.Index) -> pd.Index:
        level = times.set_names(self.names[-1])
        if len(self.names) == 1:
            return level
        levels = [runs] if len(self.names) == 2 else zip(*runs, strict=True)
        return pd.MultiIndex.from_arrays([*map(list, levels), level], names=self.names)

    def _explain(self, run: Any, since: Any, until: Any) -> dict[str, Any]:
        rows = self.recent.of_alarm(run, since, until) if self.explainer.is_asked else None
        return {} if rows is None else self.explainer.explain(rows)
