"""Ways to look inside a fitted network: what it attends to, what its gates do, how far its gradient reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_consistent_length

from .._validation import check_is_fitted
from ..logs.log_windows import LogWindows
from ..losses.base import cross_entropy
from ..networks.recurrent_net import RecurrentNet
from ..training.batches import WindowGather
from ..training.threads import one_thread
from .checking import CheckedWindows, end_windows, refuse_unusable
from .codes import Codes

# Windows looked into at a time.
PIECE = 256


class InsightMixin:
    """Methods that show how a fitted recurrent network comes to its output."""

    n_channels_: int
    _check_windows: Callable[..., CheckedWindows]
    _codes: Callable[[], Codes]
    _encode: Callable[..., np.ndarray]
    _numpy_dtype: Callable[[], str]
    _gather: Callable[..., WindowGather]
    _on_device: Callable[[], RecurrentNet]

    def attention_weights(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return how much each step of a window counts under an attention pooling.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps)
            Weights that sum to one over the steps of a window; of several heads, their mean.

        Raises
        ------
        ValueError
            If the network was fitted without attention.

        Examples
        --------
        >>> import numpy as np
        >>> from eventlstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(20, 10, 2))
        >>> model = LSTMClassifier(hidden_size=4, pooling="additive", max_epochs=1, random_state=0)
        >>> model.fit(X, X[:, 5, 0] > 0).attention_weights(X).sum(axis=1).round(3)[:3]
        array([1., 1., 1.])
        """
        check_is_fitted(self)
        pieces = self._pieces(self._check_windows(X, lengths))
        return torch.cat([self._attend(x, n) for x, n in pieces]).cpu().double().numpy()

    def gate_activations(self, X: Any, *, layer: int = -1, direction: int = 0, lengths: Any = None) -> dict[str, Any]:
        """Return the gates of a recurrent layer at every step.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows; 3-D ones may be of any length.
        layer : int, default=-1
            The layer, counted from the input; -1 is the last.
        direction : {0, 1}, default=0
            0 reads forward, 1 backward in a bidirectional network.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        dict of str to ndarray of shape (n_windows, n_timesteps, hidden_size)
            "input", "forget" and "output" (from 0, shut, to 1, open) and "cell" (the candidate for the memory, from -1
            to 1) of an LSTM; "reset" and "update" (the share of the memory that is kept) of a GRU. On a grid a unit is
            a cell of a map: all cells of the first map row by row, then those of the next.

        Raises
        ------
        ValueError
            If the cell has no gates, or there is no such layer or direction.

        Examples
        --------
        >>> import numpy as np
        >>> from eventlstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(20, 10, 2))
        >>> model = LSTMClassifier(hidden_size=4, max_epochs=1, random_state=0).fit(X, X[:, -1, 0] > 0)
        >>> sorted(model.gate_activations(X))
        ['cell', 'forget', 'input', 'output']
        """
        check_is_fitted(self)
        pieces = self._pieces(self._check_any_length(X, lengths))
        gates = [self._gates(x, layer, direction, n) for x, n in pieces]
        return {name: torch.cat([piece[name] for piece in gates]).cpu().numpy() for name in gates[0]}

    def gradient_flow(self, X: Any, y: Any, *, lengths: Any = None) -> np.ndarray:
        """Return how strongly the loss depends on each step of the windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows; 3-D ones may be of any length.
        y : array-like of shape (n_windows,)
            Their classes.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_timesteps,)
            Norm of the gradient of the loss with respect to a step's input, averaged over the windows. Where it falls
            to nothing towards the first steps, the network cannot learn from them (Hochreiter, 1991; Bengio et al.,
            "Learning long-term dependencies with gradient descent is difficult", 1994).

        Raises
        ------
        ValueError
            If `y` is not a known class for each window.
        """
        check_is_fitted(self)
        windows = self._check_any_length(X, lengths)
        check_consistent_length(windows.values, y)
        targets = torch.as_tensor(self._encode(y)).split(PIECE)
        pieces = self._pieces(windows)
        norms = [self._gradient(x, n, target) for (x, n), target in zip(pieces, targets, strict=True)]
        return torch.cat(norms).mean(dim=0).cpu().double().numpy()

    def _check_any_length(self, X: Any, lengths: Any) -> CheckedWindows:
        """Check windows, of which those of a log and 3-D ones need not be as long as those in `fit`."""
        if isinstance(X, LogWindows):
            windows = CheckedWindows(refuse_unusable(X, lengths))
        elif np.ndim(X) == 3 and np.shape(X)[2] == self.n_channels_:
            values = np.array(X, dtype=self._numpy_dtype(), order="C")
            windows = CheckedWindows(values, end_windows(values, lengths))
            assert_all_finite(values)
        else:
            return self._check_windows(X, lengths)
        return self._codes().encode_windows(windows)

    def _pieces(self, windows: CheckedWindows) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Yield windows and their lengths, some at a time."""
        gather = self._gather(windows)
        lengths = None if windows.lengths is None else torch.from_numpy(windows.lengths)
        for items in torch.arange(gather.n_items).split(PIECE):
            yield gather(items.to(gather.values.device)), None if lengths is None else lengths[items]

    def _attend(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        with one_thread(), torch.inference_mode():
            _, attention = self._on_device().attend(x, lengths=lengths)
        if attention is None:
            raise ValueError(
                f"pooling={self._on_device().architecture['pooling']!r} weighs no steps. Fit with pooling='additive', "
                "'luong' or 'multihead'."
            )
        return attention if attention.ndim == 2 else attention.mean(dim=1)  # (batch, time)

    def _gates(
        self, x: torch.Tensor, layer: int, direction: int, lengths: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        with one_thread(), torch.inference_mode():
            return self._on_device().gates(x, layer=layer, direction=direction, lengths=lengths)

    def _gradient(self, x: torch.Tensor, lengths: torch.Tensor | None, target: torch.Tensor) -> torch.Tensor:
        """Return the norm at each step of each window, (batch, time)."""
        x = x.clone().requires_grad_()
        with one_thread(), torch.enable_grad():
            loss = cross_entropy(self._on_device()(x, lengths=lengths), target.to(x.device)).sum()
            (gradient,) = torch.autograd.grad(loss, x)
        return gradient.norm(dim=-1)
