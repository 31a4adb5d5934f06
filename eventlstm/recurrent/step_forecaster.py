"""A recurrent forecaster of every step of a log, ``(n_rows, n_channels)`` in stretches that the state never leaves."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_consistent_length

from .._validation import check_is_fitted, check_sample_weight, fit_context, validate_data
from ..logs.lanes import as_lanes
from ..networks.recurrent_net import refuse_whole_windows
from ..training.batches import AUTO_CHUNKS, NextRowsBatches, count_chunks
from ..training.devices import autocast
from ..training.threads import one_thread
from .checking import CheckedWindows
from .forecasting import ForecastingEstimator

# Rows of all lanes forecast in one call: long runs are walked in pieces, their state carried along.
PREDICT_STEPS = 16384


class StepForecaster(ForecastingEstimator):
    """A recurrent forecaster of every step of a log; `LSTMForecaster` adds windows."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit_steps(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        starts: np.ndarray,
        burn_in: int = 32,
        stride: int = 64,
        X_val: np.ndarray | None = None,
        starts_val: np.ndarray | None = None,
        sample_weight_val: np.ndarray | None = None,
        Y: np.ndarray | None = None,
        Y_val: np.ndarray | None = None,
    ) -> Self:
        """Train to forecast, at every row of a log, the next `horizon` rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels)
            The log.
        sample_weight : ndarray of shape (n_rows,), optional
            Weight of each row as a target: a row of weight zero is read, but never learnt to be forecast.
        starts : ndarray of shape (n_stretches,)
            First row of each stretch; neither state nor forecast crosses from one to the next. Steps ahead that are
            behind the last row of a stretch count for nothing.
        burn_in : int, default=32
            Rows of history before the rows of a chunk that are learnt from.
        stride : int, default=64
            Rows of a chunk that are learnt from.
        X_val, starts_val, sample_weight_val : ndarray, optional
            Another log, to watch the loss on.
        Y : ndarray of shape (n_rows, n_targets), optional
            What is to be forecast, row by row beside `X`, in the units in which it is to be learnt: nothing is scaled.
            Default: `X` itself.
        Y_val : ndarray, optional
            Likewise beside `X_val`; needed with `Y`.

        Returns
        -------
        LSTMForecaster
            The fitted estimator.

        Raises
        ------
        ValueError
            If the network needs whole windows (``bidirectional=True``, or a `pooling` other than "last"), the input is
            not as described, no row has one before it, or training diverges.
        """
        refuse_whole_windows(bidirectional=self.bidirectional, pooling=self.pooling)
        if self.early_stopping and X_val is None:
            raise ValueError("early_stopping watches a log held out. Pass X_val and starts_val.")
        if X_val is not None and (starts_val is None or (Y is None) != (Y_val is None)):
            raise ValueError("X_val came without starts_val, or Y without Y_val. Pass them together.")
        reset = not self._goes_on()
        X = validate_data(self, X, dtype=self._numpy_dtype(), order="C", reset=reset)
        targets = self._check_targets(X, Y)
        self.n_channels_, self.n_timesteps_ = X.shape[1], 1
        self._learn_shape((self.horizon, targets.shape[1]), reset)
        values = self._learn_codes(CheckedWindows(X), reset).values
        size = {"burn_in": burn_in, "stride": stride}
        self._keep_units()
        with one_thread():
            loss = self._start_forecaster(check_random_state(self.random_state))
            batches = self._next_rows(values, targets, sample_weight, starts, **size)
            watched = None
            if X_val is not None and starts_val is not None:
                X_val = check_array(X_val, dtype=self._numpy_dtype(), order="C")
                others = self._check_targets(X_val, Y_val)
                values = self._code(CheckedWindows(X_val)).values
                watched = self._next_rows(values, others, sample_weight_val, starts_val, **size)
            return self._train(batches, loss, watched)

    def predict_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return what is forecast at every row of one stretch or of several, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels) or (n_lanes, n_rows, n_channels)
            Rows of one stretch, or of several side by side.
        state : object, optional
            What the last call returned for the rows before, of as many lanes; the default is a cold start.

        Returns
        -------
        forecast : ndarray of shape (n_rows, horizon, n_targets) or (n_lanes, n_rows, horizon, n_targets)
            Made at each row, of the rows after it. After ``loss="quantile"``, the median.
        state : object
            The network's state after the last row of each lane.

        Raises
        ------
        ValueError
            If `X` has another number of channels than in `fit`, no rows, or values that are not finite numbers.
        """
        check_is_fitted(self)
        lanes = self._code(CheckedWindows(as_lanes(X, self.n_channels_, self._numpy_dtype()))).values
        n_steps = max(1, PREDICT_STEPS // len(lanes))
        outputs = []
        with one_thread(), torch.inference_mode():
            module = self._on_device()
            for piece in self._tensor(lanes).split(n_steps, dim=1):
                with autocast(self.precision, piece.device):
                    out, state = module.forward_steps(piece, state)
                outputs.append(out)
            forecast = self._middle(self._in_units(torch.cat(outputs, dim=1)))  # (n_lanes, n_rows, values)
        forecast = forecast.reshape(*lanes.shape[:2], self.horizon_, -1)  # (n_lanes, n_rows, horizon, n_targets)
        return (forecast[0] if np.ndim(X) == 2 else forecast), state

    def _check_targets(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        """Return what is to be forecast beside `X`, (n_rows, n_targets)."""
        if Y is None:
            if self.categorical_channels is not None and len(self.categorical_channels):
                raise ValueError("Codes of categorical_channels are not forecast. Pass the other channels as Y.")
            return X
        Y = check_array(Y, dtype=self._numpy_dtype(), input_name="Y")
        check_consistent_length(X, Y)
        return Y

    def _next_rows(
        self, X: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray | None, starts: np.ndarray, **size: int
    ) -> NextRowsBatches:
        """Return chunks of a log with the next rows as targets."""
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        batch_size = self._batch_size(count_chunks(starts, len(X), size["stride"]), AUTO_CHUNKS)
        return NextRowsBatches(
            self._tensor(X), starts, self._tensor(Y), weight, horizon=self.horizon_, batch_size=batch_size, **size
        )
