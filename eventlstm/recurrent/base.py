"""What the recurrent estimators share: making a network, training it, and keeping it in a pickle as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, assert_all_finite
from sklearn.utils.class_weight import compute_class_weight

from .._validation import Interval, StrOptions
from ..logs.log_windows import LogWindows
from ..logs.shared import LARGEST_SEED
from ..networks.recurrent_net import RecurrentNet
from ..training.augmentation import Augmentation
from ..training.batches import WindowGather, auto_batch_size
from ..training.devices import PRECISIONS, autocast, resolve_device, weight_dtype
from ..training.loop import Batches, Recipe, Trainer
from ..training.optimizers import OPTIMIZERS, SCHEDULE_NAMES, load_state
from ..training.threads import Workers, count_threads
from .checking import CheckedWindows, check_windows, end_windows

# Arguments of the network that are parameters of the estimators under the same name.
ARCHITECTURE = (
    "cell",
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
    "pooling",
    "num_heads",
)
# Poolings that weigh the steps of a window.
ATTENTION = ("additive", "luong", "multihead")
# Windows computed at a time within a step. Pieces of 32 allow two threads at the usual 64; from 64 units on they cost
# nothing, below they cost a tenth.
MICRO_BATCH, MICRO_BATCH_WIDE, WIDE = 64, 32, 64
# Windows scored in one call: fastest on a CPU.
PREDICT_WINDOWS = 256


class RecurrentEstimator(BaseEstimator):
    """Base of the estimators around a recurrent network; their docstrings describe the parameters."""

    module_: Any
    network_class: ClassVar[Any] = RecurrentNet  # has an `architecture` and is made anew from it by `from_weights`

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "categorical_channels": ["array-like", None],
        "embedding_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "cell": [StrOptions({"lstm", "gru", "rnn", "peephole"})],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "recurrent_dropout": [Interval(Real, 0, 1, closed="left")],
        "residual": ["boolean"],
        "layer_norm": ["boolean"],
        "forget_bias": [Real, None],
        "retention_steps": [Interval(Real, 0, None, closed="neither"), None],
        "pooling": [StrOptions({"last", "mean", "max", "additive", "luong", "multihead"})],
        "num_heads": [Interval(Integral, 1, None, closed="left")],
        "attention_entropy": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "min_steps": [Interval(Integral, 0, None, closed="left")],
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
        "scoring": [str, callable],
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

    def _start(self, rng: np.random.RandomState, n_outputs: int) -> None:
        """Make the network and the generator of its training, unless a warm start goes on with the last ones."""
        device = resolve_device(self.device)
        self.__dict__.pop("optimizer_state_", None)  # it belongs to the last network
        self._generator = torch.Generator().manual_seed(int(rng.randint(LARGEST_SEED)))
        if not self._goes_on():
            self.module_ = self._make_network(n_outputs)
            self.module_.initialize(self._generator)
            self.history_: list[dict[str, float]] = []
        self.module_ = self.module_.to(device, weight_dtype(self.precision))

    def _make_network(self, n_outputs: int) -> Any:
        """Return a new network whose weights are yet to be drawn."""
        if self.attention_entropy and self.pooling not in ATTENTION:
            raise ValueError(
                f"attention_entropy={self.attention_entropy!r} needs attention, but pooling={self.pooling!r} has none. "
                "Set pooling to 'additive', 'luong' or 'multihead', or attention_entropy=0."
            )
        return self.network_class(self.n_channels_, n_outputs, categories=self._code_counts(), **self._architecture())

    def _architecture(self) -> dict[str, Any]:
        """Return the arguments of the network that parameters give."""
        return {name: getattr(self, name) for name in ARCHITECTURE}

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
            self._recipe(),
            self._generator,
            validation=watched,
            monitor=monitor,
            augment=self._augment(),
            checkpoint=self.checkpoint,
        )
        return self._record(trainer.fit_loop())

    def _pass_once(self, batches: Batches, loss: Any) -> Self:
        """Train for one epoch with the optimizer as the last call of `partial_fit` left it."""
        recipe = self._recipe(schedule="constant")
        torch.randint(2, (), generator=self._generator)  # a pass over one batch in pieces draws nothing else from it
        trainer = Trainer(self._on_device(), batches, loss, recipe, self._generator, augment=self._augment())
        if hasattr(self, "optimizer_state_"):
            self._load_moments(trainer.optimizer)
        with trainer.workers:
            loss = trainer.run_epoch()
        state = trainer.optimizer.state_dict()["state"]
        self.optimizer_state_: Any = map_leaves(state, torch.Tensor, lambda t: t.cpu().numpy().copy())
        return self._record([{"epoch": 1.0, "train_loss": loss}])

    def _load_moments(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the optimizer back what it kept for each weight in the last call of `partial_fit`."""
        try:
            load_state(optimizer, map_leaves(self.optimizer_state_, np.ndarray, torch.from_numpy))
        except ValueError:
            raise ValueError(
                "optimizer_state_ is not of this network and optimizer. Fit anew, or delete the attribute."
            ) from None

    def _augment(self) -> Any:
        """Return what changes a batch in training, or None; channels of codes are told to it."""
        if self.augmentation is None:
            return None
        numeric = torch.ones(self.n_channels_, dtype=torch.bool)
        numeric[list(self._code_channels())] = False
        self.augmentation.check()
        return partial(self.augmentation, numeric=numeric)

    def _hold_out(self, y: np.ndarray, weight: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of windows to train on and to hold out, each class in both."""
        items = np.flatnonzero(weight > 0)
        try:
            return train_test_split(items, test_size=self.validation_fraction, stratify=y[items], random_state=rng)
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold out {self.validation_fraction:.0%} of {len(y)} windows with every class "
                f"in both parts ({error}). Pass X_val and y_val, or set early_stopping=False."
            ) from None

    def _batch_size(self, n_items: int, largest: int) -> int:
        """Return how many windows or chunks make a step; `largest` is the limit of "auto"."""
        if self.batch_size == "auto":
            return auto_batch_size(n_items, largest, self.min_batches)
        return self.batch_size or n_items

    def _record(self, history: list[dict[str, float]]) -> Self:
        """Add epochs to what is known of training."""
        n_before = len(self.history_)
        self.history_ = self.history_ + [{**record, "epoch": n_before + record["epoch"]} for record in history]
        self.loss_curve_ = [record["train_loss"] for record in self.history_]
        self.n_iter_ = len(self.history_)
        return self

    def _check_windows(self, X: Any, lengths: Any = None, *, any_length: bool = False) -> CheckedWindows:
        """Check windows that come after `fit`; with `any_length`, 3-D ones need not be as long as those in `fit`."""
        if not isinstance(X, LogWindows):
            if any_length and np.ndim(X) == 3 and np.shape(X)[2] == self.n_channels_:
                values = np.array(X, dtype=self._numpy_dtype(), order="C")
                windows = CheckedWindows(values, end_windows(values, lengths))
                assert_all_finite(values)
            else:
                windows, _ = check_windows(self, X, reset=False, dtype=self._numpy_dtype(), lengths=lengths)
            return self._code(windows)
        if not any_length:
            refuse_other_shape(self, X.shape)
        return self._code(CheckedWindows(refuse_unusable(X, lengths)))

    def _code_channels(self) -> tuple[int, ...]:
        """Return the positions of the categorical channels."""
        if self.categorical_channels is None:
            return ()
        channels = tuple(self.categorical_channels)
        whole = all(isinstance(channel, Integral) and not isinstance(channel, bool) for channel in channels)
        if not whole or len(set(channels)) < len(channels) or not set(channels) <= set(range(self.n_channels_)):
            raise ValueError(
                f"categorical_channels={self.categorical_channels!r} must be different positions from 0 to "
                f"{self.n_channels_ - 1}: the windows have {self.n_channels_} channels."
            )
        return tuple(int(channel) for channel in channels)

    def _code_counts(self) -> tuple[tuple[int, int], ...]:
        """Return each categorical channel with the number of its codes, the unknown one counted."""
        codes = zip(self._code_channels(), self.categories_, strict=True)
        return tuple((channel, len(known) + 1) for channel, known in codes)

    def _learn_codes(self, windows: CheckedWindows, reset: bool) -> CheckedWindows:
        """Learn the codes of the categorical channels, and return windows with the numbers of the codes in them."""
        if reset:
            values = getattr(windows.values, "values", windows.values)
            if windows.lengths is not None:
                values = values[np.arange(values.shape[1]) < windows.lengths[:, None]]
            self.categories_ = [np.unique(values[..., channel]) for channel in self._code_channels()]
        return self._code(windows)

    def _code(self, windows: CheckedWindows) -> CheckedWindows:
        """Put the numbers of codes in place of the codes; zero is unknown."""
        if not self.categories_:
            return windows
        if isinstance(windows.values, LogWindows):
            values = self._code_values(windows.values.values)
            return windows._replace(values=windows.values.replace_values(values))
        return windows._replace(values=self._code_values(windows.values))

    def _code_values(self, values: np.ndarray) -> np.ndarray:
        values = values.copy()  # a log may be the caller's own, and that of other members
        for channel, known in zip(self._code_channels(), self.categories_, strict=True):
            number = np.minimum(np.searchsorted(known, values[..., channel]), len(known) - 1)
            values[..., channel] = np.where(known[number] == values[..., channel], number + 1, 0)
        return values

    def _goes_on(self) -> bool:
        return self.warm_start and hasattr(self, "module_")

    def _recipe(self, **changes: Any) -> Recipe:
        names = set(Recipe.__dataclass_fields__)
        resolved = {"n_jobs": count_threads(self.n_jobs), "micro_batch_size": self._micro_batch_size()}
        return Recipe(**{name: getattr(self, name) for name in names - set(resolved)} | resolved | changes)

    def _micro_batch_size(self) -> int:
        if self.micro_batch_size == "auto":
            return MICRO_BATCH_WIDE if self.hidden_size >= WIDE else MICRO_BATCH
        return int(self.micro_batch_size)

    def _numpy_dtype(self) -> str:
        return str(weight_dtype(self.precision)).removeprefix("torch.")

    def _on_device(self) -> Any:
        """Return the network on the device and with the numbers that `device` and `precision` name now."""
        with torch.inference_mode(False):  # weights that are moved while scoring could never be trained again
            self.module_ = self.module_.to(resolve_device(self.device), weight_dtype(self.precision))
        return self.module_

    def _gather(self, windows: CheckedWindows) -> WindowGather:
        return WindowGather(windows.values, resolve_device(self.device), weight_dtype(self.precision))

    def _outputs(self, windows: CheckedWindows, judge: Callable[..., torch.Tensor] | None = None) -> torch.Tensor:
        """Return the network's output for each window, or what `judge(network, x, lengths)` makes of some of them.

        An accelerator takes no threads.
        """
        judge = judge or output
        module, gather = self._on_device(), self._gather(windows)
        lengths = None if windows.lengths is None else torch.from_numpy(windows.lengths)
        device = gather.values.device

        def score(items: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode(), autocast(self.precision, device):
                return judge(module, gather(items.to(device)), None if lengths is None else lengths[items])

        with Workers(count_threads(self.n_jobs) if device.type == "cpu" else 1) as workers:
            return torch.cat(workers.map(score, torch.arange(gather.n_items).split(PREDICT_WINDOWS)))

    def _tensor(self, X: np.ndarray) -> torch.Tensor:
        copy = np.array(X, dtype=self._numpy_dtype(), order="C")  # torch warns on memory that is not writable
        return torch.from_numpy(copy).to(resolve_device(self.device))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the network as NumPy arrays, so that a pickle loads on any device."""
        state = dict(super().__getstate__())  # a copy: scikit-learn hands out the live __dict__
        if "_generator" in state:
            state["_generator"] = self._generator.get_state().numpy()
        if "module_" in state:
            weights = self.module_.state_dict()
            state["module_"] = {
                "architecture": dict(self.module_.architecture),
                "weights": {name: weight.cpu().numpy().copy() for name, weight in weights.items()},
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the network from its own architecture: parameters may have been set anew since `fit`."""
        state = dict(state)
        kept, draws = state.pop("module_", None), state.pop("_generator", None)
        super().__setstate__(state)
        if kept is not None:
            weights = {name: torch.from_numpy(np.array(weight)) for name, weight in kept["weights"].items()}
            self.module_ = self.network_class.from_weights(kept["architecture"], weights)
        if draws is not None:
            self._generator = torch.Generator().set_state(torch.from_numpy(np.array(draws)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True  # two_d_array stays true: without it all of the checks are skipped
        return tags


def output(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return what a network says of windows."""
    return module(x, lengths=lengths)


def refuse_other_shape(estimator: Any, shape: tuple[int, int, int]) -> None:
    """Refuse windows (n_windows, n_timesteps, n_channels) of another shape than in `fit`."""
    if shape[1:] != (estimator.n_timesteps_, estimator.n_channels_):
        raise ValueError(
            f"Windows of {shape[1]} steps and {shape[2]} channels came, but the model was fitted on "
            f"{estimator.n_timesteps_} steps and {estimator.n_channels_} channels. Cut windows of that size."
        )


def refuse_unusable(windows: LogWindows, lengths: Any = None) -> LogWindows:
    """Return the windows of a log unless there is none, values are missing, or they are to be cut short."""
    if lengths is not None:
        raise ValueError(
            "lengths came with LogWindows, whose windows all have window_size rows. Leave lengths out, or pass the "
            "windows as an array: np.asarray(X)."
        )
    if not len(windows):
        raise ValueError(
            f"The log has no window of {windows.window_size} rows. Pass a longer log, or cut windows with pad=True."
        )
    if not np.isfinite(windows.values).all():
        raise ValueError("The log behind X contains NaN or infinity. Fill these values, or drop their rows.")
    return windows


def weigh_classes(y: np.ndarray, weight: np.ndarray, class_weight: Any) -> np.ndarray:
    """Return the weights of items times those of their classes."""
    if class_weight is None:
        return weight
    used = weight > 0
    present = np.unique(y[used])
    of_class = compute_class_weight(class_weight, classes=present, y=y[used], sample_weight=weight[used])
    weight = weight.copy()
    weight[used] *= of_class[np.searchsorted(present, y[used])]
    return weight


def mean_one(weight: np.ndarray) -> np.ndarray:
    """Return weights scaled to a mean of one."""
    total = weight.sum()
    if total <= 0:
        raise ValueError("All weights are zero. Give at least one row a positive sample_weight.")
    return weight * (len(weight) / total)


def map_leaves(tree: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return a tree of dicts and lists with `function` applied to the leaves of type `kind`."""
    if isinstance(tree, dict):
        return {key: map_leaves(value, kind, function) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_leaves(value, kind, function) for value in tree)
    return function(tree) if isinstance(tree, kind) else tree
