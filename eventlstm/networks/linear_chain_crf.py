"""A linear-chain conditional random field: labels of steps judged together, with a score for each transition.

Emissions are ``(batch, time, classes)``, the score of each class at each step; a message is a score of each class,
``(batch, classes)``. All is computed in logarithms.
"""

from __future__ import annotations

import torch
from torch import nn

# Added to the score of a transition that cannot be: no other score outweighs it, and no difference of two is NaN.
BARRED = -1e4
# Classes up to which spans of steps are joined in training: with 2 classes, 96 steps of 8 chains take a third of the
# time of a walk, with 3 two thirds, with 5 more, as the work grows with the third power.
MOST_JOINED = 4


class LinearChainCRF(nn.Module):
    """Scores of transitions between the classes of neighbouring steps, and what follows from them, exactly.

    The probability of a path of classes is proportional to the exponential of its score: that of its first class, of
    its emissions and of its transitions.

    Parameters
    ----------
    n_classes : int
        Classes.

    Attributes
    ----------
    start : Tensor of shape (n_classes,)
        Score of each class at the first step.
    transitions : Tensor of shape (n_classes, n_classes)
        Score of the step from one class (row) to the next (column).
    barred : Tensor of shape (n_classes, n_classes)
        What is added to them and not trained: zero, or a large negative number where a transition cannot be.

    See Also
    --------
    TaggingNet : Puts it on recurrent layers.
    eventlstm.LSTMTagger : Trains it.

    Notes
    -----
    A new field has no values yet: `initialize` sets them.

    References
    ----------
    Lafferty, McCallum and Pereira, "Conditional random fields", 2001; Rabiner, "A tutorial on hidden Markov models and
    selected applications in speech recognition", 1989 (forward, backward, Viterbi).

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks import LinearChainCRF
    >>> crf = LinearChainCRF(2)
    >>> crf.initialize(torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log())
    >>> emissions = torch.tensor([[[2.0, 0.0], [0.0, 0.1], [2.0, 0.0]]])
    >>> crf.decode(emissions)
    tensor([[0, 0, 0]])
    >>> crf.log_likelihood(emissions, torch.tensor([[0, 0, 0]])).exp() > 0.8
    tensor([True])
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(n_classes, device="meta"))
        self.transitions = nn.Parameter(torch.empty(n_classes, n_classes, device="meta"))
        self.barred: torch.Tensor
        self.register_buffer("barred", torch.empty(n_classes, n_classes, device="meta"))

    def initialize(self, transitions: torch.Tensor | None = None, allowed: torch.Tensor | None = None) -> None:
        """Set the scores with which training begins.

        Parameters
        ----------
        transitions : Tensor of shape (n_classes, n_classes), optional
            Scores of transitions. Default: zeros.
        allowed : Tensor of bool of shape (n_classes, n_classes), optional
            Which transitions can be. Default: all.
        """
        if self.start.is_meta:
            self.to_empty(device="cpu")
        with torch.no_grad():
            self.start.zero_()
            self.transitions.zero_() if transitions is None else self.transitions.copy_(transitions)
            self.barred.zero_() if allowed is None else self.barred.copy_(torch.where(allowed, 0.0, BARRED))

    def scores(self) -> torch.Tensor:
        """Return the scores of transitions, those that cannot be far below all others.

        Returns
        -------
        Tensor of shape (n_classes, n_classes)
            From the class of a row to that of a column.
        """
        return self.transitions + self.barred

    def filter(
        self, emissions: torch.Tensor, before: torch.Tensor | None = None, *, in_training: bool = False
    ) -> torch.Tensor:
        """Return the probability of each class from the emissions up to each step (the forward algorithm).

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of the classes.
        before : Tensor of shape (batch, classes), optional
            What this returned at the step before: the chain goes on from there. Default: it begins here.
        in_training : bool, default=False
            As in `look_back`.

        Returns
        -------
        Tensor of shape (batch, time, classes)
            Logarithms of probabilities; those of a step do not hang on later ones.
        """
        scores, first = self.scores(), emissions[:, 0]
        message = (first + (self.start if before is None else move(before, scores))).log_softmax(dim=-1)
        if in_training and emissions.shape[-1] <= MOST_JOINED:
            seen = torch.cat([message[:, None], emissions[:, 1:]], dim=1)
            return (seen + join_back(seen.flip(1), scores.T).flip(1)).log_softmax(dim=-1)
        out = [message]
        for e in emissions[:, 1:].unbind(1):
            message = (move(message, scores) + e).log_softmax(dim=-1)
            out.append(message)
        return torch.stack(out, dim=1)  # (batch, time, classes)

    def look_back(
        self, emissions: torch.Tensor, lengths: torch.Tensor | None = None, *, in_training: bool = False
    ) -> torch.Tensor:
        """Return what later steps say of each class at each step (the backward algorithm).

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of the classes.
        lengths : Tensor of shape (batch,), optional
            Steps of each chain. Default: all.
        in_training : bool, default=False
            Whether gradients are wanted: few classes then go another way to the same numbers, sooner and in more
            memory.

        Returns
        -------
        Tensor of shape (batch, time, classes)
            Scores up to a constant at each step, which is zero at the last of a chain and behind it.
        """
        if in_training and emissions.shape[-1] <= MOST_JOINED:
            return join_back(emissions, self.scores(), lengths)
        scores, n_steps = self.scores(), emissions.shape[1]
        beta = torch.zeros_like(emissions[:, 0])
        out = [beta]
        for t in range(n_steps - 1, 0, -1):
            beta = move(emissions[:, t] + beta, scores.T).log_softmax(dim=-1)
            if lengths is not None:
                beta = torch.where((lengths > t).to(beta.device)[:, None], beta, torch.zeros_like(beta))
            out.append(beta)
        return torch.stack(out[::-1], dim=1)  # (batch, time, classes)

    def smooth(self, emissions: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the probability of each class at each step from all emissions (the forward-backward algorithm).

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of the classes.
        lengths : Tensor of shape (batch,), optional
            Steps of each chain; what comes behind them means nothing. Default: all.

        Returns
        -------
        Tensor of shape (batch, time, classes)
            Logarithms of probabilities.
        """
        return (self.filter(emissions) + self.look_back(emissions, lengths)).log_softmax(dim=-1)

    def decode(
        self, emissions: torch.Tensor, lengths: torch.Tensor | None = None, before: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the most probable path (the Viterbi algorithm).

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of the classes.
        lengths : Tensor of shape (batch,), optional
            Steps of each chain; behind them its last class is repeated. Default: all.
        before : Tensor of shape (batch, classes), optional
            What `filter` returned at the step before: the path goes on from there. Default: it begins here.

        Returns
        -------
        Tensor of shape (batch, time)
            Numbers of classes.
        """
        scores, pointers = self.scores(), []
        n_classes, n_steps = emissions.shape[-1], emissions.shape[1]
        stay = torch.arange(n_classes, device=emissions.device).expand_as(emissions[:, 0])
        best = emissions[:, 0] + (self.start if before is None else move(before, scores))
        for t in range(1, n_steps):
            value, pointer = (best[:, :, None] + scores).max(dim=1)  # (batch, classes)
            value = value + emissions[:, t]
            if lengths is not None:
                goes_on = (lengths > t).to(value.device)[:, None]
                value, pointer = torch.where(goes_on, value, best), torch.where(goes_on, pointer, stay)
            best = value
            pointers.append(pointer)
        path = [best.argmax(dim=-1, keepdim=True)]
        for pointer in reversed(pointers):
            path.append(pointer.gather(1, path[-1]))
        return torch.cat(path[::-1], dim=1)  # (batch, time)

    def conditional_logits(
        self,
        emissions: torch.Tensor,
        labels: torch.Tensor,
        known: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
        before: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return logits of each step's class, given all emissions and the labels before it.

        Their log-softmax at the labels, summed over the steps that have one, is the log-likelihood of the labels: by
        the chain rule of probability. So every loss of logits and classes serves for training, and steps have weights.

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of the classes.
        labels : Tensor of shape (batch, time)
            Numbers of the true classes, int64.
        known : Tensor of bool of shape (batch, time), optional
            Which steps have a label; the others are summed over. Default: all.
        lengths : Tensor of shape (batch,), optional
            Steps of each chain. Default: all.
        before : Tensor of shape (batch, classes), optional
            What `filter` returned at the step before: the chain goes on from there. Default: it begins here.

        Returns
        -------
        Tensor of shape (batch, time, classes)
            Logits, which mean nothing behind the end of a chain.
        """
        scores, n_steps = self.scores(), emissions.shape[1]
        ahead = [self.start.expand_as(emissions[:, 0]) if before is None else move(before, scores)]
        given = scores[labels]  # (batch, time, classes)
        open_steps = [False] * n_steps if known is None else (~known).any(dim=0).tolist()
        for t in range(n_steps - 1):
            following = given[:, t]
            if open_steps[t] and known is not None:
                summed = move((ahead[-1] + emissions[:, t]).log_softmax(dim=-1), scores)
                following = torch.where(known[:, t, None], following, summed)
            ahead.append(following)
        return torch.stack(ahead, dim=1) + emissions + self.look_back(emissions, lengths, in_training=True)

    def log_likelihood(
        self, emissions: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the logarithm of the probability of labels.

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of the classes.
        labels : Tensor of shape (batch, time)
            Numbers of classes, int64.
        lengths : Tensor of shape (batch,), optional
            Steps of each chain. Default: all.

        Returns
        -------
        Tensor of shape (batch,)
            One a chain.
        """
        logits = self.conditional_logits(emissions, labels, lengths=lengths)
        steps = logits.log_softmax(dim=-1).gather(-1, labels[..., None])[..., 0]  # (batch, time)
        if lengths is not None:
            steps = steps * (torch.arange(steps.shape[1]) < lengths[:, None]).to(steps)
        return steps.sum(dim=1)


def move(message: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return what a message (batch, classes) says one step on, over transitions (classes, classes)."""
    return torch.logsumexp(message[:, :, None] + scores, dim=1)


def join_back(emissions: torch.Tensor, scores: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
    """Return what `LinearChainCRF.look_back` does over transitions `scores` (classes, classes).

    Spans of one, two, four ... steps are joined, those of all steps at once (Hillis and Steele, "Data parallel
    algorithms", 1986).
    """
    spans = scores + emissions[:, 1:, None, :]  # (batch, time - 1, classes, classes): from one step to the next
    n_spans = spans.shape[1]
    if lengths is not None:
        goes_on = torch.arange(1, n_spans + 1) < lengths[:, None]
        stay = torch.full_like(scores, 10 * BARRED).fill_diagonal_(0.0)
        spans = torch.where(goes_on.to(spans.device)[..., None, None], spans, stay)
    length = 1
    while length < n_spans:
        joined = torch.logsumexp(spans[:, :-length, :, :, None] + spans[:, length:, None], dim=-2)
        joined = joined - joined.detach().amax(dim=(-2, -1), keepdim=True)  # a constant at each step
        spans, length = torch.cat([joined, spans[:, -length:]], dim=1), 2 * length
    return nn.functional.pad(spans.logsumexp(dim=-1), (0, 0, 0, 1))  # (batch, time, classes)
