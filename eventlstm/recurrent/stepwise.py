"""A recurrent classifier of every step of a log, ``(n_rows, n_channels)`` in stretches that the state never leaves."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state

from .._validation import check_is_fitted, check_sample_weight, fit_context, validate_data
from ..logs.lanes import as_lanes
from ..networks.recurrent_net import refuse_whole_windows
from ..training.batches import AUTO_CHUNKS, ChunkBatches, count_chunks
from ..training.devices import autocast
from ..training.threads import one_thread
from .base import mean_one
from .checking import CheckedWindows
from .labelled import LabelledEstimator

# Rows of all lanes scored in one call: long runs are walked in pieces, their state carried along.
PREDICT_STEPS = 16384


class StepClassifier(LabelledEstimator):
    """A recurrent classifier of every step of a log; `LSTMClassifier` adds windows."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit_steps(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        starts: np.ndarray,
        burn_in: int = 32,
        stride: int = 64,
        X_val: np.ndarray | None = None,
        y_val: np.ndarray | None = None,
        starts_val: np.ndarray | None = None,
        sample_weight_val: np.ndarray | None = None,
    ) -> Self:
        """Train on a log with a label at every row: what `EventClassifier` uses in its stateful mode.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels)
            The log.
        y : ndarray of shape (n_rows,)
            The class of each row.
        sample_weight : ndarray of shape (n_rows,), optional
            Weight of each row in the loss.
        starts : ndarray of shape (n_stretches,)
            First row of each stretch; the state never crosses from one to the next.
        burn_in : int, default=32
            Rows of history before the labelled rows of a chunk.
        stride : int, default=64
            Labelled rows of a chunk.
        X_val, y_val, starts_val, sample_weight_val : ndarray, optional
            Another log, to watch the loss on.

        Returns
        -------
        LSTMClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the network needs whole windows (``bidirectional=True``, or a `pooling` other than "last"), there is a
            sampler, the input is not as described, or training diverges.
        """
        refuse_whole_windows(bidirectional=self.bidirectional, pooling=self.pooling)
        if self.sampler is not None:
            raise ValueError(
                f"sampler={self.sampler!r} chooses among windows, which step-by-step training has none of. Set "
                "mode='windows' in EventClassifier, or weigh the classes: class_weight, loss."
            )
        if self.early_stopping and X_val is None:
            raise ValueError("early_stopping watches a log held out. Pass X_val, y_val and starts_val.")
        reset = not self._goes_on()
        X, y = validate_data(self, X, y, dtype=self._numpy_dtype(), order="C", reset=reset)
        self._learn_classes(y, reset)
        self.n_channels_, self.n_timesteps_ = X.shape[1], 1
        values = self._learn_codes(CheckedWindows(X), reset).values
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        size = {"burn_in": burn_in, "stride": stride}
        stretch = np.searchsorted(starts, np.arange(len(y)), side="right")
        n_events, counts = self._count_runs(y, stretch, weight), self._count(y, weight)
        plan = self._plan(y, weight, n_events, counts)
        with one_thread():
            self._start_classifier(check_random_state(self.random_state), plan.first_guess)
            batches = self._chunk_batches(values, y, plan.weight, starts, **size)
            watched = weight_val = None
            if X_val is not None and y_val is not None and starts_val is not None:
                weight_val = check_sample_weight(sample_weight_val, X_val, dtype=np.float64)
                values_val = self._code_values(np.array(X_val, dtype=self._numpy_dtype()))
                of_classes = weight_val * plan.seen[self._encode(y_val)]
                watched = self._chunk_batches(values_val, y_val, of_classes, starts_val, **size)
            return self._train_watched(plan.loss, batches, watched, weight_val)

    def predict_proba_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the probabilities at every row of one stretch or of several, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels) or (n_lanes, n_rows, n_channels)
            Rows of one stretch, or of several side by side.
        state : object, optional
            What the last call returned for the rows before, of as many lanes; the default is a cold start.

        Returns
        -------
        proba : ndarray of shape (n_rows, n_classes) or (n_lanes, n_rows, n_classes)
            Probabilities.
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
        logits = []
        with one_thread(), torch.inference_mode():
            module = self._on_device()
            for piece in self._tensor(lanes).split(n_steps, dim=1):
                with autocast(self.precision, piece.device):
                    out, state = module.forward_steps(piece, state)
                logits.append(out)
            proba = self._proba(torch.cat(logits, dim=1))  # (n_lanes, n_rows, n_classes)
        return (proba[0] if np.ndim(X) == 2 else proba), state

    def _chunk_batches(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray, starts: np.ndarray, **size: int
    ) -> ChunkBatches:
        """Return chunks of a log, with weights that are scaled to a mean of one."""
        batch_size = self._batch_size(count_chunks(starts, len(X), size["stride"]), AUTO_CHUNKS)
        return ChunkBatches(
            self._tensor(X),
            starts,
            self._encode(y),
            mean_one(weight),
            burn_in=size["burn_in"],
            stride=size["stride"],
            batch_size=batch_size,
            balanced=self.balanced_batches,
        )
