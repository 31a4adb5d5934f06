"""The file of a report: one page of HTML that holds its data, its code and plotly.js, and asks no host for anything."""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
from collections import Counter
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..alarms.machine import cut_at_gaps
from .threshold_slider import Alarmed, Cuts, read_rules, rules_for_page

# Between size and time: level 9 takes four times as long for 2 % less.
COMPRESSION = 6
# Bytes of sensors in a page, and the levels of each, less one that marks missing values.
MOST_SENSOR_VALUES, SENSOR_LEVELS = 2_000_000, 255
MILLISECOND, SECOND = 10**6, 10**9  # nanoseconds
SCRIPTS = ("alarms.js", "draw.js", "page.js")
NO_PLOTLY = "A report is drawn by plotly, which is not installed. Install it: pip install 'eventlstm[report]'."


def make_page(texts: dict[str, str], data: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    texts : dict of str to str
        What takes the place of each ``@@NAME@@`` of the template, as HTML.
    data : dict
        The numbers of the page.
    arrays : dict of str to ndarray
        Long columns, kept packed.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ImportError
        If plotly is not installed.
    """
    parts = {
        **texts,
        "CSS": _read("page.css"),
        "JS": "\n".join(_read(name) for name in SCRIPTS),
        "DATA": to_json(data),
        "ARRAYS": "\n".join(_script(name, values) for name, values in arrays.items()),
        "PLOTLY": packed_plotly(),
    }
    pieces = _read("page.html").split("@@")  # texts between two marks are names: nothing put in is read again
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def to_json(data: Any) -> str:
    """Return numbers and texts as JSON that may stand in HTML, undefined and infinite numbers as null."""
    text = json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def read_page(page: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the numbers that a page holds, and its arrays; the inverse of `make_page`."""
    data = page.split('<script type="application/json" id="page">')[1].split("</script>")[0]
    arrays = {}
    for piece in page.split('<script type="text/plain" id="')[1:]:
        name, rest = piece.split('"', 1)
        if rest.startswith(' data-type="'):
            of_type, content = rest.removeprefix(' data-type="').split('">', 1)
            packed = content.split("</script>")[0]
            arrays[name] = np.frombuffer(gzip.decompress(base64.b64decode(packed)), dtype=of_type)
    return json.loads(data), arrays


def check_writable(path: Path) -> None:
    """Find out before any work is done whether a page can be made and written."""
    packed_plotly()
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"The page cannot be written to {str(path)!r}. Pass the name of a file in a folder that exists."
        )


def write_whole(page: str, path: Path) -> None:
    """Write a page beside its place and move it there, so that nothing is left half-written."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def log_for_page(alarmed: Alarmed, cuts: Cuts, gaps: npt.NDArray[np.intp]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of a log, their levels, times and events, as the page's code takes them."""
    measured, index = alarmed.events.measured, alarmed.y_true.index
    rows, is_exact = measured.rows, measured.rows.times.dtype.kind != "f"
    begins = np.flatnonzero(np.diff(rows.runs, prepend=-1))
    times, step, origin = _count_steps(rows.times, is_exact)
    is_date = isinstance(index.get_level_values(-1), pd.DatetimeIndex)
    axis = (MILLISECOND if is_date else SECOND) if rows.is_datetime else 1  # units of the index in one of the axis
    off = alarmed.policy.off
    told = {
        "runs": [{"begin": int(row), "label": run_label(index, row)} for row in begins],
        "isDatetime": rows.is_datetime,
        "isDate": is_date,
        "isExact": is_exact,
        "are_differences": is_exact,
        "origin": origin / axis,
        "step": step / axis,
        "stepOnAxis": measured.median_step / axis,
        "stepLength": measured.median_step / (SECOND if rows.is_datetime else 1),
        "delayUnit": step / (SECOND if rows.is_datetime else 1),
        "ratedTime": alarmed.unit / step,
        "totalQuiet": alarmed.events.total_quiet_time / step,
        "stretches": measured.starts.tolist(),
        "restarts": _restarts(alarmed).tolist(),
        "gaps": gaps.tolist(),
        "rules": rules_for_page(alarmed.policy, rows, step),
        "offCut": None if off is None else int(np.searchsorted(cuts.values, off)),
        "match": alarmed.match,
        "events": {
            "first": alarmed.events.first.tolist(),
            "last": measured.true_events[1].tolist(),
            "low": alarmed.events.low.tolist(),
            "high": alarmed.events.high.tolist(),
        },
    }
    differences = np.diff(times, prepend=0) if is_exact else times
    quiet = alarmed.events.quiet_time / step
    arrays = {"levels": cuts.levels, "times": differences.astype(np.float64), "quiet": quiet, "cuts": cuts.values}
    return told, arrays


def sensors_for_page(X: pd.DataFrame, named: list[list[str]]) -> tuple[list[dict[str, Any]], npt.NDArray[np.uint8]]:
    """Return sensors to be drawn, a byte a value: 1 for the lowest to 255 for the highest, 0 for a missing one.

    Of a long log, only as many sensors as there is room for, those that events name most often first.
    """
    counts = Counter(name for names in named for name in names)
    order = sorted(range(X.shape[1]), key=lambda k: -counts[str(X.columns[k])])
    chosen = sorted(order[: MOST_SENSOR_VALUES // max(len(X), 1)])
    told, columns = [], [np.empty(0, dtype=np.uint8)]
    for k in chosen:
        values = X.iloc[:, k].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
        step = (high - low) / (SENSOR_LEVELS - 1)
        levels = np.rint((np.where(known, values, low) - low) / step) if step else np.zeros(len(values))
        columns.append(np.where(known, levels + 1, 0).astype(np.uint8))
        told.append({"name": str(X.columns[k]), "low": low, "step": step})
    return told, np.concatenate(columns)


def run_label(index: pd.Index, row: int | np.integer[Any]) -> str:
    """Return how the run of a row is called."""
    if index.nlevels == 1:
        return "the log"
    return " / ".join(str(part) for part in index[row][:-1])


def _restarts(alarmed: Alarmed) -> npt.NDArray[np.intp]:
    """Return the first row of each stretch that the policy goes through by itself."""
    rows = alarmed.events.measured.rows
    return cut_at_gaps(rows, read_rules(alarmed.policy, rows).max_gap)


def _count_steps(times: npt.NDArray[Any], is_exact: bool) -> tuple[npt.NDArray[Any], Any, Any]:
    """Return whole times as small numbers, counted in the largest step that divides them all, from the first on.

    A page has no whole numbers beyond 2^53, which are 104 days in nanoseconds.
    """
    if not is_exact or not len(times):
        return times, 1, 0
    origin = int(times.min())
    step = math.gcd(*np.unique(np.abs(np.diff(times))).tolist(), int(times[0]) - origin) or 1
    return (times - origin) // step, step, origin


def _script(name: str, values: npt.NDArray[Any]) -> str:
    return f'<script type="text/plain" id="{name}" data-type="{values.dtype.name}">{_pack(values.tobytes())}</script>'


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, COMPRESSION, mtime=0)).decode("ascii")


@lru_cache(maxsize=1)
def packed_plotly() -> str:
    """Return the code of plotly.js, packed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(NO_PLOTLY) from error
    return _pack(get_plotlyjs().encode())


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return a value of the types that JSON has."""
    if isinstance(value, dict):
        return {str(name): _plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(own) for own in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def escape(text: Any) -> str:
    """Return a text as it must be written in HTML."""
    return html.escape(str(text))
