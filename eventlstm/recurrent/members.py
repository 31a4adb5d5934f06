"""The members of an ensemble: made from a template, told of their input, run side by side, and heard as one."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from ..logs.input_scaler import InputScaler
from ..logs.log_windows import LogWindows
from ..logs.shared import LARGEST_SEED

# No member may hold a class for less likely than this: a forest's exact zero would silence all others.
SUREST = 1e-6
# Windows handed to a member at a time.
BLOCK = 8192


def make_members(template: Any, n_members: int, rng: np.random.RandomState | None, verbose: int) -> list[Any]:
    """Clone an estimator, and hand a file of its own to each `checkpoint` and a seed to each `random_state` in them.

    Without `rng` the seeds stay as they are.
    """
    members = [clone(template) for _ in range(n_members)]
    for k, member in enumerate(members):
        names = member.get_params()
        member.set_params(**{name: f"{path}.{k}" for name, path in checkpoints_of(member).items()})
        if rng is not None:
            seeds = [name for name in sorted(names) if name.split("__")[-1] == "random_state"]
            member.set_params(**{name: int(rng.randint(LARGEST_SEED)) for name in seeds})
        if verbose and "verbose" in names:
            member.set_params(verbose=verbose)
    return members


def refuse_unseeded_checkpoints(template: Any, owner: Any) -> None:
    """Refuse checkpoints of members whose `owner` draws other members each time."""
    if checkpoints_of(template) and not isinstance(owner.random_state, Integral):
        raise ValueError(
            f"A checkpoint can only be gone on from by the same training, but {type(owner).__name__}'s "
            f"random_state={owner.random_state!r} draws other members each time. Set it to an int."
        )


def checkpoints_of(estimator: Any) -> dict[str, Any]:
    """Return the checkpoints in an estimator, by the names of the parameters that hold them."""
    parameters = estimator.get_params().items()
    return {name: path for name, path in parameters if name.split("__")[-1] == "checkpoint" and path is not None}


def mean_log_odds(proba: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the members' opinion, (..., n_classes), of their probabilities (n_members, ..., n_classes).

    `weights` are (n_members,), None for the same of all.
    The mean is taken of log-odds (of log-probabilities, where classes are more than two): one member's overconfidence
    on a machine it does not know then outvotes the others less than in a mean of probabilities.
    """
    if len(proba) == 1:
        return proba[0]
    logarithm = np.log(np.maximum(proba, SUREST))
    mean = logarithm.mean(axis=0) if weights is None else np.average(logarithm, axis=0, weights=weights)
    odds = np.exp(mean - mean.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def settle_prior_bias(member: Any, is_whitened: bool) -> None:
    """Let networks that leave their first guess open begin at the share of each class, but for whitened sensors."""
    names = [name for name, value in member.get_params().items() if name.split("__")[-1] == "prior_bias"]
    member.set_params(**{name: not is_whitened for name in names if member.get_params()[name] == "auto"})


def settle_max_samples(member: Any, n_rows: int) -> None:
    """Show each tree of an extremely randomised forest all rows, where they are no more than `max_samples`.

    These trees differ by their cuts, not by their rows: scikit-learn would draw as many with repetition.
    """
    most = member.max_samples if isinstance(member, ExtraTreesClassifier) else None
    if isinstance(most, int | np.integer) and n_rows <= most:
        member.set_params(bootstrap=False, max_samples=None)


def weight_arguments(member: Any, sample_weight: Any) -> dict[str, Any]:
    """Return weights under the name by which `fit` of a member, or of the last step of a pipeline, takes them.

    Weights that are all alike, and none, need no name.
    """
    if sample_weight is None:
        return {}
    last, prefix = member, ""
    while isinstance(last, Pipeline):
        prefix, last = f"{prefix}{last.steps[-1][0]}__", last.steps[-1][1]
    if has_fit_parameter(last, "sample_weight"):
        return {f"{prefix}sample_weight": sample_weight}
    if np.ptp(sample_weight) > 0:
        raise ValueError(
            f"{type(last).__name__} takes no sample_weight in fit. Leave it out, or use another estimator."
        )
    return {}


def takes_3d(member: Any) -> bool:
    """Return whether a member takes windows by themselves; others get them flattened to 2-D."""
    return has_tags(member) and get_tags(member).input_tags.three_d_array


def has_tags(estimator: Any) -> bool:
    """Return whether an estimator tells scikit-learn what it is, which PyOD's do not."""
    return hasattr(estimator, "__sklearn_tags__")


def stops_early(member: Any) -> bool:
    """Return whether a member is told to stop early; "auto", of scikit-learn's trees, is a rule of their own."""
    return getattr(member, "early_stopping", False) in (True, np.True_)


def as_input(member: Any, windows: LogWindows | np.ndarray) -> Any:
    """Return windows in the form that a member takes."""
    return windows if takes_3d(member) else flatten(windows[:])


def by_block(function: Callable[[Any], Any], windows: LogWindows | np.ndarray, *, whole: bool) -> np.ndarray:
    """Call a method of a member for some windows at a time, `whole` or flattened: all of a log would not fit memory."""
    blocks = (windows[k : k + BLOCK] for k in range(0, len(windows), BLOCK))
    return np.concatenate([np.asarray(function(block if whole else flatten(block))) for block in blocks])


def of_all_classes(proba: np.ndarray, known: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return a member's probabilities (..., n_classes), of the classes `known` to it, with a column for each of all."""
    of_all = np.zeros((*proba.shape[:-1], len(classes)))
    of_all[..., np.searchsorted(classes, known)] = proba
    return of_all


def flatten(windows: np.ndarray) -> np.ndarray:
    """Return windows in the form that any classifier of scikit-learn takes."""
    return windows.reshape(len(windows), -1)  # (n_windows, n_timesteps * n_channels)


def set_n_channels(member: Any, windows: LogWindows) -> None:
    """Tell a network inside a pipeline or the like how many channels its flattened windows have."""
    if takes_3d(member):
        return
    parameters = member.get_params()
    inside = [name for name in parameters if name.endswith("__n_channels")]
    member.set_params(**dict.fromkeys(inside, windows.shape[2]))
    if any(parameters.get(name.replace("__n_channels", "__early_stopping")) for name in inside):
        raise ValueError(
            f"early_stopping of a network inside {type(member).__name__} would hold out windows that overlap those "
            "trained on. Set it to False, or pass the network itself."
        )


def set_categorical_channels(member: Any, scaler: InputScaler | None, codes: tuple[int, ...]) -> None:
    """Tell a member which of its channels hold codes, where the sensors `codes` of the log do."""
    if not codes:
        return
    if "categorical_channels" in member.get_params(deep=False):
        member.set_params(categorical_channels=list(codes if scaler is None else scaler.code_channels))
    elif scaler is not None:
        raise ValueError(
            f"{type(member).__name__} has no parameter categorical_channels, so that it would take codes for "
            "measurements. Use LSTMClassifier; or set inputs=None, which hands it the codes as they are, as trees like "
            "them; or put OneHotEncoder() before the model and leave categorical_channels out."
        )
