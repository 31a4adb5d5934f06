"""The overview of many reports: a line for each log leads to its own page, and no host is asked for anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib import metadata, resources
from typing import Any, NamedTuple
from urllib.parse import quote

from ..logs.units import tell_count
from .text import NONE


class LogSummary(NamedTuple):
    """What the overview tells of a log."""

    name: str
    page: str  # address of its own page, relative to the overview; empty where there is none
    rows: int = 0
    events: int = 0
    found: int = 0
    false_alarms: float = math.nan  # of a day, or of so many rows as `per` says
    duty: float = math.nan  # share of the quiet time under alarm
    doubts: tuple[str, ...] = ()  # about sensors, a sentence each
    error: str = ""  # why there is no report

    @classmethod
    def of(cls, name: str, page: str, numbers: dict[str, Any], doubts: Sequence[str]) -> LogSummary:
        """Return the summary of a log from the numbers of its report."""
        measures = numbers["measures"]
        rate = measures["false_alarm_rate"][0] * (1.0 if numbers["has_dates"] else numbers["rated"])
        n_events, n_rows = len(numbers["events"]), numbers["card"]["n_rows"]
        duty = measures["alarm_duty"][0]
        return cls(name, page, n_rows, n_events, numbers["n_found"], rate, duty, tuple(doubts))


HEADS = ("Log", "Rows", "Events", "Found", "False alarms per {per}", "Quiet time under alarm", "Doubtful sensors")


def make_fleet_page(logs: Sequence[LogSummary], title: str, per: str) -> str:
    """Return the overview as HTML.

    Parameters
    ----------
    logs : sequence of LogSummary
        What there is to tell, a line each.
    title : str
        Title of the page.
    per : str
        What false alarms are counted in: "day", say.

    Returns
    -------
    str
        The page.
    """
    parts = {
        "TITLE": escape(title),
        "VERDICT": escape(_verdict(logs, per)),
        "NOTE": "Events are counted where the logs mark them." if any(log.events for log in logs) else "",
        "HEAD": "".join(_head(k, name.format(per=per)) for k, name in enumerate(HEADS)),
        "ROWS": "\n".join(map(_row, logs)),
        "FOOTER": escape(f"Written by eventlstm {metadata.version('eventlstm')}. This page needs no network."),
        "CSS": _read("page.css"),
        "JS": _read("fleet.js"),
    }
    pieces = _read("fleet.html").split("@@")  # texts between two marks are names: nothing put in is read again
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def _verdict(logs: Sequence[LogSummary], per: str) -> str:
    done = [log for log in logs if not log.error]
    said = [f"{tell_count(len(done), 'log')} with {tell_count(sum(log.rows for log in done), 'row')}"]
    n_events = sum(log.events for log in done)
    if n_events:
        said.append(f"{sum(log.found for log in done)} of {tell_count(n_events, 'event')} found")
    rates = sorted(log.false_alarms for log in done if log.false_alarms >= 0)
    if rates:
        said.append(f"half of the logs have at most {rates[(len(rates) - 1) // 2]:.2g} false alarms per {per}")
    n_doubtful = sum(bool(log.doubts) for log in done)
    if n_doubtful:
        said.append(f"doubtful sensors in {n_doubtful} of them")
    if len(done) < len(logs):
        said.append(f"{len(logs) - len(done)} could not be read")
    return "; ".join(said) + "."


def _head(column: int, name: str) -> str:
    kind = ' class="text"' if column in (0, len(HEADS) - 1) else ""
    order = ' aria-sort="ascending"' if column == 0 else ""
    return f'<th scope="col"{kind}{order}><button type="button">{escape(name)}</button></th>'


def _row(log: LogSummary) -> str:
    name = escape(log.name)
    linked = f'<a href="{escape(quote(log.page))}">{name}</a>' if log.page else name
    cells = [_cell(linked, log.name, "text")]
    if log.error:
        told = f'<td colspan="{len(HEADS) - 2}" class="text no" data-value="">{escape(log.error)}</td>'
        blank = '<td hidden data-value=""></td>' * (len(HEADS) - 3)
        return f"<tr>{cells[0]}{told}{blank}{_cell('', '')}</tr>"
    found = f'<span class="{"no" if log.found < log.events else "yes"}">{log.found}</span>' if log.events else NONE
    cells += [_cell(f"{log.rows:,}", log.rows), _cell(f"{log.events}", log.events)]
    cells.append(_cell(found, log.found if log.events else None))
    cells.append(_cell(NONE if math.isnan(log.false_alarms) else f"{log.false_alarms:.2g}", log.false_alarms))
    cells.append(_cell(NONE if math.isnan(log.duty) else f"{log.duty:.1%}", log.duty))
    doubts = f"<b>{len(log.doubts)}</b> <small>{escape(' '.join(log.doubts))}</small>" if log.doubts else NONE
    cells.append(f'<td class="text" data-value="{len(log.doubts)}">{doubts}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _cell(shown: str, value: Any, kind: str = "number") -> str:
    known = "" if value is None or (isinstance(value, float) and math.isnan(value)) else escape(str(value))
    return f'<td class="{kind}" data-kind="{kind}" data-value="{known}">{shown}</td>'


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
