"""The data card of a report: what a log holds, what is missing in it, and what a reader must be warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..logs.index import cut_stretches, longest_step, read_index
from ..metrics.matching import Events

FEW_EVENTS = 10  # with fewer, the events seen need not show how much events differ
# A sensor that does not change over half of a run is a stuck one, or a switch that nobody touched.
STUCK_SHARE = 0.5
SECOND = 10**9  # nanoseconds
# Rows shown of the sensors that a card lists.
MOST_SENSORS = 200


def make_card(X: pd.DataFrame, events: Events) -> dict[str, Any]:
    """Return the numbers of a data card.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_sensors)
        The log.
    events : Events
        The events that its labels mark.

    Returns
    -------
    dict
        Times are in seconds for an index of date-times, else in its unit.
    """
    measured = events.measured
    rows, unit = measured.rows, SECOND if measured.rows.is_datetime else 1
    runs = np.flatnonzero(np.diff(rows.runs, prepend=-1))
    stretches = cut_stretches(rows, longest_step(rows, "auto"))
    gaps = np.setdiff1d(stretches, runs)
    times = X.index.get_level_values(-1)
    sensors = [_describe(X.iloc[:, k], runs) for k in range(X.shape[1])]
    return {
        "n_rows": len(X),
        "n_runs": len(runs),
        "n_sensors": X.shape[1],
        "n_events": len(events.first),
        "event_rows": int(measured.events.sum()),
        "event_rate": float(measured.events.mean()),
        "median_step": float(measured.median_step / unit),
        "observed_time": float(measured.observed_time().sum() / unit),
        "quiet_time": float(events.total_quiet_time / unit),
        "n_gaps": len(gaps),
        "gap_time": float((rows.times[gaps] - rows.times[gaps - 1]).sum() / unit),
        "longest_gap": float((rows.times[gaps] - rows.times[gaps - 1]).max(initial=0) / unit),
        "begin": str(times.min()),
        "end": str(times.max()),
        "missing_values": int(sum(sensor["n_missing"] for sensor in sensors)),
        "sensors": sensors[:MOST_SENSORS],
    }


def _describe(column: pd.Series, runs: npt.NDArray[np.intp]) -> dict[str, Any]:
    """Return what a sensor measured, and for how long it did not change."""
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
    }


def _longest_unchanged(values: npt.NDArray[np.float64], runs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return how many rows at most a sensor kept its value for, in each run; missing values are no value."""
    changed = np.append(True, values[1:] != values[:-1])  # a missing value differs from all, itself included
    changed[runs] = True
    first = np.flatnonzero(changed)
    length = np.diff(np.append(first, len(values)))
    return np.maximum.reduceat(length, np.searchsorted(first, runs))


def card_warnings(card: dict[str, Any], labelled: bool) -> list[str]:
    """Return what a reader must know before believing any number, in sentences."""
    found = []
    n_events = card["n_events"]
    if not labelled:
        found.append(
            "The log came without labels: nothing can be said of what was missed, and every alarm is counted as false."
        )
    elif n_events == 0:
        found.append("The labels mark no event: only false alarms can be measured.")
    elif n_events < FEW_EVENTS:
        found.append(
            f"Only {n_events} event{'s' * (n_events > 1)}: fewer than {FEW_EVENTS} do not show how much events differ. "
            "Every interval on this page is most likely too short."
        )
    stuck = [sensor["name"] for sensor in card["sensors"] if sensor["n_stuck_runs"]]
    if stuck:
        found.append(f"Unchanged over most of at least one run, stuck or switched off: {_enumerate(stuck)}.")
    gone = [sensor["name"] for sensor in card["sensors"] if sensor["n_missing"] > STUCK_SHARE * card["n_rows"]]
    if gone:
        found.append(f"Missing in more than half of the rows: {_enumerate(gone)}.")
    return found


def overlap_warning(X: pd.DataFrame, trained: pd.DataFrame, window_size: int) -> str | None:
    """Return what to say of rows that were trained on, or that lie within a window of such rows."""
    shared = X.index.isin(trained.index) if X.index.nlevels == trained.index.nlevels else np.zeros(len(X), dtype=bool)
    if shared.any():
        return (
            f"{int(shared.sum())} of the rows ({shared.mean():.0%}) are also among those trained on: the numbers of "
            "this page say how well they were learnt by heart, not what the model is worth on new rows."
        )
    n_near = _rows_near(X, trained, window_size)
    if not n_near:
        return None
    return (
        f"{n_near} rows begin less than window_size={window_size} rows after ones trained on, in the same run: their "
        "windows overlap with windows that were learnt, and what they show may flatter. Leave a gap, or hold out runs."
    )


def _rows_near(X: pd.DataFrame, trained: pd.DataFrame, window_size: int) -> int:
    """Return how many rows have a row trained on among the `window_size` before them in the same run."""
    both = pd.concat([pd.Series(0, index=X.index), pd.Series(1, index=trained.index)]).sort_index()
    runs = read_index(both).runs
    numbers = np.arange(len(both))
    last = np.maximum.accumulate(np.where(both == 1, numbers, -1))
    near = (both == 0) & (last >= 0) & (numbers - last < window_size) & (runs == runs[last])
    return int(near.sum())


def _enumerate(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
