"""The data card of a report: what a log holds, what is missing in it, and what a reader must be warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..logs.checking import says_time
from ..logs.index import read_index
from ..logs.long_tables import CARRIED
from ..metrics.intervals import FEW_EVENTS
from ..metrics.matching import Matched
from .scored_log import ScoredLog

# A sensor that does not change over half of a run is a stuck one, or a switch that nobody touched.
STUCK_SHARE = 0.5
# Rows shown of the sensors that a card lists.
MOST_SENSORS = 200


def describe_log(
    log: ScoredLog,
    is_labelled: bool,
    train: tuple[pd.DataFrame, pd.Series] | None,
    window_size: int,
    sensors: list[dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Return the data card of a log, and what a reader must know before believing any number, in sentences.

    `sensors` tell what each has measured, where rows of the log were left out.
    """
    card = _make_card(log, sensors)
    overlaps = [] if train is None else _warn_of_overlap(log.X, train[0], window_size)
    return card, [*overlaps, *_warn_of_events(card["n_events"], is_labelled), *_warn_of_sensors(card)]


def _make_card(log: ScoredLog, sensors: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the numbers of a data card; times are in seconds for an index of date-times, else in its unit."""
    X, rows, measured = log.X, log.rows, log.events.measured
    runs = rows.run_starts
    gaps = np.setdiff1d(log.gaps, runs)
    gap_times = rows.times[gaps] - rows.times[gaps - 1]
    times = X.index.get_level_values(-1)
    carried = X.attrs.get(CARRIED, {})
    if sensors is None:
        sensors = [_describe_sensor(X.iloc[:, k], runs, carried) for k in range(X.shape[1])]
    event_rows = int(log.count_above(measured.events, np.array([-np.inf]))[0])
    return {
        "n_rows": log.n_rows,
        "n_runs": len(runs),
        "n_sensors": X.shape[1],
        "n_events": len(log.events.first),
        "event_rows": event_rows,
        "event_rate": event_rows / log.n_rows,
        "median_step": float(measured.median_step / log.second),
        "observed_time": float(log.observed_time / log.second),
        "quiet_time": float(log.events.total_quiet_time / log.second),
        "n_gaps": len(gaps),
        "gap_time": float(gap_times.sum() / log.second),
        "longest_gap": float(gap_times.max(initial=0) / log.second),
        "begin": str(times.min()),
        "end": str(times.max()),
        "missing_values": int(sum(sensor["n_missing"] for sensor in sensors)),
        "carried_share": float(np.mean(list(carried.values()))) if carried else None,
        "sensors": sensors[:MOST_SENSORS],
    }


def _describe_sensor(column: pd.Series, runs: npt.NDArray[np.intp], carried: dict[str, float]) -> dict[str, Any]:
    """Return what a sensor measured, for how long it did not change, and what share was carried forward, if known."""
    values = column.to_numpy(dtype=np.float64)
    known = values[~np.isnan(values)]
    low, middle, high = np.quantile(known, (0, 0.5, 1)) if len(known) else (np.nan,) * 3
    stuck = _longest_unchanged(values, runs)
    lengths = np.diff(np.append(runs, len(values)))
    return {
        "name": str(column.name),
        "n_missing": len(values) - len(known),
        "min": float(low),
        "median": float(middle),
        "max": float(high),
        "longest_unchanged": int(stuck.max()),
        "n_stuck_runs": int((stuck > STUCK_SHARE * lengths).sum()),
        "carried_share": carried.get(str(column.name)),
    }


def _longest_unchanged(values: npt.NDArray[np.float64], runs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return how many rows at most a sensor kept its value for, in each run; missing values are no value."""
    changed = np.append(True, values[1:] != values[:-1])  # a missing value differs from all, itself included
    changed[runs] = True
    first = np.flatnonzero(changed)
    length = np.diff(np.append(first, len(values)))
    return np.maximum.reduceat(length, np.searchsorted(first, runs))


def _warn_of_overlap(X: pd.DataFrame, trained: pd.DataFrame, window_size: int) -> list[str]:
    """Return what to say of rows that were trained on, or that lie within a window of such rows."""
    if not (says_time(X) and says_time(trained)):  # rows without a time are not known again
        return []
    shared = X.index.isin(trained.index) if X.index.nlevels == trained.index.nlevels else np.zeros(len(X), dtype=bool)
    if shared.any():
        return [
            f"{int(shared.sum())} of the rows ({shared.mean():.0%}) are also among those trained on: the numbers of "
            "this page say how well they were learnt by heart, not what the model is worth on new rows."
        ]
    n_near = _rows_near(X, trained, window_size)
    said = (
        f"{n_near} rows begin less than window_size={window_size} rows after ones trained on, in the same run: their "
        "windows overlap with windows that were learnt, and what they show may flatter. Leave a gap, or hold out runs."
    )
    return [said] if n_near else []


def _rows_near(X: pd.DataFrame, trained: pd.DataFrame, window_size: int) -> int:
    """Return how many rows have a row trained on among the `window_size` before them in the same run."""
    both = pd.concat([pd.Series(0, index=X.index), pd.Series(1, index=trained.index)]).sort_index()
    runs = read_index(both).runs
    numbers = np.arange(len(both))
    last = np.maximum.accumulate(np.where(both == 1, numbers, -1))
    near = (both == 0) & (last >= 0) & (numbers - last < window_size) & (runs == runs[last])
    return int(near.sum())


def warn_of_events_under_alarm(matched: Matched) -> list[str]:
    """Return what to say of missed events that began under an alarm: it was on before, and called nobody to them."""
    missed = matched.events.first[matched.found_at < 0]
    n_under = int(matched.flags[missed].sum())
    said = (
        f"{n_under} of the events missed began under an alarm that had started before, which counts as false. A higher "
        "threshold, a shorter merge_gap or time before an event (early) tells them apart."
    )
    return [said] if n_under else []


def _warn_of_events(n_events: int, is_labelled: bool) -> list[str]:
    if not is_labelled:
        said = (
            "The log came without labels: nothing can be said of what was missed, and every alarm is counted as false."
        )
    elif n_events == 0:
        said = "The labels mark no event: only false alarms can be measured."
    else:
        said = (
            f"Only {n_events} event{'s' * (n_events > 1)}: {FEW_EVENTS} or fewer do not show how much events differ. "
            "Every interval on this page is most likely too short."
        )
    return [said] if n_events <= FEW_EVENTS else []


def _warn_of_sensors(card: dict[str, Any]) -> list[str]:
    stuck = [sensor["name"] for sensor in card["sensors"] if sensor["n_stuck_runs"]]
    gone = [sensor["name"] for sensor in card["sensors"] if sensor["n_missing"] > STUCK_SHARE * card["n_rows"]]
    told = {
        "Unchanged over most of at least one run, stuck or switched off": stuck,
        "Missing in more than half of the rows": gone,
    }
    return [f"{said}: {_enumerate(names)}." for said, names in told.items() if names]


def _enumerate(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
