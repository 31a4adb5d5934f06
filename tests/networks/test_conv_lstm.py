"""A convolutional layer is the plain loop of its paper, cell by cell; what goes with it is the same in all cells."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from eventlstm.networks import RecurrentEncoder, RecurrentNet
from eventlstm.networks.cells import gate_activations
from eventlstm.networks.conv_lstm import CellwiseLinear, MapNorm, convolve, neighbours, summarise
from eventlstm.networks.forecast_net import ForecastNet
from eventlstm.networks.layers import (
    make_layer,
    recurrent_masks,
    run_layer,
    run_truncated,
    set_forget_bias,
)

GRID, MAPS_BELOW, MAPS = (3, 4), 2, 3
N_CELLS = math.prod(GRID)
N_CHANNELS, N_UNITS = MAPS_BELOW * N_CELLS, MAPS * N_CELLS
LENGTHS = torch.tensor([5, 1, 3])
EXACT = {"atol": 1e-12, "rtol": 0.0}
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(bidirectional=False, grid=GRID, maps_below=MAPS_BELOW, maps=MAPS):
    layer = make_layer("convlstm", maps_below * math.prod(grid), maps, bidirectional, grid)
    layer = layer.to_empty(device="cpu").double()
    with torch.no_grad():
        for k, weight in enumerate(layer.parameters()):
            weight.copy_(0.4 * normal(*weight.shape, seed=10 + k))
    return layer


def drawn(kind, n_channels, n_outputs=2, **architecture):
    net = kind(n_channels, n_outputs, **{"cell": "convlstm", "grid": GRID, "hidden_size": MAPS, **architecture})
    net.initialize(torch.Generator().manual_seed(0))
    return net.double()


def first_state(layer, n_sequences):
    return tuple(normal(1 + layer.bidirectional, n_sequences, layer.n_units, seed=seed) for seed in (5, 6))


def papers_layer(layer, x, suffix=""):
    """The equations of the paper for one sequence, map by map and step by step, by another library's correlation."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    W, R, b, b_h = (layer.get_parameter(name + suffix).detach().numpy() for name in names)
    h = c = np.zeros((MAPS, *GRID))
    outputs = []

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def below(maps, kernels):
        return sum(correlate2d(one, kernel, mode="same") for one, kernel in zip(maps, kernels, strict=True))

    for inputs in x.numpy().reshape(-1, MAPS_BELOW, *GRID):
        a = np.stack([below(inputs, W[k]) + below(h, R[k]) + b[k] + b_h[k] for k in range(4 * MAPS)])
        i, f, g, o = sigmoid(a[:MAPS]), sigmoid(a[MAPS : 2 * MAPS]), np.tanh(a[2 * MAPS : 3 * MAPS]), sigmoid(a[-MAPS:])
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs.append(h.ravel())
    return torch.from_numpy(np.stack(outputs))


def test_a_layer_is_the_plain_loop_of_its_paper():
    layer, x = made(bidirectional=True), normal(2, 5, N_CHANNELS)
    forward = torch.stack([papers_layer(layer, one) for one in x])
    backward = torch.stack([papers_layer(layer, one.flip(0), "_reverse").flip(0) for one in x])
    torch.testing.assert_close(run_layer(layer, x)[0], torch.cat([forward, backward], dim=-1), **EXACT)


def test_a_grid_of_one_cell_is_an_lstm():
    layer, twin = made(grid=(1, 1)), torch.nn.LSTM(MAPS_BELOW, MAPS, batch_first=True).double()
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            twin.get_parameter(name).copy_(weight[..., 1, 1] if weight.ndim == 4 else weight)
    x = normal(3, 5, MAPS_BELOW)
    torch.testing.assert_close(run_layer(layer, x)[0], twin(x)[0], **EXACT)


@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 2])], ids=["full", "padded"])
def test_gradients_are_those_of_finite_differences(lengths):
    layer = made(bidirectional=True, grid=(2, 2), maps_below=1, maps=2)
    x, state = normal(2, 3, 4).requires_grad_(), tuple(part.requires_grad_() for part in first_state(layer, 2))

    def run(*_):  # the inputs are moved in place
        h, after = run_layer(layer, x, state, lengths)
        return h, *after

    assert torch.autograd.gradcheck(run, (x, *state, *layer.parameters()))


def test_what_is_moved_in_the_grid_moves_what_is_put_out():
    layer = made(grid=(7, 7), maps_below=1)
    x, moved = torch.zeros(2, 1, 2, 7, 7, dtype=torch.float64)
    x[:, :, 2, 3], moved[:, :, 3, 2] = normal(1, 2), normal(1, 2)
    h, other = (run_layer(layer, one.flatten(2))[0].view(1, 2, MAPS, 7, 7) for one in (x, moved))
    # Two steps see two cells far; nearer to the edge what lies beyond it is seen too.
    torch.testing.assert_close(h[..., 2:4, 3:5], other[..., 3:5, 2:4], **EXACT)
    assert not torch.allclose(h, other)


@each_direction
def test_padding_changes_nothing(bidirectional):
    layer, x = made(bidirectional), normal(3, 5, N_CHANNELS)
    for k, length in enumerate(LENGTHS):
        x[k, length:] = 1e6
    h, after = run_layer(layer, x, None, LENGTHS)
    for k, length in enumerate(LENGTHS):
        alone, alone_after = run_layer(layer, x[k : k + 1, :length])
        torch.testing.assert_close(h[k, :length], alone[0], **EXACT)
        assert not h[k, length:].any()
        for part, own in zip(after, alone_after, strict=True):
            torch.testing.assert_close(part[:, k], own[:, 0], **EXACT)


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_pieces_one_after_the_other_are_the_whole(n_steps):
    layer, x = made(), normal(3, 5, N_CHANNELS)
    state, outputs = first_state(layer, 3), []
    whole, after = run_layer(layer, x, state)
    for piece in x.split(n_steps, dim=1):
        h, state = run_layer(layer, piece, state)
        outputs.append(h)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, **EXACT)
    torch.testing.assert_close(state, after, **EXACT)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_truncated_gradients_stop_before_the_last_piece_of_each_sequence(lengths):
    layer, x = made(), normal(3, 5, N_CHANNELS).requires_grad_()
    ends = torch.full((3,), 5) if lengths is None else lengths
    h, _ = run_truncated(layer, x, None, lengths, None, n_steps=2)
    torch.testing.assert_close(h, run_layer(layer, x, None, lengths)[0], **EXACT)
    h[torch.arange(3), ends - 1].sum().backward()
    steps = torch.arange(5)
    assert torch.equal(x.grad.any(dim=-1), (steps >= ends[:, None] - 2) & (steps < ends[:, None]))


def test_a_mask_of_recurrent_dropout_holds_for_all_steps():
    layer, x = made(), normal(3, 5, N_CHANNELS)
    (mask,) = recurrent_masks(layer, x, 0.5, torch.Generator().manual_seed(0))
    assert mask.shape == (3, N_UNITS)
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    state, outputs = tuple(torch.zeros(2, 1, 3, N_UNITS, dtype=torch.float64)), []
    for step in x.split(1, dim=1):
        h, state = run_layer(layer, step, (state[0] * mask, state[1]))
        outputs.append(h)
    torch.testing.assert_close(run_layer(layer, x, masks=[mask])[0], torch.cat(outputs, dim=1), **EXACT)


def test_a_forget_bias_keeps_that_share_of_every_cell():
    layer = made()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    set_forget_bias(layer, 1.5)
    state, x = first_state(layer, 3), normal(3, 6, N_CHANNELS)
    after = run_layer(layer, x, state)[1][1]
    torch.testing.assert_close(after, state[1] * torch.tensor(1.5).double().sigmoid() ** 6, **EXACT)


@pytest.mark.parametrize("direction", [0, 1])
def test_gates_are_those_that_made_the_output(direction):
    layer, x = made(bidirectional=True), normal(3, 5, N_CHANNELS)
    order = slice(None) if direction == 0 else torch.arange(4, -1, -1)
    h = run_layer(layer, x)[0].chunk(2, dim=-1)[direction][:, order]
    gates = {name: gate[:, order] for name, gate in gate_activations(layer, x, direction).items()}
    c = torch.zeros_like(h[:, 0])
    for t in range(h.shape[1]):
        c = gates["forget"][:, t] * c + gates["input"][:, t] * gates["cell"][:, t]
        torch.testing.assert_close(h[:, t], gates["output"][:, t] * c.tanh(), **EXACT)


def test_neighbours_are_what_a_kernel_sees():
    x, kernel = normal(2, N_CHANNELS), normal(MAPS, MAPS_BELOW, 3, 3, seed=2)
    maps = torch.cat([x.view(2, MAPS_BELOW, N_CELLS), torch.zeros(2, MAPS_BELOW, 1).double()], dim=-1)
    patches = maps[..., torch.from_numpy(neighbours(GRID).copy())]  # (items, maps, cells, 9)
    by_hand = torch.einsum("bmck,nmk->bnc", patches, kernel.flatten(2)).flatten(1)
    torch.testing.assert_close(by_hand, convolve(x, kernel, GRID), **EXACT)


def test_a_summary_holds_means_and_maxima_of_each_direction():
    h = normal(2, 5, 2 * N_UNITS)
    maps = h.view(2, 5, 2, MAPS, *GRID)
    expected = [maps[:, :, 0].mean((-1, -2)), maps[:, :, 0].amax((-1, -2))]
    expected += [maps[:, :, 1].mean((-1, -2)), maps[:, :, 1].amax((-1, -2))]
    torch.testing.assert_close(summarise(h, 2, N_CELLS), torch.cat(expected, dim=-1), **EXACT)


def test_a_cellwise_layer_does_in_each_cell_the_same():
    layer = CellwiseLinear(MAPS, 2, N_CELLS).to_empty(device="cpu").double()
    with torch.no_grad():
        layer.weight.copy_(normal(2, MAPS)), layer.bias.copy_(normal(2, seed=2))
    x = normal(5, N_UNITS)
    y = layer(x).view(5, 2, N_CELLS)
    for cell in range(N_CELLS):
        alone = torch.nn.functional.linear(x.view(5, MAPS, N_CELLS)[..., cell], layer.weight, layer.bias)
        torch.testing.assert_close(y[..., cell], alone, **EXACT)


def test_maps_are_normalised_over_all_of_them_with_a_gain_for_each():
    norm, h = MapNorm(MAPS).to_empty(device="cpu").double(), normal(2, 5, N_UNITS)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.0])), norm.bias.copy_(torch.tensor([0.0, 0.0, 7.0]))
    plain = torch.nn.functional.layer_norm(h, (N_UNITS,)).view(2, 5, MAPS, N_CELLS)
    expected = torch.stack([plain[:, :, 0], 2 * plain[:, :, 1], torch.full_like(plain[:, :, 2], 7.0)], dim=2)
    torch.testing.assert_close(norm(h), expected.flatten(2), **EXACT)


@each_direction
def test_a_network_judges_by_the_summary_of_its_last_layer(bidirectional):
    net, x = drawn(RecurrentNet, N_CHANNELS, num_layers=2, bidirectional=bidirectional), normal(3, 5, N_CHANNELS)
    below, _ = run_layer(net.encoder.layers[0], x, None, LENGTHS)
    _, (h_n, _) = run_layer(net.encoder.layers[1], below, None, LENGTHS)
    maps = h_n.view(1 + bidirectional, 3, MAPS, N_CELLS)
    last = torch.cat([part for own in maps for part in (own.mean(-1), own.amax(-1))], dim=-1)
    torch.testing.assert_close(net(x, lengths=LENGTHS), net.head(last), **EXACT)


def test_a_forecaster_keeps_the_places():
    net, x = drawn(ForecastNet, N_CHANNELS, n_outputs=4, horizon=2), normal(3, 5, N_CHANNELS)
    h, _ = run_layer(net.encoder.layers[0], x)
    torch.testing.assert_close(net(x), net.head(h[:, -1]), **EXACT)


def test_weights_are_drawn_by_what_a_unit_sees():
    layer = drawn(RecurrentNet, N_CHANNELS).encoder.layers[0]
    bound = (MAPS * 9) ** -0.5
    assert 0.9 * bound < layer.weight_hh_l0.abs().max() <= bound


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": None}, r"cell='convlstm' came without a grid\. Set grid=\(height, width\)"),
        (
            {"cell": "lstm"},
            r"grid=\(3, 4\) came with cell='lstm', which has no grid\. Set cell='convlstm' or grid=None",
        ),
        ({"grid": (0, 4)}, r"grid=\(0, 4\) came\. Give two whole numbers above zero: \(height, width\)"),
        ({"grid": (-3, -4)}, r"grid=\(-3, -4\) came\. Give two whole numbers"),
        ({"grid": (3.0, 4)}, r"grid=\(3\.0, 4\) came\. Give two whole numbers"),
        ({"grid": (24,)}, r"grid=\(24,\) came\. Give two whole numbers"),
        (
            {"grid": (5, 5)},
            r"grid=\(5, 5\) has 25 cells, and 24 channels came, which is no multiple\. Pass the sensors",
        ),
        (
            {"categories": ((3, 4),)},
            r"no place on its grid for codes, but channels \[3\] are categorical\. Leave them out",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecurrentEncoder(N_CHANNELS, **{"cell": "convlstm", "grid": GRID, **arguments})


def test_a_decoder_that_goes_from_step_to_step_is_refused():
    with pytest.raises(ValueError, match=r"decoder='recurrent' does not know cell='convlstm'\. Set decoder='direct'"):
        drawn(ForecastNet, N_CHANNELS, decoder="recurrent")
