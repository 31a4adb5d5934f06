"""``eventlstm score``: a score and an alarm for each row of a log, by a model that was saved."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.model_scores import last_step
from ..archive.files import load
from ..detectors.anomaly_detector import AnomalyDetector
from ..detectors.event_blend import EventBlend
from ..evaluation.held_out import format_table
from ..evaluation.learnt import tell_learnt
from ..logs.files import read_log
from ..logs.log import Log
from ..metrics.row_scores import detection_report
from .alarm_text import describe_events_under_alarm, find_threshold, format_measured, measure, score_and_flag
from .names import BLEND, NETWORKS
from .shared import check_table_output, print_doubtful_sensors, read_labels, write_table


def run_score(options: argparse.Namespace) -> None:
    """Score a file with a saved model."""
    check_table_output(options.output, "scores", options.log, options.events, options.model)
    model = load(options.model, device=options.device)
    log = read_log_like(model, options)
    print_doubtful_sensors(log.X)
    scores, threshold = _score(model, log.X)
    write_table(scores, options.output, index=True)
    n_alarms = int(scores["alarm"].sum())
    print(f"Wrote {len(scores)} scores to {options.output}; {n_alarms} rows under alarm, at {threshold:.4f}.")
    if log.y is not None:
        event, horizon = getattr(model, "event_label_", 1), getattr(model, "horizon_", "0")
        labels = read_labels(log.y, 1 if options.events else event, horizon)
        print("\n".join([*tell_learnt(model, log.X), _measure(model, labels, scores, threshold)]))


def read_log_like(model: Any, options: argparse.Namespace) -> Log:
    """Read a log with the sensors that a model was fitted on."""
    names, sensors = _index_names(model), getattr(model, "feature_names_in_", None)
    if sensors is None or not (_is_detector(model) or list(getattr(model, "classes_", ())) == [0, 1]):
        raise ValueError(
            f"{options.model} holds no detector that was fitted on a DataFrame, nor a classifier that was with labels "
            "0 and 1. Make one with `eventlstm fit` or `eventlstm detect`."
        )
    return read_log(
        options.log,
        time=options.time or names[-1],
        run=options.run or names[:-1] or None,
        label=options.label,
        events=options.events,
        sensors=list(sensors),
    )


def _index_names(model: Any) -> list[str]:
    """Return the index levels that the model was fitted on."""
    names = getattr(last_step(model), "index_names_", None)
    return list(names) if names else ["time"]


def _is_detector(model: Any) -> bool:
    return isinstance(last_step(model), AnomalyDetector)


def _score(model: Any, X: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return the score and the alarm of each row, and the threshold."""
    score, flags = score_and_flag(model, X)
    return pd.DataFrame({"score": score, "alarm": flags}), find_threshold(model)


def _measure(model: Any, labels: pd.Series, scores: pd.DataFrame, threshold: float) -> str:
    """Return the measures of labelled scores as text: of rows for a classifier, and of alarms."""
    name = "detector" if _is_detector(model) else BLEND if isinstance(last_step(model), EventBlend) else NETWORKS
    said = [format_measured({name: measure(labels, scores["alarm"])})]
    if not _is_detector(model):
        of_rows = detection_report(labels, np.asarray(scores["score"]), threshold)
        said.insert(0, format_table(pd.DataFrame({name: of_rows}).T))
    return "\n".join([*said, *describe_events_under_alarm(labels, scores["alarm"])])
