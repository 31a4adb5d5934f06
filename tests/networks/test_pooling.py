"""Poolings are what a plain loop over the steps gives, and see nothing of the padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm.networks.cells import valid_steps
from eventlstm.networks.pooling import POOLINGS, attention_entropy, last_step, make_pooling
from eventlstm.networks.recurrent_encoder import draw_weights

WIDTH, N_HEADS = 6, 3
LENGTHS = torch.tensor([7, 1, 4])
EXACT = {"atol": 1e-12, "rtol": 0.0}

each_attention = pytest.mark.parametrize("pooling", ["additive", "luong", "multihead"])
each_lengths = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(pooling):
    module = make_pooling(pooling, WIDTH, N_HEADS)
    draw_weights(module, seeded())
    return module.double()


def steps(lengths=None, n_windows=3, n_steps=7):
    """Return outputs at each step, in the padding large ones."""
    h = torch.randn(n_windows, n_steps, WIDTH, generator=seeded(1), dtype=torch.float64)
    return h if lengths is None else h.masked_fill(~valid_steps(h, lengths)[..., None], 1e6)


def pooled(module, h, lengths):
    return module(h, last_step(h, lengths, bidirectional=False), valid_steps(h, lengths))


def alone(h, lengths):
    """Return each window without its padding."""
    return list(h) if lengths is None else [window[:length] for window, length in zip(h, lengths, strict=True)]


def softmax(scores):
    shares = [math.exp(score) for score in scores]
    return torch.tensor([share / sum(shares) for share in shares], dtype=torch.float64)


def linear(layer, x):
    return layer.weight @ x + (0.0 if layer.bias is None else layer.bias)


def additive_by_hand(module, window):
    a = softmax([float(linear(module.v, linear(module.W, h).tanh())) for h in window])
    return sum(a[t] * window[t] for t in range(len(window))), a


def luong_by_hand(module, window):
    a = softmax([float(h @ module.W.weight @ window[-1]) for h in window])
    context = sum(a[t] * window[t] for t in range(len(window)))
    return linear(module.W_c, torch.cat([context, window[-1]])).tanh(), a


def multihead_by_hand(module, window):
    q = linear(module.W_q, window[-1]).chunk(N_HEADS)
    contexts, shares = [], []
    for head in range(N_HEADS):
        keys = [linear(module.W_k, h).chunk(N_HEADS)[head] for h in window]
        values = [linear(module.W_v, h).chunk(N_HEADS)[head] for h in window]
        a = softmax([float(q[head] @ key) / math.sqrt(WIDTH / N_HEADS) for key in keys])
        contexts.append(sum(a[t] * values[t] for t in range(len(window))))
        shares.append(a)
    return linear(module.W_o, torch.cat(contexts)), torch.stack(shares)


BY_HAND = {
    "last": lambda _, window: (window[-1], None),
    "mean": lambda _, window: (torch.stack([unit.sum() / len(window) for unit in window.T]), None),
    "max": lambda _, window: (torch.tensor([max(unit.tolist()) for unit in window.T], dtype=torch.float64), None),
    "additive": additive_by_hand,
    "luong": luong_by_hand,
    "multihead": multihead_by_hand,
}


@pytest.mark.parametrize("pooling", POOLINGS)
@each_lengths
@torch.no_grad()
def test_a_pooling_is_a_plain_loop_over_the_steps_of_each_window(pooling, lengths):
    module, h = made(pooling), steps(lengths)
    z, attention = pooled(module, h, lengths)
    for k, window in enumerate(alone(h, lengths)):
        by_hand, a = BY_HAND[pooling](module, window)
        torch.testing.assert_close(z[k], by_hand, **EXACT)
        if a is not None:
            torch.testing.assert_close(attention[k, ..., : len(window)], a, **EXACT)
    assert (attention is None) == (pooling in ("last", "mean", "max"))


@each_attention
@each_lengths
def test_attention_sums_to_one_and_is_zero_on_padding(pooling, lengths):
    h = steps(lengths)
    _, attention = pooled(made(pooling), h, lengths)
    assert attention.shape == ((3, N_HEADS, 7) if pooling == "multihead" else (3, 7))
    assert (attention >= 0.0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]).double(), **EXACT)
    if lengths is not None:
        padding = ~valid_steps(h, lengths)
        assert not (attention * (padding[:, None] if pooling == "multihead" else padding)).any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_padding_has_no_share_in_the_gradients(pooling):
    h = steps(LENGTHS).requires_grad_()
    z, attention = pooled(made(pooling), h, LENGTHS)
    penalty = 0.0 if attention is None else attention_entropy(attention, LENGTHS).sum()
    (z.square().sum() + penalty).backward()
    assert torch.isfinite(h.grad).all()
    assert not h.grad[~valid_steps(h, LENGTHS)].any()


@each_lengths
def test_the_last_step_is_each_directions_own(lengths):
    h = steps(lengths)
    for k, window in enumerate(alone(h, lengths)):
        assert torch.equal(last_step(h, lengths, bidirectional=False)[k], window[-1])
        both = torch.cat([window[-1, : WIDTH // 2], window[0, WIDTH // 2 :]])
        assert torch.equal(last_step(h, lengths, bidirectional=True)[k], both)


@each_lengths
def test_entropy_is_one_when_attention_is_uniform_and_zero_when_it_is_on_one_step(lengths):
    n_steps = torch.full((3,), 7) if lengths is None else lengths
    inside = torch.arange(7) < n_steps[:, None]
    uniform = inside / n_steps[:, None]
    torch.testing.assert_close(attention_entropy(uniform, lengths), torch.ones(3))
    first = torch.eye(7)[:1].expand(3, 7)
    expected = (n_steps == 1).float()  # on a single step both are the same
    torch.testing.assert_close(attention_entropy(first, lengths), expected)


@settings(max_examples=30, deadline=None)
@given(shares=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9).filter(lambda shares: sum(shares) > 0.01))
def test_entropy_is_between_zero_and_one_and_is_the_sum_of_its_definition(shares):
    a = [share / sum(shares) for share in shares]
    by_hand = -sum(share * math.log(share) for share in a if share) / math.log(len(a))
    found = attention_entropy(torch.tensor([a], dtype=torch.float64)).item()
    assert found == pytest.approx(by_hand, abs=1e-12)
    assert -1e-12 <= found <= 1.0 + 1e-12


def test_the_entropy_of_several_heads_is_the_mean_of_theirs():
    heads = torch.stack([torch.full((4,), 0.25), torch.eye(4)[0]])[None]  # (1, heads, time)
    torch.testing.assert_close(attention_entropy(heads), torch.tensor([0.5]))


def test_heads_that_cannot_share_the_width_are_refused():
    with pytest.raises(ValueError, match=r"shares 6 values .* num_heads=4, .* Set num_heads to a divisor of 6"):
        make_pooling("multihead", 6, 4)


def test_an_unknown_pooling_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"pooling='median' is none of \['additive', 'last', 'luong', "):
        make_pooling("median", 6, 4)
