"""Conditional random fields row by row, in NumPy: the forward algorithm of some members side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .slots import Node, empty


class FieldSteps(Node):
    """The fields of fitted taggers, and what each expects of the next row of each machine.

    Parameters
    ----------
    fields : sequence of LinearChainCRF
        Fields of as many classes each.
    """

    def __init__(self, fields: Sequence[Any]) -> None:
        super().__init__()
        self.scores = np.stack([_array(field.scores()) for field in fields])[:, None]  # (n_fields, 1, from, to)
        self.start = np.stack([_array(field.start) for field in fields])[:, None]  # (n_fields, 1, n_classes)
        self.kept["ahead"] = empty(len(fields), self.start.shape[-1])

    def begin(self, slots: Any) -> None:
        """Let some machines begin a chain."""
        self.kept["ahead"][:, slots] = self.start

    def step(self, slots: Any, scores: np.ndarray) -> np.ndarray:
        """Return logarithms of probabilities (n_fields, n, n_classes) of the scores of one more row."""
        message = self.kept["ahead"][:, slots] + scores
        message = message - _log_sum(message)[..., None]
        self.kept["ahead"][:, slots] = _log_sum((message[..., None] + self.scores).swapaxes(-1, -2))
        return message


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().double().numpy())


def _log_sum(values: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of exponentials over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    out: np.ndarray = np.log(np.exp(values - highest).sum(axis=-1)) + highest[..., 0]
    return out
