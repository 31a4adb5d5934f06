"""Missing values of a log ``(n_rows, n_sensors)``, filled by what was known before."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import FLOAT_DTYPES

from .._validation import Interval, check_is_fitted, fit_context, validate_data
from .checking import cut_as_learnt, index_facts, refuse_lost_index
from .index import read_index
from .sensor_values import refuse_no_sensors
from .shared import IntArray


class ForwardFill(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill missing values of a log with the last value known, as a control room would see it.

    A value goes on within its stretch only, never over to another run or across a gap in time. What is missing at the
    beginning of a stretch becomes the median of the sensor.

    Parameters
    ----------
    max_gap : "auto", None, number or time span, default="auto"
        Longest step in time over which a value goes on. "auto" is ten times the slow steps of a run in `fit`, None
        ignores time.

    Attributes
    ----------
    statistics_ : ndarray of shape (n_features_in_,)
        The median of each sensor in `fit`; 0 for one without any value.
    max_gap_ : float
        Longest step within a stretch, in nanoseconds for date-times, else in the unit of the index; of several rates,
        that of the slowest run.
    max_gaps_ : list of float
        Those that the rates of all runs call for, rising.
    steps_ : list of float
        The shortest and the longest of the runs' usual steps.
    has_dates_ : bool
        Whether the index held date-times in `fit`.
    n_features_in_ : int
        Sensors in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when `X` was a DataFrame with string columns.

    See Also
    --------
    CausalFeatures : Describes each row by the rows before it.
    eventlstm.read_log : Leaves missing values as they are.

    Notes
    -----
    It is causal: a row is filled by rows before it. Where sensors of turbofan engines (C-MAPSS) dropped out for 30
    rows at a time, average precision was .04 to .13 higher, in five of six trials, than with the median alone, which
    looks like a jump and back.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from eventlstm import ForwardFill
    >>> index = pd.MultiIndex.from_product([["A", "B"], [0, 1, 2]], names=["machine", "hour"])
    >>> X = pd.DataFrame({"heat": [20.0, np.nan, 23.0, np.nan, 29.0, np.nan]}, index=index)
    >>> ForwardFill().fit_transform(X)["heat"].tolist()
    [20.0, 20.0, 23.0, 23.0, 29.0, 29.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_gap": [Interval(Real, 0, None, closed="neither"), str, pd.Timedelta, None],
    }

    def __init__(self, max_gap: Any = "auto") -> None:
        self.max_gap = max_gap

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the medians of the sensors.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            The log, sorted by run and time; its index carries both. An array is one run.
        y : None
            Ignored.

        Returns
        -------
        ForwardFill
            The fitted transformer.

        Raises
        ------
        ValueError
            If the index is unsorted or has duplicates, or `X` holds text, times, masked or infinite values.
        """
        values = self._check(X, reset=True)
        facts = index_facts(X, read_index(X), self.max_gap)
        self.max_gap_, self.max_gaps_, self.steps_, self.has_dates_, self.index_names_ = facts
        known = ~np.isnan(values)
        self.statistics_ = np.zeros(values.shape[1], dtype=values.dtype)
        self.statistics_[known.any(axis=0)] = np.nanmedian(values[:, known.any(axis=0)], axis=0)
        return self

    def transform(self, X: Any) -> Any:
        """Fill what is missing.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, n_sensors)
            The log without missing values; a DataFrame keeps its index.

        Raises
        ------
        ValueError
            If the index that `fit` saw is lost, or `X` has other sensors.
        """
        check_is_fitted(self)
        refuse_lost_index(X, self.index_names_)
        values = self._check(X, reset=False)
        if np.isnan(values).any():
            index = read_index(X)
            values = fill_forward(values, cut_as_learnt(self, index))
            values = np.where(np.isnan(values), self.statistics_.astype(values.dtype), values)
        return pd.DataFrame(values, index=X.index, columns=X.columns) if isinstance(X, pd.DataFrame) else values

    def _check(self, X: Any, *, reset: bool) -> np.ndarray:
        refuse_no_sensors(X)
        values: np.ndarray = validate_data(
            self, X, dtype=FLOAT_DTYPES, order="C", copy=True, ensure_all_finite="allow-nan", reset=reset
        )
        return values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def fill_forward(values: np.ndarray, starts: IntArray) -> np.ndarray:
    """Return the last known value of each sensor at each row of its stretch, NaN where there is none.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_sensors)
        Rows, NaN where a value is missing.
    starts : ndarray of int of shape (n_stretches,)
        First row of each stretch.

    Returns
    -------
    ndarray of shape (n_rows, n_sensors)
        Rows.
    """
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])  # (n_rows, n_sensors)
    rows[starts] = starts[:, None]
    last = np.maximum.accumulate(rows, axis=0)
    filled: np.ndarray = np.take_along_axis(values, last, axis=0)
    return filled
