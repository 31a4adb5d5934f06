"""Sensors judged against each other: rotated and scaled until none of them follows from the others.

Rows are ``(n_rows, n_sensors)``; whitened rows are ``(n_rows, n_whitened)``, one channel for each sensor that tells
something of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .lanes import BLOCK_ROWS  # of the sums too: their order of adding up hangs on nothing else
from .shared import FloatArray, IntArray

# A direction in which standardised sensors vary less than this is left out: dividing by it would magnify rounding.
LEAST_VARIANCE = 1e-4
# Sensors are copies of each other, in whatever unit, from this correlation on.
COPY = 1 - 1e-8
# Rows turned at a time, which a processor's cache holds: twice as fast as all of them.
CACHED_ROWS = 1024
# A spread below this share of the sensor's level is rounding: a moving mean of 300 rows is off by up to 150 of them.
STILL = 1e-12


def turn(X: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return rows (..., n_sensors) times a matrix (n_sensors, n_whitened), each row by itself to the bit."""
    n_rows = prod(X.shape[:-1])
    rows, out = X.reshape(n_rows, X.shape[-1]), np.zeros((n_rows, matrix.shape[1]))
    telling = np.flatnonzero(matrix.any(axis=1))
    for some in (slice(k, k + CACHED_ROWS) for k in range(0, n_rows, CACHED_ROWS)):
        for k in telling:  # a product of matrices would round by the number of rows
            out[some] += rows[some, k, None] * matrix[k]
    return out.reshape(*X.shape[:-1], matrix.shape[1])


def learn_whitening(X: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the whitening of some rows: a linear map to channels of deviation one without correlation.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_sensors)
        Rows to learn from.
    weight : ndarray of shape (n_rows,)
        Weight of each row.

    Returns
    -------
    center : ndarray of shape (n_sensors,)
        What is subtracted from each sensor.
    matrix : ndarray of shape (n_sensors, n_whitened)
        What each sensor then adds to each channel: the principal components of the standardised sensors, each divided
        by its own deviation, the least one first. A sensor that stood still, and a copy of another, add nothing.

    References
    ----------
    A. Kessy, A. Lewin and K. Strimmer, "Optimal whitening and decorrelation", The American Statistician 72(4), 2018.
    """
    center, deviation = _mean_and_deviation(X, weight)
    moving = np.flatnonzero(deviation > STILL * np.abs(center))
    correlation = _correlate(X, weight, center, deviation, moving)
    own = [k for k in range(len(moving)) if not (np.abs(correlation[k, :k]) > COPY).any()]
    variance, directions = np.linalg.eigh(correlation[np.ix_(own, own)])
    directions = directions[:, variance > LEAST_VARIANCE]
    directions = directions * np.where(_leaning(directions) < 0, -1.0, 1.0)
    matrix = np.zeros((X.shape[1], directions.shape[1]))
    matrix[moving[own]] = directions / np.sqrt(variance[variance > LEAST_VARIANCE]) / deviation[moving[own], None]
    return center, matrix


def _leaning(directions: FloatArray) -> FloatArray:
    """Return to which side each direction leans, by unequal weights: its sign is not left to the library's rounding."""
    weights = 1.0 / np.arange(1.0, len(directions) + 1.0)
    leaning: FloatArray = weights @ directions
    return leaning


def _mean_and_deviation(X: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and deviation of each column, exact where it stands still."""
    first = X[np.argmax(weight > 0)].astype(np.float64)
    mean = first + _sum(lambda rows, w: w @ (rows - first), X, weight) / weight.sum()
    variance = _sum(lambda rows, w: w @ (rows - mean) ** 2, X, weight) / weight.sum()
    return mean, np.sqrt(variance)


def _correlate(
    X: FloatArray, weight: FloatArray, center: FloatArray, deviation: FloatArray, columns: IntArray
) -> FloatArray:
    """Return the weighted correlation of some columns."""

    def products(rows: FloatArray, w: FloatArray) -> FloatArray:
        scaled = (rows[:, columns] - center[columns]) / deviation[columns]
        product: FloatArray = scaled.T @ (scaled * w[:, None])
        return product

    return _sum(products, X, weight) / weight.sum()


def _sum(of_block: Callable[[FloatArray, FloatArray], FloatArray], X: FloatArray, weight: FloatArray) -> Any:
    blocks = (slice(k, k + BLOCK_ROWS) for k in range(0, len(X), BLOCK_ROWS))
    return sum(of_block(X[block].astype(np.float64, copy=False), weight[block]) for block in blocks)
