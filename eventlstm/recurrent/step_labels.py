"""Labels of the steps of windows: their shape, the steps that they belong to, and how often one follows another.

Labels are ``(n_windows, n_labelled)``: those of the last steps of each window, of all where windows end early.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from ..logs.plain_labels import plain_labels
from .checking import CheckedWindows
from .classes import SMALLEST_PRIOR


class StepLabels(NamedTuple):
    """The labels of a training set, step by step."""

    y: np.ndarray  # (n_steps,) classes
    weight: np.ndarray  # (n_steps,), zero behind the end of a window
    sequence: np.ndarray  # (n_steps,) the number of the window or stretch that each is in, rising

    def count_transitions(self, labels: np.ndarray) -> np.ndarray:
        """Return the weight with which each of the classes `labels` follows each, (n_classes, n_classes)."""
        number = np.searchsorted(labels, self.y)
        used = self.weight > 0
        pairs = used[:-1] & used[1:] & (self.sequence[:-1] == self.sequence[1:])
        both = number[:-1][pairs] * len(labels) + number[1:][pairs]
        counts = np.bincount(both, weights=self.weight[1:][pairs], minlength=len(labels) ** 2)
        return counts.reshape(len(labels), -1)


def check_step_labels(y: Any, windows: CheckedWindows, estimator: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return labels as (n_windows, n_labelled), and the shape that those of a window came in.

    Behind the end of a window stands a label that is known.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. Pass a class per step."
        )
    values, n_steps = np.asarray(y), windows.values.shape[1]
    if values.ndim == 2 and values.shape[1] == 1 < n_steps:
        values = column_or_1d(values, warn=True)
    check_consistent_length(windows.values, values)
    if values.ndim not in (1, 2) or (values.ndim == 2 and not 1 <= values.shape[1] <= n_steps):
        raise ValueError(
            f"y has the shape {values.shape}, where windows have {n_steps} steps. Pass a label for each step, "
            f"({len(windows.values)}, {n_steps}), or for the last steps or step of each window."
        )
    shape, values = values.shape[1:], values.reshape(len(values), -1)
    refuse_early_ends(windows, values.shape[1])
    if windows.lengths is not None:
        values = np.where(inside_of(windows, values.shape[1]), values, values[0, 0])
    labels = plain_labels(values, "y", "a label of each step is")
    if labels.dtype.kind == "f":
        assert_all_finite(labels, estimator_name=type(estimator).__name__, input_name="y")
    check_classification_targets(labels.ravel())
    return labels, shape


def refuse_early_ends(windows: CheckedWindows, n_labelled: int) -> None:
    """Refuse windows that end early where only the last steps have labels."""
    if windows.lengths is not None and n_labelled < windows.values.shape[1]:
        raise ValueError(
            f"Windows of {windows.values.shape[1]} steps end early, but y is of the last {n_labelled} steps only. "
            "Fit on a label for each step, or on windows of one length."
        )


def inside_of(windows: CheckedWindows, n_labelled: int) -> np.ndarray:
    """Return which labels are of steps before a window's end, (n_windows, n_labelled)."""
    n_windows = len(windows.values)
    if windows.lengths is None:
        return np.ones((n_windows, n_labelled), dtype=bool)
    inside: np.ndarray = np.arange(n_labelled) < windows.lengths[:, None]
    return inside


def of_windows(labels: np.ndarray, windows: CheckedWindows, weight: np.ndarray) -> StepLabels:
    """Return the labels (n_windows, n_labelled) of windows step by step; a step weighs what its window does."""
    steps = weight[:, None] * inside_of(windows, labels.shape[1])
    return StepLabels(labels.ravel(), steps.ravel(), np.repeat(np.arange(len(labels)), labels.shape[1]))


def of_rows(labels: np.ndarray, starts: np.ndarray, weight: np.ndarray) -> StepLabels:
    """Return the labels (n_rows,) of a log whose stretches begin at `starts`."""
    return StepLabels(labels, weight, np.searchsorted(starts, np.arange(len(labels)), side="right"))


def chain_scores(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return scores of transitions that make, beside logits of these shares of the classes, the chain of the counts.

    Each transition is counted once more than it was seen (Laplace's rule); where none was seen, scores are zero.
    """
    if not counts.any():
        return np.zeros(counts.shape)
    smoothed = counts + 1.0
    chain = smoothed / smoothed.sum(axis=1, keepdims=True)
    scores: np.ndarray = np.log(chain) - np.log(np.maximum(shares / shares.sum(), SMALLEST_PRIOR))
    return scores
