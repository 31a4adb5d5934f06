"""The recurrent network is torch's own, and its draws come from the generator it is given."""

import numpy as np
import pytest
import torch
from torch import nn

from eventlstm.losses import cross_entropy
from eventlstm.networks import RecurrentNet, drop

TORCH_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
N_CHANNELS, HIDDEN_SIZE, N_OUTPUTS = 3, 5, 2
ROUNDING = {"atol": 1e-6, "rtol": 0.0}

each_cell = pytest.mark.parametrize("cell", TORCH_CELLS)
each_depth = pytest.mark.parametrize("num_layers", [1, 3])


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(**architecture):
    net = RecurrentNet(**{"n_channels": N_CHANNELS, "n_outputs": N_OUTPUTS, "hidden_size": HIDDEN_SIZE, **architecture})
    net.initialize(seeded())
    return net


def windows(n_windows=4, n_steps=11):
    return torch.randn(n_windows, n_steps, N_CHANNELS, generator=seeded(1))


def torch_twin(net):
    """Return torch's own recurrent network with the same weights."""
    twin = TORCH_CELLS[net.architecture["cell"]](
        N_CHANNELS,
        HIDDEN_SIZE,
        net.architecture["num_layers"],
        batch_first=True,
        bidirectional=net.architecture["bidirectional"],
    )
    weights = {
        name.replace("_l0", f"_l{k}"): weight
        for k, layer in enumerate(net.layers)
        for name, weight in layer.state_dict().items()
    }
    twin.load_state_dict(weights)
    return twin


@each_cell
@each_depth
def test_the_logits_at_each_step_are_those_of_torchs_own_network(cell, num_layers):
    net = made(cell=cell, num_layers=num_layers)
    h, state = torch_twin(net)(windows())
    logits, own_state = net.forward_steps(windows())
    torch.testing.assert_close(logits, net.head(h), **ROUNDING)
    last_h = torch.cat([last[0] if cell == "lstm" else last for last in own_state])
    torch.testing.assert_close(last_h, state[0] if cell == "lstm" else state, **ROUNDING)


@each_cell
@each_depth
def test_a_bidirectional_network_ends_where_torchs_two_directions_end(cell, num_layers):
    net = made(cell=cell, num_layers=num_layers, bidirectional=True)
    _, state = torch_twin(net)(windows())
    last = state[0] if cell == "lstm" else state  # (layers * 2, batch, hidden)
    torch.testing.assert_close(net(windows()), net.head(torch.cat([last[-2], last[-1]], dim=-1)), **ROUNDING)


@each_cell
@each_depth
def test_a_window_is_judged_as_its_last_step(cell, num_layers):
    net = made(cell=cell, num_layers=num_layers)
    torch.testing.assert_close(net(windows()), net.forward_steps(windows())[0][:, -1], **ROUNDING)


@each_cell
@each_depth
def test_a_state_carried_from_piece_to_piece_gives_what_one_pass_gives(cell, num_layers):
    net = made(cell=cell, num_layers=num_layers)
    state, pieces = None, []
    for piece in windows().split([1, 4, 6], dim=1):
        logits, state = net.forward_steps(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), net.forward_steps(windows())[0], **ROUNDING)


def test_skipped_steps_get_no_logits_and_change_no_others():
    net = made()
    torch.testing.assert_close(net.forward_steps(windows(), skip=4)[0], net.forward_steps(windows())[0][:, 4:])


def test_dropout_sets_its_share_to_zero_and_scales_the_rest_so_that_the_mean_stays():
    ones = torch.ones(200, 200)
    dropped = drop(ones, 0.2, seeded())
    assert torch.unique(dropped).tolist() == pytest.approx([0.0, 1.25])
    assert (dropped == 0).float().mean() == pytest.approx(0.2, abs=0.01)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)


def test_nothing_is_dropped_without_a_generator():
    net = made(dropout=0.5)
    assert torch.equal(net(windows()), made(dropout=0.0)(windows()))
    assert torch.equal(net.forward_steps(windows())[0], made(dropout=0.0).forward_steps(windows())[0])


def test_a_generator_drops_anew_at_every_call_and_the_same_for_the_same_seed():
    net, generator = made(dropout=0.5), seeded()
    first, second = net(windows(), generator), net(windows(), generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, net(windows(), seeded()))


def test_a_generator_without_dropout_changes_nothing():
    net = made(dropout=0.0)
    assert torch.equal(net(windows(), seeded()), net(windows()))


def test_dropout_reaches_the_input_the_layers_between_and_the_output():
    net, draws = made(dropout=0.5, num_layers=3), seeded()
    net(windows(n_windows=2, n_steps=7), draws)
    n_masked = 2 * 7 * (N_CHANNELS + 2 * HIDDEN_SIZE) + 2 * HIDDEN_SIZE
    by_hand = seeded()
    for size in ((2, 7, N_CHANNELS), (2, 7, HIDDEN_SIZE), (2, 7, HIDDEN_SIZE), (2, HIDDEN_SIZE)):
        n_masked -= torch.empty(size).bernoulli_(0.5, generator=by_hand).numel()
    assert n_masked == 0
    assert torch.equal(draws.get_state(), by_hand.get_state())


@each_cell
def test_weights_are_drawn_uniformly_within_one_over_the_root_of_the_width(cell):
    net = RecurrentNet(N_CHANNELS, N_OUTPUTS, cell=cell, hidden_size=64, num_layers=2)
    net.initialize(seeded())
    bound = 64**-0.5
    drawn = torch.cat([weight.detach().flatten() for weight in net.parameters()])
    assert drawn.abs().max() <= bound
    assert drawn.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert drawn.mean() == pytest.approx(0.0, abs=0.02 * bound)


def test_the_same_seed_draws_the_same_weights_and_another_seed_others():
    first, again, other = made(), made(), made()
    other.initialize(seeded(1))
    x = windows()
    assert torch.equal(first(x), again(x))
    assert not torch.equal(first(x), other(x))


def test_building_drawing_and_dropping_leave_the_global_generators_alone():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    net = made(dropout=0.5, num_layers=2, bidirectional=True)
    net(windows(), seeded())
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@each_cell
def test_a_network_from_the_weights_of_another_gives_the_same_logits(cell):
    net = made(cell=cell, num_layers=2, bidirectional=True)
    twin = RecurrentNet.from_weights(net.architecture, net.state_dict())
    assert torch.equal(twin(windows()), net(windows()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 6}, r"weights \['head.weight', .* do not fit the architecture"),
        ({"num_layers": 2}, r"do not fit the architecture"),
        ({"num_layers": 10**9}, r"has 1000000000 layers, but 6 weights came"),
        ({"hidden_size": 10**6}, r"do not fit the architecture"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_memory_is_taken(change, message):
    net = made()
    with pytest.raises(ValueError, match=message):
        RecurrentNet.from_weights({**net.architecture, **change}, net.state_dict())


def test_cross_entropy_is_the_negative_log_of_the_true_class_s_softmax():
    logits = torch.randn(4, 7, 3, generator=seeded())
    target = torch.randint(3, (4, 7), generator=seeded())
    by_hand = -logits.softmax(-1).gather(-1, target[..., None])[..., 0].log()
    torch.testing.assert_close(cross_entropy(logits, target), by_hand)
