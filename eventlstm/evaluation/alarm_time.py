"""How long alarms are on, in words: an alarm that does not end is a single one, and its count looks quiet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..alarms.alarm_policy import MERGE_ROWS
from ..alarms.score_threshold import MUCH_UNDER_ALARM
from ..logs.events import find_events
from ..logs.units import Units
from ..metrics.matching import Matched, read_match

# An alarm that is on at the end of a run is told not to end if it lasts for a tenth of the run, and for more rows than
# two high ones would hold it.
LONG_ALARM, FEWEST_ROWS = 0.1, 2 * (MERGE_ROWS + 1)


class StuckAlarm(NamedTuple):
    """An alarm that is on from a row to the end of its run."""

    row: int
    span: float  # how long, in the unit of the index


def describe_alarm_time(matched: Matched, index: pd.Index, units: Units, *, is_labelled: bool) -> list[str]:
    """Return what there is to say of the time under alarm: nothing where alarms are short and end."""
    said = []
    if matched.duty > MUCH_UNDER_ALARM:
        said.append(
            f"{matched.duty:.0%} of the {'quiet ' * is_labelled}time is under alarm, so that the number of alarms says "
            "little: much is abnormal, the log has changed since what was learnt, or alarms hold long for its step."
        )
    stuck, n_runs = find_stuck_alarms(matched), matched.events.measured.rows.n_runs
    if not stuck:
        return said
    longest = max(stuck, key=lambda alarm: alarm.span)
    *run, time = index[longest.row] if index.nlevels > 1 else (index[longest.row],)
    where = f" on {len(stuck)} of {n_runs} runs, the longest on {', '.join(map(str, run))}:" if run else ":"
    return [*said, f"The alarm does not end{where} on from {time} to the last row, {units.tell(longest.span)}."]


def find_stuck_alarms(matched: Matched) -> list[StuckAlarm]:
    """Return the alarms that are on at the last row of their run, a quiet one, for much of its quiet time."""
    measured, quiet = matched.events.measured, matched.events.quiet_time
    starts = measured.rows.run_starts
    observed, stuck = measured.observed_time(), []
    first, last = find_events(matched.flags, starts)
    for begin, stop in zip(starts, np.append(starts[1:], len(quiet)), strict=True):
        alarm = np.searchsorted(last, stop - 1)
        if alarm == len(last) or last[alarm] >= stop or not quiet[stop - 1]:
            continue
        on = slice(first[alarm], stop)
        if stop - on.start >= FEWEST_ROWS and quiet[on].sum() > LONG_ALARM * quiet[begin:stop].sum():
            stuck.append(StuckAlarm(int(on.start), float(observed[on].sum())))
    return stuck


def match_flags(flags: pd.Series, labels: pd.Series | None = None) -> Matched:
    """Return the alarms that flags mark beside the events of labels, or beside none."""
    return read_match(pd.Series(0, index=flags.index) if labels is None else labels, flags, 0, 0, "onset", None)
