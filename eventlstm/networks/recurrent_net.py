"""The recurrent networks: ``forward`` and nothing of devices or training.

Windows are ``(batch, time, channels)``. Where a `generator` is passed, the network is training: dropout draws its
masks from it, and gradients are truncated. Without one nothing is dropped.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from .cells import valid_steps
from .layers import drop
from .pooling import last_step, make_pooling
from .recurrent_encoder import RecurrentEncoder, State, draw_weights, net_from_weights


class RecurrentNet(nn.Module):
    """Recurrent layers, pooling over time and a linear head, on whole windows or step by step.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    n_outputs : int
        Logits, one a class.
    pooling : {"last", "mean", "max", "additive", "luong", "multihead"}, default="last"
        What of a window's steps goes to the head: the last, their mean, their maximum, or a mean by attention.
    num_heads : int, default=4
        Heads of "multihead".
    **encoder : object
        Arguments of `RecurrentEncoder`. Its `dropout` holds for what goes to the head, too.

    See Also
    --------
    eventlstm.LSTMClassifier : Trains it.
    RecurrentEncoder : Its layers.

    Notes
    -----
    A new network has no weights yet: `initialize` draws them, `from_weights` takes them over.

    References
    ----------
    Those of `RecurrentEncoder`, and of attention: Bahdanau, Cho and Bengio, "Neural machine translation by jointly
    learning to align and translate", 2015 ("additive"); Luong, Pham and Manning, "Effective approaches to
    attention-based neural machine translation", 2015 ("luong"); Vaswani et al., "Attention is all you need", 2017
    ("multihead").

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

    keeps_places: ClassVar[bool] = False  # what a class is does not hang on where on a grid it is seen

    def __init__(
        self, n_channels: int, n_outputs: int, *, pooling: str = "last", num_heads: int = 4, **encoder: Any
    ) -> None:
        super().__init__()
        self.encoder = RecurrentEncoder(n_channels, keep_places=self.keeps_places, **encoder)
        own = {"n_outputs": n_outputs, "pooling": pooling, "num_heads": num_heads}
        self.architecture: dict[str, Any] = {**self.encoder.architecture, **own}
        self.pooling = make_pooling(pooling, self.encoder.width, num_heads)
        self.head = nn.Linear(self.encoder.width, n_outputs, device="meta")

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights anew, uniform within one over the root of the layer's width, as torch does.

        Parameters
        ----------
        generator : torch.Generator
            Where the draws come from; it must be on the CPU.
        """
        self.encoder.initialize(generator)
        draw_weights(self.pooling, generator)
        draw_weights(self.head, generator)

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
        return net_from_weights(cls, architecture, weights)

    def forward(
        self, x: torch.Tensor, generator: torch.Generator | None = None, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return a logit per class for each window.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        generator : torch.Generator, optional
            Draws the dropout masks in training.
        lengths : Tensor of shape (batch,), optional
            Steps of each window, int64, at least one, on the CPU. Default: all.

        Returns
        -------
        Tensor of shape (batch, n_outputs)
            Logits.
        """
        return self.attend(x, generator, lengths)[0]

    def attend(
        self, x: torch.Tensor, generator: torch.Generator | None = None, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return a logit per class for each window, and where the network looked.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        generator : torch.Generator, optional
            Draws the dropout masks in training.
        lengths : Tensor of shape (batch,), optional
            Steps of each window, int64, at least one, on the CPU. Default: all.

        Returns
        -------
        logits : Tensor of shape (batch, n_outputs)
            Logits.
        attention : Tensor of shape (batch, time) or (batch, heads, time), or None
            Shares of the steps, for "multihead" of each head; None for a pooling without attention.
        """
        wanted = "last" if self.architecture["pooling"] == "last" else "steps"
        h, _ = self.encoder(x, None, generator, lengths, wanted)  # (batch, time, width)
        last = last_step(h, lengths, self.encoder.bidirectional)  # (batch, width)
        z, a = self.pooling(h, last, valid_steps(h, lengths))  # (batch, width)
        return self.head(drop(z, self.encoder.dropout, generator)), a  # (batch, n_outputs)

    def gates(
        self, x: torch.Tensor, layer: int = -1, direction: int = 0, lengths: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return how open each gate of a layer is at each step, from a cold start.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        layer : int, default=-1
            Which layer; -1 is the last.
        direction : {0, 1}, default=0
            Forward or backward.
        lengths : Tensor of shape (batch,), optional
            Steps of each window; the values behind them mean nothing. Default: all.

        Returns
        -------
        dict of str to Tensor of shape (batch, time, hidden)
            "input", "forget", "cell" and "output" of an LSTM; "reset" and "update" of a GRU.
        """
        return self.encoder.gates(x, layer, direction, lengths)

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
        refuse_whole_windows(bidirectional=self.encoder.bidirectional, pooling=self.architecture["pooling"])
        h, state = self.encoder(x, state, generator)  # (batch, time, width)
        return self.head(drop(h[:, skip:], self.encoder.dropout, generator)), state  # (batch, time - skip, n_outputs)


def refuse_whole_windows(*, bidirectional: bool, pooling: str) -> None:
    """Refuse a network that cannot go step by step."""
    if bidirectional:
        raise ValueError(
            "bidirectional=True reads ahead and cannot go step by step. Use mode='windows', or bidirectional=False."
        )
    if pooling != "last":
        raise ValueError(
            f"pooling={pooling!r} needs the whole window and cannot go step by step. Use mode='windows', or "
            "pooling='last'."
        )
