"""From the errors of a model at each row and sensor, ``(..., n_sensors)``, to what each sensor adds to a score."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.covariance import LedoitWolf

from ..logs.shared import warn

# Quiet rows for each sensor from which on a full covariance of the errors is worth its noise.
ROWS_A_SENSOR = 50


class ErrorScorer(BaseEstimator):
    """Score rows by how large the errors of all sensors are against what they are on quiet rows.

    Parameters
    ----------
    norm : {"squares", "mahalanobis"}, default="squares"
        "squares" is the mean square of the scaled errors. "mahalanobis" also weighs how errors of sensors go
        together, by a shrunk covariance; it needs fifty quiet rows for each sensor and warns below.
    cap : float, default=100.0
        Largest scaled error that counts: one broken sensor must not hide the others for good.
    shrinkage : float, default=20.0
        Rows that the common scale of all sensors counts for: of `n` quiet rows, a sensor's own scale has the weight
        ``n / (n + shrinkage)``, in a mean of logarithms.
    floor : float, default=0.001
        Smallest scale, in the unit of the errors, which is a deviation of the sensor: below it an error is the
        model's, not the sensor's.

    Attributes
    ----------
    scale_ : ndarray of shape (n_sensors,)
        What the errors of each sensor are divided by.
    precision_ : ndarray of shape (n_sensors, n_sensors) or None
        Inverse covariance of the scaled errors under "mahalanobis".

    References
    ----------
    Malhotra et al., "LSTM-based encoder-decoder for multi-sensor anomaly detection", 2016 (Mahalanobis distance of
    errors); Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004; Garg et
    al., "An evaluation of anomaly detection and diagnosis in multivariate time series", 2021 (that the scoring matters
    more than the model).

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.detectors.error_scorer import ErrorScorer
    >>> quiet = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 10.0]
    >>> scorer = ErrorScorer().fit(quiet)
    >>> scorer.parts(np.array([[5.0, 0.0], [0.0, 5.0]])).sum(axis=1).round(1)
    array([11.7,  0.1])
    """

    def __init__(
        self, *, norm: str = "squares", cap: float = 100.0, shrinkage: float = 20.0, floor: float = 1e-3
    ) -> None:
        self.norm = norm
        self.cap = cap
        self.shrinkage = shrinkage
        self.floor = floor

    def fit(self, errors: np.ndarray, weight: np.ndarray | None = None) -> Self:
        """Learn how large errors are on quiet rows.

        Parameters
        ----------
        errors : ndarray of shape (n_rows, n_sensors)
            Errors of a model.
        weight : ndarray of shape (n_rows,), optional
            Rows with weight zero are not quiet and left out.

        Returns
        -------
        ErrorScorer
            The fitted scorer.
        """
        quiet = errors if weight is None else errors[weight > 0]
        logarithm = np.log(np.maximum(np.sqrt(np.mean(quiet**2, axis=0)), self.floor))
        share = len(quiet) / (len(quiet) + self.shrinkage)
        self.scale_ = np.exp(share * logarithm + (1.0 - share) * logarithm.mean())
        self.precision_ = self._learn_precision(self._scaled(quiet)) if self.norm == "mahalanobis" else None
        return self

    def parts(self, errors: np.ndarray) -> np.ndarray:
        """Return what each sensor adds to the score of each row.

        Parameters
        ----------
        errors : ndarray of shape (..., n_sensors)
            Errors of the model.

        Returns
        -------
        ndarray of shape (..., n_sensors)
            Parts, whose sum over the sensors is the score of a row. Under "mahalanobis" a part may be negative.
        """
        scaled = self._scaled(errors)
        other = scaled if self.precision_ is None else scaled @ self.precision_
        return scaled * other / errors.shape[-1]

    def _scaled(self, errors: np.ndarray) -> np.ndarray:
        return np.clip(errors / self.scale_, -self.cap, self.cap)

    def _learn_precision(self, scaled: np.ndarray) -> np.ndarray:
        n_rows, n_sensors = scaled.shape
        if n_rows < ROWS_A_SENSOR * n_sensors:
            warn(
                f"norm='mahalanobis' learns how {n_sensors} sensors go together from {n_rows} quiet rows; below "
                f"{ROWS_A_SENSOR * n_sensors} it is mostly noise. Use norm='squares', or a longer quiet log."
            )
        precision: np.ndarray = LedoitWolf(assume_centered=True).fit(scaled).precision_
        return precision
