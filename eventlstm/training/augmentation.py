"""Random changes of training batches: noise, scaling, a warp of time, and mixtures of windows.

A batch holds windows ``(batch, time, channels)`` with a label each, or chunks of a log with a label for each of their
last steps.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator

from .._validation import Interval

# Where the speed of a warp is drawn: both ends and four knots between them, as in the code of Um et al.
N_KNOTS = 6


class Augmentation(BaseEstimator):
    """Random changes of the windows of each training batch.

    Each is off at 0. They are made in the order time warp, scaling, jitter, mixup, anew for every batch; nothing is
    changed in scoring.

    Parameters
    ----------
    jitter : float, default=0.0
        Standard deviation of Gaussian noise added to every value, in units of the value as the network sees it. Inputs
        are scaled to a spread of about one, so that 0.05 is five per cent of it.
    scaling : float, default=0.0
        Standard deviation of a factor ``1 + scaling * N(0, 1)``, one for each window and channel.
    time_warp : float, default=0.0
        Standard deviation of the logarithm of the speed at six knots over the window, joined by straight lines: at 0.2
        most stretches run up to a fifth faster or slower. The first and the last step stay where they are. Values
        between two steps are interpolated; labels and weights of steps are those of the nearest step. A step whose
        label then lies before the labelled part gets no weight.
    mixup : float, default=0.0
        Parameter alpha of a Beta(alpha, alpha) distribution, from which the share of a window is drawn, once for a
        batch; the rest comes from a second window of it. Zhang et al. take 0.1 to 0.4. Windows with padding are mixed
        with windows of the same length.

    See Also
    --------
    LSTMClassifier : Takes it as a parameter, so that a search can set ``augmentation__jitter``.

    Notes
    -----
    Channels of codes get no noise, no factor and no mixture; a warp gives them the code of the nearest step. Padding
    beyond a window's length stays as it is.

    References
    ----------
    Um et al., "Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural
    networks", 2017 (jitter, scaling, time warp).
    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond empirical risk minimization", 2018.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from eventlstm.training.augmentation import Augmentation
    >>> augmentation = Augmentation(jitter=0.05, mixup=0.2)
    >>> augmentation.check()
    >>> clone(augmentation).set_params(jitter=0.1)
    Augmentation(jitter=0.1, mixup=0.2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: [Interval(Real, 0, None, closed="left")] for name in ("jitter", "scaling", "time_warp", "mixup")
    }

    def __init__(self, jitter: float = 0.0, scaling: float = 0.0, time_warp: float = 0.0, mixup: float = 0.0) -> None:
        self.jitter = jitter
        self.scaling = scaling
        self.time_warp = time_warp
        self.mixup = mixup

    def check(self) -> None:
        """Refuse parameters that are no numbers from zero on.

        Raises
        ------
        ValueError
            If a parameter is negative, infinite or no number.
        """
        self._validate_params()

    def __call__(self, batch: Any, generator: torch.Generator, numeric: Any = None) -> Any:
        """Return a changed batch, or the batch itself when nothing is switched on.

        Parameters
        ----------
        batch : Batch
            Windows ``x`` of shape (batch, time, channels), ``target`` and ``weight`` of shape (batch,) or (batch,
            labelled) for the last steps, and ``lengths`` of shape (batch,) or None.
        generator : torch.Generator
            Where all draws come from; on the device of the batch.
        numeric : array-like of bool of shape (channels,), optional
            False for channels that hold codes. Default: all channels are measurements.

        Returns
        -------
        Batch
            Of the same shapes and types. Under mixup, ``mix`` is the share of the window itself (a tensor without
            axes), and target and weight of the windows it was mixed with.

        Raises
        ------
        ValueError
            If a parameter is negative, or `numeric` is not a bool for each channel.
        """
        self.check()
        if not (self.jitter or self.scaling or self.time_warp or self.mixup):
            return batch
        numeric = _check_numeric(numeric, batch.x)
        if self.time_warp:
            batch = warp(batch, self.time_warp, generator, numeric)
        x = batch.x
        if self.scaling:
            x = x * (1.0 + self.scaling * _normal((len(x), 1, x.shape[2]), x, generator))
        if self.jitter:
            x = x + self.jitter * _normal(x.shape, x, generator)
        if self.mixup:
            share = draw_share(self.mixup, x, generator)
            partner = draw_partners(batch, generator)
            x = torch.lerp(x[partner], x, share)
            batch = batch._replace(mix=(share, batch.target[partner], batch.weight[partner]))
        return batch._replace(x=_keep_codes_and_padding(x, batch, numeric))


def warp(batch: Any, strength: float, generator: torch.Generator, numeric: torch.Tensor | None) -> Any:
    """Return a batch whose windows run at a speed that changes smoothly, with labels that follow their steps."""
    x = batch.x
    source = draw_source(batch, strength, generator)  # (batch, time)
    nearest = source.round().long()  # (batch, time)
    before, after = source.floor().long(), source.ceil().long()  # (batch, time)
    between = torch.lerp(_take(x, before), _take(x, after), (source - before)[..., None])  # (batch, time, channels)
    warped = between if numeric is None else torch.where(numeric, between, _take(x, nearest))
    if batch.target.ndim == 1:
        return batch._replace(x=warped)
    skip = x.shape[1] - batch.target.shape[1]
    labelled = nearest[:, skip:] - skip  # (batch, labelled)
    known, labelled = labelled >= 0, labelled.clamp(min=0)
    weight = batch.weight.gather(1, labelled) * known
    return batch._replace(x=warped, target=batch.target.gather(1, labelled), weight=weight)


def draw_source(batch: Any, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Draw for every step the position it takes its values from, (batch, time): it never falls along a window."""
    x = batch.x
    n_items, n_steps, _ = x.shape
    step = torch.arange(n_steps, dtype=x.dtype, device=x.device)
    last = _last_step(batch)  # (batch, 1)
    gap = step[:-1] + 0.5  # speeds hold between two steps
    at = (gap / last.clamp(min=1)).clamp(max=1) * (N_KNOTS - 1)  # (batch, time - 1)
    left = at.long().clamp(max=N_KNOTS - 2)
    knots = strength * _normal((n_items, N_KNOTS), x, generator)
    log_speed = torch.lerp(knots.gather(1, left), knots.gather(1, left + 1), at - left)  # (batch, time - 1)
    travelled = log_speed.masked_fill(gap > last, -math.inf).softmax(dim=1).cumsum(dim=1)
    travelled = torch.nn.functional.pad(travelled, (1, 0))  # (batch, time)
    inside = torch.minimum(travelled / travelled[:, -1:] * last, last)
    return torch.where(step >= last, step, inside)


def draw_share(alpha: float, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw from Beta(alpha, alpha) by a formula of two uniforms, as torch's own draws take no generator.

    T = sqrt(n (U^(-2/n) - 1)) cos(2 pi V) has Student's distribution with n degrees of freedom (Bailey, "Polar
    generation of random variates with the t-distribution", 1994), and (1 + T / sqrt(n + T^2)) / 2 is Beta(n/2, n/2).
    """
    u, v = torch.rand(2, dtype=like.dtype, device=like.device, generator=generator)
    cosine = torch.cos(2.0 * math.pi * v)
    odds = (u ** (-1.0 / alpha) - 1.0) * cosine**2  # T^2 / n
    return 0.5 + 0.5 * cosine.sign() / torch.sqrt(1.0 + 1.0 / odds)


def draw_partners(batch: Any, generator: torch.Generator) -> torch.Tensor:
    """Draw a permutation of the items, (batch,), within those of the same length where there are lengths."""
    device = batch.x.device
    shuffled = torch.randperm(len(batch.x), generator=generator, device=device)
    if batch.lengths is None:
        return shuffled
    lengths = batch.lengths.to(device)
    partner = torch.empty_like(shuffled)
    partner[lengths.argsort(stable=True)] = shuffled[lengths[shuffled].argsort(stable=True)]
    return partner


def _keep_codes_and_padding(x: torch.Tensor, batch: Any, numeric: torch.Tensor | None) -> torch.Tensor:
    """Return `x` with the batch's own values in channels of codes and beyond the lengths."""
    if numeric is not None:
        x = torch.where(numeric, x, batch.x)
    if batch.lengths is not None:
        step = torch.arange(x.shape[1], device=x.device)
        x = torch.where((step <= _last_step(batch))[..., None], x, batch.x)
    return x


def _last_step(batch: Any) -> torch.Tensor:
    """Return the number of each window's last step before the padding, (batch, 1), in the type of the values."""
    n_items, n_steps, _ = batch.x.shape
    if batch.lengths is None:
        return batch.x.new_full((n_items, 1), n_steps - 1)
    return batch.lengths.to(batch.x)[:, None] - 1.0


def _take(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Return the values at these steps, (batch, time) of numbers to (batch, time, channels)."""
    return x.gather(1, steps[..., None].expand(-1, -1, x.shape[2]))


def _normal(shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw standard normal numbers of the type and on the device of a tensor."""
    return torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)


def _check_numeric(numeric: Any, x: torch.Tensor) -> torch.Tensor | None:
    """Return the mask of measurements on the device, or None where all channels are such."""
    if numeric is None:
        return None
    mask = torch.as_tensor(numeric, device=x.device)
    if mask.dtype != torch.bool or mask.shape != x.shape[2:]:
        raise ValueError(
            f"numeric is of type {mask.dtype} and shape {tuple(mask.shape)}, but the batch has {x.shape[2]} channels. "
            "Pass one bool for each channel, False for those that hold codes."
        )
    return mask
