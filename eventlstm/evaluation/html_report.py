"""A report of what a model is worth on a log: one page for the browser, which an operator can move a threshold in."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import indexable

from ..alarms.model_scores import policy_of, score_rows, threshold_of, window_size_of
from ..logs.shared import FloatArray, IntArray
from ..logs.units import Units
from ..logs.whole_files import check_outputs, open_whole
from .alarm_time import describe_alarm_time
from .baselines import score_baselines
from .card import describe_log, warn_of_events_under_alarm
from .learnt import tell_learnt
from .measures import measure_models
from .openings import find_openings
from .page import make_page
from .page_data import make_data
from .scored_log import ScoredLog
from .sensors import describe_events
from .similar_events import find_similar
from .text import make_texts, verdict_sentence

DAILY_BUDGET, STEP_BUDGET = 1.0, 1e-3  # false alarms a day, or a step: one in a thousand
OWN, TITLE, N_RESAMPLES = "the model", "Event detection report", 200
NO_PLOTLY = "A report is drawn by plotly, which is not installed. Install it: pip install 'eventlstm[report]'."
CHOSEN_HERE = (
    "The model says no threshold. The one of this page finds most events within the budget of false alarms on this "
    "very log, so that what it gives is flattered: choose one on other rows (choose_threshold)."
)


def report(
    model: Any,
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    *,
    y_score: Any = None,
    threshold: float | None = None,
    policy: Any = None,
    train: tuple[Any, Any] | None = None,
    baselines: bool | Mapping[str, Any] = True,
    budget: float | None = None,
    early: Any = 0,
    late: Any = 0,
    match: str = "onset",
    max_gap: Any = None,
    title: str = TITLE,
    n_resamples: int = N_RESAMPLES,
    random_state: Any = 0,
) -> dict[str, Any]:
    """Write a report of a model on a log, as one page of HTML that works without a network.

    The page says in a sentence what the model is worth, and tells its measures with intervals beside baselines. Its
    timeline shows scores, events and alarms; moving the threshold changes all alarms, events found, false alarms and
    delays at once, to the numbers that `eventlstm.metrics` gives.

    Parameters
    ----------
    model : fitted estimator or None
        A classifier of 0 and 1, an `AnomalyDetector`, or an outlier detector of scikit-learn; also at the end of a
        pipeline. None where `y_score` says all.
    X : DataFrame or array of shape (n_rows, n_sensors)
        The log, sorted by run and time; its index carries both. None of its rows should have been trained on.
    y : Series or array-like of shape (n_rows,) or None
        1 on rows of an event, else 0. Without labels, every alarm is a false one.
    path : str or path-like
        File to write, ``report.html`` say.
    y_score : array-like of shape (n_rows,), default=None
        Scores that rise with the danger, where they have been made before: by folds that held these rows out, say.
        Rows without one (NaN) are left out. Default: those of the model.
    threshold : float, default=None
        Rows with a greater score are above. Default: what the model says (`threshold` of `FixedThresholdClassifier`,
        `threshold_` of `AnomalyDetector`); where it says nothing, the one that finds most events within the `budget`
        on this log, of which the page warns.
    policy : AlarmPolicy, default=None
        Rules that turn scores into alarms; its own threshold is not used. Default: those that `eventlstm fit` chose, or
        that suit the length of the events that the model has learnt, or of those of `y`, with the longest step that the
        model sees across as `max_gap`.
    train : tuple of (X, y), default=None
        A labelled log to fit logistic regression, gradient boosting and an isolation forest on, to compare with: the
        one the model was fitted on, or one like it. Without it, there is no fair way to fit the first two.
    baselines : bool or mapping of str to array-like of shape (n_rows,), default=True
        Whether to compare with baselines, or their scores by name, beside random scores and every row flagged.
    budget : float, default=None
        False alarms allowed in a day of a machine's quiet time, to compare models at; without date-times, in a step.
        Defaults to 1 a day or 1 in 1,000 steps.
    early, late : int, float, str or Timedelta, default=0
        How long before the start of an event, and after its end, an alarm for it may come: an int counts rows; for an
        index of date-times also a string such as "15min" or a Timedelta, for one of numbers also a float in its unit.
    match : {"onset", "overlap"}, default="onset"
        Whether an alarm must begin within this time, or it is enough that it lasts into it.
    max_gap : None, "auto", number or time span, default=None
        The longest step in time within an event or an alarm, in the unit of the index; None for any within a run.
    title : str, default="Event detection report"
        Title of the page.
    n_resamples : int, default=200
        Draws of the bootstrap behind the intervals.
    random_state : int, RandomState or None, default=0
        Seed of the draws and of the baselines.

    Returns
    -------
    dict
        The numbers of the page: "measures" (each [estimate, low, high], at the threshold), "models" (a dict a model),
        "events" (a dict an event, with the "sensors" that raised the score and the earlier events "similar" to it),
        "card", "warnings", "threshold" and "verdict", among others. Where rows were learnt
        from, the verdict opens with their share, and with what `eventlstm fit` measured on rows held out, "held_out".

    Raises
    ------
    ImportError
        If plotly is not installed.
    ValueError
        If labels are not 0 and 1, scores of other rows, an option is out of range, or `path` cannot be a file.
    OSError
        If the page cannot be written, which is found out before any work.

    See Also
    --------
    eventlstm.metrics.detection_report : The measures of rows by themselves.
    eventlstm.metrics.alarm_curve : Those of events and alarms, at every threshold.
    eventlstm.plots.EventTimelineDisplay : Scores and alarms in a figure.

    Notes
    -----
    The page holds the scores of all rows in two bytes each, as their place among some thousand thresholds, so that its
    numbers are exact; what it draws is thinned out to the lowest and highest score of each pixel. A log of a million
    rows makes a file of a few MB, 2 of which are plotly.js.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=4, failures_per_machine=1, random_state=0)
    >>> heat = log.X["bearing_temperature_C"] - log.X["bearing_temperature_C"].median()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "report.html"
    ...     numbers = el.report(None, log.X, log.y, path, y_score=heat, threshold=8.0, n_resamples=20)
    ...     page = path.read_text()
    >>> len(numbers["events"]), page.startswith("<!DOCTYPE html>")
    (2, True)
    """
    path = Path(path)
    check_writable(path)
    table, labels = _check_log(X, y)
    scores, warned = _find_scores(model, X, y_score, len(table))
    is_labelled, learnt = y is not None, tell_learnt(model, X) if y_score is None else []
    kept = ~np.isnan(scores)
    policy = policy_of(model, labels if is_labelled else None) if policy is None else policy
    log = ScoredLog.of(table[kept], labels[kept], scores[kept], policy, early, late, match, max_gap)
    if isinstance(baselines, Mapping):
        baselines = {name: np.asarray(score, dtype=np.float64)[kept] for name, score in baselines.items()}
    trained, window_size = None if train is None else _check_log(*train), window_size_of(model)
    card, told = describe_log(log, is_labelled, None if learnt else trained, window_size)
    others, notes = score_baselines(log.X, baselines, trained, window_size, random_state)
    known = Known(card, told, learnt, warned, notes, is_labelled, others, trained)
    return write_report(
        path,
        model,
        log,
        known,
        lambda log, begin, end: describe_events(model, log, begin, end),
        threshold=threshold,
        budget=budget,
        title=title,
        n_resamples=n_resamples,
        random_state=random_state,
    )


class Known(NamedTuple):
    """What a report has to tell of a log beside its scores."""

    card: dict[str, Any]
    told: list[str]  # what a reader must know of the log before believing any number
    learnt: list[str]  # what must be said of rows that the model was fitted on
    warned: list[str]
    notes: list[str]  # of the baselines
    is_labelled: bool
    others: dict[str, FloatArray]  # scores of baselines, by name
    train: tuple[pd.DataFrame, pd.Series] | None


def write_report(
    path: Path,
    model: Any,
    log: ScoredLog,
    known: Known,
    describe: Callable[[ScoredLog, IntArray, IntArray], dict[str, Any]],
    *,
    threshold: float | None,
    budget: float | None = None,
    title: str = TITLE,
    n_resamples: int = N_RESAMPLES,
    random_state: Any = 0,
) -> dict[str, Any]:
    """Write the page of a log with its scores, and return its numbers; `report` tells what the parameters are.

    `describe` tells the events of the log, given the first and the last row to be looked at of each.
    """
    warned = known.warned
    if budget is None:
        budget = DAILY_BUDGET if log.rows.is_datetime else STEP_BUDGET
    threshold = threshold_of(model) if threshold is None else float(threshold)
    if threshold is None:
        threshold, warned = log.best_within(budget)[0], [CHOSEN_HERE, *warned]
    units = Units.of(log.observed_time, log.n_rows, is_datetime=log.rows.is_datetime)
    openings = find_openings(log, threshold)
    numbers = {
        **measure_models(log, threshold, {OWN: log.scores, **known.others}, budget, n_resamples, random_state),
        "per": units.per,
        "rated": units.factor,
        "has_dates": log.rows.is_datetime,
        "budget": budget,
        "threshold": threshold,
        "n_found": log.at(threshold).n_found,
        "n_resamples": n_resamples,
        "card": known.card,
        "held_out": getattr(model, "held_out_", None),
        "warnings": [
            *known.told,
            *describe_alarm_time(log.at(threshold), log.y.index, units, is_labelled=known.is_labelled),
            *warn_of_events_under_alarm(log.at(threshold)),
            *warned,
        ],
        "notes": known.notes,
        **describe(log, *openings),
    }
    for event, similar in zip(numbers["events"], find_similar(log, *openings, known.train), strict=True):
        event["similar"] = similar
    numbers["verdict"] = " ".join([*known.learnt, verdict_sentence(numbers)])
    page = make_page(make_texts(numbers, log, title), *make_data(numbers, log)).encode()
    with open_whole(path) as file:
        file.write(page)
    return numbers


def check_writable(path: Path) -> None:
    """Find out before any work is done whether a page can be made and written."""
    if find_spec("plotly") is None:
        raise ImportError(NO_PLOTLY)
    check_outputs([path])


def _check_log(X: Any, y: Any) -> tuple[pd.DataFrame, pd.Series]:
    """Return a log and its labels as a table and a column of one index; without labels all rows are quiet."""
    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(np.asarray(X))
        X.columns = [f"x{k}" for k in range(X.shape[1])]
    if y is None:
        return X, pd.Series(0, index=X.index)
    indexable(X, y)
    if isinstance(y, pd.Series) and not y.index.equals(X.index):
        raise ValueError("y has another index than X. Align it: y = y.loc[X.index].")
    return X, pd.Series(np.asarray(y), index=X.index)


def _find_scores(model: Any, X: Any, y_score: Any, n_rows: int) -> tuple[FloatArray, list[str]]:
    """Return the score of each row, NaN where it has none, and what was warned of on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        scores = score_rows(model, X) if y_score is None else np.asarray(y_score, dtype=np.float64)
    told = [f"While scoring: {' '.join(str(one.message).split())}" for one in caught]
    if scores.shape != (n_rows,):
        raise ValueError(f"y_score has shape {scores.shape}, where ({n_rows},) is wanted. Pass one score per row.")
    if np.isinf(scores).any():
        raise ValueError("A score is infinite. Pass numbers, and NaN for rows that have no score.")
    n_missing = int(np.isnan(scores).sum())
    if n_missing == n_rows:
        raise ValueError("No row has a score. Pass y_score with a number at some rows at least.")
    if n_missing:
        told.append(f"{n_missing:,} rows have no score, and are left out of everything on this page.")
    return scores, list(dict.fromkeys(told))
