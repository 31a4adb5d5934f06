"""Causal means of the scores of rows, each stretch by itself, and over how many rows to take them."""

from __future__ import annotations

import math

import numpy as np

from ..logs.autocorrelation import autocorrelation, falling
from ..logs.input_scaler import moving_mean

# Spans in rows to choose from: what ASD does best with, and four times as much.
SPANS = (15, 18, 21, 25, 30, 36, 42, 50, 60)
# What comes on one quiet row of a thousand: about what a threshold has to be above.
HIGH = 0.999
# Independent rows of span that cost as much as a threshold higher by a factor of e.
ROWS_OF_SPAN = 150.0
LEAST_PAIRED = 0.75  # of the rows, that the longest lag leaves a partner


def learn_span(score: np.ndarray, starts: np.ndarray, average: str = "exponential") -> float:
    """Return over how many rows to smooth: as many as lower the highest scores of quiet rows enough.

    Parameters
    ----------
    score : ndarray of shape (n_rows, 1)
        Scores of quiet rows that are not smoothed, none below zero.
    starts : ndarray of shape (n_stretches,)
        The first row of each stretch.
    average : {"exponential", "window"}, default="exponential"
        The kind of mean.

    Returns
    -------
    float
        One of `SPANS`, of which it makes ``log(high) + rows_together(score) * span / 150`` least, where ``high`` is
        exceeded on one row of a thousand. A longer span is worth its delays and echoes only by what it takes off a
        threshold. Where quiet rows hang together, what it averages away are bursts as long as the events to be found.
    """
    smoothed = [smooth_stretches(score, starts, span, score.mean(axis=0), average) for span in SPANS]
    high = np.maximum([np.quantile(one, HIGH) for one in smoothed], np.finfo(float).tiny)
    return float(SPANS[np.argmin(np.log(high) + rows_together(score, starts) * np.array(SPANS) / ROWS_OF_SPAN)])


def rows_together(score: np.ndarray, starts: np.ndarray) -> float:
    """Return how many rows make one that is independent of the others, by the root of the score.

    It is the integrated autocorrelation time, 1 for independent rows, summed until the autocorrelation falls to zero.
    """
    size = np.sqrt(np.maximum(score, 0.0))
    n_lags = min(SPANS[-1], int((1 - LEAST_PAIRED) * len(size)))
    together = 1.0 + 2.0 * falling(autocorrelation(size - size.mean(axis=0), starts, n_lags)[1:]).sum()
    return float(together) if np.isfinite(together) else 1.0  # scores that do not vary


def smooth_stretches(
    values: np.ndarray, starts: np.ndarray, span: float, before: np.ndarray, average: str = "exponential"
) -> np.ndarray:
    """Return `smooth` of each stretch by itself; `starts` are their first rows."""
    return np.concatenate([smooth(part, span, before, average) for part in np.split(values, starts[1:])])


def smooth(values: np.ndarray, span: float, before: np.ndarray, average: str = "exponential") -> np.ndarray:
    """Return a causal mean of the rows of a stretch.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Rows of one stretch.
    span : float
        Span in rows, rounded up for a window; 1 changes nothing.
    before : ndarray of shape (n_columns,)
        The mean before the first row.
    average : {"exponential", "window"}, default="exponential"
        Whether rows count less the longer they are past, or the last `span` alike and no others.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        The mean at each row.
    """
    return smooth_on(values, span, before, average)[0]


def smooth_on(
    values: np.ndarray, span: float, before: np.ndarray, average: str = "exponential", kept: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return `smooth` of some rows of a stretch, and what is kept to go on from; `kept` is that of the rows before."""
    if span <= 1:
        return values, None
    if average == "window":
        return _window_mean(values, math.ceil(span), before, kept)
    mean = moving_mean(values[None], span, (before if kept is None else kept)[None, None])[0]
    return mean, mean[-1].copy() if len(mean) else kept


def _window_mean(
    values: np.ndarray, n_rows: int, before: np.ndarray, kept: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the last `n_rows` rows, and the last rows; those before the first are as `before`."""
    last = np.repeat(before[None], n_rows - 1, axis=0) if kept is None else kept
    padded = np.concatenate([last, values])
    total = np.zeros_like(values)
    for age in range(n_rows):  # a running sum would carry the rounding of a burst on
        total += padded[age : age + len(values)]
    return total / n_rows, padded[len(values) :].copy()
