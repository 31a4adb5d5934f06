"""The networks of a forecaster: a `RecurrentNet` whose head says several steps ahead, at once or one after the other.

Outputs are ``(..., n_outputs)``: the values of the first step ahead, then those of the second, and so on.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from .layers import make_layer, run_layer
from .recurrent_net import RecurrentNet


class ForecastNet(RecurrentNet):
    """Recurrent layers, pooling over time and a decoder of the steps ahead.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    n_outputs : int
        Values in all: `horizon` times those of a step.
    horizon : int, default=1
        Steps ahead.
    decoder : {"direct", "recurrent"}, default="direct"
        One linear layer for all steps, or a recurrent layer that goes from step to step and is fed with what it said
        of the step before.
    **network : object
        Arguments of `RecurrentNet`.

    Raises
    ------
    ValueError
        If `n_outputs` is no multiple of `horizon`, or other arguments do not go together.

    See Also
    --------
    eventlstm.LSTMForecaster : Trains it.
    RecurrentEncoder : Its layers.

    References
    ----------
    Those of `RecurrentNet`; Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", 2014
    ("recurrent").

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.forecast_net import ForecastNet
    >>> net = ForecastNet(n_channels=3, n_outputs=24, horizon=12, decoder="recurrent", hidden_size=4)
    >>> net.initialize(torch.Generator().manual_seed(0))
    >>> net(torch.zeros(5, 10, 3)).shape
    torch.Size([5, 24])
    """

    keeps_places: ClassVar[bool] = True

    def __init__(
        self, n_channels: int, n_outputs: int, *, horizon: int = 1, decoder: str = "direct", **network: Any
    ) -> None:
        if decoder not in ("direct", "recurrent") or horizon < 1 or n_outputs % horizon:
            raise ValueError(
                f"decoder={decoder!r} cannot say {n_outputs} values of {horizon} steps. Take 'direct' or 'recurrent', "
                "and as many values for each step."
            )
        if decoder == "recurrent" and network.get("cell") == "convlstm":
            raise ValueError(
                "decoder='recurrent' does not know cell='convlstm'. Set decoder='direct', or another cell."
            )
        super().__init__(n_channels, n_outputs, **network)
        self.architecture |= {"horizon": horizon, "decoder": decoder}
        if decoder == "recurrent":
            self.head: Any = UnrolledHead(self.encoder.width, n_outputs // horizon, horizon, self.architecture["cell"])


class UnrolledHead(nn.Module):
    """A recurrent layer that begins from a vector and goes on from its own output, `horizon` times."""

    def __init__(self, width: int, n_values: int, horizon: int, cell: str) -> None:
        super().__init__()
        self.horizon, self.n_values = horizon, n_values
        self.has_memory = cell in ("lstm", "peephole")
        self.begin = nn.Linear(width, width * (1 + self.has_memory), device="meta")
        self.layer = make_layer(cell, n_values, width, bidirectional=False)
        self.out = nn.Linear(width, n_values, device="meta")

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return the steps ahead of each vector (..., width), as (..., horizon * n_values)."""
        state = self._begin(z.reshape(-1, z.shape[-1]))  # (1, items, width), or a pair of them
        y = z.new_zeros(z.shape[:-1].numel(), 1, self.n_values)  # (items, 1, n_values)
        steps = []
        for _ in range(self.horizon):
            h, state = run_layer(self.layer, y, state)  # (items, 1, width)
            y = self.out(h)  # (items, 1, n_values)
            steps.append(y)
        return torch.cat(steps, dim=1).reshape(*z.shape[:-1], -1)  # (..., horizon * n_values)

    def _begin(self, z: torch.Tensor) -> Any:
        h, *c = self.begin(z)[None].chunk(1 + self.has_memory, dim=-1)
        return (h.tanh(), *(memory.contiguous() for memory in c)) if c else h.tanh()
