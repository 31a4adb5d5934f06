"""Classifiers of logs row by row: `EventClassifier` step by step and by windows, `EventBlend`, and others of rows.

Rows are ``(n, n_sensors)``, one of each of some machines; what is said of them is ``(n, n_classes)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np

from ..detectors.event_classifier import EventClassifier, ensemble_of, history_of
from ..logs.shared import BoolArray, IntArray
from ..recurrent.codes import Codes, check_channels
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.lstm_tagger import LSTMTagger
from ..recurrent.members import mean_log_odds, of_all_classes, takes_3d
from .fields import FieldSteps
from .member_proba import MemberProba
from .moves import Lags, Views
from .networks import NetworkSteps, by_architecture
from .slots import Node, Rows
from .trees import quick_proba


class StepClassifier(Node):
    """An `EventClassifier` in mode "stateful"."""

    def __init__(self, model: EventClassifier) -> None:
        super().__init__()
        ensemble, self.n_rows = ensemble_of(model), history_of(model)
        for member in ensemble.members:
            known = LSTMTagger if isinstance(member, LSTMTagger) else LSTMClassifier
            refuse_other_steps(member, known, "predict_proba_steps")
        ensemble.refuse_to_look_ahead("a stream")
        self.views = Views(ensemble.scalers, model.n_features_in_, ensemble.dtype)
        self.groups = [
            MemberGroup([ensemble.members[k] for k in alike], view, ensemble.classes)
            for view, seen in enumerate(members_by_view(len(ensemble.members), len(ensemble.scalers)))
            for alike in by_architecture([member.module_ for member in ensemble.members], seen)
        ]

    def step(self, rows: Rows, values: np.ndarray, begins: BoolArray, age: IntArray) -> np.ndarray:
        """Return the probabilities of one more row; where a stretch begins, copies of it come before."""
        if begins.any():
            first = np.flatnonzero(begins)
            self._warm_up(rows.pick(first), values[first])
        seen = self.views.see(rows.slots, values)
        return mean_log_odds(np.concatenate([group.proba(rows.slots, seen[group.view]) for group in self.groups]))

    def _warm_up(self, slots: Any, values: np.ndarray) -> None:
        self.views.begin(slots, values)
        for group in self.groups:
            group.begin(slots)
        for _ in range(self.n_rows):
            seen = self.views.see(slots, values)
            for group in self.groups:
                group.logits(slots, seen[group.view])


class MemberGroup(Node):
    """Members that see the same channels and have the same architecture."""

    def __init__(self, members: Sequence[Any], view: int, classes: np.ndarray) -> None:
        super().__init__()
        self.view, self.to_proba = view, MemberProba(members, classes)
        self.networks, self.codes = NetworkSteps([member.module_ for member in members]), codes_of(members[0])
        fields = [getattr(member.module_, "crf", None) for member in members]
        self.field = None if fields[0] is None else FieldSteps(fields)

    def begin(self, slots: Any) -> None:
        """Let some machines begin from a cold state."""
        self.networks.begin(slots)
        if self.field is not None:
            self.field.begin(slots)

    def logits(self, slots: Any, channels: np.ndarray) -> np.ndarray:
        """Return the logits (n_members, n, n_outputs) at one more row."""
        logits = self.networks.step(slots, self.codes.encode(channels))
        return logits if self.field is None else self.field.step(slots, logits)

    def proba(self, slots: Any, channels: np.ndarray) -> np.ndarray:
        """Return the probabilities (n_members, n, n_classes) at one more row."""
        return self.to_proba(self.logits(slots, channels))


class WindowClassifier(Node):
    """An `EventClassifier` in mode "windows", which keeps the rows of a window."""

    def __init__(self, model: EventClassifier) -> None:
        super().__init__()
        ensemble, window_size = ensemble_of(model), history_of(model)
        self.views = Views(ensemble.scalers, model.n_features_in_, ensemble.dtype)
        self.windows = [Lags(window_size, view.n_channels, ensemble.dtype) for view in self.views.channels]
        self.members, self.classes = ensemble.members, ensemble.classes
        self.n_rows = window_size - 1 + max(view.n_lags for view in self.views.channels)
        self.ask = [member.predict_proba if takes_3d(member) else flat_proba(member) for member in self.members]

    def step(self, rows: Rows, values: np.ndarray, begins: BoolArray, age: IntArray) -> np.ndarray:
        """Return the probabilities of one more row; before the first of a stretch there are copies of it."""
        first = np.flatnonzero(begins)
        if len(first):
            self.views.begin(rows.pick(first), values[first])
        seen = self.views.see(rows.slots, values)
        if len(first):
            for window, channels in zip(self.windows, seen, strict=True):
                window.begin(rows.pick(first), channels[first])
        windows = [window.step(rows.slots, channels) for window, channels in zip(self.windows, seen, strict=True)]
        proba = [ask(shown) for ask, shown in zip(self.ask, cycle(windows), strict=False)]
        of_all = [of_all_classes(p, m.classes_, self.classes) for p, m in zip(proba, self.members, strict=True)]
        return mean_log_odds(np.stack(of_all))


class RowClassifier(Node):
    """A classifier that judges each row by itself, as scikit-learn's do."""

    n_rows = 1

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.ask = model, quick_proba(model)

    def step(self, rows: Rows, values: Any) -> np.ndarray:
        """Return the probabilities of one more row."""
        return self.ask(values)


def members_by_view(n_members: int, n_views: int) -> list[list[int]]:
    """Return the numbers of the members that see through each view, which are for them in turn."""
    return [list(range(view, n_members, n_views)) for view in range(n_views)]


def flat_proba(member: Any) -> Any:
    """Return the `predict_proba` of a member that takes windows (n, n_rows, n_channels) as rows."""
    ask = quick_proba(member)
    return lambda windows: ask(windows.reshape(len(windows), -1))


def codes_of(member: Any) -> Codes:
    """Return which channels of a network hold codes, and which are known."""
    return Codes(check_channels(member.categorical_channels, member.n_channels_), member.categories_)


def refuse_other_steps(member: Any, known: type, steps: str) -> None:
    """Refuse a member whose way of going step by step is its own."""
    if not (isinstance(member, known) and getattr(type(member), steps) is getattr(known, steps)):
        raise TypeError(
            f"{type(member).__name__} goes step by step in a way of its own, which a stream does not know. Use "
            f"{known.__name__}, or mode='windows'."
        )
