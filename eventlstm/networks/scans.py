"""Recurrent layers over all steps as one operation, its backward pass by hand: for training without torch's kernels.

Taken step by step through autograd, a layer costs ten times one that has a kernel. Here the steps write into memory
that is there already, what their gradients do not have from one another is computed for all at once, and one product
makes the gradients of all weights. These lie side by side: a step is one product with what is below it, the rows of h,
x and one. Arrays are ``(time, ..., hidden, batch)``: a gate of a step is then one piece of memory. The steps are in
torch's inference mode, which keeps no books on them (an eighth of the time); what goes out is made outside of it.

The hyperbolic tangent is ``tanh(a) = 2 sigmoid(2 a) - 1``: on some processors it takes five times as long as the
logistic function. For that, memories are held as ``2 c`` and candidates as ``g / 2``; an LSTM's outputs are held as
``-h = o - 2 o sigmoid(2 c)``, a GRU's as ``h / 2``. The weights are scaled instead, by numbers that round nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .cells import Layer, memory_of, turn, weights_of, without_padding


def scan_layer(
    layer: Layer,
    x: torch.Tensor,
    state: Any = None,
    lengths: torch.Tensor | None = None,
    masks: list[torch.Tensor] | None = None,
    gates: list[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, Any]:
    """Run an LSTM, peephole or GRU layer as `cells.run_steps` does; gradients can be taken once.

    Parameters
    ----------
    layer : torch.nn.LSTM or GRU, or PeepholeLSTM
        The layer.
    x : Tensor of shape (batch, time, channels)
        The input. Under autocast it is computed with in the type of the weights all the same.
    state : object, optional
        The state before the first step. Default: zeros.
    lengths : Tensor of shape (batch,), optional
        Steps of each sequence; the state after the last is then not to be used. Default: all.
    masks : list of Tensor of shape (batch, hidden), optional
        Recurrent dropout, a direction each.
    gates : list of Tensor, optional
        Takes what keeps the memory at each step, (batch, time, directions * hidden), with its gradient: an LSTM's
        forget gate, a GRU's update gate. In the padding it means nothing.

    Returns
    -------
    h : Tensor of shape (batch, time, directions * hidden)
        Output, zero in the padding.
    state : object
        The state after the last step.

    References
    ----------
    Werbos, "Backpropagation through time: what it does and how to do it", 1990.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks.scans import scan_layer
    >>> _ = torch.manual_seed(0)
    >>> layer, x = torch.nn.GRU(3, 4, batch_first=True), torch.ones(2, 5, 3)
    >>> torch.allclose(scan_layer(layer, x)[0], layer(x)[0], atol=1e-6)
    True
    """
    outputs, after, kept = [], [], []
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(layer.get_parameter("weight_hh_l0").dtype)
        for d in range(1 + layer.bidirectional):
            mask, told = None if masks is None else masks[d], gates is not None
            h, *c = scan(layer, d, turn(x, lengths) if d else x, state, mask, told)
            outputs.append(turn(h, lengths) if d else h)
            if told:
                f = c.pop()
                kept.append(turn(f, lengths) if d else f)
            after.append((h[:, -1], *c))
    states = tuple(torch.stack(parts) for parts in zip(*after, strict=True))  # each (directions, batch, hidden)
    h = beside(outputs)
    if gates is not None:
        gates.append(beside(kept))
    return without_padding(h, lengths), states if len(states) > 1 else states[0]


def beside(directions: list[torch.Tensor]) -> torch.Tensor:
    """Return the directions side by side; of one, a copy would cost a tenth of the layer."""
    return torch.cat(directions, dim=-1) if len(directions) > 1 else directions[0]


def scan(
    layer: Layer, direction: int, x: torch.Tensor, state: Any, mask: torch.Tensor | None, told: bool
) -> tuple[Any, ...]:
    """Run one direction of a layer; return its output, of an LSTM its last memory, and where it is told, its gate."""
    w, memory = weights_of(layer, direction, mask), memory_of(layer, direction, x, state)
    if isinstance(layer, nn.GRU):
        return GRUScan.apply(told, x, *memory, w.W, w.R.t(), w.b, w.b_h, mask)
    return LSTMScan.apply(told, x, *memory, w.W, w.R.t(), w.b, w.p, mask)


class LSTMScan(Function):
    """An LSTM layer of one direction, with peepholes and recurrent dropout where they are given.

    Of x (batch, time, channels), h and c (batch, hidden), W (4 * hidden, channels), R (4 * hidden, hidden), the sum of
    the biases b (4 * hidden,), peepholes p (3 * hidden,) or None and a mask m (batch, hidden) or None it makes h at
    each step (batch, time, hidden) and the last c (batch, hidden); where `told`, also the forget gates f at each step
    (batch, time, hidden).

    References
    ----------
    Greff et al., "LSTM: a search space odyssey", 2017 (the gradients, with peepholes).
    """

    @staticmethod
    def forward(ctx: Any, told: bool, *inputs: Any) -> Any:  # noqa: D102
        with torch.inference_mode():
            weights, below, m, hs, cs, gates, s, P = run_lstm(*inputs)
        ctx.kept = weights, below, m, hs, cs, gates, s, P
        out = -hs[1:].permute(2, 0, 1), cs[-1].t() / 2
        return (*out, gates[:, 1].permute(2, 0, 1).clone()) if told else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: D102
        weights, below, m, hs, cs, gates, s, P = ctx.kept
        n = gates.shape[2]
        with torch.inference_mode():
            dh, dc = as_steps(gradients[0], -1.0), (gradients[1].t() / 2).contiguous()
            slopes, dc_dh, dc_dc = lstm_slopes(hs, cs, gates, s, P)
            da = slopes.view(len(slopes), 4 * n, -1)  # at the end of the steps back
            dh_t, R_t = dh.unbind(), weights[:, :n].t().contiguous()
            da_of = slopes[:, :3].unbind(), slopes[:, 3].unbind(), da.unbind()
            back = zip(dh_t[1:], dh_t, *da_of, dc_dh.unbind(), dc_dc.unbind(), strict=False)
            extra = gate_gradients(gates, gradients[2:])
            for (dh_now, dh_before, da_ifg, da_o, da_all, to_c, kept), da_f in reversed(
                [*zip(back, extra, strict=True)]
            ):
                dc.addcmul_(dh_now, to_c)
                da_ifg.mul_(dc)
                da_o.mul_(dh_now)
                dc.mul_(kept)
                if da_f is not None:
                    da_ifg[1].add_(da_f)
                    if P is not None:
                        dc.addcmul_(da_f, P[1])
                go_back(dh_before, R_t, da_all, m)
        dx, dweights = spread(weights, below, da, n, ctx.needs_input_grad[1])
        dR, dW, db = scale(dweights, -1.0, n, slice(2 * n, 3 * n)).split([n, below.shape[1] - n - 1, 1], dim=1)
        dp = None if P is None else peephole_gradients(slopes, cs)
        return None, dx, -dh[0].t(), 2 * dc.t(), dW, dR, db[:, 0], dp, None


def run_lstm(
    x: torch.Tensor,
    h_0: torch.Tensor,
    c_0: torch.Tensor,
    W: torch.Tensor,
    R: torch.Tensor,
    b: torch.Tensor,
    p: torch.Tensor | None,
    m: torch.Tensor | None,
) -> tuple[Any, ...]:
    """Return all that the way back needs: outputs, memories, gates and ``s = sigmoid(2 c)`` of all steps among it."""
    n, n_steps, n_sequences = R.shape[1], x.shape[1], x.shape[0]
    weights = scale(torch.cat([R, W, b[:, None]], dim=1), -1.0, n, slice(2 * n, 3 * n))
    below, hs, m = stack_below(x, -h_0, m)
    cs = x.new_empty(n_steps + 1, n, n_sequences)
    torch.mul(c_0.t(), 2, out=cs[0])
    P = None if p is None else p.view(3, n, 1).expand(3, n, n_sequences) / 2
    gates, s = x.new_empty(n_steps, 4, n, n_sequences), x.new_empty(n_steps, n, n_sequences)
    half = torch.full_like(cs[0], 0.5)  # faster than a number
    i, f, g, o = (gate.unbind() for gate in gates.unbind(1))
    h, c, s_by_step = hs.unbind(), cs.unbind(), s.unbind()
    whole, z = gates.view(n_steps, 4 * n, -1).unbind(), below.unbind()
    if P is not None:
        a_if, a_ifg = gates[:, :2].unbind(), gates[:, :3].unbind()
    if m is not None:
        h_masked = below[:, :n].unbind()
    for t in range(n_steps):
        torch.mm(weights, z[t], out=whole[t])
        if P is None:
            whole[t].sigmoid_()
        else:
            a_if[t].addcmul_(P[:2], c[t])
            a_ifg[t].sigmoid_()
        g[t].sub_(half)
        torch.mul(f[t], c[t], out=c[t + 1]).addcmul_(i[t], g[t], value=4)
        if P is not None:
            o[t].addcmul_(P[2], c[t + 1]).sigmoid_()
        torch.sigmoid(c[t + 1], out=s_by_step[t])
        torch.addcmul(o[t], o[t], s_by_step[t], value=-2, out=h[t + 1])
        if m is not None:
            torch.mul(h[t + 1], m, out=h_masked[t + 1])
    return weights, below, m, hs, cs, gates, s, P


def lstm_slopes(
    h: torch.Tensor, c: torch.Tensor, gates: torch.Tensor, s: torch.Tensor, P: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return how the gates move with what comes back to them, and the memory with the output and with itself.

    What comes back is the gradient of the memory for i, f and g, and of the output for o.
    """
    i, f, g, o = gates.unbind(1)
    slopes = torch.empty_like(gates)  # (time, 4, hidden, batch)
    di, df, dg, do = slopes.unbind(1)
    whole_g = 4 * g
    torch.addcmul(i, i, i, value=-1, out=di).mul_(whole_g)
    torch.addcmul(f, f, f, value=-1, out=df).mul_(c[:-1])
    torch.addcmul(i, torch.mul(i, g, out=dg), whole_g, value=-1, out=dg)
    torch.addcmul(h[1:], h[1:], o, value=-1, out=do)
    dc_dh = torch.addcmul(s, s, s, value=-1).mul_(o).mul_(-2)
    if P is None:
        return slopes, dc_dh, f
    return slopes, dc_dh.addcmul_(do, P[2]), torch.addcmul(f, di, P[0]).addcmul_(df, P[1])


def peephole_gradients(da: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Return the gradients of the peepholes, (3 * hidden,)."""
    i, f, _, o = da.unbind(1)
    return torch.cat([(gate * seen).sum((0, 2)) for gate, seen in ((i, c[:-1]), (f, c[:-1]), (o, c[1:]))]) / 2


class GRUScan(Function):
    """A GRU layer of one direction, with recurrent dropout where it is given.

    Of x (batch, time, channels), h (batch, hidden), W (3 * hidden, channels), R (3 * hidden, hidden), the biases b and
    b_h (3 * hidden,) and a mask m (batch, hidden) or None it makes h at each step (batch, time, hidden); where `told`,
    also z. The rows of a step are the gates r and z, what the candidate has from h, of which r lets in a share, and
    what it has from x.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; with the reset gate behind the
    product, as torch has it.
    """

    @staticmethod
    def forward(ctx: Any, told: bool, *inputs: Any) -> Any:  # noqa: D102
        with torch.inference_mode():
            weights, below, m, hs, gates = run_gru(*inputs)
        ctx.kept = weights, below, m, hs, gates
        h = (2 * hs[1:]).permute(2, 0, 1)
        return (h, gates[:, 1].permute(2, 0, 1).clone()) if told else (h,)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: D102
        weights, below, m, hs, gates = ctx.kept
        n = gates.shape[2]
        with torch.inference_mode():
            dh, slopes = as_steps(gradients[0], 2.0), gru_slopes(hs, gates)
            da = slopes.view(len(slopes), 4 * n, -1)  # at the end of the steps back
            from_h = da[:, : 3 * n].unbind()
            dh_t, R_t = dh.unbind(), weights[: 3 * n, :n].t().contiguous()
            back = zip(dh_t[1:], dh_t, slopes.unbind(), from_h, gates[:, 1].unbind(), strict=False)
            extra = gate_gradients(gates, gradients[1:])
            for (dh_now, dh_before, da_all, da_h, kept), da_z in reversed([*zip(back, extra, strict=True)]):
                da_all.mul_(dh_now)
                if da_z is not None:
                    da_all[1].add_(da_z)
                dh_before.addcmul_(dh_now, kept)
                go_back(dh_before, R_t, da_h, m)
        dx, dweights = spread(weights, below, da, n, ctx.needs_input_grad[1])
        scale(dweights, 2.0, n, slice(2 * n, 4 * n))
        dW, dR = torch.cat([dweights[: 2 * n], dweights[3 * n :]]), dweights[: 3 * n]
        return None, dx, dh[0].t() / 2, dW[:, n:-1], dR[:, :n], dW[:, -1], dR[:, -1], None


def run_gru(
    x: torch.Tensor,
    h_0: torch.Tensor,
    W: torch.Tensor,
    R: torch.Tensor,
    b: torch.Tensor,
    b_h: torch.Tensor,
    m: torch.Tensor | None,
) -> tuple[Any, ...]:
    """Return all that the way back needs: outputs and gates of all steps among it."""
    n, n_steps, n_sequences = R.shape[1], x.shape[1], x.shape[0]
    weights = scale(gru_rows(W, R, b, b_h), 2.0, n, slice(2 * n, 4 * n))
    below, hs, m = stack_below(x, h_0 / 2, m)
    gates = x.new_empty(n_steps, 4, n, n_sequences)
    half = torch.full_like(hs[0], 0.5)  # faster than a number
    r, z, q, g = (row.unbind() for row in gates.unbind(1))
    whole, a_rz = gates.view(n_steps, 4 * n, -1).unbind(), gates[:, :2].unbind()
    below_by_step, h = below.unbind(), hs.unbind()
    if m is not None:
        h_masked = below[:, :n].unbind()
    for t in range(n_steps):
        torch.mm(weights, below_by_step[t], out=whole[t])
        a_rz[t].sigmoid_()
        g[t].addcmul_(r[t], q[t]).sigmoid_().sub_(half)
        torch.lerp(g[t], h[t], z[t], out=h[t + 1])
        if m is not None:
            torch.mul(h[t + 1], m, out=h_masked[t + 1])
    return weights, below, m, hs, gates


def gru_rows(W: torch.Tensor, R: torch.Tensor, b: torch.Tensor, b_h: torch.Tensor) -> torch.Tensor:
    """Return the weights of a step of a GRU, (4 * hidden, hidden + channels + 1)."""
    n = R.shape[1]
    rows = W.new_zeros(4 * n, n + W.shape[1] + 1)
    rows[: 3 * n, :n], rows[: 3 * n, -1] = R, b_h
    rows[: 2 * n, n:-1], rows[3 * n :, n:-1] = W[: 2 * n], W[2 * n :]
    rows[: 2 * n, -1] += b[: 2 * n]
    rows[3 * n :, -1] = b[2 * n :]
    return rows


def gru_slopes(h: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
    """Return how the rows of each step move with what comes back to the output, (time, 4, hidden, batch)."""
    r, z, q, g = gates.unbind(1)
    slopes = torch.empty_like(gates)
    dr, dz, dq, dg = slopes.unbind(1)
    away = h[:-1] - g
    torch.addcmul(away, away, z, value=-1, out=dz).mul_(z)
    torch.addcmul(g.new_tensor(0.25), g, g, value=-1, out=dg).addcmul_(dg, z, value=-1)
    torch.mul(dg, r, out=dq)
    torch.addcmul(dq, dq, r, value=-1, out=dr).mul_(q)
    return slopes


def stack_below(
    x: torch.Tensor, h: torch.Tensor, m: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the rows below each step with the first h among them, room for h at each step, and the turned mask.

    Without a mask, h is what goes into the next step, and the room is among the rows below it.
    """
    n, (n_sequences, n_steps, n_channels) = h.shape[1], x.shape
    below = x.new_empty(n_steps + 1, n + n_channels + 1, n_sequences)
    below[:-1, n:-1], below[:, -1] = x.permute(1, 2, 0), 1.0
    if m is None:
        below[0, :n] = h.t()
        return below, below[:, :n], None
    below[0, :n] = (h * m).t()
    hs = x.new_empty(n_steps + 1, n, n_sequences)
    hs[0] = h.t()
    return below, hs, m.t().contiguous()


def scale(weights: torch.Tensor, of_h: float, n: int, doubled: slice) -> torch.Tensor:
    """Scale in place what weighs the rows of h, and double what goes to hyperbolic tangents."""
    weights[doubled] *= 2
    weights[:, :n] *= of_h
    return weights


def as_steps(dh: torch.Tensor, of_h: float) -> torch.Tensor:
    """Return the gradient of the rows of h from that of the outputs, with zeros before the first step."""
    n_sequences, n_steps, n = dh.shape
    steps = dh.new_empty(n_steps + 1, n, n_sequences)
    steps[0] = 0.0
    torch.mul(dh.permute(1, 2, 0), of_h, out=steps[1:])
    return steps


def gate_gradients(gates: torch.Tensor, df: tuple[torch.Tensor, ...]) -> Iterable[torch.Tensor | None]:
    """Return what comes to the second gate, before its sigmoid, from its own use, each step (hidden, batch) or None."""
    if not df:
        return repeat(None, len(gates))
    f = gates[:, 1]
    return (df[0].permute(1, 2, 0) * f * (1.0 - f)).unbind()


def go_back(dh: torch.Tensor, R_t: torch.Tensor, da: torch.Tensor, m: torch.Tensor | None) -> None:
    """Add to the gradient of the step before what comes back through the gates."""
    if m is None:
        dh.addmm_(R_t, da)
    else:
        dh.addcmul_(torch.mm(R_t, da), m)


def spread(
    weights: torch.Tensor, below: torch.Tensor, da: torch.Tensor, n: int, wants_x: bool
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return the gradients of x (batch, time, channels), where it is wanted, and of the weights."""
    dx = torch.matmul(weights[:, n:-1].t(), da).permute(2, 0, 1) if wants_x else None
    return dx, torch.addbmm(weights, da, below[:-1].transpose(1, 2), beta=0)
