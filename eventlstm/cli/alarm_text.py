"""Alarms of a detector told to those who get them: the threshold, the list, and what was found, as text and tables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ..alarms.model_scores import last_step, make_policy, score_rows
from ..alarms.unlabelled import make_rule
from ..detectors.anomaly_detector import AnomalyDetector
from ..evaluation.alarm_time import describe_alarm_time, match_flags
from ..logs.index import read_index
from ..logs.shared import NANOSECONDS_A_DAY
from ..logs.units import Units, tell_count, tell_number
from ..metrics.alarm_summary import AlarmReport, report_alarms, report_random_alarms
from ..metrics.measured_rows import read_rows

# How far what comes may be off what was asked, with so many independent alarms to judge by: see AutoThreshold.
SPREAD = 1.5
# Alarms on new rows, as a multiple of the budget, from which on the log is called changed.
MANY = 3.0
DELAY_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def score_and_flag(model: Any, X: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the score of each row, high where abnormal, and 1 on rows under alarm, else 0."""
    score = pd.Series(score_rows(model, X), index=X.index)
    return score, make_policy(model).flag(score)


def choose_units(index: pd.Index) -> Units:
    """Return the units that all is told in of a log with this index."""
    rows = read_rows(pd.Series(0, index=index))
    return Units.of(float(rows.observed_time().sum()), len(index), is_datetime=rows.rows.is_datetime)


def _observed_time(index: pd.Index) -> float:
    """Return how long rows were observed, those of all machines together, in the unit of the index."""
    return float(read_rows(pd.Series(0, index=index)).observed_time().sum())


def say_time(index: pd.Index, units: Units) -> str:
    """Return the time observed as text; rows where times are numbers."""
    if not units.has_dates:
        return tell_count(len(index), "row")
    return units.tell(_observed_time(index)) + " of machines" * _has_several_runs(index)


def _has_several_runs(index: pd.Index) -> bool:
    return read_index(pd.Series(0, index=index)).n_runs > 1


def say_rows(index: pd.Index, units: Units) -> str:
    """Return how many rows there are, and the time that they observe, as text."""
    rows = tell_count(len(index), "row")
    return f"{rows}, {say_time(index, units)}" if units.has_dates else rows


def describe_threshold(detector: AnomalyDetector, max_false_alarms_per_day: float, merge_gap: Any, units: Units) -> str:
    """Say what the threshold of a fitted detector stands for, and how sure that is."""
    held_out = detector.held_out_scores_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the fit of the detector has told it
        rule = make_rule(max_false_alarms_per_day, merge_gap).fit(held_out)
    budget = f"at most {tell_count(max_false_alarms_per_day, 'false alarm')} a day"
    budget += " of each machine" * _has_several_runs(held_out.index)
    if units.per == "hour":
        budget += f" ({max_false_alarms_per_day * units.factor:.2g} {units.a_unit})"
    if not hasattr(rule, "merge_rows_"):
        budget = "1 of 1000 quiet rows (the times are numbers, so that days are not known)"
    said = f"Threshold: a score above {detector.threshold_:.4g}, set for {budget}"
    said += f", by the {say_time(held_out.index, units)} held out"
    if rule.n_expected_ < 1:
        return f"{said}: too little to know, so that it is a guess."
    return f"{said}: in eight cases of ten right within a factor of {math.exp(SPREAD / rule.n_expected_**0.5):.2g}."


def describe_alarms(flags: pd.Series, learnt: np.ndarray, budget: float, units: Units) -> str:
    """Say how many alarms there are, how often, and for how much of the time, on rows learnt from and on others."""
    first, _ = read_rows(flags).true_events
    said = describe_rate(flags, units)
    if learnt.all():
        return f"{said}, all of which were learnt from."
    n_new, new = int((~learnt[first]).sum()), flags.index[~learnt]
    if learnt.any():
        said += f"; {n_new} of them in the {say_time(new, units)} that were not learnt from"
        said += _rate(n_new, new, units)
    if units.has_dates and n_new > MANY * budget * _observed_time(new) / NANOSECONDS_A_DAY > 0:
        said += ", far above the budget: much is abnormal, or the log has changed since what was learnt"
    return f"{said}."


def describe_rate(flags: pd.Series, units: Units) -> str:
    """Say how many alarms there are, how often, and for how much of the time."""
    matched = match_flags(flags)
    n_alarms = len(matched.onsets)
    said = f"Alarms: {n_alarms} in {say_time(flags.index, units)}{_rate(n_alarms, flags.index, units)}"
    return f"{said}, under alarm {matched.duty:.1%} of the time"


def _rate(n_alarms: int, index: pd.Index, units: Units) -> str:
    observed = _observed_time(index) / units.rated
    return f" ({tell_number(n_alarms / observed, 2)} {units.a_unit})" if observed > 0 else ""


def print_alarm_time(flags: pd.Series, labels: pd.Series | None, units: Units) -> None:
    """Print that alarms are long, or do not end, where it is so."""
    matched = match_flags(flags, labels)
    for note in describe_alarm_time(matched, flags.index, units, is_labelled=labels is not None):
        print(f"Note: {note}")


def list_alarms(model: Any, X: pd.DataFrame, score: pd.Series) -> pd.DataFrame:
    """Return the alarms of a fitted model, of a detector with the sensors that each is due to."""
    detector = last_step(model)
    if not isinstance(detector, AnomalyDetector):
        return make_policy(model).to_events(score)
    prepared = model[:-1].transform(X) if isinstance(model, Pipeline) else X
    return make_policy(model).to_events(score, detector.attribution(prepared))


def tabulate_alarms(alarms: pd.DataFrame, run_names: list[Any]) -> pd.DataFrame:
    """Return alarms, as `AlarmPolicy.to_events` gives them, as a table to write: a column for each name of the run."""
    runs = alarms["run"].map(lambda run: run if isinstance(run, tuple) else (run,))
    columns = {name: [run[level] for run in runs] for level, name in enumerate(run_names)}
    sensors = [", ".join(map(str, names)) for names in alarms.get("sensors", [()] * len(alarms))]
    told = alarms[["start", "end", "peak", "peak_score"]]
    return pd.concat([pd.DataFrame(columns, index=told.index), told], axis=1).assign(sensors=sensors)


def format_alarms(table: pd.DataFrame, n_shown: int) -> str:
    """Return the alarms with the highest peaks as text, the highest first."""
    highest = table.sort_values("peak_score", ascending=False, kind="stable").head(n_shown).drop(columns="peak")
    highest["peak_score"] = highest["peak_score"].map("{:.3g}".format)
    return highest.rename(columns={"peak_score": "peak score", "sensors": "top sensors"}).to_string(index=False)


def measure(labels: pd.Series, flags: pd.Series, max_gap: Any) -> AlarmReport | None:
    """Return what alarms, none over a longer gap, find and cost; None where there is no event, or nothing else."""
    return report_alarms(labels, flags, max_gap=max_gap) if 0 < labels.sum() < len(labels) else None


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


def format_measured(reports: Mapping[str, AlarmReport | None], units: Units) -> str:
    """Return the measures of several detectors on the same rows as text, with exact intervals of 95 %."""
    known = {name: report for name, report in reports.items() if report is not None}
    if not known:
        return "Not measured: the rows hold no event, or nothing but events."
    table = pd.DataFrame({name: _tell(report, units) for name, report in known.items()}).T
    return table.to_string()


def _tell(report: AlarmReport, units: Units) -> dict[str, str]:
    delays = report.delays.sort_values(na_position="last")
    n_missed = int(delays.isna().sum())
    return {
        "events found": f"{report.n_found} of {report.n_events}",
        "share": "{:.2f} [{:.2f}, {:.2f}]".format(*report.recall),
        f"false alarms {units.a_unit}": "{:.3g} [{:.3g}, {:.3g}]".format(
            *(r * units.factor for r in report.false_alarm_rate)
        ),
        "quiet time under alarm": f"{report.duty:.1%}",
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
