"""``eventlstm score``: a score and an alarm for each row of a log, by a model that was saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.model_scores import find_threshold, last_step, policy_of
from ..archive.files import load
from ..detectors.anomaly_detector import AnomalyDetector
from ..detectors.event_blend import EventBlend
from ..evaluation.held_out import format_table
from ..evaluation.learnt import tell_learnt
from ..fleets.log_columns import known_names
from ..logs.log import Log
from ..logs.units import Units
from ..metrics.row_scores import detection_report
from .alarm_text import (
    choose_units,
    describe_events_under_alarm,
    describe_rate,
    format_measured,
    list_alarms,
    measure,
    print_alarm_time,
    score_and_flag,
    tabulate_alarms,
)
from .labels import label_rows
from .many import is_fleet
from .names import BLEND, NETWORKS
from .outputs import ALARM_COLUMNS, SCORE_COLUMNS, check_outputs, refuse_names_of_outputs, write_table
from .score_long import score_long_log
from .score_many import run_score_many
from .shared import print_doubtful_sensors
from .sources import read_source
from .tables import alarms_table, check_targets, scores_table, write_all


def run_score(options: argparse.Namespace) -> None:
    """Score a file, or many, with a saved model."""
    if is_fleet(options):
        run_score_many(options)
        return
    (options.log,) = options.log
    check_outputs({"scores": options.output}, [], options.log, options.events, options.model)
    model = load(options.model, device=options.device)
    *runs, time = known_names(model, options.time)
    refuse_names_of_outputs([*(options.run or runs), *([time] if time else [])], SCORE_COLUMNS)
    if options.alarms_table:
        refuse_names_of_outputs(options.run or runs, ALARM_COLUMNS)
    if time is not None:
        check_targets(_targets(options), [*(options.run or runs), time])
    if score_long_log(model, options):
        return
    log = read_log_like(model, options)
    print_doubtful_sensors(log.X)
    units = choose_units(log.X.index)
    if log.y is not None:
        for said in tell_learnt(model, log.X, units):
            print(said, flush=True)
    scores, threshold = _score(model, log.X)
    _write(scores, model, log.X, options)
    print(f"{describe_rate(scores['alarm'], units)}, at a threshold of {threshold:.4f}.")
    print_alarm_time(scores["alarm"], log.y, units)
    if log.y is not None:
        print(_measure(model, log.y, scores, threshold, units))


def _write(scores: pd.DataFrame, model: Any, X: pd.DataFrame, options: argparse.Namespace) -> None:
    """Write the scores into a file, or with the alarms into tables."""
    if isinstance(options.output, Path):
        write_table(scores, options.output, index=True, raw=options.raw)
        print(f"Wrote {len(scores)} scores to {options.output}.")
        return
    alarms = tabulate_alarms(list_alarms(model, X, scores["score"]), list(scores.index.names[:-1]))
    write_all(
        (options.output, scores_table(options.table, scores)),
        (options.output, alarms_table(options.alarms_table, alarms, scores.index)),
    )


def _targets(options: argparse.Namespace) -> dict[str, tuple[Path | str, str | None]]:
    """Return the tables that are to be written, and where."""
    targets = {"--table": (options.output, options.table), "--alarms-table": (options.output, options.alarms_table)}
    return {option: target for option, target in targets.items() if target[1] or option == "--table"}


def read_log_like(model: Any, options: argparse.Namespace, *, told: bool = True) -> Log:
    """Read a log with the sensors that a model was fitted on, its labels 1 where the model is to alarm."""
    refuse_no_detector(model, options)
    *runs, time = index_names(model, options)
    log, _ = read_source(
        options.log,
        options,
        model=model,
        told=told,
        query=options.query,
        time=time,
        run=options.run or runs or None,
        label=options.label,
        events=options.events,
        sensors=list(model.feature_names_in_),
    )
    return label_rows(log, options, model, told=told)[0]


def refuse_no_detector(model: Any, options: argparse.Namespace) -> None:
    """Refuse a model that no alarms can be had from, or that does not know its sensors by name."""
    sensors = getattr(model, "feature_names_in_", None)
    if sensors is None or not (_is_detector(model) or list(getattr(model, "classes_", ())) == [0, 1]):
        raise ValueError(
            f"{options.model} holds no detector that was fitted on a DataFrame, nor a classifier that was with labels "
            "0 and 1. Make one with `eventlstm fit` or `eventlstm detect`."
        )


def index_names(model: Any, options: argparse.Namespace) -> list[str]:
    """Return the columns of the index, refusing a time that nobody has named."""
    *runs, time = known_names(model, options.time)
    if time is None:
        raise ValueError(f"{options.model} does not know the column of the time. Name it: --time COLUMN.")
    return [*runs, time]


def _is_detector(model: Any) -> bool:
    return isinstance(last_step(model), AnomalyDetector)


def _score(model: Any, X: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return the score and the alarm of each row, and the threshold."""
    score, flags = score_and_flag(model, X)
    return pd.DataFrame({"score": score, "alarm": flags}), find_threshold(model)


def _name(classifier: Any) -> str:
    """Return what tables call a classifier: those that `fit` saves, and others."""
    if isinstance(classifier, EventBlend):
        return BLEND
    inner = getattr(classifier, "estimator", None)
    return NETWORKS if inner is None or hasattr(inner, "fit_steps") else type(inner).__name__


def _measure(model: Any, labels: pd.Series, scores: pd.DataFrame, threshold: float, units: Units) -> str:
    """Return the measures of labelled scores as text: of rows for a classifier, and of alarms."""
    name = "detector" if _is_detector(model) else _name(last_step(model))
    said = [format_measured({name: measure(labels, scores["alarm"], policy_of(model).max_gap)}, units)]
    if not _is_detector(model):
        of_rows = detection_report(labels, np.asarray(scores["score"]), threshold)
        said.insert(0, format_table(pd.DataFrame({name: of_rows}).T))
    return "\n".join([*said, *describe_events_under_alarm(labels, scores["alarm"])])
