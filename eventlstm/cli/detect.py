"""``eventlstm detect``: learn what is normal in a log without labels, and list the times that are not."""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..alarms.alarm_policy import MERGE_ROWS, AlarmPolicy
from ..alarms.model_scores import policy_of
from ..alarms.unlabelled import make_rule
from ..archive.files import save
from ..detectors.anomaly_detector import AnomalyDetector, default_forecaster
from ..evaluation.alarm_choice import summarise
from ..evaluation.baselines import unlabelled_baselines
from ..evaluation.text import policy_sentence
from ..logs.index import read_index
from ..logs.log import Log
from ..logs.long_tables import STEP
from ..logs.times import Clock, read_time
from ..logs.units import Units, tell_count
from ..logs.urls import name_source
from ..metrics.alarm_summary import AlarmReport
from .alarm_text import (
    choose_units,
    describe_alarms,
    describe_chance,
    describe_events_under_alarm,
    describe_threshold,
    format_alarms,
    format_measured,
    list_alarms,
    measure,
    print_alarm_time,
    say_rows,
    score_and_flag,
    tabulate_alarms,
)
from .labels import keep_reading, label_rows
from .outputs import (
    ALARM_COLUMNS,
    SCORE_COLUMNS,
    check_outputs,
    refuse_graph,
    refuse_names_of_outputs,
    write_files,
    write_table,
)
from .shared import enumerate_first, print_doubtful_sensors, read_rules, with_fill
from .sources import keep_layout, read_source, read_to_learn
from .tables import alarms_table, check_targets, scores_table, write_all

OURS = "detector"
BASELINES = ("one-step difference", "ridge regression, 8 rows")
N_SHOWN = 10


class Task(NamedTuple):
    """What to learn and what to score."""

    learnt: Log  # the rows that are taken for quiet, but for those labelled as of an event
    X: pd.DataFrame  # the rows to score
    y: pd.Series | None  # 1 on their rows of an event
    among: np.ndarray  # (n_rows,) whether each row to score was learnt from


def run_detect(options: argparse.Namespace) -> None:
    """Learn the quiet part of a log, list its alarms and measure them where events are known."""
    refuse_graph(options.save)
    tables = {"alarms": options.output, "scores": options.scores}
    check_outputs(tables, [options.save], options.log, options.events, options.fit_on)
    refuse_names_of_outputs(options.run or [], ALARM_COLUMNS)
    refuse_names_of_outputs([*(options.run or []), options.time], SCORE_COLUMNS)
    check_targets(_targets(options), [*(options.run or []), options.time])
    log, clock = read_to_learn(options)
    log, classes = label_rows(log, options)
    task, units = _choose_rows(log, clock, options), choose_units(log.X.index)
    _describe(task, options, units)
    task = _leave_out_still_sensors(task)
    rules = read_rules(options, task.X, MERGE_ROWS)
    model = with_fill(_make_detector(options, rules)).fit(*task.learnt)
    keep_reading(model, task.X.index, classes, options)
    keep_layout(model, log.X, options)
    model.alarm_policy_ = rules
    score, flags = score_and_flag(model, task.X)
    alarms = tabulate_alarms(list_alarms(model, task.X, score), list(task.X.index.names[:-1]))
    print(describe_threshold(model[-1], options.max_false_alarms_per_day, rules.merge_gap, units))
    print(policy_sentence(rules))
    print(describe_alarms(flags, task.among, options.max_false_alarms_per_day, units))
    print_alarm_time(flags, task.y, units)
    if len(alarms):
        print(format_alarms(alarms, N_SHOWN), flush=True)
    if task.y is not None and (found := _measure(task, flags, policy_of(model), options, units)) is not None:
        model.held_out_ = summarise(found)
    _write(options, alarms, pd.DataFrame({"score": score, "alarm": flags}), model)


def _choose_rows(log: Log, clock: Clock, options: argparse.Namespace) -> Task:
    """Return the part of a log to learn from, and what to score."""
    if options.fit_on is not None:
        names = {"time": options.time, "run": options.run, "sensors": list(log.X.columns)}
        like = argparse.Namespace(**{**vars(options), "step": log.X.attrs.get(STEP)})
        quiet, _ = read_source(options.fit_on, like, query=options.fit_on_query, **names, like=clock)
        return Task(quiet, log.X, log.y, np.zeros(len(log.X), dtype=bool))
    among = np.ones(len(log.X), dtype=bool)
    if options.normal_until is not None:
        times = log.X.index.get_level_values(-1)
        among = np.asarray(times <= read_time(options.normal_until, clock, "--normal-until"))
        if not among.any():
            raise ValueError(f"the log begins at {times.min()}, after --normal-until {options.normal_until}.")
    if options.fit_share is not None:
        among = _first_rows(log.X, options.fit_share)
    return Task(Log(log.X[among], None if log.y is None else log.y[among]), log.X, log.y, among)


def _first_rows(X: pd.DataFrame, share: float) -> np.ndarray:
    """Return whether each row is among the first of its run, of which a share is wanted."""
    if not 0 < share <= 1:
        raise ValueError(f"--fit-share {share:g} is no share of a run. Pass a number over 0 and at most 1.")
    runs = read_index(X).runs
    place = np.arange(len(runs)) - np.searchsorted(runs, runs)
    first: np.ndarray = place < np.ceil(share * np.bincount(runs))[runs]
    return first


def _describe(task: Task, options: argparse.Namespace, units: Units) -> None:
    """Print what the log holds and what is learnt of it."""
    X, learnt = task.X, task.learnt
    sensors = f"{tell_count(X.shape[1], 'sensor')} ({enumerate_first(X.columns)})"
    print(f"{say_rows(X.index, units)}; {sensors}; runs: {read_index(X).n_runs}.")
    print_doubtful_sensors(X)
    of_file = f" in {name_source(options.fit_on)}" if options.fit_on is not None else ""
    n_event = 0 if learnt.y is None else int(learnt.y.sum())
    but = f"; {n_event} of these rows are of events and left out" if n_event else ""
    print(f"Learnt from: {say_rows(learnt.X.index, units)}{of_file}{but}.", flush=True)
    if task.among.all() and learnt.y is None:
        print(
            "Note: all rows are learnt from. What is abnormal among them counts as normal, and raises the threshold "
            "where it is in the last fifth of a run. If you know a quiet part, name it: --normal-until, --fit-share or "
            "--fit-on."
        )


def _leave_out_still_sensors(task: Task) -> Task:
    """Leave out sensors that never change, whose forecasts err by the network's noise alone.

    With seven such sensors of 24 (C-MAPSS, failures within 30 cycles), average precision was .73 and .87 with two
    seeds, and alarms named them first; without them it was .85 with both.
    """
    logs = (task.X, task.learnt.X)
    low = np.fmin.reduce([X.min().to_numpy() for X in logs])
    high = np.fmax.reduce([X.max().to_numpy() for X in logs])
    moving = task.X.columns[high > low]
    if not len(moving):
        raise ValueError("no sensor of the log ever changes. Pass a longer log, or see that its columns are right.")
    if len(moving) < task.X.shape[1]:
        print("Note: sensors that never change are left out.")
    return task._replace(X=task.X[moving], learnt=task.learnt._replace(X=task.learnt.X[moving]))


def _make_detector(options: argparse.Namespace, rules: AlarmPolicy) -> AnomalyDetector:
    detector = AnomalyDetector(
        window_size=options.window_size,
        n_estimators=options.members,
        threshold=make_rule(options.max_false_alarms_per_day, rules.merge_gap),
        max_false_alarms_per_day=options.max_false_alarms_per_day,
        random_state=options.seed,
        verbose=int(sys.stderr.isatty()),
    )
    network = default_forecaster().set_params(device=options.device)
    if options.max_epochs is not None:
        network.set_params(max_epochs=options.max_epochs)
    return detector.set_params(estimator=network)


def _measure(
    task: Task, flags: pd.Series, rules: AlarmPolicy, options: argparse.Namespace, units: Units
) -> AlarmReport | None:
    """Print what the alarms find beside those of baselines, on rows that were not learnt from where there are any.

    What they find on such rows is returned.
    """
    assert task.y is not None
    rest = ~task.among if not task.among.all() else task.among
    labels = task.y[rest]
    ours = measure(labels, flags[rest], rules.max_gap)
    if ours is None:
        print(format_measured({OURS: ours}, units))
        return None
    others = {} if options.no_baselines else _measure_baselines(task, labels, rest, rules, options)
    if task.among.all():
        print("Measured on rows that were learnt from, but for the events: expect more false alarms on new rows.")
    else:
        print(f"Measured on the {int(rest.sum())} rows that were not learnt from:")
    if options.horizon != "0":
        print(f"Events begin {options.horizon} early here, and delays count from there.")
    print(format_measured({OURS: ours, **others}, units))
    for said in describe_events_under_alarm(labels, flags[rest]):
        print(said)
    if flags[rest].any():
        print(describe_chance(labels, flags[rest]))
    return None if task.among.all() else ours


def _measure_baselines(
    task: Task, labels: pd.Series, rest: np.ndarray, rules: AlarmPolicy, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the measures of simple forecasts, whose errors are scored and whose threshold is found in the same way."""
    reports = {}
    for name in BASELINES:
        detector = clone(unlabelled_baselines(options.seed)[name])
        detector.set_params(threshold=make_rule(options.max_false_alarms_per_day, rules.merge_gap))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # ours has told it of the same rows
            model = with_fill(detector).fit(*task.learnt)
        model.alarm_policy_ = rules
        _, flags = score_and_flag(model, task.X)
        reports[name] = measure(labels, flags[rest], rules.max_gap)
    return reports


def _write(options: argparse.Namespace, alarms: pd.DataFrame, scores: pd.DataFrame, model: Pipeline) -> None:
    write_files(
        (_as_file(options.output), partial(write_table, alarms, index=False, raw=options.raw)),
        (_as_file(options.scores), partial(write_table, scores, index=True, raw=options.raw)),
        (options.save, partial(save, model)),
    )
    write_all(
        (options.output, alarms_table(options.alarms_table, alarms, scores.index)),
        (options.scores, scores_table(options.scores_table, scores)),
    )


def _as_file(output: Path | str | None) -> Path | None:
    return output if isinstance(output, Path) else None


def _targets(options: argparse.Namespace) -> dict[str, tuple[Path | str | None, str | None]]:
    """Return the outputs that may be databases, and their tables."""
    return {
        "--alarms-table": (options.output, options.alarms_table),
        "--scores-table": (options.scores, options.scores_table),
    }
