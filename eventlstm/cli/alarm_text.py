"""Alarms of a detector told to those who get them: the threshold, the list, and what was found, as text and tables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.model_scores import policy_of, score_rows, threshold_of
from ..alarms.unlabelled import make_rule
from ..detectors.anomaly_detector import AnomalyDetector
from ..logs.index import read_index
from ..logs.shared import NANOSECONDS_A_DAY
from ..metrics.alarm_summary import AlarmReport, report_alarms, report_random_alarms
from ..metrics.measured_rows import read_rows

# The probability above which a classifier without a threshold takes a row for one of an event.
HALF = 0.5
# How far what comes may be off what was asked, with so many independent alarms to judge by: see AutoThreshold.
SPREAD = 1.5
# Alarms on new rows, as a multiple of the budget, from which on the log is called changed.
MANY = 3.0
DELAY_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def make_policy(model: Any) -> AlarmPolicy:
    """Return the rules that make alarms of the scores of a fitted model, with its threshold."""
    policy: AlarmPolicy = policy_of(model).set_params(threshold=find_threshold(model))
    return policy


def find_threshold(model: Any) -> float:
    """Return the score that an alarm is above."""
    threshold = threshold_of(model)
    return HALF if threshold is None else threshold


def score_and_flag(model: Any, X: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the score of each row, high where abnormal, and 1 on rows under alarm, else 0."""
    score = pd.Series(score_rows(model, X), index=X.index)
    return score, make_policy(model).flag(score)


def observed_days(index: pd.Index) -> float:
    """Return how many days rows were observed, those of all machines together; NaN where times are numbers."""
    rows = read_rows(pd.Series(0, index=index))
    return float(rows.observed_time().sum() / NANOSECONDS_A_DAY) if rows.rows.is_datetime else math.nan


def say_days(index: pd.Index) -> str:
    """Return the time observed as text; rows where times are numbers."""
    days = observed_days(index)
    if math.isnan(days):
        return count(len(index), "row")
    return f"{days:.3g} {'days of machines' if _has_several_runs(index) else 'days'}"


def _has_several_runs(index: pd.Index) -> bool:
    return bool(read_index(pd.Series(0, index=index)).runs[-1] > 0)


def say_rows(index: pd.Index) -> str:
    """Return how many rows there are, and the time that they observe, as text."""
    rows = count(len(index), "row")
    return rows if math.isnan(observed_days(index)) else f"{rows}, {say_days(index)}"


def count(number: float, what: str) -> str:
    """Return a number of things as text."""
    return f"{number:g} {what}" + "s" * (number != 1)


def describe_threshold(detector: AnomalyDetector, max_false_alarms_per_day: float, merge_gap: Any) -> str:
    """Say what the threshold of a fitted detector stands for, and how sure that is."""
    held_out = detector.held_out_scores_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the fit of the detector has told it
        rule = make_rule(max_false_alarms_per_day, merge_gap).fit(held_out)
    budget = f"at most {count(max_false_alarms_per_day, 'false alarm')} a day"
    budget += " of each machine" * _has_several_runs(held_out.index)
    if not hasattr(rule, "merge_rows_"):
        budget = "1 of 1000 quiet rows (the times are numbers, so that days are not known)"
    said = f"Threshold: a score above {detector.threshold_:.4g}, set for {budget}"
    said += f", by the {say_days(held_out.index)} held out"
    if rule.n_expected_ < 1:
        return f"{said}: too little to know, so that it is a guess."
    return f"{said}: in eight cases of ten right within a factor of {math.exp(SPREAD / rule.n_expected_**0.5):.2g}."


def describe_alarms(flags: pd.Series, learnt: np.ndarray, budget: float) -> str:
    """Say how many alarms there are, and how many a day, on rows that were learnt from and on others."""
    first, _ = read_rows(flags).true_events
    said = f"Alarms: {len(first)} in {say_days(flags.index)}{_a_day(len(first), flags.index)}"
    if learnt.all():
        return f"{said}, all of which were learnt from."
    n_new, new = int((~learnt[first]).sum()), flags.index[~learnt]
    if learnt.any():
        said += f"; {n_new} of them in the {say_days(new)} that were not learnt from{_a_day(n_new, new)}"
    if n_new > MANY * budget * observed_days(new) > 0:
        said += ", far above the budget: much is abnormal, or the log has changed since what was learnt"
    return f"{said}."


def _a_day(n_alarms: int, index: pd.Index) -> str:
    days = observed_days(index)
    return f" ({n_alarms / days:.2g} a day)" if days > 0 else ""


def tabulate_alarms(alarms: pd.DataFrame, run_names: list[Any]) -> pd.DataFrame:
    """Return alarms, as `AlarmPolicy.to_events` gives them, as a table to write: a column for each name of the run."""
    runs = alarms["run"].map(lambda run: run if isinstance(run, tuple) else (run,))
    columns = {name: [run[level] for run in runs] for level, name in enumerate(run_names)}
    sensors = [", ".join(map(str, names)) for names in alarms.get("sensors", [])]
    told = alarms[["start", "end", "peak", "peak_score"]]
    return pd.concat([pd.DataFrame(columns, index=told.index), told], axis=1).assign(sensors=sensors)


def format_alarms(table: pd.DataFrame, n_shown: int) -> str:
    """Return the alarms with the highest peaks as text, the highest first."""
    highest = table.sort_values("peak_score", ascending=False, kind="stable").head(n_shown).drop(columns="peak")
    highest["peak_score"] = highest["peak_score"].map("{:.3g}".format)
    return highest.rename(columns={"peak_score": "peak score", "sensors": "top sensors"}).to_string(index=False)


def measure(labels: pd.Series, flags: pd.Series) -> AlarmReport | None:
    """Return what alarms find and cost; None where there is no event, or nothing else."""
    return report_alarms(labels, flags) if 0 < labels.sum() < len(labels) else None


def count_events_under_alarm(labels: pd.Series, flags: pd.Series) -> int:
    """Return how many events began under an alarm that was on before, and in which no other alarm began."""
    first, last = read_rows(labels).true_events
    onsets, _ = read_rows(flags).true_events
    missed = np.searchsorted(onsets, first) == np.searchsorted(onsets, last, side="right")
    return int((missed & (flags.to_numpy()[first] == 1)).sum())


def describe_events_under_alarm(labels: pd.Series, flags: pd.Series) -> list[str]:
    """Say how many events were missed as one alarm had started before them; nothing where none was."""
    n_under = count_events_under_alarm(labels, flags)
    return [f"Of the events missed, {n_under} began under an alarm that had started before."] if n_under else []


def format_measured(reports: Mapping[str, AlarmReport | None]) -> str:
    """Return the measures of several detectors on the same rows as text, with exact intervals of 95 %."""
    known = {name: report for name, report in reports.items() if report is not None}
    if not known:
        return "Not measured: the rows hold no event, or nothing but events."
    table = pd.DataFrame({name: _tell(report) for name, report in known.items()}).T
    return table.to_string()


def _tell(report: AlarmReport) -> dict[str, str]:
    per = "day" if pd.api.types.is_timedelta64_dtype(report.delays.dtype) else "step"
    delays = report.delays.sort_values(na_position="last")
    n_missed = int(delays.isna().sum())
    return {
        "events found": f"{report.n_found} of {report.n_events}",
        "share": "{:.2f} [{:.2f}, {:.2f}]".format(*report.recall),
        f"false alarms a {per}": "{:.3g} [{:.3g}, {:.3g}]".format(*report.false_alarm_rate),
        "median delay": _say_delay(delays.iloc[math.ceil(len(delays) / 2) - 1]),
        "missed": str(n_missed),
    }


def _say_delay(delay: Any) -> str:
    """Return a delay in its two largest units, a dash where so many events were missed that it is not known."""
    if pd.isna(delay):
        return "-"
    if not isinstance(delay, pd.Timedelta):
        return f"{delay:g}"
    seconds, said = round(delay.total_seconds()), []
    for unit, length in DELAY_UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said[:2]) or "0 s"


def describe_chance(labels: pd.Series, flags: pd.Series) -> str:
    """Say what as many alarms at random times would find."""
    chance = report_random_alarms(labels, flags, random_state=0)
    return (
        f"As many alarms at random times would find {chance['recall']:.2f} of the events, and in "
        f"{chance['as_many']:.0%} of cases as many as the detector."
    )
