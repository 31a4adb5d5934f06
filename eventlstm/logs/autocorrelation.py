"""The autocorrelation of columns of a log, ``(n_lags + 1, n_columns)`` by lag in rows: pairs are of one stretch."""

from __future__ import annotations

import numpy as np
from scipy import fft

from .shared import FloatArray, IntArray


def autocorrelation(values: FloatArray, starts: IntArray, n_lags: int) -> FloatArray:
    """Return the autocorrelation at lags 0 to `n_lags`, over the pairs of rows within a stretch.

    `values` (n_rows, n_columns) have a mean of zero and may be NaN; `starts` are the first rows of the stretches. A
    column that does not vary has NaN.
    """
    products = np.zeros((n_lags + 1, values.shape[1]))
    pairs = np.zeros_like(products)
    for part in np.split(values, starts[1:]):
        size = fft.next_fast_len(len(part) + n_lags, real=True)
        known = np.isfinite(part)
        if known.all():
            products += _correlate(part, size)[: n_lags + 1]
            pairs += np.maximum(len(part) - np.arange(n_lags + 1), 0)[:, None]
        else:
            products += _correlate(np.where(known, part, 0.0), size)[: n_lags + 1]
            pairs += np.rint(_correlate(known.astype(np.float64), size))[: n_lags + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = np.where(pairs > 0, products / pairs, 0.0)  # a lag without pairs tells nothing
        return np.clip(covariance / covariance[0], -1.0, 1.0)


def falling(acf: FloatArray) -> FloatArray:
    """Return correlations from lag one on, with zero from where they first fall to it."""
    return acf * (np.cumsum(acf <= 0, axis=0) == 0)


def _correlate(part: FloatArray, size: int) -> FloatArray:
    """Return the sums of products of a series with itself some rows later, one for each lag below `size`."""
    return fft.irfft(np.abs(fft.rfft(part, size, axis=0)) ** 2, size, axis=0)
