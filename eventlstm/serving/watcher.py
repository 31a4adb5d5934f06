"""The rows of a source through a detector, chunk by chunk: scores and alarms out, and a state to go on from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .alarm_book import AlarmBook, ScoredRow, as_run
from .faults import Faults
from .recent_rows import Explainer, RecentRows, bare_times
from .row_decoder import DecodedRows, RowDecoder
from .streaming_detector import StreamingDetector

QUIET = (None, "off")


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
        self.recent = RecentRows(decoder.sensors, names)
        self.alarms = AlarmBook(self._explain)
        self.last_times: dict[Any, Any] = {}  # of each machine
        self.n_lines = self.n_rows = 0

    def state(self) -> dict[str, Any]:
        """Return what the detector does not keep itself, as JSON can hold it."""
        return {
            "n_lines": self.n_lines,
            "n_rows": self.n_rows,
            "n_faults": self.faults.n_faults,
            "decoder": self.decoder.state(),
            "alarms": self.alarms.state(),
            "last_times": [[run, _plain(time)] for run, time in self.last_times.items()],
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of before."""
        self.n_lines, self.n_rows = state["n_lines"], state["n_rows"]
        self.decoder.resume(state["decoder"])
        self.alarms.resume(state["alarms"])
        self.last_times = {as_run(run): _instant(time) for run, time in state["last_times"]}

    def pass_lines(self, lines: list[bytes]) -> tuple[list[ScoredRow], list[dict[str, Any]]]:
        """Return the rows that lines hold with their scores, in the order in which they came, and what to tell.

        Raises
        ------
        ValueError
            If the columns are not those of the model, or a row is late and `refuses_late`.
        """
        rows = self._leave_out_late(self.decoder.decode(lines))
        scored = [row for row in self._score(rows, np.arange(len(rows.runs))) if row is not None]
        self.n_lines += len(lines)
        self.n_rows += len(scored)
        told = [line for row in scored if row.alarm not in QUIET for line in self.alarms.follow(row)]
        for run in dict.fromkeys(row.run for row in scored):
            self.recent.trim(run)
        return scored, told

    def _leave_out_late(self, rows: DecodedRows) -> DecodedRows:
        """Return rows without those that are no later than another of their machine."""
        instants, kept, last = bare_times(rows.times), [], dict(self.last_times)
        for k, (run, time) in enumerate(zip(rows.runs, instants, strict=True)):
            if run not in last or time > last[run]:
                last[run] = time
                kept.append(k)
            else:
                self._tell_late(run, rows.times[k], last[run])
        self.last_times = last
        if len(kept) == len(rows.runs):
            return rows
        return DecodedRows([rows.runs[k] for k in kept], rows.times[kept], rows.values[kept])

    def _tell_late(self, run: Any, time: Any, last: Any) -> None:
        of_run = "" if run is None else f" of {run}"
        fault = f"a row{of_run} at {time} came after one at {pd.Timestamp(last) if _is_date(last) else last}."
        if self.refuses_late:
            raise ValueError(f"{fault[0].upper()}{fault[1:]} Send rows in the order of time, or pass --late drop.")
        self.faults.add(fault)

    def _score(self, rows: DecodedRows, places: Any) -> Iterator[ScoredRow | None]:
        """Yield the rows with their scores, None for one that the detector refuses.

        Where it refuses several at once, each half is tried: a refused row costs as many calls as halves hold it.
        """
        if not len(places):
            return
        try:
            scored = self._ask(rows, places)
        except ValueError as error:
            if len(places) == 1:
                self.faults.add(" ".join(str(error).split()))
                yield None
                return
            middle = len(places) // 2
            yield from self._score(rows, places[:middle])
            yield from self._score(rows, places[middle:])
            return
        yield from scored

    def _ask(self, rows: DecodedRows, places: Any) -> list[ScoredRow]:
        """Return rows with their scores, and keep them to explain alarms with."""
        runs = [rows.runs[k] for k in places]
        times, values = rows.times[places], rows.values[places]
        numbers = pd.factorize(pd.Series(runs, dtype=object), use_na_sentinel=False)[0]
        order = np.argsort(numbers, kind="stable")  # the rows of a machine together, in the order of time
        frame = pd.DataFrame(values[order], index=self._index(runs, times, order), columns=self.decoder.sensors)
        table = self.detector.update_many(frame)
        columns = [table[name].tolist() for name in ("score", "threshold", "alarm", "alarm_id", "since", "status")]
        stamps = times.tolist()
        scored: list[Any] = [None] * len(runs)
        for place, cells in zip(order.tolist(), zip(*columns, strict=True), strict=True):
            scored[place] = ScoredRow(runs[place], stamps[place], *cells)
        instants = bare_times(times)
        for own in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            self.recent.add(runs[own[0]], instants[own], values[own])
        return scored

    def _index(self, runs: list[Any], times: pd.Index, order: Any) -> pd.Index:
        level = times[order].set_names(self.names[-1])
        if len(self.names) == 1:
            return level
        sorted_runs = [runs[k] for k in order]
        levels = [sorted_runs] if len(self.names) == 2 else zip(*sorted_runs, strict=True)
        return pd.MultiIndex.from_arrays([*map(list, levels), level], names=self.names)

    def _explain(self, run: Any, since: Any, until: Any) -> dict[str, Any]:
        rows = self.recent.of_alarm(run, since, until)
        return {} if rows is None else self.explainer.explain(rows)


def _plain(time: Any) -> Any:
    return str(time) if _is_date(time) else time.item()


def _instant(time: Any) -> Any:
    return np.datetime64(time, "ns") if isinstance(time, str) else time


def _is_date(time: Any) -> bool:
    return isinstance(time, np.datetime64)
