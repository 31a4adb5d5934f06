"""The one training loop: ``fit_loop`` -> ``run_epoch`` -> ``train_step``. It takes any module and names none."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from ..logs.shared import warn
from ..losses.base import PreparedLoss
from ..networks.forget_gates import watch_gates
from .batches import Batch, Output
from .checkpoints import Checkpoint, fingerprint
from .denormals import flush_denormals
from .devices import autocast, device_generator, spawn
from .gate_price import REPORTED, gate_report
from .optimizers import Lowest, Plateau, lr_factor, make_optimizer
from .sums import Loss, add_up, weighted_sum
from .threads import Workers, end_if_stopped, is_one_of_many

Augment = Callable[[Batch, torch.Generator], Batch]
History = list[dict[str, float]]

# Passes over the data under max_epochs="auto", on data large enough for `min_steps` within them.
AUTO_EPOCHS = 15


class Batches(Protocol):
    """What the loop needs to know of a training set."""

    n_batches: int

    def epoch(self, generator: torch.Generator | None) -> Iterator[Batch]:
        """Yield the batches of one pass, in an order drawn from `generator` where one is given."""

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return what the loss takes and what is added to it, or None; a `generator` means that it is training."""

    def contents(self) -> list[Any]:
        """Return all that decides what is trained on, for a fingerprint."""


class Monitor(Protocol):
    """What the loop needs to know of a judge of the network."""

    def __call__(self) -> float:
        """Return the score; higher is better."""

    def contents(self) -> list[Any]:
        """Return all that decides which scorer it is, for a fingerprint."""


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
    optimizer: str = "adamw"
    momentum: float = 0.9
    precision: str = "float32"
    micro_batch_size: int = 64
    n_jobs: int = 1
    max_steps: int | None = None
    gate_penalty: float = 0.0

    def n_epochs(self, n_batches: int) -> int:
        """Return how often to pass over data of so many batches."""
        if self.max_epochs == "auto":
            n_epochs = max(AUTO_EPOCHS, -(-self.min_steps // n_batches))
            return n_epochs if self.max_steps is None else max(1, min(n_epochs, self.max_steps // n_batches))
        return int(self.max_epochs)

    def lr_factor(self, progress: float) -> float:
        """Return the learning rate at a progress from 0 to 1, as a share of `lr`; a plateau's fall is not in it."""
        return lr_factor(self.schedule, progress, self.warmup_fraction)


class Trainer:
    """Trains a module in place; what it holds between two epochs is what a checkpoint keeps.

    A batch is cut into pieces of at most `micro_batch_size` items, whose gradients are added up in their order: the
    workspace of a large batch outgrows what the allocator keeps (0.53 of the time at 64 units and 256 windows), and
    pieces run side by side in `n_jobs` threads, whose number changes no number. An accelerator takes batches whole.

    Parameters
    ----------
    module : nn.Module
        The network, on its device and with weights of its type.
    batches : Batches
        What to train on.
    loss : callable
        Loss of each item of logits and targets.
    recipe : Recipe
        How to train.
    generator : torch.Generator
        Where the order of items, masks and augmentations are drawn from; on the cpu.
    validation : Batches, optional
        What to record the loss on as ``valid_loss`` after each epoch.
    monitor : Monitor, optional
        Returns a validation score, higher is better, recorded as ``valid_score``; early stopping and the plateau
        watch it in place of the loss.
    augment : callable, optional
        Returns a changed batch of a batch and a generator.
    checkpoint : str or path-like, optional
        File to leave the state in after each epoch, and to go on from; it is removed at the end of training.
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Batches,
        loss: Loss,
        recipe: Recipe,
        generator: torch.Generator,
        *,
        validation: Batches | None = None,
        monitor: Monitor | None = None,
        augment: Augment | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.module, self.batches, self.loss, self.recipe = module, batches, loss, recipe
        self.epoch_loss, self.whole_batch = loss, getattr(loss, "whole_batch", False)
        self.validation, self.monitor, self.augment = validation, monitor, augment
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self.device, self.dtype = self.weights[0].device, self.weights[0].dtype
        self.generator = self.draws = generator
        self.seeds = spawn(generator)  # of pieces: their number must not change the order of the items
        self.optimizer = make_optimizer(
            recipe.optimizer, self.weights, lr=recipe.lr, weight_decay=recipe.weight_decay, momentum=recipe.momentum
        )
        self.workers = Workers(recipe.n_jobs if self.device.type == "cpu" else 1)
        self.n_epochs = recipe.n_epochs(batches.n_batches)
        self.history: History = []
        self.best = Best(recipe.tol)
        self.plateau = Plateau(recipe.tol, patience=max(1, recipe.n_iter_no_change // 2))
        self.checkpoint = None if checkpoint is None else Checkpoint(checkpoint, self._fingerprint())

    def fit_loop(self) -> History:
        """Train and return a record per epoch; under early stopping, end on the best epoch's weights."""
        self._resume()
        with self.workers, self._bar() as bar:
            try:
                while not self._is_done():
                    self._add_epoch()
                    bar.update()
                    bar.set_postfix(shown(self.history[-1]))
            except KeyboardInterrupt:
                if is_one_of_many():
                    raise
                warn(self._interrupted())
        self.best.restore(self.module)
        if self.checkpoint is not None and self._is_done():
            self.checkpoint.remove()
        return self.history

    def run_epoch(self) -> dict[str, float]:
        """Pass over the data once and return the mean loss and, under a penalty on gates, where they were."""
        progress, share = len(self.history) / self.n_epochs, 1 / self.n_epochs
        self.epoch_loss = self.loss.at(progress) if isinstance(self.loss, PreparedLoss) else self.loss
        told = ("train_loss", *(REPORTED if self.recipe.gate_penalty else ()))
        total = torch.zeros(len(told), dtype=self.dtype, device=self.device)  # read once an epoch: no wait for it
        n_seen = 0
        self.draws = device_generator(self.generator, self.device)
        for step, batch in enumerate(self.batches.epoch(self.generator)):
            end_if_stopped()
            self._set_lr(progress + share * (step + 0.5) / self.batches.n_batches)
            total += self.train_step(batch) * len(batch.x)
            n_seen += len(batch.x)
        return {name: value / n_seen for name, value in zip(told, total.tolist(), strict=True)}

    @flush_denormals()
    def train_step(self, batch: Batch) -> torch.Tensor:
        """Take one step of the optimizer and return the loss before it, (1,), and what is reported beside it."""
        if self.augment is not None:
            batch = self.augment(batch, self.draws)
        self.optimizer.zero_grad()
        value = self._backward(batch)
        if self.recipe.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.weights, self.recipe.max_grad_norm)
        self.optimizer.step()
        return value

    def evaluate(self, batches: Batches) -> float:
        """Return the mean loss on data that is not trained on."""
        total = torch.zeros((), dtype=torch.float64 if self.device.type == "cpu" else self.dtype, device=self.device)
        n_seen = 0
        for batch in batches.epoch(None):
            values = self.workers.map(partial(self._piece_value, batches, batch), self._pieces(batch))
            total += sum(values) * len(batch.x)
            n_seen += len(batch.x)
        return float(total) / n_seen

    def _backward(self, batch: Batch) -> torch.Tensor:
        """Leave the gradients of a batch at the weights and return its loss and reports."""
        pieces = self._pieces(batch)
        if len(pieces) == 1:
            value = self._piece_loss(self.batches, batch, batch, self.draws)
            value[0].backward()
            return value.detach()
        seeds = torch.randint(2**62, (len(pieces),), generator=self.seeds).tolist()  # drawn here: in a fixed order
        values, gradients = zip(*self.workers.map(partial(self._piece_gradients, batch), pieces, seeds), strict=True)
        for weight, *of_pieces in zip(self.weights, *gradients, strict=True):
            weight.grad = add_up(of_pieces)
        return torch.stack(values, dim=1).sum(dim=1)

    @flush_denormals()  # of the thread that it runs in
    def _piece_gradients(
        self, whole: Batch, piece: Batch, seed: int
    ) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
        """Return loss, reports and gradients of a piece, which draws its masks from a generator of its own."""
        value = self._piece_loss(self.batches, whole, piece, torch.Generator().manual_seed(seed))
        return value.detach(), torch.autograd.grad(value[0], self.weights, allow_unused=True)

    @torch.no_grad()
    def _piece_value(self, batches: Batches, whole: Batch, piece: Batch) -> torch.Tensor:
        """Return a piece's part of the loss when nothing is trained; threads have gradients each by themselves."""
        return self._piece_loss(batches, whole, piece, None)[0]

    def _piece_loss(
        self, batches: Batches, whole: Batch, piece: Batch, generator: torch.Generator | None
    ) -> torch.Tensor:
        """Return a piece's part of the loss of its batch, (1,), and in training of what is reported beside it.

        Weights have mean one over the whole set, so that a batch's mix keeps its weight. What is held out is judged by
        one loss all through training: epochs would not compare under one that changes.
        """
        loss = self.loss if generator is None else self.epoch_loss
        watched = self.recipe.gate_penalty > 0.0 and generator is not None
        with autocast(self.recipe.precision, self.device), watch_gates(watched) as gates:
            logits, penalty = batches.forward(self.module, piece, generator)
        value = weighted_sum(loss, logits.to(self.dtype), piece) / whole.weight.numel()
        share = len(piece.x) / len(whole.x)
        if penalty is not None:
            value = value + penalty.to(self.dtype) * share
        if gates is None:
            return value[None]
        report = gate_report(gates, piece).to(self.dtype) * share  # (2,)
        return torch.cat([(value + self.recipe.gate_penalty * report[0])[None], report])

    def _pieces(self, batch: Batch) -> list[Batch]:
        whole = self.whole_batch or self.device.type != "cpu"
        return [batch] if whole else batch.split(self.recipe.micro_batch_size)

    def _set_lr(self, progress: float) -> None:
        factor = self.recipe.lr_factor(progress)
        if self.recipe.schedule == "plateau":
            factor *= self.plateau.factor
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * factor

    def _add_epoch(self) -> None:
        """Train for an epoch, look at what it reached, and keep the state."""
        record = {"epoch": len(self.history) + 1.0, **self.run_epoch()}
        refuse_divergence(record["train_loss"], len(self.history), self.recipe)
        if self.validation is not None:
            record["valid_loss"] = self.evaluate(self.validation)
        if self.monitor is not None:
            record["valid_score"] = float(self.monitor())
        watched = -record["valid_score"] if "valid_score" in record else record.get("valid_loss")
        if self.recipe.early_stopping and watched is not None:
            self.best.see_weights(watched, self.module)
        self.plateau.see(record["train_loss"] if watched is None else watched)
        self.history.append(record)
        if self.checkpoint is not None:
            self.checkpoint.save(self._state())

    def _is_done(self) -> bool:
        return len(self.history) >= self.n_epochs or self.best.epochs_since >= self.recipe.n_iter_no_change

    def _bar(self) -> tqdm:
        return tqdm(
            total=self.n_epochs,
            initial=len(self.history),
            desc="training",
            unit="epoch",
            disable=not self.recipe.verbose,
            leave=False,
        )

    def _interrupted(self) -> str:
        message = f"Interrupted after {len(self.history)} epochs: keeping the best weights so far."
        if self.checkpoint is None or not self.history:
            return message
        return f"{message} The same fit would go on from {self.checkpoint.path}; delete the file to start anew."

    def _state(self) -> dict[str, Any]:
        return {
            "weights": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "seeds": self.seeds.get_state(),
            "history": self.history,
            "best": vars(self.best),
            "plateau": vars(self.plateau),
        }

    def _resume(self) -> None:
        """Go on from the checkpoint, where one was left."""
        state = None if self.checkpoint is None else self.checkpoint.load()
        if state is None:
            return
        self.module.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.seeds.set_state(state["seeds"])
        self.history = state["history"]
        vars(self.best).update(state["best"])
        vars(self.plateau).update(state["plateau"])

    def _fingerprint(self) -> str:
        """Return what tells this training from others; threads and the bar change no number."""
        return fingerprint(
            vars(replace(self.recipe, n_jobs=1, verbose=0)),
            self.n_epochs,
            getattr(self.module, "architecture", None),  # a pooling or a dropout may have no weights
            self.module.state_dict(),
            self.generator.get_state(),
            self.batches.contents(),
            None if self.validation is None else self.validation.contents(),
            self.loss,
            self.augment,
            None if self.monitor is None else self.monitor.contents(),
        )


def shown(record: dict[str, float]) -> dict[str, str]:
    """Return what of the record of an epoch stands behind the bar."""
    names = {"loss": "train_loss", "gates_at_ends": "gates_at_ends"}
    return {name: f"{record[key]:.4f}" for name, key in names.items() if key in record}


class Best(Lowest):
    """The lowest validation loss, or the negative of the highest score, and the weights that reached it."""

    def __init__(self, tol: float) -> None:
        super().__init__(tol)
        self.weights: dict[str, torch.Tensor] | None = None

    def see_weights(self, value: float, module: nn.Module) -> None:
        """Keep the weights when the value is the lowest yet."""
        if self.see(value):
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
