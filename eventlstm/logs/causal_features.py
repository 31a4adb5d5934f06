"""Features of each row of a log, from the rows up to it: for models that look at one row at a time.

Rows are ``(n_rows, n_sensors)``; the features made of them are ``(n_rows, n_features)``. As in `input_scaler`,
everything is causal and stays within a stretch.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from .._validation import Interval, check_feature_names_in, check_is_fitted, fit_context
from .checking import check_fit, check_log_values, cut_as_learnt, find_categorical, refuse_lost_index
from .index import read_index
from .input_scaler import VIEWS, InputScaler
from .lanes import walk


class CausalFeatures(TransformerMixin, BaseEstimator):
    """Describe each row of a log by the rows up to it: lags, changes, distances to moving averages.

    Trees and linear models see one row at a time. This gives that row its past: the last rows of each sensor as they
    are, the last rows of the whitened sensors (each judged against all others), and the views that networks get.

    Parameters
    ----------
    lags : int, default=10
        Rows, the current one among them, whose sensors are features as they are; 0 is none.
    whitened_lags : int, default=3
        Rows of whitened sensors.
    views : tuple of {"level", "relative", "whitened"}, default=()
        Views of `InputScaler` whose channels of the current row are features.
    spans : tuple of int, default=(10, 60, 300)
        Spans, in rows, of the moving averages that a view subtracts.
    categorical_channels : array-like of int or str, or None, default=None
        Sensors that hold codes: they come as lags, or else once, and are neither scaled nor whitened.
    max_gap : "auto", None, number or time span, default="auto"
        Longest step between two rows of one stretch; see `LogWindows`.

    Attributes
    ----------
    scalers_ : list of InputScaler
        One for each of `views`, and one for the whitened lags.
    n_features_in_ : int
        Sensors in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when `X` was a DataFrame with string columns.
    max_gap_, max_gaps_, steps_, has_dates_, index_names_ : object
        What was learnt of the index; see `EventClassifier`.

    See Also
    --------
    EventClassifier : Takes it as `inputs`, and then scores a log of any length in bounded memory.
    FlattenWindows : Whole windows as rows.

    Notes
    -----
    Before the first row of a stretch there are copies of it. Scales and the whitening are learnt in `fit`, so that
    features of a log are the same whatever comes after a row.

    Examples
    --------
    >>> import pandas as pd
    >>> from eventlstm import CausalFeatures
    >>> log = pd.DataFrame({"heat": [20.0, 21.0, 25.0], "flow": [3.0, 3.0, 2.0]})
    >>> features = CausalFeatures(lags=2, whitened_lags=0).set_output(transform="pandas").fit(log)
    >>> features.transform(log)
       heat_lag1  flow_lag1  heat_lag0  flow_lag0
    0       20.0        3.0       20.0        3.0
    1       20.0        3.0       21.0        3.0
    2       21.0        3.0       25.0        2.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lags": [Interval(Integral, 0, None, closed="left")],
        "whitened_lags": [Interval(Integral, 0, None, closed="left")],
        "views": [tuple, list],
        "spans": [tuple, list],
        "categorical_channels": ["array-like", None],
        "max_gap": [Interval(Real, 0, None, closed="neither"), str, pd.Timedelta, None],
    }

    def __init__(
        self,
        *,
        lags: int = 10,
        whitened_lags: int = 3,
        views: tuple[str, ...] = (),
        spans: tuple[int, ...] = (10, 60, 300),
        categorical_channels: Any = None,
        max_gap: Any = "auto",
    ) -> None:
        self.lags = lags
        self.whitened_lags = whitened_lags
        self.views = views
        self.spans = spans
        self.categorical_channels = categorical_channels
        self.max_gap = max_gap

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, starts: Any = None) -> Self:
        """Learn scales and the whitening.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            The log, sorted by run and time; its index carries both. An array is one run.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row in the statistics.
        starts : ndarray of shape (n_stretches,), optional
            First row of each stretch of rows that have been checked, as an array without an index.

        Returns
        -------
        CausalFeatures
            The fitted transformer.

        Raises
        ------
        ValueError
            If no features are asked for, a view is unknown, values are missing, or the index is unsorted.
        """
        self._refuse_nothing()
        codes = find_categorical(X, self.categorical_channels)
        if starts is None:
            log, _, facts = check_fit(self, X, None, sample_weight)
            self.max_gap_, self.max_gaps_, self.steps_, self.has_dates_, self.index_names_ = facts
            X, starts, sample_weight = log.values, log.starts, log.weight
        self.n_features_in_, self.codes_ = X.shape[1], list(codes)
        seen_by = {"starts": starts, "sample_weight": sample_weight}
        asked = [(view, tuple(self.spans)) for view in self.views]
        asked += [("whitened", ())] * bool(self.whitened_lags)  # lags are of no moving mean
        self.scalers_ = [InputScaler(view, spans=spans, categorical=codes).fit(X, **seen_by) for view, spans in asked]
        return self

    def transform(self, X: Any, *, starts: Any = None, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        """Return the features of each row.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log of the sensors in `fit`.
        starts : ndarray of shape (n_stretches,), optional
            First row of each stretch of rows that have been checked, as an array without an index.
        dtype : type, default=numpy.float64
            Type of the features.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            Features; a DataFrame with the index of the log after ``set_output(transform="pandas")``.

        Raises
        ------
        ValueError
            If the index that `fit` saw is lost, values are missing, or `X` has other sensors.
        """
        check_is_fitted(self)
        if starts is None:
            refuse_lost_index(X, self.index_names_)
            X, starts = check_log_values(self, X, reset=False), cut_as_learnt(self, read_index(X))
        return walk(self.transform_steps, X, starts, np.empty((len(X), self.n_channels), dtype=dtype))

    def transform_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the features of some rows of several stretches side by side, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_lanes, n_rows, n_sensors)
            Rows of the stretches.
        state : object, optional
            What the last call returned for the rows before; by default, stretches begin here.

        Returns
        -------
        features : ndarray of shape (n_lanes, n_rows, n_features)
            The features, as `transform` makes them of the whole stretches.
        state : object
            The last rows of each lane, as they are and whitened, and the state of each view.
        """
        moves, state = self.move_steps(X, state)
        return self.to_channels(moves), state

    def move_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return what the features are made of, sensor by sensor, at some rows of stretches side by side.

        Parameters
        ----------
        X : ndarray of shape (n_lanes, n_rows, n_sensors)
            Rows of the stretches.
        state : object, optional
            What the last call returned for the rows before.

        Returns
        -------
        moves : ndarray of shape (n_lanes, n_rows, n_moves, n_sensors)
            The last rows of each sensor, the oldest first, then what its views are made of.
        state : object
            The last rows of each lane, and the state of the views.
        """
        before, past = state or (None, None)
        rows, before = with_lags(X, self.n_lags, before)
        moves, past = self.mover().move_steps(X, past)
        return np.concatenate([rows.reshape(*X.shape[:2], self.n_lags, X.shape[-1]), moves], axis=2), (before, past)

    def to_channels(self, moves: np.ndarray) -> np.ndarray:
        """Return the features that are made of some moves.

        Parameters
        ----------
        moves : ndarray of shape (..., n_moves, n_sensors)
            What `move_steps` returns.

        Returns
        -------
        ndarray of shape (..., n_features)
            Features.
        """
        rows, later = moves[..., : self.n_lags, :], moves[..., self.n_lags :, :]
        parts = [flat(rows[..., self.n_lags - self.lags :, :])]
        if self.whitened_lags:
            parts.append(flat(self.scalers_[-1].whiten(rows[..., self.n_lags - self.whitened_lags :, :])))
        for scaler in self.scalers_[: len(self.views)]:
            parts.append(scaler.to_channels(later)[..., : len(scaler.center_)])
        if not self.lags:
            parts.append(later[..., 0, self.codes_])
        return np.concatenate(parts, axis=-1)

    @property
    def n_channels(self) -> int:
        """How many features there are."""
        return len(self.get_feature_names_out())

    @property
    def code_channels(self) -> list[int]:
        """No feature is embedded as a code: trees and linear models take numbers."""
        return []

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features_in_,), optional
            Names of the sensors; by default those in `fit`, or x0, x1 and so on.

        Returns
        -------
        ndarray of shape (n_features,)
            Names such as "heat_lag0" (the current row), "heat_relative_change", "whitened0_lag1" and
            "whitened0_less_mean_of_60".
        """
        check_is_fitted(self)
        sensors = check_feature_names_in(self, input_features)
        names = [f"{sensor}_lag{k}" for k in reversed(range(self.lags)) for sensor in sensors]
        measured = np.delete(sensors, self.codes_)
        if self.whitened_lags:
            own = self._whitened_names(self.scalers_[-1])
            names += [f"{channel}_lag{k}" for k in reversed(range(self.whitened_lags)) for channel in own]
        for scaler, view in zip(self.scalers_, self.views, strict=False):
            own = self._whitened_names(scaler) if view == "whitened" else list(measured)
            own = [f"{sensor}_relative" for sensor in own] if view == "relative" else own
            moves = ["level"] if view == "level" else ["level", "change", *(f"less_mean_of_{n}" for n in self.spans)]
            names += [f"{channel}_{move}" for move in moves for channel in own]
        return np.array(names + ([] if self.lags else list(sensors[self.codes_])), dtype=object)

    @staticmethod
    def _whitened_names(scaler: InputScaler) -> list[str]:
        return [f"whitened{k}" for k in range(scaler.whitening_.shape[1])]

    @property
    def n_lags(self) -> int:
        """How many of the last rows features are made of."""
        return max(self.lags, self.whitened_lags)

    def mover(self) -> InputScaler:
        """Return the view that makes all moves that others need.

        Returns
        -------
        InputScaler
            One whose `move_steps` makes them.
        """
        later = [scaler for scaler, view in zip(self.scalers_, self.views, strict=False) if view != "level"]
        return later[0] if later else InputScaler("level")

    def _refuse_nothing(self) -> None:
        """Refuse parameters that leave no features."""
        unknown = [view for view in self.views if view not in VIEWS]
        if unknown:
            raise ValueError(f"views={self.views!r} holds {unknown[0]!r}. Choose among {', '.join(VIEWS)}.")
        if not (self.lags or self.whitened_lags or self.views):
            raise ValueError("lags=0, whitened_lags=0 and no views leave no features. Ask for one of them.")


def flat(rows: np.ndarray) -> np.ndarray:
    """Return the rows of each row, (..., n_rows, n_channels), one after the other."""
    return rows.reshape(*rows.shape[:-2], -1)


def with_lags(X: np.ndarray, n_lags: int, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the last rows at each row of lanes, and what to go on from.

    Parameters
    ----------
    X : ndarray of shape (n_lanes, n_rows, n_channels)
        Rows of the lanes.
    n_lags : int
        Rows, the current one among them.
    before : ndarray of shape (n_lanes, n_lags - 1, n_channels) or None
        The rows before; by default copies of the first.

    Returns
    -------
    lagged : ndarray of shape (n_lanes, n_rows, n_lags * n_channels)
        The channels of each row, the oldest first.
    before : ndarray of shape (n_lanes, n_lags - 1, n_channels)
        The last rows.
    """
    n_before = max(n_lags - 1, 0)
    if before is None:
        before = np.repeat(X[:, :1], n_before, axis=1)
    rows, n_rows = np.concatenate([before, X], axis=1), X.shape[1]
    parts = [rows[:, k : k + n_rows] for k in range(n_lags)]
    lagged = np.concatenate([X[..., :0], *parts], axis=-1)
    return lagged, rows[:, n_rows:].copy()  # a view would keep the block
