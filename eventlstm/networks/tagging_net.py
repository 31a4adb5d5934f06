"""A recurrent network with scores of the classes at every step of a window, and a field that ties steps together."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .layers import drop
from .linear_chain_crf import LinearChainCRF
from .recurrent_encoder import RecurrentEncoder, State, draw_weights, net_from_weights
from .recurrent_net import refuse_whole_windows


class TaggingNet(nn.Module):
    """Recurrent layers and a linear head at every step, with a conditional random field over the steps or without.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    n_outputs : int
        Scores at each step, one a class.
    crf : bool, default=False
        Whether the classes of neighbouring steps are judged together, by `LinearChainCRF`.
    **encoder : object
        Arguments of `RecurrentEncoder`. Its `dropout` holds for what goes to the head, too.

    See Also
    --------
    eventlstm.LSTMTagger : Trains it.
    LinearChainCRF : The chain over its labels.

    Notes
    -----
    A new network has no weights yet: `initialize` draws them, `from_weights` takes them over.

    References
    ----------
    Those of `RecurrentEncoder`; Huang, Xu and Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks import TaggingNet
    >>> net = TaggingNet(n_channels=3, n_outputs=2, hidden_size=4, bidirectional=True)
    >>> net.initialize(torch.Generator().manual_seed(0))
    >>> net(torch.zeros(5, 10, 3)).shape
    torch.Size([5, 10, 2])
    """

    def __init__(self, n_channels: int, n_outputs: int, *, crf: bool = False, **encoder: Any) -> None:
        super().__init__()
        self.encoder = RecurrentEncoder(n_channels, **encoder)
        self.architecture: dict[str, Any] = {**self.encoder.architecture, "n_outputs": n_outputs, "crf": crf}
        self.head = nn.Linear(self.encoder.width, n_outputs, device="meta")
        self.crf = LinearChainCRF(n_outputs) if crf else None

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights anew, uniform within one over the root of the layer's width; transitions begin at zero.

        Parameters
        ----------
        generator : torch.Generator
            Where the draws come from; it must be on the CPU.
        """
        self.encoder.initialize(generator)
        draw_weights(self.head, generator)
        if self.crf is not None:
            self.crf.initialize()

    @classmethod
    def from_weights(cls, architecture: dict[str, Any], weights: dict[str, torch.Tensor]) -> TaggingNet:
        """Return a network with given weights, refusing those that do not fit before any memory is taken.

        Parameters
        ----------
        architecture : dict
            Arguments of the constructor.
        weights : dict of str to Tensor
            The state of another network.

        Returns
        -------
        TaggingNet
            The network.
        """
        return net_from_weights(cls, architecture, weights)

    def forward(
        self, x: torch.Tensor, generator: torch.Generator | None = None, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return a score per class at each step, before any field.

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
        Tensor of shape (batch, time, n_outputs)
            Scores, which mean nothing behind the end of a window.
        """
        h, _ = self.encoder(x, None, generator, lengths, "steps")  # (batch, time, width)
        return self.head(drop(h, self.encoder.dropout, generator))  # (batch, time, n_outputs)

    def forward_labelled(
        self,
        x: torch.Tensor,
        labels: torch.Tensor,
        known: torch.Tensor,
        *,
        smoothed: bool = True,
        generator: torch.Generator | None = None,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return logits of the last steps, which have labels: under a field, given the labels before each.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        labels : Tensor of shape (batch, labelled)
            Classes of the last steps of the windows, int64.
        known : Tensor of bool of shape (batch, labelled)
            Which of these are to be believed.
        smoothed : bool, default=True
            Whether a field is to judge a step by all steps; otherwise by those up to it, whatever the labels.
        generator : torch.Generator, optional
            Draws the dropout masks in training.
        lengths : Tensor of shape (batch,), optional
            Steps of each window, int64, at least one, on the CPU. Default: all.

        Returns
        -------
        Tensor of shape (batch, labelled, n_outputs)
            Logits for a loss of each step. When smoothed, the sum of their cross-entropy is the negative
            log-likelihood; else it is that of the filtered probabilities.
        """
        scores = self(x, generator, lengths)  # (batch, time, n_outputs)
        n_history = x.shape[1] - labels.shape[1]
        if self.crf is None:
            return scores[:, n_history:]  # (batch, labelled, n_outputs)
        scores = scores.to(self.crf.start.dtype)  # sums over time would suffer in a narrow type
        if not smoothed:
            return self.crf.filter(scores, in_training=True)[:, n_history:]
        before = self.crf.filter(scores[:, :n_history], in_training=True)[:, -1] if n_history else None
        left = None if lengths is None else lengths - n_history
        return self.crf.conditional_logits(scores[:, n_history:], labels, known, left, before)

    def forward_steps(
        self, x: torch.Tensor, state: State | None = None, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, State]:
        """Return a score per class at each step, before any field, and the state after the last.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Stretches of a log.
        state : list, optional
            What an earlier call returned: the stretch goes on from there. Default: zeros.
        generator : torch.Generator, optional
            Draws the dropout masks in training.

        Returns
        -------
        scores : Tensor of shape (batch, time, n_outputs)
            Scores.
        state : list
            The state of each layer after the last step.
        """
        refuse_whole_windows(bidirectional=self.encoder.bidirectional, pooling="last")
        h, state = self.encoder(x, state, generator)  # (batch, time, width)
        return self.head(drop(h, self.encoder.dropout, generator)), state  # (batch, time, n_outputs)
