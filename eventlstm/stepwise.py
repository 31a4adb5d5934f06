"""A recurrent classifier of every step of a log, ``(n_rows, n_channels)`` in stretches that the state never leaves."""

from __future__ import annotations

from copy import copy
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets

from ._validation import CheckedWindows, check_is_fitted, check_sample_weight, fit_context, validate_data
from .batches import AUTO_CHUNKS, ChunkBatches, count_chunks
from .devices import autocast
from .lanes import as_lanes
from .monitoring import ScoreMonitor
from .networks import refuse_whole_windows
from .recurrent import RecurrentEstimator, mean_one_weights
from .threads import one_thread
from .training import Batches

# Rows of all lanes scored in one call: long runs are walked in pieces, their state carried along.
PREDICT_STEPS = 16384


class StepClassifier(ClassifierMixin, RecurrentEstimator):
    """Base of recurrent classifiers: the classes, and training and scoring with a label at every step."""

    classes_: np.ndarray

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
            If the network needs whole windows (``bidirectional=True``, or a `pooling` other than "last"), the input is
            not as described, or training diverges.
        """
        refuse_whole_windows(bidirectional=self.bidirectional, pooling=self.pooling)
        if self.early_stopping and X_val is None:
            raise ValueError("early_stopping watches a log held out. Pass X_val, y_val and starts_val.")
        reset = not self._goes_on()
        X, y = validate_data(self, X, y, dtype=self._numpy_dtype(), order="C", reset=reset)
        self._learn_classes(y, reset)
        self.n_channels_, self.n_timesteps_ = X.shape[1], 1
        values = self._learn_codes(CheckedWindows(X), reset).values
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        size = {"burn_in": burn_in, "stride": stride}
        with one_thread():
            self._start(check_random_state(self.random_state), len(self.classes_))
            batches = self._chunk_batches(values, y, weight, starts, **size)
            watched = weight_val = None
            if X_val is not None and y_val is not None and starts_val is not None:
                weight_val = check_sample_weight(sample_weight_val, X_val, dtype=np.float64)
                values_val = self._code_values(np.array(X_val, dtype=self._numpy_dtype()))
                watched = self._chunk_batches(values_val, y_val, weight_val, starts_val, **size)
            return self._train_watched(batches, watched, weight_val)

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
            proba = softmax(torch.cat(logits, dim=1))  # (n_lanes, n_rows, n_classes)
        return (proba[0] if np.ndim(X) == 2 else proba), state

    def _score(self, windows: CheckedWindows) -> np.ndarray:
        """Return the probabilities of windows."""
        with one_thread():
            return softmax(self._outputs(windows))

    def _train_watched(self, batches: Batches, watched: Any, weight: np.ndarray | None) -> Self:
        """Train the network, watched by a scorer when one is named: it counts items by `weight`, not by their class."""
        if watched is None or self.scoring == "loss":
            return self._train(batches, watched)
        judged = copy(watched)
        judged.weight = torch.as_tensor(weight).to(watched.weight)
        monitor = ScoreMonitor(self.scoring, self.module_, judged, self.classes_, self.precision)
        return self._train(batches, watched, monitor)

    def _learn_classes(self, y: np.ndarray, reset: bool) -> None:
        check_classification_targets(y)
        classes = np.unique(y)
        if reset:
            self.classes_ = classes
        elif not np.isin(classes, self.classes_).all():
            raise ValueError(f"y has the classes {classes}, but training began with {self.classes_}. Fit anew.")

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Return the number of each label's class, refusing classes that `fit` has not seen."""
        y = np.asarray(y)
        if not np.isin(y, self.classes_).all():
            raise ValueError(
                f"Labels {np.unique(y)} came, but the classes are {self.classes_}. Leave the others out, name them in "
                "the first call of partial_fit, or, if they are in validation data only, hold out other windows."
            )
        return np.searchsorted(self.classes_, y)

    def _chunk_batches(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray, starts: np.ndarray, burn_in: int, stride: int
    ) -> ChunkBatches:
        """Return chunks of a log, with weights of mean one."""
        size = self._batch_size(count_chunks(starts, len(X), stride), AUTO_CHUNKS)
        weight = mean_one_weights(y, weight, self.class_weight)
        return ChunkBatches(
            self._tensor(X), starts, self._encode(y), weight, burn_in=burn_in, stride=stride, batch_size=size
        )


def softmax(logits: torch.Tensor) -> np.ndarray:
    """Return probabilities in float64: in float32 the surest rows would all tie at one."""
    return logits.cpu().double().softmax(dim=-1).numpy()
