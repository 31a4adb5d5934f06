"""A model beside simple baselines, all on rows held out from training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from .detector import EventClassifier
from .log_index import read_index
from .metrics import detection_report
from .model_selection import RunKFold, RunTimeSplit
from .threshold_choice import choose_threshold
from .windows import is_event

MEASURES = ["average_precision", "mcc", "f1", "recall", "precision"]


def baselines(window_size: int, random_state: int) -> dict[str, EventClassifier]:
    """Return a linear model and boosted trees on flattened windows of raw rows."""
    classifiers = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        # early stopping holds out rows beside those it trains on: average precision .929 with, .944 without (C-MAPSS)
        "gradient boosting": HistGradientBoostingClassifier(early_stopping=False),
    }
    raw = EventClassifier(
        mode="windows", inputs=None, n_estimators=1, window_size=window_size, random_state=random_state
    )
    return {name: clone(raw).set_params(estimator=classifier) for name, classifier in classifiers.items()}


def choose_splitter(X: Any, y: Any, n_splits: int) -> RunKFold | RunTimeSplit:
    """Return folds of whole runs where enough of them have events, else as many in time as hold events."""
    if n_splits < 2:
        raise ValueError(f"n_splits={n_splits} leaves no other fold to take a threshold from. Take at least 2.")
    runs = read_index(X).runs
    n_with_events = len(np.unique(runs[is_event(y)]))
    if n_with_events >= 2:
        return RunKFold(min(n_splits, n_with_events))
    for fewer in range(n_splits, 2, -1):
        if _can_split(RunTimeSplit(fewer), X, y):
            return RunTimeSplit(fewer)
    return RunTimeSplit(2)


def _can_split(splitter: RunTimeSplit, X: Any, y: Any) -> bool:
    """Return whether each fold has events to train and to test on."""
    try:
        return bool(list(splitter.split(X, y)))
    except ValueError:
        return False


def held_out_scores(
    model: Any, X: Any, y: Any, splitter: Any, on_fold: Callable[[], Any] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each row from a model that has not seen its fold, and the number of that fold.

    Rows that no fold tests get NaN and -1. `on_fold` is called after each fold.
    """
    (scores,), fold_of_row = _held_out_scores(model, [{}], X, y, splitter, on_fold)
    return scores, fold_of_row


def _held_out_scores(
    model: Any, settings: list[dict[str, Any]], X: Any, y: Any, splitter: Any, on_fold: Callable[[], Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores (n_settings, n_rows) of one fit a fold, under parameters that count when it scores.

    Libraries are held to one thread: the OpenMP threads of boosted trees wait for each other by spinning, twenty times
    slower beside a busy neighbour.
    """
    scores = np.full((len(settings), len(X)), np.nan)
    fold_of_row = np.full(len(X), -1)
    for fold, (train, test) in enumerate(splitter.split(X, y)):
        with threadpool_limits(1):
            fitted = clone(model).fit(X.iloc[train], y.iloc[train])
            for own, parameters in zip(scores, settings, strict=True):
                own[test] = fitted.set_params(**parameters).predict_proba(X.iloc[test])[:, 1]
        fold_of_row[test] = fold
        on_fold()
    return scores, fold_of_row


def cross_fitted_thresholds(y: np.ndarray, scores: np.ndarray, fold_of_row: np.ndarray) -> np.ndarray:
    """Return a threshold for each row, chosen on the held-out rows of the other folds."""
    thresholds = np.full(len(y), np.nan)
    for fold in range(fold_of_row.max() + 1):
        others = (fold_of_row >= 0) & (fold_of_row != fold)
        thresholds[fold_of_row == fold] = choose_threshold(y[others], scores[others])
    return thresholds


def compare(
    models: Mapping[str, Any],
    X: Any,
    y: Any,
    splitter: Any,
    on_fold: Callable[[], Any] = lambda: None,
    variants: Mapping[str, Mapping[str, dict[str, Any]]] | None = None,
    kept: dict[str, np.ndarray] | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Measure models on held-out rows of the same folds.

    `variants` of a model, by its name and theirs, are parameters that need no new fit: the weights of a blend. They
    get rows of their own after it, and cost a scoring each. The scores of all rows go into `kept`, by name.

    Returns the table of measures, a row a model, and for each model the threshold that all held-out rows together
    call for: the one to use on a new log. The measures are taken at thresholds that come from other folds.
    """
    labels = np.asarray(y)
    table, threshold = {}, {}
    for name, model in models.items():
        settings = {name: {}, **(variants or {}).get(name, {})}
        all_scores, fold_of_row = _held_out_scores(model, list(settings.values()), X, y, splitter, on_fold)
        tested = fold_of_row >= 0
        for setting, scores in zip(settings, all_scores, strict=True):
            if kept is not None:
                kept[setting] = scores
            own = cross_fitted_thresholds(labels, scores, fold_of_row)
            table[setting] = detection_report(labels[tested], scores[tested], own[tested])
            threshold[setting] = choose_threshold(labels[tested], scores[tested])
    return pd.DataFrame(table).T, threshold


def format_table(table: pd.DataFrame) -> str:
    """Return the measures as text, with the level of random scores as the last row."""
    shown = table[MEASURES].map(lambda value: "-" if np.isnan(value) else f"{value:.3f}")
    prevalence = f"{table['prevalence'].iloc[0]:.3f}"
    shown.loc["random scores (prevalence)"] = [prevalence, "0.000", "-", "-", prevalence]
    return shown.rename(columns=lambda name: name.replace("_", " ")).to_string()


def verdict(table: pd.DataFrame, name: str) -> str:
    """Say in a sentence whether the model `name` is worth its trouble."""
    ours = table.loc[name, "average_precision"]
    others = table["average_precision"].drop(name)
    beaten = [f"{other} ({value:.3f})" for other, value in others.items() if value < ours]
    ahead = [f"{other} ({value:.3f})" for other, value in others.items() if value >= ours]
    said = f"The {name} reaches an average precision of {ours:.3f}"
    if beaten:
        said += f", ahead of {' and '.join(beaten)}"
    if ahead:
        said += f"{' but' if beaten else ', and'} does not beat {' and '.join(ahead)}"
    return said + "."
