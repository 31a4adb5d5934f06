"""What the recurrent estimators share: making a network, training it, and keeping it in a pickle as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_class_weight

from ._validation import Interval, StrOptions, check_windows
from .batches import WindowGather, auto_batch_size
from .losses import cross_entropy
from .networks import RecurrentNet
from .training import DTYPES, Batches, Recipe, fit_loop, make_optimizer, resolve_device, run_epoch
from .windows import LogWindows

SEEDS = np.iinfo(np.int32).max


class RecurrentEstimator(BaseEstimator):
    """Base of the estimators around a recurrent network; their docstrings describe the parameters."""

    module_: RecurrentNet

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "cell": [StrOptions({"lstm", "gru", "rnn"})],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "min_steps": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "min_batches": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions({"cosine", "constant"})],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [str],
        "precision": [StrOptions(set(DTYPES))],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def _start(self, rng: np.random.RandomState, n_outputs: int) -> None:
        """Make the network and the generator of its training, unless a warm start goes on with the last ones."""
        device = resolve_device(self.device)
        self.__dict__.pop("optimizer_state_", None)  # it belongs to the last network
        self._generator = torch.Generator().manual_seed(int(rng.randint(SEEDS)))
        if not self._goes_on():
            self.module_ = RecurrentNet(
                self.n_channels_,
                n_outputs,
                cell=self.cell,
                hidden_size=self.hidden_size,
                num_layers=self.num_layers,
                bidirectional=self.bidirectional,
                dropout=self.dropout,
            )
            self.module_.initialize(self._generator)
            self.history_: list[dict[str, float]] = []
        self.module_ = self.module_.to(device, DTYPES[self.precision])

    def _run(self, batches: Batches, watched: Batches | None) -> Self:
        """Train the network and record what training said."""
        history = fit_loop(self.module_, batches, cross_entropy, self._recipe(), self._generator, validation=watched)
        return self._record(history)

    def _pass_once(self, batches: Batches) -> float:
        """Train for one epoch with the optimizer as the last call of `partial_fit` left it."""
        recipe = self._recipe(schedule="constant")
        optimizer = make_optimizer(self._on_device(), recipe)
        if hasattr(self, "optimizer_state_"):
            kept = map_leaves(self.optimizer_state_, np.ndarray, torch.from_numpy)
            optimizer.load_state_dict({**optimizer.state_dict(), "state": kept})
            refuse_other_shapes(optimizer)
        loss = run_epoch(self.module_, batches, cross_entropy, recipe, self._generator, optimizer)
        state = optimizer.state_dict()["state"]
        self.optimizer_state_: Any = map_leaves(state, torch.Tensor, lambda t: t.cpu().numpy().copy())
        return loss

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

    def _check_windows(self, X: Any) -> Any:
        """Check windows that come after `fit`."""
        if not isinstance(X, LogWindows):
            return check_windows(self, X, reset=False, dtype=self._numpy_dtype())
        if X.shape[1:] != (self.n_timesteps_, self.n_channels_):
            raise ValueError(
                f"Windows of {X.shape[1]} steps and {X.shape[2]} channels came, but the model was fitted on "
                f"{self.n_timesteps_} steps and {self.n_channels_} channels. Cut windows of that size."
            )
        return refuse_unusable(X)

    def _goes_on(self) -> bool:
        return self.warm_start and hasattr(self, "module_")

    def _recipe(self, **changes: Any) -> Recipe:
        names = Recipe.__dataclass_fields__
        return Recipe(**{name: getattr(self, name) for name in names} | changes)

    def _numpy_dtype(self) -> str:
        return self.precision  # the names are NumPy's too

    def _on_device(self) -> RecurrentNet:
        """Return the network on the device and with the numbers that `device` and `precision` name now."""
        with torch.inference_mode(False):  # weights that are moved while scoring could never be trained again
            self.module_ = self.module_.to(resolve_device(self.device), DTYPES[self.precision])
        return self.module_

    def _gather(self, windows: np.ndarray | LogWindows) -> WindowGather:
        return WindowGather(windows, resolve_device(self.device), DTYPES[self.precision])

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
            self.module_ = RecurrentNet.from_weights(kept["architecture"], weights)
        if draws is not None:
            self._generator = torch.Generator().set_state(torch.from_numpy(np.array(draws)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True  # two_d_array stays true: without it all of the checks are skipped
        return tags


def refuse_unusable(windows: LogWindows) -> LogWindows:
    """Return the windows of a log unless there is none, or values are missing."""
    if not len(windows):
        raise ValueError(
            f"The log has no window of {windows.window_size} rows. Pass a longer log, or cut windows with pad=True."
        )
    if not np.isfinite(windows.values).all():
        raise ValueError("The log behind X contains NaN or infinity. Fill these values, or drop their rows.")
    return windows


def refuse_other_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Refuse moments of another network: the fused optimizer would write over memory that is not its own."""
    for weight, state in optimizer.state.items():
        if not state["exp_avg"].shape == state["exp_avg_sq"].shape == weight.shape:
            raise ValueError("optimizer_state_ is not of this network. Fit anew, or delete the attribute.")


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


def mean_one_weights(y: np.ndarray, weight: np.ndarray, class_weight: Any) -> np.ndarray:
    """Return the weights of items times those of their classes, scaled to a mean of one."""
    weight = weigh_classes(y, weight, class_weight)
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
