"""Probabilities as the data have them, from those of a network whose training weighed or bent them.

Closed forms on arrays of probabilities of shape ``(..., n_classes)``. They are exact for a network that has learned
what its loss asks for: each undoes what the minimum of the loss differs by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

# Beyond this from a sum of one, an array is taken for something else than probabilities. Half precision stays within.
SUM_TOLERANCE = 1e-2
TINY = np.finfo(np.float64).tiny


def undo_factors(proba: Any, factors: Any) -> np.ndarray:
    """Probabilities from those of a classifier that saw each class with a factor to its frequency.

    Each probability is divided by the factor of its class, and their sum set to one again. A factor is a class weight,
    or the share of a class in training over its share in the data, or the product of both. Right for weights and for
    samplers that choose rows at random; samplers that make rows or choose them by their neighbours change more than
    frequencies, and their probabilities need calibration on held-out runs.

    Parameters
    ----------
    proba : array-like of shape (..., n_classes)
        What the classifier returns.
    factors : array-like of shape (n_classes,)
        The factor of each class; only their ratios count.

    Returns
    -------
    ndarray of shape (..., n_classes)
        Probabilities under the frequencies of the data, of the type of `proba`.

    Raises
    ------
    ValueError
        If `proba` are no probabilities, or `factors` is not one positive number for each class.

    References
    ----------
    Elkan, "The foundations of cost-sensitive learning", 2001, theorem 2.
    Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", 2002.
    Dal Pozzolo et al., "Calibrating probability with undersampling for unbalanced classification", 2015.

    Examples
    --------
    Half of the training windows were events, in the data it is one in 200:

    >>> from eventlstm.losses.priors import undo_factors
    >>> undo_factors([[0.5, 0.5], [0.1, 0.9]], [0.5 / 0.995, 0.5 / 0.005])
    array([[0.995     , 0.005     ],
           [0.95673077, 0.04326923]])
    """
    proba, values = _checked(proba)
    factors = np.asarray(factors, dtype=np.float64)
    if factors.shape != proba.shape[-1:] or not (np.isfinite(factors) & (factors > 0)).all():
        raise ValueError(
            f"factors is {factors.tolist()}, but one positive number is needed for each of {proba.shape[-1]} classes."
        )
    values = values / factors
    return (values / values.sum(axis=-1, keepdims=True)).astype(proba.dtype)


def undo_focusing(proba: Any, gamma: float) -> np.ndarray:
    """Probabilities from those of a classifier trained by the focal loss without class weights.

    At the minimum of the loss, a true probability is proportional to ``1 / phi(q)`` of the classifier's q, where
    ``phi(q) = (1 - q)**gamma / q - gamma * (1 - q)**(gamma - 1) * log(q)`` is the negative slope of the loss.

    Parameters
    ----------
    proba : array-like of shape (..., n_classes)
        What the classifier returns.
    gamma : float
        The focal loss's exponent, from zero on; at zero nothing changes.

    Returns
    -------
    ndarray of shape (..., n_classes)
        The true probabilities, of the type of `proba`.

    Raises
    ------
    ValueError
        If `proba` are no probabilities.

    References
    ----------
    Charoenphakdee et al., "On focal loss for class-posterior probability estimation: A theoretical perspective", 2021.

    Examples
    --------
    >>> from eventlstm.losses.priors import undo_focusing
    >>> undo_focusing([[0.9273, 0.0727]], gamma=2.0)
    array([[0.999, 0.001]])
    """
    proba, values = _checked(proba)
    # As the sum of the others it keeps its digits where a probability is next to one.
    rest = values @ (1.0 - np.eye(values.shape[-1]))
    values, rest = np.clip(values, TINY, 1.0), np.clip(rest, TINY, 1.0)
    log_values = np.where(values > rest, np.log1p(-np.minimum(rest, 0.5)), np.log(values))
    log_slope = (gamma - 1.0) * np.log(rest) + np.log(rest - gamma * values * log_values) - np.log(values)
    restored: np.ndarray = softmax(-log_slope, axis=-1).astype(proba.dtype)
    return restored


def _checked(proba: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities in their own floating type, and in double precision."""
    proba = np.asarray(proba)
    if not np.issubdtype(proba.dtype, np.floating):
        proba = proba.astype(np.float64)
    values = proba.astype(np.float64)
    if not values.ndim or not (values >= 0.0).all() or not (abs(values.sum(axis=-1) - 1.0) <= SUM_TOLERANCE).all():
        raise ValueError(
            f"An array of shape {values.shape} holds no probabilities: along the last axis they are from 0 to 1 and "
            "add up to 1. Pass what predict_proba returns."
        )
    return proba, values
