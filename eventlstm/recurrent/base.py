"""What the recurrent estimators share: their parameters, making a network, training it, and keeping it in a pickle."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from .._validation import Interval, StrOptions
from ..logs.lanes import as_lanes
from ..logs.shared import LARGEST_SEED
from ..networks.recurrent_net import RecurrentNet
from ..training.augmentation import Augmentation
from ..training.batches import (
    AUTO_CHUNKS,
    AUTO_WINDOWS,
    ChunkBatches,
    WindowBatches,
    WindowGather,
    auto_batch_size,
    count_chunks,
)
from ..training.devices import PRECISIONS, move_network, resolve_device, weight_dtype
from ..training.loop import Batches, Trainer
from ..training.optimizers import OPTIMIZERS, SCHEDULE_NAMES
from .checking import CheckedWindows, check_windows
from .codes import Codes, check_channels, learn_codes
from .forward import Judge, output, over_lanes, over_windows
from .numpy_state import pack_moments, pack_network, unpack_moments, unpack_network
from .recipe import make_augment, make_recipe, refuse_no_gates

# Arguments of every network that are parameters of the estimators under the same name.
ARCHITECTURE = (
    "cell",
    "grid",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "dropout",
    "recurrent_dropout",
    "residual",
    "layer_norm",
    "forget_bias",
    "retention_steps",
    "embedding_size",
    "tbptt_steps",
)


@dataclass(eq=False, repr=False, match_args=False)
class RecurrentEstimator(BaseEstimator):
    """Base of the estimators around a recurrent network; their docstrings describe the parameters.

    Parameters are fields, from which `dataclass` writes the constructor: a child states those of its own, and others
    whose default differs. What is no parameter is a `ClassVar`, or has no annotation in the body of the class.
    """

    n_channels: int = 1
    _: KW_ONLY
    categorical_channels: Any = None
    embedding_size: int | str = "auto"
    cell: str = "lstm"
    grid: Any = None
    hidden_size: int = 32
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.2
    recurrent_dropout: float = 0.0
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float | None = None
    retention_steps: float | None = None
    gate_penalty: float = 0.0
    max_epochs: int | str = "auto"
    min_steps: int = 800
    max_steps: int | str | None = None
    batch_size: int | str | None = "auto"
    min_batches: int = 50
    micro_batch_size: int | str = "auto"
    optimizer: str = "adamw"
    lr: float = 0.003
    momentum: float = 0.9
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    schedule: str = "cosine"
    warmup_fraction: float = 0.2
    tbptt_steps: int | None = None
    augmentation: Any = None
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    tol: float = 1e-4
    checkpoint: Any = None
    device: str = "auto"
    precision: str = "float32"
    n_jobs: int | None = None
    warm_start: bool = False
    verbose: int = 0
    random_state: Any = None

    network_class: ClassVar[Any] = RecurrentNet  # has an `architecture` and is made anew from it by `from_weights`

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "categorical_channels": ["array-like", None],
        "embedding_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "cell": [StrOptions({"lstm", "gru", "rnn", "peephole", "convlstm"})],
        "grid": [tuple, list, None],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "recurrent_dropout": [Interval(Real, 0, 1, closed="left")],
        "residual": ["boolean"],
        "layer_norm": ["boolean"],
        "forget_bias": [Real, None],
        "retention_steps": [Interval(Real, 0, None, closed="neither"), None],
        "gate_penalty": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "min_steps": [Interval(Integral, 0, None, closed="left")],
        "max_steps": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "min_batches": [Interval(Integral, 1, None, closed="left")],
        "micro_batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions(set(SCHEDULE_NAMES))],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "tbptt_steps": [Interval(Integral, 1, None, closed="left"), None],
        "augmentation": [Augmentation, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "checkpoint": [str, PathLike, None],
        "device": [str],
        "precision": [StrOptions(set(PRECISIONS))],
        "n_jobs": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def _start(self, rng: np.random.RandomState, **own: Any) -> None:
        """Make the generator of the training and, unless a warm start goes on with the last one, the network.

        `own` are the arguments that this kind of network has beside those of all.
        """
        device = resolve_device(self.device)
        refuse_no_gates(self)
        self.__dict__.pop("optimizer_state_", None)  # it belongs to the last network
        self._generator = torch.Generator().manual_seed(int(rng.randint(LARGEST_SEED)))
        if not self._goes_on():
            shared = {name: getattr(self, name) for name in ARCHITECTURE}
            self.module_: Any = self.network_class(self.n_channels_, categories=self._codes().counts, **shared, **own)
            self.module_.initialize(self._generator)
            self.history_: list[dict[str, float]] = []
        self.module_ = self.module_.to(device, weight_dtype(self.precision))

    def _train(self, batches: Batches, loss: Any, watched: Batches | None, monitor: Any = None) -> Self:
        """Train the network and record what training said."""
        if self.checkpoint is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                f"A checkpoint can only be gone on from by the same training, but random_state={self.random_state!r} "
                "draws another one each time. Set random_state to an int."
            )
        trainer = Trainer(
            self.module_,
            batches,
            loss,
            make_recipe(self, batches),
            self._generator,
            validation=watched,
            monitor=monitor,
            augment=self._augment(),
            checkpoint=self.checkpoint,
        )
        return self._record(trainer.fit_loop())

    def _pass_once(self, batches: Batches, loss: Any) -> Self:
        """Train for one epoch with the optimizer as the last call of `partial_fit` left it."""
        recipe = make_recipe(self, batches, schedule="constant")
        torch.randint(2, (), generator=self._generator)  # a pass over one batch in pieces draws nothing else from it
        trainer = Trainer(self._on_device(), batches, loss, recipe, self._generator, augment=self._augment())
        if hasattr(self, "optimizer_state_"):
            unpack_moments(trainer.optimizer, self.optimizer_state_)
        with trainer.workers:
            record = trainer.run_epoch()
        self.optimizer_state_: Any = pack_moments(trainer.optimizer)
        return self._record([{"epoch": 1.0, **record}])

    def _augment(self) -> Any:
        return make_augment(self.augmentation, self.n_channels_, self._codes().channels)

    def _record(self, history: list[dict[str, float]]) -> Self:
        """Add epochs to what is known of training."""
        n_before = len(self.history_)
        self.history_ = self.history_ + [{**record, "epoch": n_before + record["epoch"]} for record in history]
        self.loss_curve_ = [record["train_loss"] for record in self.history_]
        self.n_iter_ = len(self.history_)
        return self

    def _goes_on(self) -> bool:
        return self.warm_start and hasattr(self, "module_")

    def _batch_size(self, n_items: int, largest: int) -> int:
        """Return how many windows or chunks make a step; `largest` is the limit of "auto"."""
        if self.batch_size == "auto":
            return auto_batch_size(n_items, largest, self.min_batches)
        return int(self.batch_size or n_items)

    def _window_batches(
        self, windows: CheckedWindows, target: np.ndarray, weight: np.ndarray, *, kind: Any = WindowBatches, **how: Any
    ) -> WindowBatches:
        """Return windows to train on, or to watch the loss on."""
        batch_size = self._batch_size(len(weight), AUTO_WINDOWS)
        return kind(self._gather(windows), target, weight, batch_size, lengths=windows.lengths, **how)

    def _chunk_batches(
        self,
        X: np.ndarray,
        starts: np.ndarray,
        target: Any,
        weight: np.ndarray,
        *,
        stride: int,
        kind: Any = ChunkBatches,
        **how: Any,
    ) -> ChunkBatches:
        """Return chunks of a log to train on, or to watch the loss on."""
        batch_size = self._batch_size(count_chunks(starts, len(X), stride), AUTO_CHUNKS)
        return kind(self._tensor(X), starts, target, weight, stride=stride, batch_size=batch_size, **how)

    def _check_windows(self, X: Any, lengths: Any = None) -> CheckedWindows:
        """Check windows that come after `fit`."""
        windows, _ = check_windows(self, X, reset=False, dtype=self._numpy_dtype(), lengths=lengths)
        return self._codes().encode_windows(windows)

    def _learn_channels(self, windows: CheckedWindows, *, reset: bool) -> CheckedWindows:
        """Learn how many steps and channels there are and the codes in them, and return windows with their numbers."""
        self.n_timesteps_, self.n_channels_ = windows.values.shape[1:]
        if reset:
            channels = check_channels(self.categorical_channels, self.n_channels_)
            self.categories_ = learn_codes(channels, windows)
        return self._codes().encode_windows(windows)

    def _learn_row_channels(self, X: np.ndarray, *, reset: bool) -> np.ndarray:
        """Learn the channels of rows (n_rows, n_channels) as those of windows of one step."""
        return self._learn_channels(CheckedWindows(X[:, None]), reset=reset).values[:, 0]

    def _codes(self) -> Codes:
        return Codes(check_channels(self.categorical_channels, self.n_channels_), self.categories_)

    def _numpy_dtype(self) -> str:
        return str(weight_dtype(self.precision)).removeprefix("torch.")

    def _on_device(self) -> Any:
        """Return the network on the device and with the numbers that `device` and `precision` name now."""
        return move_network(self.module_, resolve_device(self.device), weight_dtype(self.precision))

    def _gather(self, windows: CheckedWindows) -> WindowGather:
        return WindowGather(windows.values, resolve_device(self.device), weight_dtype(self.precision))

    def _tensor(self, X: np.ndarray) -> torch.Tensor:
        laid_out = np.require(X, self._numpy_dtype(), ["C", "W"])  # torch warns on memory that is not writable
        return torch.from_numpy(laid_out).to(resolve_device(self.device))

    def _outputs(self, windows: CheckedWindows, judge: Judge = output) -> torch.Tensor:
        """Return the network's output for each window, or what `judge` makes of it."""
        module, gather = self._on_device(), self._gather(windows)
        return over_windows(module, gather, windows.lengths, judge, precision=self.precision, n_jobs=self.n_jobs)

    def _step_outputs(self, X: Any, state: Any) -> tuple[torch.Tensor, Any]:
        """Return the outputs at every row of lanes, (n_lanes, n_rows, n_outputs), and the state after the last."""
        lanes = self._codes().encode(as_lanes(X, self.n_channels_, self._numpy_dtype()))
        return over_lanes(self._on_device(), self._tensor(lanes), state, precision=self.precision)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the network as NumPy arrays, so that a pickle loads on any device."""
        state = dict(super().__getstate__())  # a copy: scikit-learn hands out the live __dict__
        if "_generator" in state:
            state["_generator"] = self._generator.get_state().numpy()
        if "module_" in state:
            state["module_"] = pack_network(self.module_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the network from its own architecture: parameters may have been set anew since `fit`."""
        state = dict(state)
        kept, draws = state.pop("module_", None), state.pop("_generator", None)
        super().__setstate__(state)
        if kept is not None:
            self.module_ = unpack_network(self.network_class, kept)
        if draws is not None:
            self._generator = torch.Generator().set_state(torch.from_numpy(np.array(draws)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True  # two_d_array stays true: without it all of the checks are skipped
        return tags
