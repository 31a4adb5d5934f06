"""One vector from the steps of a window: the last, a mean, a maximum, or a mean weighted by attention.

Each pooling takes ``h (batch, time, width)``, the final output ``last (batch, width)`` and ``valid (batch, time)``,
false in the padding or None; it returns ``(batch, width)`` and the attention, or None where there is none.
"""

from __future__ import annotations

import math

import torch
from torch import nn

Pooled = tuple[torch.Tensor, torch.Tensor | None]


def make_pooling(pooling: str, width: int, num_heads: int) -> nn.Module:
    """Return a pooling that takes no memory yet.

    Parameters
    ----------
    pooling : {"last", "mean", "max", "additive", "luong", "multihead"}
        Which one.
    width : int
        Values at each step.
    num_heads : int
        Heads of "multihead"; they share the width.

    Returns
    -------
    Module
        The pooling.

    Raises
    ------
    ValueError
        If `pooling` is none of these, or the heads cannot share the width.

    References
    ----------
    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015
    (additive); Luong, Pham and Manning, "Effective approaches to attention-based neural machine translation", 2015;
    Vaswani et al., "Attention is all you need", 2017 (multihead).

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.pooling import make_pooling
    >>> h = torch.arange(6.0).reshape(1, 3, 2)
    >>> pooled, attention = make_pooling("mean", width=2, num_heads=1)(h, h[:, -1], None)
    >>> pooled
    tensor([[2., 3.]])
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling={pooling!r} is none of {sorted(POOLINGS)}. Use one of them.")
    if pooling == "multihead":
        return MultiHead(width, num_heads)
    return POOLINGS[pooling](width)


def last_step(h: torch.Tensor, lengths: torch.Tensor | None, bidirectional: bool) -> torch.Tensor:
    """Return the output of each direction after its own last step.

    Parameters
    ----------
    h : Tensor of shape (batch, time, width)
        Output at each step.
    lengths : Tensor of shape (batch,), or None
        Steps of each window.
    bidirectional : bool
        Whether the second half of `h` ran from the window's end to its start.

    Returns
    -------
    Tensor of shape (batch, width)
        The final output.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.pooling import last_step
    >>> h = torch.arange(6.0).reshape(1, 3, 2)
    >>> last_step(h, None, bidirectional=True)
    tensor([[4., 1.]])
    """
    windows = torch.arange(len(h), device=h.device)
    ends = h[:, -1] if lengths is None else h[windows, lengths.to(h.device) - 1]  # (batch, width)
    if not bidirectional:
        return ends
    return torch.cat([ends.chunk(2, dim=-1)[0], h[:, 0].chunk(2, dim=-1)[1]], dim=-1)  # (batch, width)


def attention_entropy(attention: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
    """Entropy of the attention as a share of its maximum: 1 where uniform, 0 where on a single step.

    Parameters
    ----------
    attention : Tensor of shape (batch, time) or (batch, heads, time)
        Shares that sum to one over time. Of several heads the mean entropy counts.
    lengths : Tensor of shape (batch,), optional
        Steps of each window. Default: all.

    Returns
    -------
    Tensor of shape (batch,)
        Entropy in nats over the logarithm of the number of steps; 1 for a window of one step.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.pooling import attention_entropy
    >>> attention_entropy(torch.tensor([[0.5, 0.5, 0.0, 0.0]]))
    tensor([0.5000])
    """
    # The logarithm of zero is kept out of the gradient too, where zero times infinity would be NaN.
    surprise = -attention.clamp_min(torch.finfo(attention.dtype).tiny).log()
    entropy = (attention * surprise).sum(-1)  # (batch,) or (batch, heads)
    if entropy.ndim > 1:
        entropy = entropy.mean(-1)  # (batch,)
    n_steps = torch.full_like(entropy, attention.shape[-1]) if lengths is None else lengths.to(entropy)
    return torch.where(n_steps > 1, entropy / n_steps.clamp_min(2).log(), torch.ones_like(entropy))


class Last(nn.Module):
    """The final output of each direction."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, h: torch.Tensor, last: torch.Tensor, valid: torch.Tensor | None) -> Pooled:
        """Return the final output."""
        return last, None


class Mean(Last):
    """The mean over the steps."""

    def forward(self, h: torch.Tensor, last: torch.Tensor, valid: torch.Tensor | None) -> Pooled:
        """Return the mean."""
        if valid is None:
            return h.mean(1), None
        return (h * valid[..., None]).sum(1) / valid.sum(1, keepdim=True), None


class Max(Last):
    """The maximum over the steps, unit by unit."""

    def forward(self, h: torch.Tensor, last: torch.Tensor, valid: torch.Tensor | None) -> Pooled:
        """Return the maximum."""
        return (h if valid is None else h.masked_fill(~valid[..., None], -math.inf)).amax(1), None


class Additive(nn.Module):
    """Bahdanau's attention: a step's score is ``v tanh(W h)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Linear(width, width, bias=False, device="meta")
        self.v = nn.Linear(width, 1, bias=False, device="meta")

    def forward(self, h: torch.Tensor, last: torch.Tensor, valid: torch.Tensor | None) -> Pooled:
        """Return the context and the attention."""
        score = self.v(self.W(h).tanh())[..., 0]  # (batch, time)
        a = attend(score, valid)  # (batch, time)
        return torch.einsum("bt,btw->bw", a, h), a


class Luong(nn.Module):
    """Luong's attention: a step's score is ``h W last``; context and final output are joined by a layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Linear(width, width, bias=False, device="meta")
        self.W_c = nn.Linear(2 * width, width, bias=False, device="meta")

    def forward(self, h: torch.Tensor, last: torch.Tensor, valid: torch.Tensor | None) -> Pooled:
        """Return the attentional output and the attention."""
        score = torch.einsum("btw,bw->bt", h, self.W(last))  # (batch, time)
        a = attend(score, valid)  # (batch, time)
        context = torch.einsum("bt,btw->bw", a, h)  # (batch, width)
        return self.W_c(torch.cat([context, last], dim=-1)).tanh(), a


class MultiHead(nn.Module):
    """Scaled dot-product attention of several heads, asked by the final output."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or width % num_heads:
            raise ValueError(
                f"pooling='multihead' shares {width} values (hidden_size, twice that where bidirectional=True) among "
                f"num_heads={num_heads}, which does not come out even. Set num_heads to a divisor of {width}."
            )
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(width, width, device="meta") for _ in range(4))

    def forward(self, h: torch.Tensor, last: torch.Tensor, valid: torch.Tensor | None) -> Pooled:
        """Return the joined contexts and the attention of each head."""
        q = self.W_q(last).unflatten(-1, (self.num_heads, -1))  # (batch, heads, width / heads)
        k = self.W_k(h).unflatten(-1, (self.num_heads, -1))  # (batch, time, heads, width / heads)
        v = self.W_v(h).unflatten(-1, (self.num_heads, -1))  # (batch, time, heads, width / heads)
        score = torch.einsum("bhd,bthd->bht", q, k) / math.sqrt(q.shape[-1])  # (batch, heads, time)
        a = attend(score, None if valid is None else valid[:, None])  # (batch, heads, time)
        context = torch.einsum("bht,bthd->bhd", a, v)  # (batch, heads, width / heads)
        return self.W_o(context.flatten(1)), a


POOLINGS: dict[str, type[nn.Module]] = {
    "last": Last,
    "mean": Mean,
    "max": Max,
    "additive": Additive,
    "luong": Luong,
    "multihead": MultiHead,
}


def attend(score: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Return the softmax over time, zero in the padding."""
    return (score if valid is None else score.masked_fill(~valid, -math.inf)).softmax(-1)
