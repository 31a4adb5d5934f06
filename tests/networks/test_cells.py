"""Recurrent layers run step by step are torch's own, and their options are what the equations say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eventlstm.networks.cells import GATES, PeepholeLSTM, gate_activations, run_steps
from eventlstm.networks.layers import make_layer, recurrent_masks, run_layer, run_truncated, set_forget_bias

TORCH_CELLS = ("lstm", "gru", "rnn")
CELLS = (*TORCH_CELLS, "peephole")
N_CHANNELS, HIDDEN_SIZE = 3, 4
EXACT = {"atol": 1e-12, "rtol": 0.0}
TOLERANCES = {torch.float64: EXACT, torch.float32: {"atol": 1e-6, "rtol": 1e-5}}
LENGTHS = torch.tensor([7, 1, 4])

each_cell = pytest.mark.parametrize("cell", CELLS)
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
few = settings(max_examples=15, deadline=None)

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def made(cell, bidirectional=False, dtype=torch.float64, n_channels=N_CHANNELS, hidden_size=HIDDEN_SIZE):
    layer = make_layer(cell, n_channels, hidden_size, bidirectional).to_empty(device="cpu").to(dtype)
    generator = seeded()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.empty(weight.shape).uniform_(-0.7, 0.7, generator=generator))
    return layer


def zeroed(layer):
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    return layer


def first_state(layer, n_sequences):
    """Return a state that is not zero, in torch's form."""
    shape = (1 + layer.bidirectional, n_sequences, layer.hidden_size)
    h, c = (normal(*shape, seed=seed).to(layer.weight_hh_l0.dtype).requires_grad_() for seed in (5, 6))
    return h if isinstance(layer, (nn.GRU, nn.RNN)) else (h, c)


def leaves(state):
    return list(state) if isinstance(state, tuple) else [state]


def values_and_gradients(run, layer, x, state):
    """Return output, last state, and the gradients of a sum that weighs all of them differently."""
    x = x.clone().requires_grad_()
    h, after = run(layer, x, state)
    found = [h, *leaves(after)]
    total = sum((normal(*part.shape, seed=k).to(part.dtype) * part).sum() for k, part in enumerate(found))
    sources = [x, *layer.parameters(), *([] if state is None else leaves(state))]
    return found + list(torch.autograd.grad(total, sources))


def expect_equal(first, second, **tolerance):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("cell", TORCH_CELLS)
@each_direction
@pytest.mark.parametrize("has_state", [False, True], ids=["cold", "state"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_steps_equal_torchs_kernels_in_value_and_gradient(cell, bidirectional, has_state, lengths, dtype):
    layer, x = made(cell, bidirectional, dtype), normal(3, 7, N_CHANNELS, dtype=dtype)
    state = first_state(layer, 3) if has_state else None
    by_step = values_and_gradients(lambda *given: run_steps(*given, lengths), layer, x, state)
    by_kernel = values_and_gradients(lambda *given: run_layer(*given, lengths), layer, x, state)
    expect_equal(by_step, by_kernel, **TOLERANCES[dtype])


@few
@given(
    cell=st.sampled_from(TORCH_CELLS),
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    bidirectional=st.booleans(),
)
def test_steps_equal_torchs_kernels_for_all_sizes(cell, sizes, bidirectional):
    n_sequences, n_steps, n_channels, hidden_size = sizes
    layer = made(cell, bidirectional, n_channels=n_channels, hidden_size=hidden_size)
    x = normal(n_sequences, n_steps, n_channels)
    expect_equal([run_steps(layer, x)[0]], [layer(x)[0]], **EXACT)


def papers_peephole(layer, x):
    """The equations of the paper, unit by unit and step by step, in plain numbers."""
    W, R, p = layer.weight_ih_l0.tolist(), layer.weight_hh_l0.tolist(), layer.weight_peephole_l0.tolist()
    b = (layer.bias_ih_l0 + layer.bias_hh_l0).tolist()
    n = layer.hidden_size
    h, c, outputs = [0.0] * n, [0.0] * n, []

    def sigmoid(z):
        return 1.0 / (1.0 + math.exp(-z))

    def dot(first, second):
        return sum(a * b for a, b in zip(first, second, strict=True))

    for inputs in x.tolist():
        net = [bias + dot(w, inputs) + dot(r, h) for w, r, bias in zip(W, R, b, strict=True)]
        i = [sigmoid(net[k] + p[k] * c[k]) for k in range(n)]
        f = [sigmoid(net[n + k] + p[n + k] * c[k]) for k in range(n)]
        c = [f[k] * c[k] + i[k] * math.tanh(net[2 * n + k]) for k in range(n)]
        o = [sigmoid(net[3 * n + k] + p[2 * n + k] * c[k]) for k in range(n)]
        h = [o[k] * math.tanh(c[k]) for k in range(n)]
        outputs.append(h)
    return torch.tensor(outputs, dtype=torch.float64)


def test_a_peephole_layer_follows_the_equations_of_the_paper():
    layer, x = made("peephole"), normal(2, 6, N_CHANNELS)
    expect_equal([layer(x)[0]], [torch.stack([papers_peephole(layer, one) for one in x])], **EXACT)


@each_direction
def test_a_layer_whose_peepholes_are_closed_is_an_lstm(bidirectional):
    layer, twin = made("peephole", bidirectional), made("lstm", bidirectional)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.zero_() if "peephole" in name else weight.copy_(twin.get_parameter(name))
    state, x = first_state(layer, 3), normal(3, 7, N_CHANNELS)
    expect_equal([run_layer(layer, x, state)[0]], [twin(x, state)[0]], **EXACT)


@each_direction
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 2])], ids=["full", "padded"])
def test_the_gradients_of_a_peephole_layer_are_those_of_finite_differences(bidirectional, lengths):
    layer = made("peephole", bidirectional, n_channels=2, hidden_size=2)
    x, state = normal(2, 3, 2).requires_grad_(), first_state(layer, 2)

    def run(*_):  # the inputs are moved in place
        h, after = run_layer(layer, x, state, lengths)
        return h, *after

    assert torch.autograd.gradcheck(run, (x, *state, *layer.parameters()))


@each_cell
@each_direction
@pytest.mark.parametrize("run", [run_layer, run_steps])
def test_padding_changes_nothing(cell, bidirectional, run):
    layer, x = made(cell, bidirectional), normal(3, 7, N_CHANNELS)
    for k, length in enumerate(LENGTHS):
        x[k, length:] = 1e6
    h, after = run(layer, x, None, LENGTHS)
    for k, length in enumerate(LENGTHS):
        alone, alone_after = run(layer, x[k : k + 1, :length])
        torch.testing.assert_close(h[k, :length], alone[0], **EXACT)
        assert not h[k, length:].any()
        expect_equal([part[:, k] for part in leaves(after)], [part[:, 0] for part in leaves(alone_after)], **EXACT)


@each_cell
@each_direction
def test_output_is_the_same_where_the_state_is_not_wanted(cell, bidirectional):
    layer, x = made(cell, bidirectional), normal(3, 7, N_CHANNELS)
    state = first_state(layer, 3)
    expect_equal(
        [run_layer(layer, x, state, LENGTHS, with_state=False)[0]], [run_layer(layer, x, state, LENGTHS)[0]], **EXACT
    )


@each_cell
def test_recurrent_dropout_draws_one_mask_a_sequence_and_direction_for_all_steps(cell):
    layer, draws, by_hand = made(cell, bidirectional=True), seeded(), seeded()
    masks = recurrent_masks(layer, normal(5, 7, N_CHANNELS), 0.5, draws)
    expected = [2.0 * torch.empty(5, HIDDEN_SIZE, dtype=torch.float64).bernoulli_(0.5, generator=by_hand) for _ in "01"]
    assert torch.equal(draws.get_state(), by_hand.get_state())
    expect_equal(masks, expected, **EXACT)


def test_a_unit_under_the_recurrent_mask_forgets_what_it_was_at_every_step():
    layer, x = zeroed(made("rnn", n_channels=2, hidden_size=2)), normal(1, 9, 2)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.eye(2))
        layer.weight_hh_l0.copy_(torch.eye(2))
    h, _ = run_layer(layer, x, masks=[torch.tensor([[0.0, 2.0]], dtype=torch.float64)])
    torch.testing.assert_close(h[..., 0], x[..., 0].tanh(), **EXACT)
    before = torch.cat([torch.zeros(1, 1, dtype=torch.float64), h[:, :-1, 1]], dim=1)
    torch.testing.assert_close(h[..., 1], (x[..., 1] + 2.0 * before).tanh(), **EXACT)


@each_cell
@each_direction
def test_masks_of_ones_change_nothing(cell, bidirectional):
    layer, x = made(cell, bidirectional), normal(3, 7, N_CHANNELS)
    ones = [torch.ones(3, HIDDEN_SIZE, dtype=torch.float64)] * 2
    expect_equal([run_layer(layer, x, masks=ones)[0]], [run_layer(layer, x)[0]], **EXACT)


def test_the_memory_itself_is_never_dropped():
    layer = zeroed(made("gru"))
    set_forget_bias(layer, 40.0)
    state = first_state(layer, 3)
    none = [torch.zeros(3, HIDDEN_SIZE, dtype=torch.float64)]
    expect_equal([run_layer(layer, normal(3, 7, N_CHANNELS), state, masks=none)[1]], [state], **EXACT)


@each_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("n_steps", [1, 3, 7, 20])
def test_truncation_changes_no_value(cell, lengths, n_steps):
    layer, x, state = made(cell), normal(3, 7, N_CHANNELS), None
    whole, after = run_layer(layer, x, state, lengths)
    cut, after_cut = run_truncated(layer, x, state, lengths, None, n_steps=n_steps)
    expect_equal([cut, *leaves(after_cut)], [whole, *leaves(after)], **EXACT)


@each_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("last_only", [False, True])
def test_truncated_gradients_stop_before_the_last_piece_of_each_sequence(cell, lengths, last_only):
    layer, n_steps = made(cell), 3
    x = normal(3, 7, N_CHANNELS).requires_grad_()
    ends = torch.full((3,), 7) if lengths is None else lengths
    h, _ = run_truncated(layer, x, None, lengths, None, n_steps=n_steps, last_only=last_only)
    h[torch.arange(3), ends - 1].sum().backward()
    reached = x.grad.any(dim=-1)
    steps = torch.arange(7)
    assert torch.equal(reached, (steps >= ends[:, None] - n_steps) & (steps < ends[:, None]))


def test_pieces_before_the_last_keep_no_graph_where_only_the_last_is_used():
    x = normal(1, 7, N_CHANNELS)
    h, _ = run_truncated(made("lstm"), x, None, None, None, n_steps=3, last_only=True)
    with_graph = [parent for parent, _ in h.grad_fn.next_functions if parent is not None]
    assert len(with_graph) == 1


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
@each_direction
def test_a_cell_with_only_a_forget_bias_keeps_that_share_at_each_step(cell, bidirectional):
    layer = zeroed(made(cell, bidirectional))
    set_forget_bias(layer, 1.5)
    state, x = first_state(layer, 3), normal(3, 6, N_CHANNELS)
    after = leaves(run_layer(layer, x, state)[1])[-1]
    torch.testing.assert_close(after, leaves(state)[-1] * torch.tensor(1.5).double().sigmoid() ** 6, **EXACT)


def test_a_cell_without_a_forget_gate_refuses_its_bias():
    with pytest.raises(ValueError, match=r"cell='rnn' has no gate .* use another cell"):
        set_forget_bias(made("rnn"), 1.0)


@pytest.mark.parametrize("cell", ["lstm", "peephole"])
@pytest.mark.parametrize("direction", [0, 1])
def test_gates_are_those_that_made_the_output(cell, direction):
    layer, x = made(cell, bidirectional=True), normal(3, 7, N_CHANNELS)
    gates = gate_activations(layer, x, direction)
    assert tuple(gates) == GATES[type(layer)]
    order = slice(None) if direction == 0 else torch.arange(6, -1, -1)
    h = run_layer(layer, x)[0].chunk(2, dim=-1)[direction][:, order]
    gates = {name: gate[:, order] for name, gate in gates.items()}
    c = torch.zeros_like(h[:, 0])
    for t in range(h.shape[1]):
        c = gates["forget"][:, t] * c + gates["input"][:, t] * gates["cell"][:, t]
        torch.testing.assert_close(h[:, t], gates["output"][:, t] * c.tanh(), **EXACT)


def test_the_gates_of_a_gru_follow_its_equations():
    layer, x = made("gru"), normal(3, 7, N_CHANNELS)
    before = torch.cat([torch.zeros(3, 1, HIDDEN_SIZE).double(), layer(x)[0][:, :-1]], dim=1)
    from_input = torch.nn.functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).chunk(3, dim=-1)
    from_before = torch.nn.functional.linear(before, layer.weight_hh_l0, layer.bias_hh_l0).chunk(3, dim=-1)
    gates = gate_activations(layer, x)
    assert tuple(gates) == GATES[type(layer)]
    torch.testing.assert_close(gates["reset"], (from_input[0] + from_before[0]).sigmoid(), **EXACT)
    torch.testing.assert_close(gates["update"], (from_input[1] + from_before[1]).sigmoid(), **EXACT)


def test_gates_that_do_not_exist_are_refused():
    x = normal(3, 7, N_CHANNELS)
    with pytest.raises(ValueError, match=r"no gates\. Use cell='lstm'"):
        gate_activations(made("rnn"), x)
    with pytest.raises(ValueError, match="direction=1 came; a layer has 0"):
        gate_activations(made("lstm"), x, direction=1)


def test_an_unknown_cell_is_refused_with_those_that_are_known():
    with pytest.raises(
        ValueError, match=r"cell='transformer' is none of \['convlstm', 'gru', 'lstm', 'peephole', 'rnn'\]"
    ):
        make_layer("transformer", 3, 4, False)


def test_a_peephole_layer_has_the_weights_of_an_lstm_and_three_peepholes_a_unit():
    own = {name: weight.shape for name, weight in PeepholeLSTM(3, 4, bidirectional=True).state_dict().items()}
    torchs = {name: weight.shape for name, weight in nn.LSTM(3, 4, bidirectional=True).state_dict().items()}
    peepholes = {"weight_peephole_l0": (12,), "weight_peephole_l0_reverse": (12,)}
    assert own == torchs | peepholes
