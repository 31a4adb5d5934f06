"""``eventlstm demo`` and ``eventlstm fit``: train on labels, measure on rows held out, save the model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import FixedThresholdClassifier
from tqdm import tqdm

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.labelled import choose_threshold
from ..alarms.model_scores import as_reached, policy_of, threshold_of
from ..alarms.policy_choice import suit_policy
from ..archive.files import save
from ..datasets.sensor_log import make_sensor_log
from ..detectors.event_blend import N_NETWORKS, EventBlend, default_parts
from ..detectors.event_classifier import EventClassifier
from ..evaluation.alarm_choice import choose_alarms, summarise
from ..evaluation.baselines import baselines
from ..evaluation.held_out import choose_splitter, compare, format_table, interval_sentence, number_folds, verdict
from ..evaluation.html_report import report
from ..evaluation.text import policy_sentence
from ..logs.events import event_onsets
from ..logs.index import read_index
from ..logs.log import Log
from ..logs.splitters import RunKFold
from ..metrics.intervals import FEW_EVENTS
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.members import weight_arguments
from .alarm_text import choose_units, format_measured
from .excerpts import read_to_fit
from .labels import keep_reading, label_rows
from .names import BLEND, NETWORK_PARTS, NETWORKS, TREE_PARTS
from .outputs import SCORE_COLUMNS, check_outputs, refuse_graph, refuse_names_of_outputs, write_files, write_table
from .shared import enumerate_first, print_doubtful_sensors, read_rules, with_fill
from .sources import keep_layout

KEPT = REPORT, LOG, MODEL = "report.html", "log.csv", "model.eventlstm"  # of the demo
# By which option a row of the table is fitted alone.
OPTIONS = {NETWORKS: "--model lstm", **{part: f"--model {part}" for part in TREE_PARTS}}
UNMEASURED = "pass --threshold 0.5 (say) to fit without measuring."
# Rows of the networks and of each kind of trees inside the blend: they are fitted anyway, and scored once more.
VARIANTS = {
    BLEND: {
        NETWORKS: {"eventblend__weights": [1, 1, 0, 0]},
        "forest": {"eventblend__weights": [0, 0, 1, 0]},
        "boosting": {"eventblend__weights": [0, 0, 0, 1]},
    }
}


def run_demo(options: argparse.Namespace) -> None:
    """Make a log, train and compare."""
    folder = Path() if options.keep is None else options.keep
    folder.mkdir(parents=True, exist_ok=True)
    check_outputs({}, [folder / name for name in (KEPT if options.keep else [REPORT])])
    log = make_sensor_log(random_state=options.seed)
    print("A made log of pumps; label: the hours before a failure. Real data: see `eventlstm fit --help`.")
    scores: dict[str, np.ndarray] = {}
    table, model = _fit_and_measure(log, options, scores)
    _write_report(log, scores, table.index[0], policy_of(model), folder / REPORT)
    if options.keep is not None:
        made = log.X.assign(failure=log.y).reset_index()
        write_files((folder / LOG, partial(write_table, made, index=False)), (folder / MODEL, partial(save, model)))


def _write_report(log: Log, scores: dict[str, np.ndarray], ours: str, policy: AlarmPolicy, path: Path) -> None:
    """Write the page of the scores of held-out runs, where there is what draws it."""
    if find_spec("plotly") is None:
        print('For a page of scores, events and alarms: pip install -c constraints.txt -e ".[report]"')
        return
    others = {name: values for name, values in scores.items() if name != ours}
    title = "Pumps made by eventlstm demo, each scored by models of other pumps"
    threshold = policy.threshold
    report(None, *log, path, y_score=scores[ours], threshold=threshold, policy=policy, baselines=others, title=title)
    print(f"Wrote {path}: open it in a browser, and move the threshold.")


def run_fit(options: argparse.Namespace) -> None:
    """Train on a file and save the model."""
    if (options.label is None) == (options.events is None):
        raise ValueError("training needs labels: pass either --label COLUMN or --events FILE.")
    if options.threshold is not None and not 0 < options.threshold < 1:
        raise ValueError(
            f"--threshold {options.threshold:g} is no probability to alarm at. Pass a number above 0 and below 1."
        )
    if options.threshold is not None and (options.cost or _limits(options)):
        raise ValueError("--threshold leaves nothing to choose. Pass it, or what alarms may cost, not both.")
    refuse_graph(options.output)
    check_outputs({}, [options.output], options.log, options.events)
    refuse_names_of_outputs([*(options.run or []), options.time], SCORE_COLUMNS)
    log, weight = read_to_fit(options)
    labelled, classes = label_rows(log, options, needs_event=True)
    print_doubtful_sensors(log.X)
    if options.threshold is None:
        _, model = _fit_and_measure(labelled, options, sample_weight=weight)
    else:
        policy = _suit_policy(labelled.y, options)
        model = _fit_with_threshold(with_fill(_make_model(options)), options.threshold, labelled, weight)
        model.alarm_policy_ = policy.set_params(threshold=options.threshold)
    keep_reading(model, log.X.index, classes, options)
    keep_layout(model, log.X, options)
    save(model, options.output)
    source = "from held-out rows" if options.threshold is None else "as given"
    print(f"Saved {options.output}, fitted on all runs, with the threshold {threshold_of(model):.4f} {source}.")


def _fit_and_measure(
    log: Log,
    options: argparse.Namespace,
    scores: dict[str, np.ndarray] | None = None,
    sample_weight: np.ndarray | None = None,
) -> tuple[pd.DataFrame, FixedThresholdClassifier]:
    """Measure on held-out runs, whose `scores` are kept, then fit on all of them with the threshold found.

    Rows count by `sample_weight`, (n_rows,).
    """
    X, y, scores = log.X, log.y, {} if scores is None else scores
    splitter = _check_folds(options, X, y)
    _describe(X, y, splitter, sample_weight)
    policy = _suit_policy(y, options)
    choose = _make_choice(y, policy, options)
    others = {} if options.no_baselines else baselines(options.window_size, options.seed)
    ours = NETWORKS if options.model == NETWORKS.lower() else options.model
    models = {name: with_fill(model) for name, model in {ours: _make_model(options), **others}.items()}
    n_fits = len(models) * splitter.get_n_splits() + 1
    with tqdm(total=n_fits, desc="fits", disable=not sys.stderr.isatty()) as bar:
        table, _ = compare(models, X, y, splitter, bar.update, VARIANTS, scores, sample_weight)
        folds = number_folds(splitter, X, y)
        threshold, alarms = choose_alarms(y, scores[ours], folds, policy, choose, sample_weight)
        model = _fit_with_threshold(models[ours], threshold, log, sample_weight)
        bar.update()
    model.alarm_policy_ = policy.set_params(threshold=threshold)
    model.held_out_ = table.loc[ours].to_dict() | summarise(alarms)
    print(format_table(table))
    print(format_measured({ours: alarms}, choose_units(X.index)))
    if len(table) > 1:
        few = 0 < _count_events(X, y) <= FEW_EVENTS
        print(interval_sentence(table, y, scores, ours, sample_weight) if few else verdict(table, ours, OPTIONS))
    return table, model


def _suit_policy(y: pd.Series, options: argparse.Namespace) -> AlarmPolicy:
    """Return the rules for alarms that are asked for, or that suit the events, and print them."""
    policy = read_rules(options, y, suit_policy(y).merge_gap)
    suited = "to suit the events (--merge-gap)" if options.merge_gap is None else "as asked"
    print(f"{policy_sentence(policy)[:-1]}, {suited}.", flush=True)
    return policy


def _make_choice(y: pd.Series, policy: AlarmPolicy, options: argparse.Namespace) -> Callable[..., float]:
    """Return what chooses the threshold: most events for the fewest false alarms, within the limits asked for."""
    wanted: dict[str, Any] = {"objective": "f1", "cost": options.cost, "policy": policy, **_limits(options)}
    choose: Callable[..., float] = partial(choose_threshold, **wanted)
    choose(y, y.astype(float))  # limits that even perfect scores would not keep are refused before any training
    return choose


def _limits(options: argparse.Namespace) -> dict[str, float]:
    """Return the limits on alarms that were asked for."""
    limits = {name: getattr(options, name) for name in ("max_false_alarms_per_day", "min_recall")}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _make_model(options: argparse.Namespace) -> EventBlend | EventClassifier:
    max_epochs = "auto" if options.max_epochs is None else options.max_epochs
    network = LSTMClassifier(device=options.device, max_epochs=max_epochs)
    settings = {"estimator": network, "window_size": options.window_size}
    seed, verbose = options.seed, int(sys.stderr.isatty())
    if options.model in TREE_PARTS:
        return dict(default_parts())[options.model].set_params(random_state=seed)
    if options.model != BLEND:
        alone = EventClassifier(random_state=seed, verbose=verbose, **settings)
        own = {} if options.model == NETWORKS.lower() else {"inputs": options.model}
        return alone.set_params(**own if options.members is None else own | {"n_estimators": options.members})
    n_members = 2 * N_NETWORKS if options.members is None else options.members
    if n_members < 2:
        raise ValueError(f"--members {n_members} is too few: the blend has two views. Pass 2, or --model lstm.")
    blend = EventBlend(random_state=seed, verbose=verbose)
    for k, view in enumerate(NETWORK_PARTS):
        of_view = settings | {"n_estimators": (n_members + k) // 2}
        blend.set_params(**{f"{view}__{name}": value for name, value in of_view.items()})
    return blend


def _fit_with_threshold(
    model: Any, threshold: float, log: Log, sample_weight: np.ndarray | None
) -> FixedThresholdClassifier:
    """Return a model with a threshold, fitted on a log whose rows count by `sample_weight`."""
    fixed = FixedThresholdClassifier(
        model, threshold=as_reached(threshold), pos_label=1, response_method="predict_proba"
    )
    if sample_weight is None:
        return fixed.fit(*log)
    # it hands on no weights but by scikit-learn's metadata routing, which would have to be on for all that is inside
    fixed.estimator_ = clone(model).fit(*log, **weight_arguments(model, sample_weight))
    fixed.n_features_in_, fixed.feature_names_in_ = fixed.estimator_.n_features_in_, fixed.estimator_.feature_names_in_
    return fixed


def _check_folds(options: argparse.Namespace, X: pd.DataFrame, y: pd.Series) -> Any:
    """Return the folds to measure on, of which each has an event to learn from and one to measure on."""
    if options.folds < 2:
        raise ValueError(f"--folds {options.folds} leaves nothing to measure on. Take at least 2, or {UNMEASURED}")
    splitter = choose_splitter(X, y, options.folds)
    try:
        list(splitter.split(X, y))
    except ValueError:
        n_events = _count_events(X, y)
        found = "only one event" if n_events == 1 else f"{n_events} events in the same part of a run"
        raise ValueError(
            f"the log has {found}, and measuring takes one to learn from and another to measure on, whatever --folds "
            f"says. Label more events, or {UNMEASURED}"
        ) from None
    return splitter


def _describe(X: pd.DataFrame, y: pd.Series, splitter: Any, sample_weight: np.ndarray | None) -> None:
    """Print what the log holds and how it is split."""
    held_out = "whole runs" if isinstance(splitter, RunKFold) else "later times"
    share = np.average(y, weights=sample_weight)
    print(
        f"Runs: {read_index(X).n_runs}. Events: {_count_events(X, y)}, {share:.2%} of the rows.\n"
        f"{len(X)} rows of {X.shape[1]} sensors ({enumerate_first(X.columns)}).\n"
        f"Measured on {held_out} held out, in {splitter.get_n_splits()} folds; thresholds come from the other folds.",
        flush=True,
    )
    if _count_events(X, y) <= FEW_EVENTS:
        print("So few events leave most of what follows to chance: no model is better beyond doubt.", flush=True)


def _count_events(X: pd.DataFrame, y: pd.Series) -> int:
    return int(event_onsets(np.asarray(y) == 1, read_index(X).runs).sum())
