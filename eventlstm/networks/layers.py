"""One recurrent layer: made without memory, and run the fastest way that its options allow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .cells import SUFFIXES, Layer, PeepholeLSTM, n_units, run_steps, without_padding
from .conv_lstm import ConvLSTM, Grid
from .scans import scan_layer

CELLS: dict[str, Callable[..., Layer]] = {
    "lstm": partial(nn.LSTM, batch_first=True),
    "gru": partial(nn.GRU, batch_first=True),
    "rnn": partial(nn.RNN, batch_first=True),
    "peephole": PeepholeLSTM,
    "convlstm": ConvLSTM,
}


NO_FORGET_GATE = (
    "cell='rnn' has no gate that keeps the memory. Set forget_bias and retention_steps to None, or use another cell."
)


def make_layer(cell: str, input_size: int, hidden_size: int, bidirectional: bool, grid: Grid | None = None) -> Layer:
    """Return a layer of this cell that takes no memory yet."""
    if cell not in CELLS:
        raise ValueError(f"cell={cell!r} is none of {sorted(CELLS)}. Use one of them.")
    # torch's constructors draw from the global generator, except on the "meta" device.
    own = {} if grid is None else {"grid": grid}
    return CELLS[cell](input_size, hidden_size, bidirectional=bidirectional, device="meta", **own)


def run_layer(
    layer: Layer,
    x: torch.Tensor,
    state: Any = None,
    lengths: torch.Tensor | None = None,
    masks: list[torch.Tensor] | None = None,
    *,
    with_state: bool = True,
    gates: list[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, Any]:
    """Run a layer the fastest way: by torch's kernel, or in training by a scan of ours where there is none.

    Parameters
    ----------
    layer : torch.nn.LSTM, GRU or RNN, PeepholeLSTM or ConvLSTM
        The layer.
    x : Tensor of shape (batch, time, channels)
        The input.
    state : object, optional
        The state before the first step. Default: zeros.
    lengths : Tensor of shape (batch,), optional
        Steps of each sequence, int64, at least one, on the CPU; later ones are padding. Default: all.
    masks : list of Tensor of shape (batch, hidden), optional
        What the output of the step before is multiplied with on its way into the gates, a direction each.
    with_state : bool, default=True
        Whether the state will be used. Without it, padded sequences of one direction take a tenth of the time.
    gates : list of Tensor, optional
        Takes the gate that keeps the memory at each step, (batch, time, directions * hidden): no kernel tells it.

    Returns
    -------
    h : Tensor of shape (batch, time, directions * hidden)
        Output, zero in the padding.
    state : object
        The state after the last step of each sequence and direction; it may be None where it will not be used.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.layers import run_layer
    >>> _ = torch.manual_seed(0)
    >>> h, state = run_layer(torch.nn.GRU(3, 4, batch_first=True), torch.ones(2, 5, 3), lengths=torch.tensor([5, 2]))
    >>> h[1].any(dim=-1)
    tensor([ True,  True, False, False, False])
    """
    by_hand = masks is not None or gates is not None
    if is_scanned(layer, x, by_hand) and (lengths is None or not with_state):
        return scan_layer(layer, x, state, lengths, masks, gates)
    if by_hand or isinstance(layer, PeepholeLSTM | ConvLSTM):
        return run_steps(layer, x, state, lengths, masks, gates=gates)
    if lengths is None:
        return layer(x, state)
    if not (with_state or layer.bidirectional):
        # No step sees what follows it. Packing 64 windows of 64 steps costs 25 ms instead of 2: torch's own kernels
        # for the processor do not take packed sequences.
        return without_padding(layer(x, state)[0], lengths), None
    packed, after = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), state)
    return pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])[0], after


def is_scanned(layer: Layer, x: torch.Tensor, by_hand: bool) -> bool:
    """Return whether a scan is the fastest way: in training, where torch has no kernel for the layer with its options.

    Where nothing is learnt, the others give the numbers that they always gave. On a processor a GRU has no kernel.
    """
    if not torch.is_grad_enabled() or isinstance(layer, nn.RNN | ConvLSTM):
        return False
    return by_hand or isinstance(layer, PeepholeLSTM) or (isinstance(layer, nn.GRU) and x.device.type == "cpu")


def run_truncated(
    layer: Layer,
    x: torch.Tensor,
    state: Any,
    lengths: torch.Tensor | None,
    masks: list[torch.Tensor] | None,
    *,
    n_steps: int,
    last_only: bool = False,
    gates: list[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, Any]:
    """Run a layer of one direction as `run_layer` does, with gradients through at most `n_steps` steps.

    Parameters
    ----------
    layer : torch.nn.LSTM, GRU or RNN, PeepholeLSTM or ConvLSTM
        The layer.
    x : Tensor of shape (batch, time, channels)
        The input.
    state : object
        The state before the first step, or None for zeros.
    lengths : Tensor of shape (batch,), or None
        Steps of each sequence.
    masks : list of Tensor of shape (batch, hidden), or None
        Recurrent dropout.
    n_steps : int
        Steps of a piece. Pieces are counted from each sequence's end; the first may be shorter.
    last_only : bool, default=False
        Whether only the output of the last piece will be used: the others then keep nothing for gradients.
    gates : list of Tensor, optional
        Takes the gate that keeps the memory, piece by piece: their gradients go no farther back than others.

    Returns
    -------
    h : Tensor of shape (batch, time, hidden)
        Output.
    state : object
        The state after the last step.

    References
    ----------
    Williams and Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories", 1990.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.layers import run_truncated
    >>> x = torch.ones(1, 6, 3, requires_grad=True)
    >>> h, _ = run_truncated(torch.nn.LSTM(3, 4, batch_first=True), x, None, None, None, n_steps=4)
    >>> h[:, -1].sum().backward()
    >>> x.grad[0].any(dim=-1)
    tensor([False, False,  True,  True,  True,  True])
    """
    if lengths is not None:
        return run_steps(layer, x, state, lengths, masks, detach_every=n_steps, gates=gates)
    n_pieces = -(-x.shape[1] // n_steps)
    sizes = [x.shape[1] - (n_pieces - 1) * n_steps] + [n_steps] * (n_pieces - 1)
    outputs = []
    for k, piece in enumerate(x.split(sizes, dim=1)):
        h, state = run_layer(layer, piece, detached(state), masks=masks, gates=gates)
        outputs.append(h.detach() if last_only and k < n_pieces - 1 else h)
    return torch.cat(outputs, dim=1), state


def detached(state: Any) -> Any:
    """Return a state through which no gradient flows."""
    return tuple(map(detached, state)) if isinstance(state, tuple) else None if state is None else state.detach()


def drop(x: torch.Tensor, p: float, generator: torch.Generator | None) -> torch.Tensor:
    """Set a share `p` of the values to zero and scale the rest up, with masks of a local generator."""
    if generator is None or p == 0.0:
        return x
    mask = torch.empty(x.shape, dtype=x.dtype, device=x.device).bernoulli_(1.0 - p, generator=generator)
    return x * mask.div_(1.0 - p)


def recurrent_masks(
    layer: Layer, x: torch.Tensor, p: float, generator: torch.Generator | None
) -> list[torch.Tensor] | None:
    """Return a mask for each direction, one for all steps of a sequence, or None where nothing is dropped."""
    if generator is None or p == 0.0:
        return None
    ones = x.new_ones(len(x), n_units(layer))  # (batch, hidden)
    return [drop(ones, p, generator) for _ in range(1 + layer.bidirectional)]


def set_forget_bias(layer: Layer, value: float, *, balanced: bool = False) -> None:
    """Let the gate that keeps the memory, a GRU's update gate or an LSTM's forget gate, start from this bias.

    Where it is `balanced`, an LSTM's input gate starts from the opposite, so that it adds what the other forgets, as a
    GRU's does by itself: a memory that keeps all and takes all is full before it has learnt what to take.
    """
    if isinstance(layer, nn.RNN):
        raise ValueError(NO_FORGET_GATE)
    n = layer.hidden_size
    biases = [(slice(n, 2 * n), value)]  # the second gate of both in torch's order
    if balanced and not isinstance(layer, nn.GRU):
        biases.append((slice(0, n), -value))
    with torch.no_grad():
        for suffix in SUFFIXES[: 1 + layer.bidirectional]:
            for gate, bias in biases:
                layer.get_parameter(f"bias_ih_l0{suffix}")[gate] = bias
                layer.get_parameter(f"bias_hh_l0{suffix}")[gate] = 0.0
