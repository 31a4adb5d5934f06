"""Labels as they are typed: which class marks events, the same in every command, and from how long before an event."""

from __future__ import annotations

import argparse
import re
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from ..logs.horizons import horizon_labels
from ..logs.log import Log

# What logs call rows without an event: beside one of these, the other class is the event, however frequent it is.
QUIET_WORDS = frozenset(
    ("fine", "good", "healthy", "no", "none", "nominal", "normal", "off", "ok", "okay", "pass", "passed", "quiet")
)
TRUTH = {"true": 1, "false": 0}
DECIMAL = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)
# Share of the rows below which a class is rare enough to be taken for the event where nothing else tells the two apart:
# in logs labelled up to the failure, event rows are soon a fifth or more, and then rarity says nothing.
CLEARLY_RARE = 0.1
MAX_CLASSES_SHOWN, MAX_NAME_LENGTH = 3, 20  # a message stays within a line
UNNAMED = "Name the class of events: --event VALUE."


class Classes(NamedTuple):
    """Which class of a label marks events, and which are quiet."""

    event: Any  # None where it is not known
    quiet: tuple[Any, ...]
    doubt: str = ""  # what there is to say where the event was only guessed

    @classmethod
    def of(cls, model: Any) -> Self | None:
        """Return the classes that a saved model was fitted or measured on, None where it knows none."""
        if hasattr(model, "quiet_labels_"):
            return None if model.event_label_ is None else cls(model.event_label_, tuple(model.quiet_labels_))
        known = list(getattr(model, "classes_", ())) == [0, 1]
        return cls(1, (0,)) if known and getattr(model, "event_label_", 1) == 1 else None


NO_CLASSES = Classes(None, ())
FLAGS = Classes(1, (0,))  # of rows within events that came as intervals


def label_rows(
    log: Log, options: argparse.Namespace, model: Any = None, *, needs_event: bool = False, told: bool = True
) -> tuple[Log, Classes]:
    """Return a log whose labels are 1 on rows of an event and within the horizon before one.

    Which classes these are is printed if `told`. A saved `model` brings the classes that it knows, and its horizon.
    """
    if options.event is not None and options.label is None:
        raise ValueError(
            f"--event {options.event} names a class of a label, and there is none. Pass --label COLUMN too."
        )
    if log.y is None:
        return log, NO_CLASSES
    y, known = read_classes(log.y), None if model is None else Classes.of(model)
    classes = find_classes(y, options, known, needs_event=needs_event)
    if told:
        print(describe_classes(y, classes, options))
    horizon = options.horizon if model is None else getattr(model, "horizon_", "0")
    events = horizon_labels((y == classes.event).astype(int), read_horizon(horizon))
    return log._replace(y=events), NO_CLASSES if options.events is not None else classes


def keep_reading(model: Any, index: pd.Index, classes: Classes, options: argparse.Namespace) -> None:
    """Keep in a model how its log was read, so that `score` and `report` read others alike."""
    model.event_label_, model.quiet_labels_ = classes.event, list(classes.quiet)
    model.horizon_, model.index_columns_ = options.horizon, list(index.names)


def plain_value(value: Any) -> Any:
    """Return a class as an int, a float or a text: 1, 1.0, True, "1" and "true" are the same class in every type."""
    if isinstance(value, bool | int | np.bool_ | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return int(value) if float(value).is_integer() else float(value)
    text = str(value).strip()
    if text.casefold() in TRUTH:
        return TRUTH[text.casefold()]
    if not DECIMAL.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdigit() else plain_value(float(text))


def read_classes(y: pd.Series) -> pd.Series:
    """Return labels as plain values, see `plain_value`."""
    codes, found = pd.factorize(y)
    values = np.array([plain_value(value) for value in found], dtype=object)
    return pd.Series(values[codes], index=y.index, name=y.name)


def find_classes(
    y: pd.Series, options: argparse.Namespace, known: Classes | None = None, *, needs_event: bool = False
) -> Classes:
    """Return which plain labels mark events, by what the command says, what a model knows, or the labels themselves.

    Without `needs_event` there may be no row of an event.
    """
    if options.events is not None:
        return FLAGS
    if options.event is not None:
        return _as_asked(y.value_counts(), plain_value(options.event), needs_event)
    if known is not None:
        _refuse_unknown(y, known)
        return known
    return choose_classes(y, needs_event=needs_event)


def choose_classes(y: pd.Series, *, needs_event: bool = False) -> Classes:
    """Return which plain labels mark events, as numbers and words tell, or else the clearly rarer class."""
    counts = y.value_counts()
    if len(counts) == 1 and not needs_event:
        return _only_class(counts.index[0])
    if len(counts) != 2:
        raise ValueError(
            f"the label has {len(counts)} class{'es' * (len(counts) != 1)} ({_enumerate_rows(counts)}); two are "
            f"wanted: quiet rows and rows of an event. Label an event, or name it among several: --event VALUE."
        )
    return _tell_apart(counts)


def _as_asked(counts: pd.Series, event: Any, needs_event: bool) -> Classes:
    quiet = tuple(value for value in counts.index if value != event)
    if event not in counts.index and (needs_event or len(quiet) > 1):
        raise ValueError(
            f"--event {name_class(event)} is on no row; the label has {_enumerate_rows(counts)}. Name one of these."
        )
    if needs_event and not quiet:
        raise ValueError(f"all rows are labelled {name_class(event)}, the event. Pass a log with quiet rows too.")
    return Classes(event, quiet)


def _only_class(value: Any) -> Classes:
    """Return the classes where all rows have one."""
    if value in (0, 1):
        return FLAGS
    if _is_quiet(value):
        return Classes(None, (value,))
    raise ValueError(f"all rows are labelled {name_class(value)}, which may mean quiet or an event. {UNNAMED}")


def _tell_apart(counts: pd.Series) -> Classes:
    """Return which of two classes is the event."""
    common, rare = counts.index
    is_rare, signs = counts.loc[rare] < CLEARLY_RARE * counts.sum(), set(counts.index) == {-1, 1}
    if _is_quiet(common) != _is_quiet(rare):
        event, quiet = (rare, common) if _is_quiet(common) else (common, rare)
        return Classes(event, (quiet,))
    if signs and not (is_rare and rare == -1):  # -1 is an outlier to scikit-learn: nobody can know where it is rare
        return Classes(1, (-1,), " Taken as 1 beside -1; where -1 marks outliers: --event -1." * (rare == -1))
    if is_rare and not signs:
        return Classes(rare, (common,), f" Taken as the rarer class; else --event {name_class(common)}.")
    raise ValueError(f"the label has {_enumerate_rows(counts)}, and nothing tells which is the event. {UNNAMED}")


def _is_quiet(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and value.casefold() in QUIET_WORDS)


def _refuse_unknown(y: pd.Series, known: Classes) -> None:
    """Refuse plain labels that a model does not know, naming both."""
    counts = y.value_counts()
    unknown = counts[~counts.index.isin([known.event, *known.quiet])]
    if len(unknown):
        raise ValueError(
            f"the label has {_enumerate_rows(unknown)}, but the model knows {name_class(known.event)} as the event and "
            f"{_enumerate(known.quiet)} as quiet. Spell them alike, or name this log's event: --event VALUE."
        )


def describe_classes(y: pd.Series, classes: Classes, options: argparse.Namespace) -> str:
    """Say which class is the event and which are quiet, and how many rows have each."""
    counts = y.value_counts()
    if options.events is not None:
        return f"Event: the rows within {options.events} ({counts.get(1, 0)}); quiet: all others ({counts.get(0, 0)})."
    event = "not known" if classes.event is None else _count_rows(classes.event, counts)
    quiet = _enumerate([_count_rows(value, counts) for value in classes.quiet], str)
    return f"Event: {event}; quiet: {quiet or 'no row'}.{classes.doubt}"


def _count_rows(value: Any, counts: pd.Series) -> str:
    n_rows = int(counts.get(value, 0))
    return f"{name_class(value)} ({n_rows} row{'s' * (n_rows != 1)})"


def name_class(value: Any) -> str:
    """Return the name of a class, cut where it is long."""
    named = repr(value)
    return named if len(named) <= MAX_NAME_LENGTH else f"{named[:MAX_NAME_LENGTH]}..."


def _enumerate_rows(counts: pd.Series) -> str:
    """Return the classes of some labels, the most frequent first, with their rows."""
    return _enumerate([_count_rows(value, counts) for value in counts.index], str)


def _enumerate(values: Any, name: Any = name_class) -> str:
    more = f" and {len(values) - MAX_CLASSES_SHOWN} more" if len(values) > MAX_CLASSES_SHOWN else ""
    return ", ".join(map(name, values[:MAX_CLASSES_SHOWN])) + more


def read_horizon(text: str) -> int | float | str:
    """Return rows, a number in the unit of the time, or a length of time such as 6h."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text
