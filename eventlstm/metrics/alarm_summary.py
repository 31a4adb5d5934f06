"""A detector of anomalies beside simple baselines, scored alike, and their alarms beside alarms at random times.

Labels only measure here: nothing is fitted to them. Scores and alarms are ``(n_rows,)``, high where abnormal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_random_state

from ..logs.events import find_events, row_labels
from ..logs.shared import IntArray
from ..logs.steps import cut_stretches, longest_steps
from .alarm_costs import rate_of_false_alarms, time_unit
from .delays import delays_by_event, quantile_of_delays
from .intervals import Interval, binomial_interval, poisson_interval
from .matching import Matched, match_alarms, read_events, read_match
from .measured_rows import read_flags

N_DRAWS = 500


class AlarmReport(NamedTuple):
    """What alarms find and what they cost."""

    n_events: int
    n_found: int
    recall: Interval  # exact
    n_alarms: int
    false_alarm_rate: Interval  # exact, a day of quiet observed time; a step where the index holds no date-times
    delays: pd.Series  # (n_events,) as `detection_delays` tells them, missed events among them
    duty: float  # share of quiet time under alarm


def report_alarms(y_true: Any, y_pred: Any, *, max_gap: Any = None) -> AlarmReport:
    """Measure alarms against the events of a log, by the time each begins.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an alarm, as the policy that raised them has it.

    Returns
    -------
    AlarmReport
        Counts with their intervals.

    Raises
    ------
    ValueError
        If there is no event, or no quiet time.
    """
    events = read_events(y_true, 0, 0, None)
    rows = events.measured.rows
    restarts = cut_stretches(rows, longest_steps(rows, max_gap))
    matched = match_alarms(events, read_flags(y_pred, y_true), "onset", restarts)
    n_events = len(matched.found_at)
    quiet = events.total_quiet_time / time_unit(events.measured, None)
    if not n_events or not quiet:
        raise ValueError(
            f"{n_events} events and a quiet time of {quiet:g} came, where some of both is wanted. Pass a longer log."
        )
    return AlarmReport(
        n_events,
        matched.n_found,
        binomial_interval(matched.n_found, n_events),
        len(matched.onsets),
        poisson_interval(matched.n_false_alarms, quiet),
        delays_by_event(matched, matched.delays, row_labels(y_true), "delay"),
        matched.duty,
    )


def report_random_alarms(
    y_true: Any, y_pred: Any, *, n_draws: int = N_DRAWS, random_state: Any = None
) -> dict[str, float]:
    """Measure as many alarms of the same lengths at random times: what is found by chance.

    Many or long alarms find most events wherever they are, the more so the longer events are.

    Parameters
    ----------
    y_true : Series or array-like of shape (n_rows,)
        1 on rows of an event, else 0. Its index says run and time; an array is one run, a step a row.
    y_pred : Series or array-like of shape (n_rows,)
        1 on rows under alarm, else 0. Each run keeps its own alarms.
    n_draws : int, default=500
        How often to draw.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Returns
    -------
    dict of str to float
        Means over the draws: "recall", "false_alarm_rate" (a day, or a step) and "duty"; "median_delay" (seconds, or
        steps), the median of the draws, of all events, NaN where chance finds less than half; and "as_many", the share
        of draws that find as many events as the alarms themselves.
    """
    matched = read_match(y_true, y_pred, 0, 0, "onset", None)
    unit = time_unit(matched.events.measured, None)
    rng = check_random_state(random_state)
    drawn = [match_alarms(matched.events, draw_alarms(matched, rng), "onset") for _ in range(n_draws)]
    recall = np.array([one.recall for one in drawn])
    delay = np.median(np.nan_to_num([quantile_of_delays(one, 0.5) for one in drawn], nan=np.inf))
    return {
        "recall": float(recall.mean()),
        "false_alarm_rate": float(np.mean([rate_of_false_alarms(one, unit) for one in drawn])),
        "duty": float(np.mean([one.duty for one in drawn])),
        "median_delay": float(delay) if np.isfinite(delay) else np.nan,
        "as_many": float(np.mean(recall >= matched.recall)),
    }


def draw_alarms(matched: Matched, rng: np.random.RandomState) -> npt.NDArray[np.bool_]:
    """Return the alarms of each stretch in a random order at random places, with a row or more between two."""
    measured = matched.events.measured
    flags = np.zeros_like(matched.flags)
    for begin, stop in zip(*measured.borders, strict=True):
        first, last = find_events(matched.flags[begin:stop], np.zeros(1, dtype=np.intp))
        lengths = rng.permutation(last - first + 1)
        n_free = stop - begin - lengths.sum()
        slots: IntArray = np.sort(rng.permutation(n_free + 1)[: len(lengths)])  # free rows before each alarm
        onsets = begin + slots + np.cumsum(lengths) - lengths
        for onset, length in zip(onsets, lengths, strict=True):
            flags[onset : onset + length] = True
    return flags
