"""Scores, thresholds and measures of models on rows that were held out from training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from ..alarms.labelled import choose_threshold
from ..detectors.anomaly_detector import AnomalyDetector
from ..logs.events import is_event
from ..logs.index import read_index
from ..logs.splitters import RunKFold, RunTimeSplit
from ..metrics.intervals import bootstrap_interval
from ..metrics.row_scores import detection_report
from ..recurrent.members import weight_arguments
from ..training.backends import one_by_one

# Draws behind an interval: enough for ends of two digits.
N_DRAWS = 200
SHOWN_MEASURES = ["average_precision", "mcc", "f1", "recall", "precision"]


def compare(
    models: Mapping[str, Any],
    X: Any,
    y: Any,
    splitter: Any,
    on_fold: Callable[[], Any] = lambda: None,
    variants: Mapping[str, Mapping[str, dict[str, Any]]] | None = None,
    kept: dict[str, np.ndarray] | None = None,
    sample_weight: np.ndarray | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Measure models on held-out rows of the same folds.

    `variants` of a model, by its name and theirs, are parameters that need no new fit: the weights of a blend. They
    get rows of their own after it, and cost a scoring each. The scores of all rows go into `kept`, by name. By
    `sample_weight` (n_rows,) rows count in training and in what is measured.

    Returns the table of measures, a row a model, and for each model the threshold that all held-out rows together
    call for: the one to use on a new log. The measures are taken at thresholds that come from other folds.
    """
    labels, weight = np.asarray(y), np.ones(len(y)) if sample_weight is None else sample_weight
    table, threshold = {}, {}
    settings_of = {name: {name: {}, **(variants or {}).get(name, {})} for name in models}
    asked = [(model, list(settings_of[name].values())) for name, model in models.items()]
    of_models, fold_of_row = _score_folds(asked, X, y, splitter, on_fold, sample_weight)
    tested = fold_of_row >= 0
    for settings, all_scores in zip(settings_of.values(), of_models, strict=True):
        for setting, scores in zip(settings, all_scores, strict=True):
            if kept is not None:
                kept[setting] = scores
            own = cross_fitted_thresholds(labels, scores, fold_of_row, weight)
            table[setting] = detection_report(labels[tested], scores[tested], own[tested], sample_weight=weight[tested])
            threshold[setting] = choose_threshold(labels[tested], scores[tested], sample_weight=weight[tested])
    return pd.DataFrame(table).T, threshold


def held_out_scores(
    model: Any, X: Any, y: Any, splitter: Any, on_fold: Callable[[], Any] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each row from a model that has not seen its fold, and the number of that fold.

    Rows that no fold tests get NaN and -1. `on_fold` is called after each fold.
    """
    ((scores,),), fold_of_row = _score_folds([(model, [{}])], X, y, splitter, on_fold)
    return scores, fold_of_row


def _score_folds(
    asked: list[tuple[Any, list[dict[str, Any]]]],
    X: Any,
    y: Any,
    splitter: Any,
    on_fold: Callable[[], Any],
    sample_weight: np.ndarray | None = None,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return for each model its scores (n_settings, n_rows), of one fit a fold under parameters that count afterwards.

    And the fold of each row, from the same split: a splitter that draws would draw others the next time. On a backend
    of joblib all fits are side by side.
    """
    folds, fold_of_row = list(splitter.split(X, y)), np.full(len(X), -1)
    for fold, (_, test) in enumerate(folds):
        fold_of_row[test] = fold
    of_models = [np.full((len(settings), len(X)), np.nan) for _, settings in asked]
    turns = [(model, settings, X, y, *fold, sample_weight) for model, settings in asked for fold in folds]
    places = [(scores, test) for scores in of_models for _, test in folds]
    for (scores, test), found in zip(places, one_by_one(_score_fold, turns), strict=True):
        scores[:, test] = found
        on_fold()
    return of_models, fold_of_row


def _score_fold(
    model: Any,
    settings: list[dict[str, Any]],
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray,
    sample_weight: np.ndarray | None,
) -> list[np.ndarray]:
    """Return the scores (n_settings, n_test) of rows by a model fitted to others.

    Libraries are held to one thread: the OpenMP threads of boosted trees wait for each other by spinning, twenty times
    slower beside a busy neighbour.
    """
    with threadpool_limits(1):
        weight = weight_arguments(model, None if sample_weight is None else sample_weight[train])
        fitted = clone(model).fit(X.iloc[train], y.iloc[train], **weight)
        return [fitted.set_params(**parameters).predict_proba(X.iloc[test])[:, 1] for parameters in settings]


def cross_fitted_thresholds(
    y: np.ndarray, scores: np.ndarray, fold_of_row: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return a threshold for each row, chosen on the held-out rows of the other folds."""
    thresholds = np.full(len(y), np.nan)
    for fold in range(fold_of_row.max() + 1):
        others = (fold_of_row >= 0) & (fold_of_row != fold)
        counted = None if weight is None else weight[others]
        thresholds[fold_of_row == fold] = choose_threshold(y[others], scores[others], sample_weight=counted)
    return thresholds


def number_folds(splitter: Any, X: Any, y: Any) -> np.ndarray:
    """Return the number of the fold that holds each row out, -1 for rows that none does."""
    fold_of_row = np.full(len(X), -1)
    for fold, (_, test) in enumerate(splitter.split(X, y)):
        fold_of_row[test] = fold
    return fold_of_row


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


def format_table(table: pd.DataFrame) -> str:
    """Return the measures as text, with the level of random scores as the last row."""
    shown = table[SHOWN_MEASURES].map(lambda value: "-" if np.isnan(value) else f"{value:.3f}")
    prevalence = f"{table['prevalence'].iloc[0]:.3f}"
    shown.loc["random scores (prevalence)"] = [prevalence, "0.000", "-", "-", prevalence]
    return shown.rename(columns=lambda name: name.replace("_", " ")).to_string()


def verdict(table: pd.DataFrame, name: str, options: Mapping[str, str] | None = None) -> str:
    """Say in a sentence whether the model `name` is worth its trouble, and which to take.

    `options` are the words by which a model of the table is had alone.
    """
    ours = table.loc[name, "average_precision"]
    others = table["average_precision"].drop(name)
    beaten = [f"{other} ({value:.3f})" for other, value in others.items() if value < ours]
    ahead = [f"{other} ({value:.3f})" for other, value in others.items() if value >= ours]
    said = f"The {name} reaches an average precision of {ours:.3f}"
    if beaten:
        said += f", ahead of {_enumerate(beaten)}"
    if not ahead:
        return f"{said}. Take the {name}." if beaten else f"{said}."
    best = others.idxmax()
    said += f"{' but' if beaten else ', and'} does not beat {_enumerate(ahead)}"
    option = (options or {}).get(best)
    return f"{said}. Take the {best}{f': {option}' if option else ', which costs less'}."


def _enumerate(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def interval_sentence(
    table: pd.DataFrame,
    y: Any,
    scores: Mapping[str, np.ndarray],
    name: str,
    sample_weight: np.ndarray | None = None,
) -> str:
    """Say between which ends few events leave the average precision of a model, and its lead over the best other."""
    best = table["average_precision"].drop(name).idxmax()
    tested = ~np.isnan(scores[name])
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    rows = pd.Series(np.arange(len(y)), index=y.index)[tested]
    how: dict[str, Any] = {"n_resamples": N_DRAWS, "random_state": 0}

    def precision(which: str, y_true: Any, drawn: Any) -> float:
        at = np.asarray(drawn)
        return float(average_precision_score(y_true, scores[which][at], sample_weight=weight[at]))

    def lead_of(y_true: Any, drawn: Any) -> float:
        return precision(name, y_true, drawn) - precision(best, y_true, drawn)

    with warnings.catch_warnings():  # that events are few is said beside it
        warnings.simplefilter("ignore", UserWarning)
        own = bootstrap_interval(partial(precision, name), y[tested], rows, **how)
        lead = bootstrap_interval(lead_of, y[tested], rows, **how)
    return (
        f"The {name} reaches an average precision of {own.estimate:.3f}, which so few events leave between "
        f"{own.low:.2f} and {own.high:.2f} (95 %); its lead over {best} is {lead.estimate:+.3f}, between "
        f"{lead.low:+.2f} and {lead.high:+.2f}."
    )


def cross_fitted_scores(detector: AnomalyDetector, X: pd.DataFrame, n_folds: int = 5) -> pd.Series:
    """Return the score of each quiet row by a detector that is fitted to the other folds in time.

    Thresholds from it know all quiet rows, where those from the rows held out in `fit` know the last fifth. On 23 logs
    of the Numenta Anomaly Benchmark and a budget of a false alarm a week, what came was at most twice the budget on
    19 by five folds, on 6 by the last fifth; at a day, .3 against 1.2 times in the median. It costs `n_folds` fits.

    Parameters
    ----------
    detector : AnomalyDetector
        Whose parameters are taken; it is left as it is.
    X : DataFrame of shape (n_rows, n_sensors)
        The quiet rows; the index says run and time, so that no window crosses from one fold into another.
    n_folds : int, default=5
        Parts that each run is cut in.

    Returns
    -------
    Series of shape (n_rows,)
        `anomaly_score` of the rows, for ``detector.set_threshold("auto", score)``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from eventlstm.evaluation.held_out import cross_fitted_scores
    >>> from eventlstm.evaluation.baselines import unlabelled_baselines
    >>> times = pd.date_range("2026-01-01", periods=2000, freq="10min")
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 2)), index=times)
    >>> model = unlabelled_baselines(0)["one-step difference"].fit(X)
    >>> model.set_threshold("auto", cross_fitted_scores(model, X)).threshold_ > 1
    True
    """
    runs = read_index(X).runs
    position = np.arange(len(X)) - np.searchsorted(runs, runs)
    fold = position * n_folds // np.bincount(runs)[runs]
    score = pd.Series(np.nan, index=X.index)
    folds = [fold == own for own in range(n_folds)]
    for held, found in zip(folds, one_by_one(_score_held, [(detector, X, held) for held in folds]), strict=True):
        score[held] = found
    return score


def _score_held(detector: AnomalyDetector, X: pd.DataFrame, held: np.ndarray) -> np.ndarray:
    """Return the scores of some rows by a detector that is fitted to the others."""
    # a threshold of its own would be fitted, and warned of, for nothing
    fitted = clone(detector).set_params(threshold=0.0).fit(X[~held])
    return np.asarray(fitted.anomaly_score(X[held]))
