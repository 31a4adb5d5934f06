"""Recurrent layers run step by step: what torch's fused kernels cannot do, or do not show.

The steps are written in the letters of Greff et al.: ``W`` input weights, ``R`` recurrent weights, ``b`` biases, ``p``
peepholes. A layer has one or two directions; states are torch's: ``(h, c)`` of an LSTM and ``h`` of the others, each
``(directions, batch, hidden)``. The units of a convolutional layer are its maps, which lie flat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from .conv_lstm import ConvLSTM, Grid, convolve

SUFFIXES = ("", "_reverse")  # torch's names for the weights of the two directions


class PeepholeLSTM(nn.Module):
    """An LSTM layer whose gates see the memory: the input and forget gates the last one, the output gate the new one.

    Parameters
    ----------
    input_size : int
        Channels of the input.
    hidden_size : int
        Units in each direction.
    bidirectional : bool, default=False
        Whether a second pass runs from the end to the start.
    device : str or torch.device, optional
        Where the weights lie.

    Notes
    -----
    The weights are those of ``torch.nn.LSTM`` by name and shape, without values yet, and ``weight_peephole_l0`` of
    three times `hidden_size`, for the input, forget and output gates.

    References
    ----------
    Gers and Schmidhuber, "Recurrent nets that time and count", 2000; in the form of Greff et al., "LSTM: a search
    space odyssey", 2017.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.cells import PeepholeLSTM
    >>> layer = PeepholeLSTM(3, 4)
    >>> for weight in layer.parameters():
    ...     _ = torch.nn.init.zeros_(weight)
    >>> h, (h_n, c_n) = layer(torch.zeros(5, 10, 3))
    >>> h.shape
    torch.Size([5, 10, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        shapes = {
            "weight_ih_l0": (4 * hidden_size, input_size),
            "weight_hh_l0": (4 * hidden_size, hidden_size),
            "bias_ih_l0": (4 * hidden_size,),
            "bias_hh_l0": (4 * hidden_size,),
            "weight_peephole_l0": (3 * hidden_size,),
        }
        for suffix in SUFFIXES[: 1 + bidirectional]:
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape, device=device)))

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return the output at each step and the state after the last, as ``torch.nn.LSTM`` does.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            The input.
        state : tuple, optional
            ``(h, c)`` before the first step, each (directions, batch, hidden). Default: zeros.

        Returns
        -------
        h : Tensor of shape (batch, time, directions * hidden)
            Output.
        state : tuple
            ``(h, c)`` after the last step.
        """
        return run_steps(self, x, state)


Layer = nn.RNNBase | PeepholeLSTM | ConvLSTM


def run_steps(
    layer: Layer,
    x: torch.Tensor,
    state: Any = None,
    lengths: torch.Tensor | None = None,
    masks: list[torch.Tensor] | None = None,
    *,
    detach_every: int | None = None,
    gates: list[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, Any]:
    """Run a layer step by step; without masks this equals torch's kernels.

    Parameters
    ----------
    layer : torch.nn.LSTM, GRU or RNN, PeepholeLSTM or ConvLSTM
        The layer.
    x : Tensor of shape (batch, time, channels)
        The input.
    state : object, optional
        The state before the first step. Default: zeros.
    lengths : Tensor of shape (batch,), optional
        Steps of each sequence. Default: all.
    masks : list of Tensor of shape (batch, hidden), optional
        Recurrent dropout, a direction each.
    detach_every : int, optional
        Steps, counted from a sequence's end, after which the state is cut off from the gradients before.
    gates : list of Tensor, optional
        Takes the gate that keeps the memory at each step, (batch, time, directions * hidden).

    Returns
    -------
    h : Tensor of shape (batch, time, directions * hidden)
        Output, zero in the padding.
    state : object
        The state after the last step of each sequence and direction.

    References
    ----------
    Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016 (one
    mask for all steps).

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.cells import run_steps
    >>> _ = torch.manual_seed(0)
    >>> layer, x = torch.nn.LSTM(3, 4, batch_first=True), torch.ones(2, 5, 3)
    >>> torch.allclose(run_steps(layer, x)[0], layer(x)[0], atol=1e-6)
    True
    """
    outputs, after, kept = [], [], []
    for d in range(1 + layer.bidirectional):
        h, last, by_step = scan(layer, d, x, state, lengths, None if masks is None else masks[d], detach_every)
        outputs.append(h)
        after.append(last)
        kept.append(by_step)
    if gates is not None:  # the second of an LSTM's and of a GRU's
        gates.append(torch.cat([torch.stack([step[1] for step in steps], dim=1) for steps in kept], dim=-1))
    states = tuple(torch.stack(parts) for parts in zip(*after, strict=True))  # each (directions, batch, hidden)
    return torch.cat(outputs, dim=-1), states if len(states) > 1 else states[0]


def gate_activations(
    layer: Layer, x: torch.Tensor, direction: int = 0, lengths: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Return how open each gate of a layer is at each step.

    Parameters
    ----------
    layer : torch.nn.LSTM or GRU, PeepholeLSTM or ConvLSTM
        The layer.
    x : Tensor of shape (batch, time, channels)
        What comes into the layer.
    direction : {0, 1}, default=0
        Forward or backward.
    lengths : Tensor of shape (batch,), optional
        Steps of each sequence; in the padding the values mean nothing. Default: all.

    Returns
    -------
    dict of str to Tensor of shape (batch, time, hidden)
        "input", "forget" and "output", from 0 to 1, and the candidate "cell", from -1 to 1, of an LSTM; "reset" and
        "update" (the share of the memory that is kept) of a GRU.

    Raises
    ------
    ValueError
        If the layer has no gates.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.cells import gate_activations
    >>> gates = gate_activations(torch.nn.GRU(3, 4, batch_first=True), torch.zeros(2, 5, 3))
    >>> {name: tuple(gate.shape) for name, gate in gates.items()}
    {'reset': (2, 5, 4), 'update': (2, 5, 4)}
    """
    names = GATES[type(layer)]
    if not names:
        raise ValueError("A plain recurrent layer has no gates. Use cell='lstm', 'peephole' or 'gru'.")
    if direction not in range(1 + layer.bidirectional):
        raise ValueError(f"direction={direction!r} came; a layer has 0, and 1 where bidirectional=True.")
    _, _, gates = scan(layer, direction, x, None, lengths, None, None)
    return {name: torch.stack(steps, dim=1) for name, steps in zip(names, zip(*gates, strict=True), strict=True)}


class Weights(NamedTuple):
    """Weights of one direction; the gates lie one below the other in torch's order."""

    W: torch.Tensor  # (gates * hidden, channels), or kernels
    R: torch.Tensor  # (hidden, gates * hidden), transposed, or kernels
    b: torch.Tensor  # (gates * hidden,), all biases where they can be added up
    b_h: torch.Tensor  # (gates * hidden,), those within a GRU's reset gate
    p: torch.Tensor  # (3 * hidden,), of a peephole layer
    m: torch.Tensor | None  # (batch, hidden), the mask of recurrent dropout
    grid: Grid | None  # of a convolutional layer


Memory = tuple[torch.Tensor, ...]  # (h, c) or (h,), each (batch, hidden)
Step = Callable[[torch.Tensor, Memory, Weights], tuple[Memory, tuple[torch.Tensor, ...]]]


def scan(
    layer: Layer,
    direction: int,
    x: torch.Tensor,
    state: Any,
    lengths: torch.Tensor | None,
    mask: torch.Tensor | None,
    detach_every: int | None,
) -> tuple[torch.Tensor, Memory, list[tuple[torch.Tensor, ...]]]:
    """Run one direction of a layer; return its output, its memory after the last step, and the gates at each step."""
    w, memory = weights_of(layer, direction, mask), memory_of(layer, direction, x, state)
    step, n_steps = STEPS[type(layer)], x.shape[1]
    a = from_below(x.transpose(0, 1), w).unbind()  # time times (batch, gates * hidden)
    left = steps_left(x, lengths)  # time times (batch, 1)
    outputs = [x] * n_steps
    gates: list[tuple[torch.Tensor, ...]] = [()] * n_steps
    for t in reversed(range(n_steps)) if direction else range(n_steps):
        if left is not None and detach_every is not None:
            memory = choose(left[t] % detach_every == 0, tuple(part.detach() for part in memory), memory)
        new, gates[t] = step(a[t], memory, w)
        memory = new if left is None else choose(left[t] > 0, new, memory)
        outputs[t] = memory[0]
    return without_padding(torch.stack(outputs, dim=1), lengths), memory, gates


def from_below(x: torch.Tensor, w: Weights) -> torch.Tensor:
    """Return the input's share in the gates, of all steps at once, (time, batch, gates * hidden)."""
    return F.linear(x, w.W, w.b) if w.grid is None else convolve(x, w.W, w.grid, w.b)


def lstm_step(a: torch.Tensor, memory: Memory, w: Weights) -> tuple[Memory, tuple[torch.Tensor, ...]]:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    return remember(torch.addmm(a, masked(memory[0], w), w.R), memory[1])


def conv_lstm_step(a: torch.Tensor, memory: Memory, w: Weights) -> tuple[Memory, tuple[torch.Tensor, ...]]:
    """Shi et al. 2015, without peepholes."""
    return remember(a + convolve(masked(memory[0], w), w.R, cast(Grid, w.grid)), memory[1])


def remember(a: torch.Tensor, c: torch.Tensor) -> tuple[Memory, tuple[torch.Tensor, ...]]:
    """Return what an LSTM holds after gates with these arguments, and the gates."""
    i, f, g, o = a.chunk(4, dim=-1)  # each (batch, hidden)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    c = f * c + i * g
    h = o * c.tanh()
    return (h, c), (i, f, g, o)


def peephole_step(a: torch.Tensor, memory: Memory, w: Weights) -> tuple[Memory, tuple[torch.Tensor, ...]]:
    """Gers and Schmidhuber 2000."""
    h, c = memory
    p_i, p_f, p_o = w.p.chunk(3)  # each (hidden,)
    i, f, g, o = torch.addmm(a, masked(h, w), w.R).chunk(4, dim=-1)  # each (batch, hidden)
    i, f, g = (i + p_i * c).sigmoid(), (f + p_f * c).sigmoid(), g.tanh()
    c = f * c + i * g
    o = (o + p_o * c).sigmoid()
    h = o * c.tanh()
    return (h, c), (i, f, g, o)


def gru_step(a: torch.Tensor, memory: Memory, w: Weights) -> tuple[Memory, tuple[torch.Tensor, ...]]:
    """Cho et al. 2014, with the reset gate behind the recurrent product as in cuDNN and torch."""
    (h,) = memory
    r, z, n = a.chunk(3, dim=-1)  # each (batch, hidden)
    r_h, z_h, n_h = torch.addmm(w.b_h, masked(h, w), w.R).chunk(3, dim=-1)
    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
    n = (n + r * n_h).tanh()
    h = (1 - z) * n + z * h
    return (h,), (r, z)


def rnn_step(a: torch.Tensor, memory: Memory, w: Weights) -> tuple[Memory, tuple[torch.Tensor, ...]]:
    """Elman 1990."""
    (h,) = memory
    return (torch.addmm(a, masked(h, w), w.R).tanh(),), ()


STEPS: dict[type, Step] = {
    nn.LSTM: lstm_step,
    nn.GRU: gru_step,
    nn.RNN: rnn_step,
    PeepholeLSTM: peephole_step,
    ConvLSTM: conv_lstm_step,
}
LSTM_GATES = ("input", "forget", "cell", "output")
GATES: dict[type, tuple[str, ...]] = {
    nn.LSTM: LSTM_GATES,
    PeepholeLSTM: LSTM_GATES,
    ConvLSTM: LSTM_GATES,
    nn.GRU: ("reset", "update"),
    nn.RNN: (),
}


def masked(h: torch.Tensor, w: Weights) -> torch.Tensor:
    """Return what recurrent dropout lets into the gates; the memory itself is never dropped."""
    return h if w.m is None else h * w.m


def weights_of(layer: Layer, direction: int, mask: torch.Tensor | None) -> Weights:
    """Return the weights of one direction of a layer."""
    suffix = SUFFIXES[direction]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_peephole_l0")
    weights: list[Any] = [getattr(layer, name + suffix, None) for name in names]
    W, R, b, b_h, p = weights
    if not isinstance(layer, nn.GRU):
        b = b + b_h
    grid = getattr(layer, "grid", None)
    return Weights(W, R.t() if grid is None else R, b, b_h, p, mask, grid)


def memory_of(layer: Layer, direction: int, x: torch.Tensor, state: Any) -> Memory:
    """Return what one direction of a layer holds before the first step."""
    if state is None:
        zeros = x.new_zeros(len(x), n_units(layer))  # (batch, hidden)
        return (zeros,) if isinstance(layer, (nn.GRU, nn.RNN)) else (zeros, zeros)
    return tuple(part[direction] for part in (state if isinstance(state, tuple) else (state,)))


def n_units(layer: Layer) -> int:
    """Return how many numbers one direction of a layer puts out at a step."""
    return layer.n_units if isinstance(layer, ConvLSTM) else layer.hidden_size


def choose(condition: torch.Tensor, new: Memory, old: Memory) -> Memory:
    """Return the new memory of the sequences for which the condition holds, and the old one of the others."""
    return tuple(torch.where(condition, n, o) for n, o in zip(new, old, strict=True))


def steps_left(x: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, ...] | None:
    """Return for each step how many follow up to a sequence's end, itself counted, each (batch, 1)."""
    if lengths is None:
        return None
    steps = torch.arange(x.shape[1], device=x.device)[:, None, None]
    return (lengths.to(x.device)[:, None] - steps).unbind()


def valid_steps(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor | None:
    """Return which steps are no padding, (batch, time), or None where there is none."""
    if lengths is None:
        return None
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]


def without_padding(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return sequences with zeros in place of their padding."""
    valid = valid_steps(x, lengths)
    return x if valid is None else x.masked_fill(~valid[..., None], 0.0)


def turn(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return windows with their steps in the opposite order; the padding stays where it is."""
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)
    left = lengths.to(x.device)[:, None] - 1 - steps  # (batch, time)
    source = torch.where(left >= 0, left, steps)
    return x.gather(1, source[..., None].expand_as(x))
