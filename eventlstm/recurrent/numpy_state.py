"""Networks and what optimizers keep as NumPy arrays, in which a pickle loads on any device, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..training.optimizers import load_state


def pack_network(module: Any) -> dict[str, Any]:
    """Return all from which a network can be made again."""
    weights = {name: weight.cpu().numpy().copy() for name, weight in module.state_dict().items()}
    return {"architecture": dict(module.architecture), "weights": weights}


def unpack_network(network_class: Any, kept: dict[str, Any]) -> Any:
    """Return the network that `pack_network` was given, on the cpu."""
    weights = {name: torch.from_numpy(np.array(weight)) for name, weight in kept["weights"].items()}
    return network_class.from_weights(kept["architecture"], weights)


def pack_moments(optimizer: torch.optim.Optimizer) -> Any:
    """Return what an optimizer keeps for each weight."""
    return map_leaves(optimizer.state_dict()["state"], torch.Tensor, lambda t: t.cpu().numpy().copy())


def unpack_moments(optimizer: torch.optim.Optimizer, kept: Any) -> None:
    """Give an optimizer back what another kept for each weight."""
    try:
        load_state(optimizer, map_leaves(kept, np.ndarray, torch.from_numpy))
    except ValueError:
        raise ValueError(
            "optimizer_state_ is not of this network and optimizer. Fit anew, or delete the attribute."
        ) from None


def map_leaves(tree: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return a tree of dicts and lists with `function` applied to the leaves of type `kind`."""
    if isinstance(tree, dict):
        return {key: map_leaves(value, kind, function) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_leaves(value, kind, function) for value in tree)
    return function(tree) if isinstance(tree, kind) else tree
