"""The recurrent networks: ``forward`` and nothing of devices or training.

Windows are ``(batch, time, channels)``. Where a `generator` is passed, the network is training and dropout draws its
masks from it; without one nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["RecurrentNet"]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

State = list[Any]  # per layer: (h, c) of an LSTM, h of the others


class RecurrentNet(nn.Module):
    """Recurrent layers and a linear head, on whole windows or step by step.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    n_outputs : int
        Logits, one a class.
    cell : {"lstm", "gru", "rnn"}, default="lstm"
        The recurrent cell.
    hidden_size : int, default=32
        Units in each layer and direction.
    num_layers : int, default=1
        Stacked layers.
    bidirectional : bool, default=False
        Whether a second pass runs from the window's end to its start.
    dropout : float, default=0.0
        Share of values dropped in training from the input, between layers and from the output.

    Notes
    -----
    A new network has no weights yet: `initialize` draws them, `from_weights` takes them over.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., "Learning phrase representations using
    RNN encoder-decoder", 2014 (GRU); Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks import RecurrentNet
    >>> net = RecurrentNet(n_channels=3, n_outputs=2, hidden_size=4)
    >>> net.initialize(torch.Generator().manual_seed(0))
    >>> x = torch.zeros(5, 10, 3)
    >>> net(x).shape
    torch.Size([5, 2])
    >>> logits, state = net.forward_steps(x)
    >>> logits.shape
    torch.Size([5, 10, 2])
    """

    def __init__(
        self,
        n_channels: int,
        n_outputs: int,
        *,
        cell: str = "lstm",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.architecture = {
            "n_channels": n_channels,
            "n_outputs": n_outputs,
            "cell": cell,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
        }
        self.dropout = dropout
        self.bidirectional = bidirectional
        width = hidden_size * (1 + bidirectional)
        # One module a layer: torch's own stacking would draw its dropout from the global generator. They are made
        # without memory ("meta") because their constructors would draw from it too.
        self.layers = nn.ModuleList(
            CELLS[cell](
                width if k else n_channels,
                hidden_size,
                batch_first=True,
                bidirectional=bidirectional,
                device="meta",
            )
            for k in range(num_layers)
        )
        self.head = nn.Linear(width, n_outputs, device="meta")

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights anew, uniform within one over the root of the layer's width, as torch does.

        Parameters
        ----------
        generator : torch.Generator
            Where the draws come from; it must be on the CPU.
        """
        self.to_empty(device="cpu")
        with torch.no_grad():
            for layer in [*self.layers, self.head]:
                bound = getattr(layer, "hidden_size", self.head.in_features) ** -0.5
                for weight in layer.parameters():
                    weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))

    @classmethod
    def from_weights(cls, architecture: dict[str, Any], weights: dict[str, torch.Tensor]) -> RecurrentNet:
        """Return a network with given weights, refusing those that do not fit before any memory is taken.

        Parameters
        ----------
        architecture : dict
            Arguments of the constructor.
        weights : dict of str to Tensor
            The state of another network.

        Returns
        -------
        RecurrentNet
            The network.
        """
        n_layers = architecture["num_layers"]
        if not 1 <= n_layers <= len(weights):
            raise ValueError(f"The architecture has {n_layers} layers, but {len(weights)} weights came.")
        net = cls(**architecture)
        expected = {name: weight.shape for name, weight in net.state_dict().items()}
        found = {name: weight.shape for name, weight in weights.items()}
        if found != expected:
            wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
            raise ValueError(f"The weights {wrong} do not fit the architecture {architecture}.")
        net.load_state_dict(weights, assign=True)
        return net

    def forward(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return a logit per class for each window.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        generator : torch.Generator, optional
            Draws the dropout masks in training.

        Returns
        -------
        Tensor of shape (batch, n_outputs)
            Logits.
        """
        h, _ = self._encode(x, None, generator)  # (batch, time, width)
        if self.bidirectional:
            forward, backward = h.chunk(2, dim=-1)
            last = torch.cat([forward[:, -1], backward[:, 0]], dim=-1)  # (batch, width)
        else:
            last = h[:, -1]  # (batch, width)
        return self.head(drop(last, self.dropout, generator))  # (batch, n_outputs)

    def forward_steps(
        self,
        x: torch.Tensor,
        state: State | None = None,
        generator: torch.Generator | None = None,
        skip: int = 0,
    ) -> tuple[torch.Tensor, State]:
        """Return a logit per class at each step, and the state after the last.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Stretches of a log.
        state : list, optional
            What an earlier call returned: the stretch goes on from there. Default: zeros.
        generator : torch.Generator, optional
            Draws the dropout masks in training.
        skip : int, default=0
            Steps at the start that get no logits (a burn-in).

        Returns
        -------
        logits : Tensor of shape (batch, time - skip, n_outputs)
            Logits.
        state : list
            The state of each layer after the last step.
        """
        if self.bidirectional:
            raise ValueError(
                "bidirectional=True reads ahead and cannot go step by step. Use mode='windows', or bidirectional=False."
            )
        h, state = self._encode(x, state, generator)  # (batch, time, width)
        return self.head(drop(h[:, skip:], self.dropout, generator)), state  # (batch, time - skip, n_outputs)

    def _encode(
        self, x: torch.Tensor, state: State | None, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, State]:
        h, after = x, []
        for k, layer in enumerate(self.layers):
            h, last = layer(drop(h, self.dropout, generator), None if state is None else state[k])
            after.append(last)
        return h, after


def drop(x: torch.Tensor, p: float, generator: torch.Generator | None) -> torch.Tensor:
    """Set a share `p` of the values to zero and scale the rest up, with masks of a local generator."""
    if generator is None or p == 0.0:
        return x
    mask = torch.empty(x.shape, dtype=x.dtype, device=x.device).bernoulli_(1.0 - p, generator=generator)
    return x * mask.div_(1.0 - p)
