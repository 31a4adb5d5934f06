"""The one training loop: ``fit_loop`` -> ``run_epoch`` -> ``train_step``. It takes any module and names none."""

from __future__ import annotations

import copy
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from .batches import Batch

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
History = list[dict[str, float]]

# Passes over the data under max_epochs="auto", on data large enough for `min_steps` within them.
AUTO_EPOCHS = 15
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Batches(Protocol):
    """What the loop needs to know of a training set."""

    n_batches: int

    def epoch(self, generator: torch.Generator | None) -> Iterator[Batch]:
        """Yield the batches of one pass, in an order drawn from `generator` where one is given."""

    def forward(self, module: nn.Module, x: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Return what the loss takes; with a `generator`, the module is in training."""


@dataclass(frozen=True)
class Recipe:
    """How to train; the estimators document each entry under the same name."""

    lr: float
    weight_decay: float
    max_grad_norm: float | None
    schedule: str
    warmup_fraction: float
    max_epochs: int | str
    min_steps: int
    early_stopping: bool
    n_iter_no_change: int
    tol: float
    verbose: int

    def n_epochs(self, n_batches: int) -> int:
        """Return how often to pass over data of so many batches."""
        if self.max_epochs == "auto":
            return max(AUTO_EPOCHS, -(-self.min_steps // n_batches))
        return int(self.max_epochs)

    def lr_factor(self, progress: float) -> float:
        """Return the learning rate at a progress from 0 to 1, as a share of `lr`.

        A linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, "SGDR", 2017).
        """
        if self.schedule == "constant":
            return 1.0
        if progress < self.warmup_fraction:
            return progress / self.warmup_fraction
        rest = (progress - self.warmup_fraction) / (1.0 - self.warmup_fraction)
        return 0.5 * (1.0 + math.cos(math.pi * min(rest, 1.0)))


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) on the module's weights."""
    return torch.optim.AdamW(module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def fit_loop(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    validation: Batches | None = None,
) -> History:
    """Train `module` in place and return a record per epoch; under early stopping, end on the best epoch's weights."""
    optimizer = make_optimizer(module, recipe)
    n_epochs = recipe.n_epochs(batches.n_batches)
    history: History = []
    best = Best(recipe.tol)
    with tqdm(total=n_epochs, desc="training", unit="epoch", disable=not recipe.verbose, leave=False) as bar:
        try:
            for epoch in range(n_epochs):
                record = {"epoch": epoch + 1.0}
                history.append(record)
                record["train_loss"] = run_epoch(
                    module, batches, loss, recipe, generator, optimizer, epoch / n_epochs, 1 / n_epochs
                )
                refuse_divergence(record["train_loss"], epoch, recipe)
                if validation is not None:
                    record["valid_loss"] = evaluate(module, validation, loss)
                    if recipe.early_stopping:
                        best.see(record["valid_loss"], module)
                bar.update()
                bar.set_postfix(loss=f"{record['train_loss']:.4f}")
                if best.epochs_since >= recipe.n_iter_no_change:
                    break
        except KeyboardInterrupt:
            if _one_of_many.get():
                raise
            history = [record for record in history if "train_loss" in record]
            warnings.warn(f"Interrupted after {len(history)} epochs: keeping the best weights so far.", stacklevel=2)
    best.restore(module)
    return history


def run_epoch(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    recipe: Recipe,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    progress: float = 0.0,
    share: float = 0.0,
) -> float:
    """Pass over the data once and return the mean loss; the epoch takes training from `progress` on by `share`."""
    weights = next(module.parameters())
    total = torch.zeros((), dtype=weights.dtype, device=weights.device)  # read once an epoch: no wait for the device
    n_seen = 0
    draws, stop = device_generator(generator, total.device), _stop.get()
    for step, batch in enumerate(batches.epoch(generator)):
        if stop is not None and stop.is_set():
            raise StoppedError
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * recipe.lr_factor(progress + share * (step + 0.5) / batches.n_batches)
        total += train_step(module, batches, batch, loss, recipe, draws, optimizer) * len(batch.x)
        n_seen += len(batch.x)
    return float(total) / n_seen


def train_step(
    module: nn.Module,
    batches: Batches,
    batch: Batch,
    loss: Loss,
    recipe: Recipe,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
) -> torch.Tensor:
    """Take one step of the optimizer and return the loss before it."""
    optimizer.zero_grad()
    value = weighted_mean(loss, batches.forward(module, batch.x, generator), batch)
    value.backward()
    if recipe.max_grad_norm is not None:
        nn.utils.clip_grad_norm_(module.parameters(), recipe.max_grad_norm)
    optimizer.step()
    return value.detach()


def weighted_mean(loss: Loss, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the loss of a batch. Weights have mean one over the whole set, so that a batch's mix keeps its weight."""
    return (loss(logits, batch.target) * batch.weight).sum() / batch.target.numel()


@torch.no_grad()
def evaluate(module: nn.Module, batches: Batches, loss: Loss) -> float:
    """Return the mean loss on data that is not trained on."""
    total, n_seen = 0.0, 0
    for batch in batches.epoch(None):
        total += float(weighted_mean(loss, batches.forward(module, batch.x, None), batch)) * len(batch.x)
        n_seen += len(batch.x)
    return total / n_seen


class Best:
    """The lowest validation loss so far and the weights that reached it."""

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.loss = math.inf
        self.epochs_since = 0
        self.weights: dict[str, torch.Tensor] | None = None

    def see(self, loss: float, module: nn.Module) -> None:
        """Keep the weights when the loss is the lowest yet; count the epochs without a fall of more than `tol`."""
        self.epochs_since = 0 if loss < self.loss - self.tol else self.epochs_since + 1
        if loss < self.loss:
            self.loss = loss
            self.weights = copy.deepcopy(module.state_dict())

    def restore(self, module: nn.Module) -> None:
        """Put the kept weights back."""
        if self.weights is not None:
            module.load_state_dict(self.weights)


def refuse_divergence(loss: float, epoch: int, recipe: Recipe) -> None:
    """Raise when the loss is no number any more."""
    if not math.isfinite(loss):
        raise ValueError(
            f"The training loss became {loss} in epoch {epoch + 1}. Lower lr (now {recipe.lr}), set max_grad_norm "
            f"(now {recipe.max_grad_norm}), or look for extreme values in X."
        )


def resolve_device(device: Any) -> torch.device:
    """Return the device of a name; "auto" is the first of cuda, mps and xpu that is there, else the cpu."""
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"device={device!r} cannot be used here ({reason}). Pass 'auto' or 'cpu'.") from None
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator if accelerator is not None else torch.device("cpu")


def device_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Return a generator on `device`, seeded from `generator` unless it is there already."""
    if generator.device.type == device.type:
        return generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device=device).manual_seed(seed)


class StoppedError(Exception):
    """Training was ended by those who asked for it; what it made is not wanted any more."""


_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)
_one_of_many: ContextVar[bool] = ContextVar("one_of_many", default=False)


@contextmanager
def one_of_many() -> Iterator[None]:
    """Let an interrupt of a training in here pass on to the caller, who trains others too."""
    before = _one_of_many.set(True)
    try:
        yield
    finally:
        _one_of_many.reset(before)


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """End training in here, at its next step, once `stop` is set."""
    before = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(before)


class _Threads:
    """How many fits and predictions run now, and torch's thread count before the first of them."""

    lock = threading.Lock()
    here = threading.local()
    n_users = 0
    before = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch with one thread in here, and give the caller's count back at the end.

    Small recurrent layers do not gain from torch's own threads (two were slower than one at 32 units), results
    must not depend on their number, and members of an ensemble run side by side in threads of their own.
    """
    if getattr(_Threads.here, "inside", False):
        yield
        return
    with _Threads.lock:
        before = torch.get_num_threads()  # every thread must ask: torch sets up those that did not, later, anew
        torch.set_num_threads(1)
        if _Threads.n_users == 0:
            _Threads.before = before
        _Threads.n_users += 1
        _Threads.here.inside = True
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.n_users -= 1
            _Threads.here.inside = False
            torch.set_num_threads(_Threads.before)
