"""A report of what a model is worth on a log: one page for the browser, which an operator can move a threshold in."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..logs.checking import says_time
from ..logs.events import list_events
from ..logs.index import cut_stretches, longest_step
from ..logs.shared import FloatArray
from .baselines import score_baselines, trivial_baselines
from .card import card_warnings, make_card, overlap_warning
from .measures import alarm_points, best_threshold, limits_for_page, measure_models, row_counts
from .page import check_writable, log_for_page, make_page, run_label, sensors_for_page, write_whole
from .sensors import attribute, check_log, deviations, policy_of, score_rows, threshold_of, window_size_of
from .text import make_texts, terms, verdict
from .threshold_slider import Alarmed, Cuts

N_NAMED_SENSORS = 3  # as AlarmPolicy names
DAILY_BUDGET, STEP_BUDGET = 1.0, 1e-3  # false alarms a day, or a step: one in a thousand
# How many times the median one the highest score must be for a logarithmic scale; probabilities never get one.
LOG_RATIO = 30.0
MINUTE = 60 * 10**9  # nanoseconds
OWN = "the model"


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
    title: str = "Event detection report",
    n_resamples: int = 200,
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
        Rules that turn scores into alarms; its own threshold is not used. Default: ``AlarmPolicy(max_gap=...)`` with
        the longest step that the model sees across.
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
        "events" (a dict an event), "card", "warnings", "threshold" and "verdict", among others.

    Raises
    ------
    ImportError
        If plotly is not installed.
    ValueError
        If labels are not 0 and 1, scores of other rows, or an option is out of range.

    See Also
    --------
    eventlstm.metrics : The measures by themselves.

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
    log = _read_log(model, X, y, y_score)
    rules = policy_of(model) if policy is None else policy
    alarmed = Alarmed.of(log.y, log.scores, rules, early, late, match, max_gap)
    if budget is None:
        budget = DAILY_BUDGET if alarmed.events.measured.rows.is_datetime else STEP_BUDGET
    threshold, warned = _find_threshold(model, threshold, alarmed, budget)
    card = make_card(log.X, alarmed.events)
    told = [*card_warnings(card, y is not None), *warned, *log.warnings]
    others, notes, leaks = _find_baselines(model, log, train, baselines, random_state)
    spans = {"early": early, "late": late, "max_gap": max_gap}
    scores = {OWN: log.scores, **others}
    numbers = {
        **measure_models(alarmed, threshold, scores, budget, spans, n_resamples, random_state),
        "per": "day" if alarmed.events.measured.rows.is_datetime else "1,000 steps",
        "budget": budget,
        "threshold": threshold,
        "n_found": int((alarmed.at(threshold).found_at >= 0).sum()),
        "n_resamples": n_resamples,
        "card": card,
        "warnings": [*leaks, *told],
        "notes": notes,
        **_list_events(model, log, alarmed),
    }
    numbers["verdict"] = verdict(numbers, alarmed.events.measured.rows.is_datetime)
    write_whole(_make_html(numbers, log.X, alarmed, title, early, late, match), path)
    return numbers


class _ScoredLog(NamedTuple):
    """A log with its labels and scores, and what was warned of while it was scored."""

    X: pd.DataFrame  # (n_rows, n_sensors)
    y: pd.Series  # (n_rows,)
    scores: FloatArray  # (n_rows,)
    kept: npt.NDArray[np.bool_]  # of the rows that came, those with a score
    has_time: bool
    warnings: list[str]


def _read_log(model: Any, X: Any, y: Any, y_score: Any) -> _ScoredLog:
    """Check a log and score it."""
    has_time = says_time(X)
    table, labels = check_log(X, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        scores = score_rows(model, X) if y_score is None else np.asarray(y_score, dtype=np.float64)
    told = [f"While scoring: {' '.join(str(one.message).split())}" for one in caught]
    if scores.shape != (len(table),):
        raise ValueError(f"y_score has shape {scores.shape}, where ({len(table)},) is wanted. Pass one score per row.")
    if np.isinf(scores).any():
        raise ValueError("A score is infinite. Pass numbers, and NaN for rows that have no score.")
    kept = ~np.isnan(scores)
    if not kept.any():
        raise ValueError("No row has a score. Pass y_score with a number at some rows at least.")
    if not kept.all():
        told.append(f"{int((~kept).sum()):,} rows have no score, and are left out of everything on this page.")
    return _ScoredLog(table[kept], labels[kept], scores[kept], kept, has_time, list(dict.fromkeys(told)))


def _find_threshold(model: Any, threshold: float | None, alarmed: Alarmed, budget: float) -> tuple[float, list[str]]:
    """Return the threshold of the page, and a warning where it comes from these very rows."""
    given = threshold_of(model) if threshold is None else float(threshold)
    if given is not None:
        return given, []
    chosen = best_threshold(alarmed, budget)
    return chosen, [
        "The model says no threshold. The one of this page finds most events within the budget of false alarms on this "
        "very log, so that what it gives is flattered: choose one on other rows (choose_threshold)."
    ]


def _find_baselines(
    model: Any, log: _ScoredLog, train: Any, baselines: bool | Mapping[str, Any], random_state: Any
) -> tuple[dict[str, FloatArray], list[str], list[str]]:
    """Return the scores of baselines, what is to be said of them, and a warning if training rows lie in the log."""
    trained = None if train is None else check_log(*train)
    window_size = window_size_of(model)
    leaks = []
    if trained is not None and log.has_time and says_time(train[0]):
        leaks = [warning for warning in [overlap_warning(log.X, trained[0], window_size)] if warning]
    if isinstance(baselines, Mapping):
        scores, _ = trivial_baselines(len(log.X), random_state)
        own = {name: np.asarray(score, dtype=np.float64)[log.kept] for name, score in baselines.items()}
        return {**scores, **own}, [], leaks
    if not baselines:
        return {}, [], leaks
    return (*score_baselines(log.X, trained, window_size, random_state), leaks)


def _list_events(model: Any, log: _ScoredLog, alarmed: Alarmed) -> dict[str, Any]:
    """Return the events with the sensors that stand out in each, and where these names come from."""
    index, (first, last) = alarmed.y_true.index, alarmed.events.measured.true_events
    table = list_events(index, first, last, log.scores)
    shares = None if model is None or not len(table) else attribute(model, log.X, table)
    if shares is None:
        shares = pd.DataFrame(deviations(log.X, alarmed.events), columns=log.X.columns)
        source = "Sensors farthest from their usual values"
    else:
        source = "Sensors the score is due to"
    order = np.argsort(-shares.to_numpy(), axis=1)[:, :N_NAMED_SENSORS]
    events = [
        {
            "run": run_label(index, first[k]),
            "start": str(table["start"][k]),
            "end": str(table["end"][k]),
            "peak_score": float(table["peak_score"][k]),
            "sensors": [str(shares.columns[sensor]) for sensor in order[k]],
        }
        for k in range(len(table))
    ]
    return {"events": events, "sensors_from": source}


def _make_html(
    numbers: dict[str, Any], X: pd.DataFrame, alarmed: Alarmed, title: str, early: Any, late: Any, match: str
) -> str:
    """Return the page."""
    rows = alarmed.events.measured.rows
    cuts = Cuts.of(alarmed.judged, numbers["threshold"], alarmed.policy.off)
    told, arrays = log_for_page(alarmed, cuts, cut_stretches(rows, longest_step(rows, "auto")))
    low, middle, high = np.quantile(alarmed.judged, (0, 0.5, 1))
    sensors, arrays["values"] = sensors_for_page(X, [event["sensors"] for event in numbers["events"]])
    data = {
        **numbers,
        "log": told,
        "sensors": sensors,
        "positions": cuts.positions,
        "position": int(np.searchsorted(cuts.thresholds, numbers["threshold"])),
        "rows": row_counts(alarmed, cuts.thresholds),
        "curve": alarm_points(alarmed, cuts.thresholds),
        "limits": limits_for_page(len(alarmed.events.first)),
        "is_smoothed": alarmed.judged is not alarmed.scores,
        "may_be_log": bool(low > 0),
        "is_log": bool(low > 0 and high > max(1.0, LOG_RATIO * middle)),
        "has_seconds": bool(rows.is_datetime and (rows.times % MINUTE).any()),
    }
    texts = make_texts(numbers, alarmed.policy, rows.is_datetime, title)
    texts["TERMS"] = terms(numbers, alarmed.policy, early, late, match, rows.is_datetime)
    zone = getattr(alarmed.y_true.index.get_level_values(-1), "tz", None)
    texts["TIMES"] = "" if zone is None else "Times are in UTC."
    return make_page(texts, data, arrays)
