"""One check of a log: for a fit, for scoring, and what is refused or warned of before."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from .._validation import check_sample_weight
from .causal_gaps import GapRule, cut_causally, gap_rule
from .index import RowIndex, read_index
from .plain_labels import plain_labels
from .rows import Rows
from .sampling_checks import warn_if_torn, warn_of_other_steps
from .sensor_values import holds_plain_numbers, refuse_no_sensors, refuse_other_table
from .shared import IntArray
from .steps import learn_gaps, longest_steps, usual_steps

LOST_INDEX = "X has lost the index that says run and time:"
KEEP_INDEX = (
    "In a pipeline, call pipeline.set_output(transform='pandas'), so that the steps before the model keep the index."
)


class IndexFacts(NamedTuple):
    """What an estimator learns of the index of the log it is fitted on, under the names it keeps it by."""

    max_gap_: float  # longest step within a stretch, of the run with the longest
    max_gaps_: list[float]  # those of all runs, rising, alike ones taken for one
    steps_: list[float]  # the shortest and the longest of the runs' usual steps
    has_dates_: bool
    index_names_: list[Any] | None  # of the levels; None where the index says neither run nor time


def check_fit(estimator: Any, X: Any, y: Any = None, sample_weight: Any = None) -> tuple[Rows, RowIndex, IndexFacts]:
    """Return a log to fit on, checked: its rows, what its index says of each, and what to keep of the index.

    Only a classifier gets labels, and must.
    """
    if is_classifier(estimator):
        values, labels = _check_labelled(estimator, X, y)
    else:
        values, labels = check_log_values(estimator, X, reset=True), None
    index = read_index(X)
    facts = index_facts(X, index, getattr(estimator, "max_gap", "auto"))
    starts = cut_as_learnt(estimator, index, facts)
    weight = _check_row_weight(X, values, sample_weight)
    return Rows(values, starts, index.runs[starts], labels, weight), index, facts


def check_scoring(estimator: Any, X: Any) -> Rows:
    """Return a log to score by an estimator that has been fitted, warning where it is torn."""
    refuse_lost_index(X, estimator.index_names_)
    values = check_log_values(estimator, X, reset=False)
    index = read_index(X)
    starts = cut_as_learnt(estimator, index)
    warn_if_torn(index, starts, estimator.window_size)
    if hasattr(estimator, "steps_") and index.is_datetime == estimator.has_dates_:  # archives of before know none
        warn_of_other_steps(index, estimator.steps_)
    return Rows(values, starts, index.runs[starts], None, None)


def index_facts(X: Any, index: RowIndex, max_gap: Any) -> IndexFacts:
    """Return what is to be kept of the index of a log to fit on."""
    gaps = learn_gaps(index) if max_gap == "auto" else np.unique(longest_steps(index, max_gap))
    steps = usual_steps(index)
    names = list(X.index.names) if says_time(X) else None
    usual = [float(steps.min()), float(steps.max())]
    return IndexFacts(float(gaps[-1]), gaps.tolist(), usual, index.is_datetime, names)


def cut_as_learnt(estimator: Any, index: RowIndex, facts: Any = None) -> IntArray:
    """Return the first row of each stretch of a log, in `fit` and after it.

    Gaps are those of the fit, and a run is cut by its rows until then: neither what else a log holds nor what comes
    later must change the scores of its rows.
    """
    facts = estimator if facts is None else facts
    refuse_other_clock(index, facts.has_dates_)
    return cut_causally(index, gap_rule_of(estimator, facts))


def gap_rule_of(estimator: Any, facts: Any = None) -> GapRule:
    """Return when a step in time is a gap to an estimator, by its parameter and by what it learnt."""
    facts = estimator if facts is None else facts
    gaps = getattr(facts, "max_gaps_", [facts.max_gap_])  # archives of before know one
    return gap_rule(getattr(estimator, "max_gap", "auto"), gaps, is_datetime=facts.has_dates_)


def refuse_other_clock(index: RowIndex, had_dates: bool) -> None:
    """Refuse numbers as times where `fit` saw date-times, and the other way round: no length of time fits both."""
    if index.is_datetime != had_dates:
        learnt, came = ("date-times", "numbers") if had_dates else ("numbers", "date-times")
        raise ValueError(
            f"The index says time by {came}, but fit saw {learnt}. Give the log the clock of the log in fit, "
            f"or fit anew on one with {came}."
        )


def check_log_values(estimator: Any, X: Any, y: Any = None, *, reset: bool) -> Any:
    """Return the values of a log, float64 of shape (n_rows, n_sensors), and `y` as a 1-D array when it is given.

    Missing values and other columns than in `fit` are refused with the name of the column and the remedy.
    """
    refuse_no_sensors(X)
    if isinstance(X, pd.DataFrame):
        _refuse_missing(X)
    try:
        labels = "no_validation" if y is None else y
        return validate_data(estimator, X, labels, dtype=np.float64, order="C", reset=reset)
    except ValueError as error:
        if "feature names should match" not in str(error):
            raise
        raise ValueError(f"{error}Pass the columns of fit, in their order: X[model.feature_names_in_].") from None


def _refuse_missing(X: pd.DataFrame) -> None:
    """Name the first column that holds a missing or infinite value, and what to do about it."""
    if holds_plain_numbers(X, "f") and np.isfinite(X.to_numpy()).all():  # a tenth of the time that the rest takes
        return
    infinite = X.select_dtypes("number").isin([np.inf, -np.inf]).reindex(columns=X.columns, fill_value=False)
    for kind, bad in (("NaN", X.isna().to_numpy()), ("infinity", infinite.to_numpy())):
        if bad.any():
            column = int(bad.any(axis=0).argmax())
            row = int(bad[:, column].argmax())
            raise ValueError(
                f"X contains {kind}: {int(bad.sum())} such values, the first in column {X.columns[column]!r} at row "
                f"{row} ({X.index[row]}). Drop these rows, or put NaN there and fill it with a step before the model, "
                "such as ForwardFill() in a pipeline."
            )


def _check_labelled(estimator: Any, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the labels of a log."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. Pass a label per row."
        )
    values, labels = check_log_values(estimator, X, plain_labels(y, "y"), reset=True)
    check_classification_targets(labels)
    refuse_other_index(X, y)
    return values, labels


def _check_row_weight(X: Any, values: np.ndarray, sample_weight: Any) -> np.ndarray | None:
    """Return the weights of the rows of a log, None where none came."""
    if sample_weight is None:
        return None
    refuse_other_index(X, sample_weight)
    weight: np.ndarray = check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
    return weight


def refuse_one_class(labels: np.ndarray, weight: np.ndarray | None) -> None:
    """Refuse labels of which a single class has weight."""
    if len(np.unique(labels if weight is None else labels[weight > 0])) < 2:
        raise ValueError(
            f"The labels hold one class only ({labels[0]!r}); rows with and without an event are wanted. Label an "
            "event, or take folds that hold one: RunKFold."
        )


def says_time(X: Any) -> bool:
    """Return whether the index of `X` is one that was made on purpose: times, or runs and times."""
    index = getattr(X, "index", None)
    return isinstance(index, (pd.MultiIndex, pd.DatetimeIndex, pd.TimedeltaIndex))


def refuse_other_index(X: Any, y: Any) -> None:
    """scikit-learn never aligns: refuse labels that are not those of the rows beside them."""
    if says_time(y) and not says_time(X):
        raise ValueError(f"{LOST_INDEX} y has the levels {list(y.index.names)}. {KEEP_INDEX}")
    if not isinstance(y, pd.Series | pd.DataFrame) or not isinstance(X, pd.DataFrame) or X.index.equals(y.index):
        return
    if X.index.nlevels == y.index.nlevels and len(X.index.symmetric_difference(y.index)) == 0:
        raise ValueError("y is in another order than X. Align it: y = y.loc[X.index].")
    raise ValueError(
        "y has other rows than X: their indexes differ. Take the labels of X: y = y.loc[X.index], or "
        "y.set_axis(X.index) where they stand row by row beside it."
    )


def refuse_lost_index(X: Any, names: list[Any] | None) -> None:
    """Refuse a log without run and time when `fit` saw them as index levels of these names.

    Numbers under the name of the time are another clock, which is refused as such.
    """
    own = list(getattr(getattr(X, "index", None), "names", ()))
    if names is not None and not says_time(X) and (own != list(names) or names == [None]):
        raise ValueError(f"{LOST_INDEX} fit saw the levels {names}. {KEEP_INDEX}")


def find_categorical(X: Any, wanted: Any) -> tuple[int, ...]:
    """Return the positions of the sensors that `categorical_channels` names, refusing text in them.

    Raises
    ------
    ValueError
        If a name or position is not one of `X`, comes twice, or the column holds no numbers.
    """
    if wanted is None:
        return ()
    refuse_other_table(X)
    names = list(getattr(X, "columns", ()))
    values = X if names else np.asarray(X)
    if values.ndim != 2:
        return ()  # it is refused for that elsewhere
    found = [_position(channel, names, values.shape[1]) for channel in wanted]
    positions = tuple(position for position in found if position is not None)
    if len(set(positions)) < len(found):
        raise ValueError(
            f"categorical_channels={list(wanted)!r} must be names or positions of sensors, each once. "
            f"X has {values.shape[1]} sensors{f': {names}' * bool(names)}."
        )
    for position in positions:
        _refuse_text_codes(values, position)
    return positions


def _position(channel: Any, names: list[Any], n_sensors: int) -> int | None:
    if isinstance(channel, str):
        return names.index(channel) if names.count(channel) == 1 else None
    known = isinstance(channel, int | np.integer) and not isinstance(channel, bool) and 0 <= channel < n_sensors
    return int(channel) if known else None


def _refuse_text_codes(X: Any, position: int) -> None:
    column = pd.DataFrame(X).iloc[:, position].infer_objects()
    if not pd.api.types.is_numeric_dtype(column):
        raise ValueError(
            f"Column {column.name!r} of X, named in categorical_channels, is of type {column.dtype}, but codes are "
            "numbers. Encode it by a step before the model that keeps the names and the index: "
            "make_column_transformer((OrdinalEncoder(handle_unknown='use_encoded_value', unknown_value=-1), "
            f"[{column.name!r}]), remainder='passthrough', verbose_feature_names_out=False)"
            ".set_output(transform='pandas')."
        )
