"""What training and scoring an autoencoder take: its batches, losses and errors, and where normal windows end."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import nn

from .._validation import Interval, StrOptions, check_is_fitted, check_sample_weight
from ..alarms.tails import find_offset
from ..logs.log_windows import LogWindows
from ..losses.errors import ERROR_LOSSES
from ..networks.reconstruction_net import ReconstructionNet
from ..training.batches import AUTO_WINDOWS, Batch, Output, WindowBatches
from ..training.threads import one_thread
from .base import ARCHITECTURE, RecurrentEstimator, mean_one, refuse_unusable
from .checking import CheckedWindows, check_windows

# Parameters of other recurrent estimators that an autoencoder has no use for.
LEFT_OUT = ("pooling", "num_heads", "attention_entropy", "scoring")
# Share of the windows that contamination="auto" takes for abnormal.
AUTO_CONTAMINATION = 0.01

Weighted = tuple[CheckedWindows, np.ndarray]  # windows, and the weight of each, (n_windows,)


class ReconstructingEstimator(RecurrentEstimator):
    """Base of `LSTMAutoencoder`, which describes the parameters."""

    network_class: ClassVar[Any] = ReconstructionNet

    latent_size: int
    teacher_forcing: float | None
    loss: str
    error: str
    contamination: Any

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{name: kinds for name, kinds in RecurrentEstimator._parameter_constraints.items() if name not in LEFT_OUT},
        "latent_size": RecurrentEstimator._parameter_constraints["hidden_size"],
        "teacher_forcing": [Interval(Real, 0, 1, closed="both"), None],
        "loss": [StrOptions({"squared", "huber", "absolute"})],
        "error": [StrOptions({"last", "mean"})],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
    }

    def reconstruct(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the windows as the network writes them.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps, n_channels)
            Written windows, NaN after a window's end and in channels of codes.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._spread(self._outputs(windows), windows)

    def reconstruction_errors(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return by how much each value is missed.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps, n_channels)
            The window less its reconstruction, with its sign; NaN after a window's end and in channels of codes.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._spread(self._outputs(windows, residuals), windows)

    def last_step_errors(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return by how much each value of the windows' last steps is missed.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_channels)
            What `reconstruction_errors` has at the last steps, in a small part of its memory and time; NaN in channels
            of codes. For windows that end at every row of a log, the errors of its rows, sensor by sensor.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            values = self._outputs(windows, last_residuals)
        spread = np.full((len(values), self.n_channels_), np.nan)
        spread[:, self.module_.measured] = values.cpu().double().numpy()
        return spread

    @property
    def _n_features_out(self) -> int:
        """The latent numbers, for scikit-learn's names of them."""
        return int(self.module_.architecture["latent_size"])

    def _make_network(self, n_outputs: int) -> Any:
        arguments = {name: getattr(self, name) for name in ARCHITECTURE if name not in LEFT_OUT}
        own = {"latent_size": self.latent_size, "teacher_forcing": self.teacher_forcing}
        return self.network_class(self.n_channels_, categories=self._code_counts(), **own, **arguments)

    def _check_fit(self, X: Any, sample_weight: Any, lengths: Any) -> Weighted:
        """Check the input of a fit and learn its shape and codes."""
        reset = not self._goes_on()
        if not isinstance(X, LogWindows):
            windows, _ = check_windows(self, X, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        else:
            windows = CheckedWindows(refuse_unusable(X, lengths)) if reset else self._check_windows(X, lengths)
            self.n_features_in_ = X.shape[1] * X.shape[2]
        self.n_timesteps_, self.n_channels_ = windows.values.shape[1:]
        one_column = np.empty((len(windows.values), 1))
        weight = check_sample_weight(sample_weight, one_column, dtype=np.float64, ensure_non_negative=True)
        return self._learn_codes(windows, reset), weight

    def _hold_out_windows(
        self, windows: CheckedWindows, weight: np.ndarray, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of windows to train on and to hold out: of a log its end, else any."""
        items = np.flatnonzero(weight > 0)
        of_log = isinstance(windows.values, LogWindows)
        order = {"shuffle": False} if of_log else {"random_state": rng}
        try:
            train, rest = train_test_split(items, test_size=self.validation_fraction, **order)
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold out {self.validation_fraction:.0%} of {len(items)} windows ({error}). "
                "Pass X_val, or set early_stopping=False."
            ) from None
        return train, without_shared_rows(windows.values, train, rest) if of_log else rest

    def _window_batches(self, windows: CheckedWindows, weight: np.ndarray, *, watched: bool = False) -> WindowBatches:
        """Return windows to train on, or to watch the loss on: there, of that by which windows are judged."""
        of_last = watched and self.error == "last"
        kind = LastStepBatches if of_last else ReconstructionBatches
        return kind(
            self._gather(windows),
            np.ones(len(weight), dtype=np.int64) if of_last else n_steps(windows),
            mean_one(weight),
            self._batch_size(len(weight), AUTO_WINDOWS),
            lengths=windows.lengths,
        )

    def _loss(self) -> Any:
        return partial(mean_loss, error=ERROR_LOSSES[self.loss])

    def _errors(self, windows: CheckedWindows) -> np.ndarray:
        """Return the error by which each window is judged, float64 of shape (n_windows,)."""
        judge = last_error if self.error == "last" else mean_error
        return self._outputs(windows, judge).cpu().double().numpy()

    def _learn_offset(self, fitted: Weighted, held_out: Weighted | None) -> None:
        """Set the border of what is normal: for "auto" by windows held out where there are some."""
        if self.contamination == "auto":
            (windows, weight), share = held_out or fitted, AUTO_CONTAMINATION
        else:
            (windows, weight), share = fitted, self.contamination
        self.offset_ = find_offset(-self._errors(windows), weight, share)

    def _spread(self, values: torch.Tensor, windows: CheckedWindows) -> np.ndarray:
        """Return values of measured channels, (n_windows, time, n_measured), among all; NaN where there are none."""
        spread = np.full(windows.values.shape, np.nan)
        spread[..., self.module_.measured] = values.cpu().double().numpy()
        if windows.lengths is not None:
            spread[np.arange(spread.shape[1]) >= windows.lengths[:, None]] = np.nan
        return spread


class ReconstructionBatches(WindowBatches):
    """Windows whose targets are they themselves, as they come out of any augmentation; `target` holds their steps."""

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return by how much the windows are missed, (batch, time, n_measured), zero in the padding, and no price."""
        return residuals(module, batch.x, batch.lengths, generator), None


class LastStepBatches(WindowBatches):
    """Windows of which only the last step is to be written; `target` holds ones."""

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return by how much the last steps are missed, (batch, 1, n_measured), and no price."""
        return last_residuals(module, batch.x, batch.lengths)[:, None], None


def residuals(
    module: Any, x: torch.Tensor, lengths: torch.Tensor | None, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return what is left of windows without what the network writes, (batch, time, n_measured)."""
    return module.targets(x) - module(x, generator, lengths)


def last_residuals(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return what is left of each window's last step without what the network writes, (batch, n_measured)."""
    last = module.targets(last_steps(x, lengths)[:, None])[:, 0]  # (batch, n_measured)
    return last - module.write_last(x, lengths)


def last_error(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the squared error of each window's last step, averaged over the channels, (batch,)."""
    return widen(last_residuals(module, x, lengths)).square().mean(dim=1)


def mean_error(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the squared error averaged over each window's steps and channels, (batch,)."""
    r = widen(residuals(module, x, lengths))  # (batch, time, n_measured)
    steps = r.new_full((len(x),), x.shape[1]) if lengths is None else lengths.to(r)
    return r.square().sum(dim=1).mean(dim=1) / steps


def widen(r: torch.Tensor) -> torch.Tensor:
    """Return numbers to be squared and summed: in double precision, where the device is sure to have it."""
    return r.double() if r.device.type == "cpu" else r


def last_steps(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the last step of each window, (batch, channels)."""
    return x[:, -1] if lengths is None else x[torch.arange(len(x), device=x.device), lengths.to(x.device) - 1]


def mean_loss(r: torch.Tensor, steps: torch.Tensor, *, error: Any) -> torch.Tensor:
    """Return the loss of each window, (batch,): the mean over its steps and channels."""
    return error(r, torch.zeros_like(r)).sum(dim=1).mean(dim=1) / steps


def encode(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the latent vectors, (batch, latent_size)."""
    return module.encode(x, None, lengths)


def unweighted(windows: CheckedWindows) -> Weighted:
    """Return windows that all count the same."""
    return windows, np.ones(len(windows.values))


def n_steps(windows: CheckedWindows) -> np.ndarray:
    """Return the steps of each window, (n_windows,)."""
    n_windows, steps, _ = windows.values.shape
    return np.full(n_windows, steps) if windows.lengths is None else windows.lengths


def without_shared_rows(windows: LogWindows, train: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return those of the held-out windows that share no row with the ones to train on, or all when none does."""
    starts, ends = windows.starts, windows.ends[rest]
    first = np.maximum(ends - windows.window_size + 1, starts[np.searchsorted(starts, ends, side="right") - 1])
    kept = rest[first > windows.ends[train].max()]
    return kept if len(kept) else rest
