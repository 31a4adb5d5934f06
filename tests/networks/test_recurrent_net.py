"""The recurrent network is torch's own where it has one; its options are laws, and its draws the generator's."""

import numpy as np
import pytest
import torch
from torch import nn

from eventlstm.losses import cross_entropy
from eventlstm.networks import RecurrentEncoder, RecurrentNet
from eventlstm.networks.cells import gate_activations
from eventlstm.networks.layers import drop
from eventlstm.networks.pooling import POOLINGS, attention_entropy

TORCH_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = (*TORCH_CELLS, "peephole")
N_CHANNELS, HIDDEN_SIZE, N_OUTPUTS = 3, 5, 2
ROUNDING = {"atol": 1e-6, "rtol": 0.0}
EXACT = {"atol": 1e-12, "rtol": 0.0}
LENGTHS = torch.tensor([11, 1, 4, 8])
CATEGORIES = ((1, 5),)
OPTIONS = {
    "plain": {},
    "recurrent_dropout": {"recurrent_dropout": 0.5},
    "residual": {"residual": True, "num_layers": 3},
    "layer_norm": {"layer_norm": True, "num_layers": 2},
    "retention": {"retention_steps": 10},
    "categories": {"categories": CATEGORIES},
    "truncated": {"tbptt_steps": 3},
    "all": {
        "residual": True,
        "layer_norm": True,
        "num_layers": 2,
        "categories": CATEGORIES,
        "tbptt_steps": 4,
        "recurrent_dropout": 0.3,
    },
}

each_cell = pytest.mark.parametrize("cell", TORCH_CELLS)
each_own_cell = pytest.mark.parametrize("cell", CELLS)
# A plain recurrent layer has no forget gate whose retention could be set.
each_cell_and_option = pytest.mark.parametrize(
    ("cell", "options"),
    [
        pytest.param(cell, options, id=f"{cell}-{name}")
        for cell in CELLS
        for name, options in OPTIONS.items()
        if (cell, name) != ("rnn", "retention")
    ],
)
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


def coded_windows():
    """Return windows whose second channel holds codes from 0 to 4."""
    x = windows()
    x[..., 1] = torch.randint(5, x.shape[:2], generator=seeded(2))
    return x


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
        for k, layer in enumerate(net.encoder.layers)
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


@each_cell_and_option
def test_a_state_carried_from_piece_to_piece_gives_what_one_pass_gives(cell, options):
    net, state, pieces = made(cell=cell, **options), None, []
    for piece in coded_windows().split([1, 4, 6], dim=1):
        logits, state = net.forward_steps(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), net.forward_steps(coded_windows())[0], **ROUNDING)


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


def test_weights_are_drawn_layer_by_layer_and_then_the_head_s():
    net, by_hand = made(num_layers=2, bidirectional=True), seeded()
    for name, weight in net.named_parameters():
        bound = HIDDEN_SIZE**-0.5 if "layers" in name else (2 * HIDDEN_SIZE) ** -0.5
        assert torch.equal(weight, torch.empty(weight.shape).uniform_(-bound, bound, generator=by_hand)), name
    assert [name.split(".")[0] for name, _ in net.named_parameters()] == ["encoder"] * 16 + ["head"] * 2


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_encoder_s_weights_do_not_depend_on_the_pooling(pooling):
    encoder = made(pooling=pooling, num_heads=5).encoder
    assert all(map(torch.equal, encoder.parameters(), made().encoder.parameters()))


def test_embeddings_are_drawn_normal_and_norms_start_as_they_are():
    encoder = RecurrentEncoder(2, categories=((0, 500),), embedding_size=20, layer_norm=True, num_layers=2)
    encoder.initialize(seeded())
    drawn = encoder.embed.tables[0].weight.detach()
    assert drawn.mean() == pytest.approx(0.0, abs=0.05)
    assert drawn.std() == pytest.approx(1.0, rel=0.05)
    for norm in encoder.norms:
        assert (norm.weight == 1.0).all()
        assert not norm.bias.any()


def test_the_same_seed_draws_the_same_weights_and_another_seed_others():
    first, again, other = made(), made(), made()
    other.initialize(seeded(1))
    x = windows()
    assert torch.equal(first(x), again(x))
    assert not torch.equal(first(x), other(x))


def test_building_drawing_and_dropping_leave_the_global_generators_alone():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    net = made(dropout=0.5, recurrent_dropout=0.5, num_layers=2, bidirectional=True, pooling="multihead", num_heads=2)
    net(windows(), seeded())
    made(cell="peephole", categories=CATEGORIES, layer_norm=True, forget_bias=1.0)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@each_cell_and_option
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_network_from_the_weights_of_another_gives_the_same_logits(cell, options, pooling):
    net = made(cell=cell, pooling=pooling, num_heads=5, **options)
    twin = RecurrentNet.from_weights(net.architecture, net.state_dict())
    assert twin.architecture == net.architecture
    assert torch.equal(twin(coded_windows()), net(coded_windows()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 6}, r"weights \['encoder.layers.0.bias_hh_l0', .* do not fit the architecture"),
        ({"layer_norm": True}, r"weights \['encoder.norms.0.bias', 'encoder.norms.0.weight'\] do not fit"),
        ({"pooling": "luong"}, r"weights \['pooling.W.weight', 'pooling.W_c.weight'\] do not fit"),
        ({"categories": ((0, 10**12),)}, r"do not fit the architecture"),
        ({"categories": tuple((k, 2) for k in range(7)), "n_channels": 9}, r"has 7 categories, but 6 weights came"),
        ({"num_layers": 2}, r"do not fit the architecture"),
        ({"num_layers": 10**9}, r"has 1000000000 layers, but 6 weights came"),
        ({"hidden_size": 10**6}, r"do not fit the architecture"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_memory_is_taken(change, message):
    net = made()
    with pytest.raises(ValueError, match=message):
        RecurrentNet.from_weights({**net.architecture, **change}, net.state_dict())


@pytest.mark.parametrize("pooling", POOLINGS)
@each_own_cell
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_padding_changes_nothing(pooling, cell, bidirectional):
    options = {**OPTIONS["all"], "tbptt_steps": None}
    net = made(pooling=pooling, num_heads=5, cell=cell, bidirectional=bidirectional, **options).double()
    x = coded_windows().double()
    for k, length in enumerate(LENGTHS):
        x[k, length:] = -1e9
    alone = torch.cat([net(x[k : k + 1, :length]) for k, length in enumerate(LENGTHS)])
    logits = net(x, lengths=LENGTHS)
    torch.testing.assert_close(logits, alone, **EXACT)
    weights = list(net.parameters())
    for padded, short in zip(
        *(torch.autograd.grad(out.square().sum(), weights) for out in (logits, alone)), strict=True
    ):
        torch.testing.assert_close(padded, short, atol=1e-10, rtol=0.0)


@each_own_cell
def test_the_output_in_the_padding_is_zero(cell):
    encoder = made(cell=cell, layer_norm=True, num_layers=2, residual=True).encoder
    with torch.no_grad():
        encoder.norms[-1].bias.fill_(1.0)
    h, _ = encoder(windows(), lengths=LENGTHS)
    assert torch.equal(h.any(dim=-1), torch.arange(11) < LENGTHS[:, None])


@each_own_cell
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_residual_layer_with_zero_weights_passes_its_input_on(cell, bidirectional, layer_norm):
    options = {"cell": cell, "bidirectional": bidirectional, "layer_norm": layer_norm}
    deep, shallow = made(num_layers=3, residual=True, **options).encoder, made(**options).encoder
    with torch.no_grad():
        for weight in deep.layers[1:].parameters():
            weight.zero_()
    assert torch.equal(deep(windows())[0], shallow(windows())[0])


def test_layer_norm_gives_each_step_of_each_layer_a_mean_of_zero_and_a_variance_of_one():
    h, _ = made(layer_norm=True, num_layers=2, hidden_size=64).double().encoder(windows().double())
    torch.testing.assert_close(h.mean(-1), torch.zeros(4, 11).double(), **EXACT)
    torch.testing.assert_close(h.var(-1, correction=0), torch.ones(4, 11).double(), atol=0.02, rtol=0.0)


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
@pytest.mark.parametrize("n_steps", [1, 7, 50])
def test_after_retention_steps_exactly_half_of_the_memory_is_left(cell, n_steps):
    encoder = made(cell=cell, retention_steps=n_steps).double().encoder
    keeping = slice(HIDDEN_SIZE, 2 * HIDDEN_SIZE)
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            kept = weight[keeping].clone()
            weight.zero_()
            if "bias" in name:
                weight[keeping] = kept
    first = torch.randn(1, 4, HIDDEN_SIZE, generator=seeded(3)).double()
    state = first if cell == "gru" else (torch.zeros_like(first), first)
    _, (after,) = encoder(torch.zeros(4, n_steps, N_CHANNELS).double(), [state])
    after = after if cell == "gru" else after[1]
    torch.testing.assert_close(after, first / 2.0, atol=1e-6, rtol=0.0)  # the bias itself is a float32


def test_the_forget_bias_takes_the_place_of_the_draws_and_of_no_others():
    free, set_by_hand = made(bidirectional=True, num_layers=2), made(bidirectional=True, num_layers=2, forget_bias=1.5)
    for (name, drawn), weight in zip(free.named_parameters(), set_by_hand.parameters(), strict=True):
        expected = drawn.detach().clone()
        if "layers" in name and "bias" in name:
            expected[HIDDEN_SIZE : 2 * HIDDEN_SIZE] = 1.5 if "bias_ih" in name else 0.0
        assert torch.equal(weight, expected), name


def test_codes_go_through_vectors_of_their_own_behind_the_other_channels():
    net, x = made(categories=((2, 3), (0, 40)), cell="gru"), torch.zeros(4, 11, 3)
    x[..., 0], x[..., 1], x[..., 2] = 7.0, torch.arange(11.0), 2.0
    few, many = net.encoder.embed.tables
    assert (few.weight.shape, many.weight.shape) == ((3, 2), (40, 8))
    by_hand = torch.cat([x[..., 1:2], few.weight[2].expand(4, 11, 2), many.weight[7].expand(4, 11, 8)], dim=-1)
    assert torch.equal(net.encoder.embed(x), by_hand)
    with torch.no_grad():
        assert torch.equal(net(x), net.head(net.encoder.layers[0](by_hand)[0][:, -1]))


@pytest.mark.parametrize("code", [-1.0, 5.0, 1e9])
def test_a_code_that_is_none_counts_as_unknown(code):
    net, x, unknown = made(categories=CATEGORIES), coded_windows(), coded_windows()
    x[:, 3, 1], unknown[:, 3, 1] = code, 0.0
    assert torch.equal(net(x), net(unknown))


def test_only_the_vectors_of_codes_that_occur_are_trained():
    net, x = made(categories=CATEGORIES, embedding_size=3), windows()
    x[..., 1] = 3.0
    net(x).sum().backward()
    assert net.encoder.embed.tables[0].weight.grad.any(dim=-1).tolist() == [False, False, False, True, False]


@each_cell_and_option
def test_without_a_generator_recurrent_dropout_and_truncation_change_nothing(cell, options):
    options = {**options, "recurrent_dropout": 0.5, "tbptt_steps": 2}
    plain = {**options, "recurrent_dropout": 0.0, "tbptt_steps": None}
    net, x = made(cell=cell, **options), coded_windows()
    assert torch.equal(net(x), made(cell=cell, **plain)(x))
    assert not torch.equal(net(x, seeded()), net(x))


@each_own_cell
def test_recurrent_dropout_draws_one_mask_for_each_window_layer_and_direction(cell):
    net = made(cell=cell, recurrent_dropout=0.5, num_layers=2, bidirectional=True)
    draws, by_hand = seeded(), seeded()
    net(windows(n_windows=4), draws)
    for _ in range(2 * 2):
        torch.empty(4, HIDDEN_SIZE).bernoulli_(0.5, generator=by_hand)
    assert torch.equal(draws.get_state(), by_hand.get_state())


@each_own_cell
@pytest.mark.parametrize("dropout", [{}, {"dropout": 0.3, "recurrent_dropout": 0.3}], ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_truncation_leaves_the_logits_and_ends_the_gradients_before_the_last_piece(cell, dropout, lengths):
    options = {"cell": cell, "num_layers": 2, "residual": True, **dropout}
    x = windows().requires_grad_()
    logits = made(tbptt_steps=4, **options)(x, seeded(), lengths)
    torch.testing.assert_close(logits, made(**options)(x, seeded(), lengths), **ROUNDING)
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    ends, steps = (torch.full((4,), 11) if lengths is None else lengths)[:, None], torch.arange(11)
    inside = (steps >= ends - 4) & (steps < ends)
    assert not gradient[~inside].any()
    if not dropout:
        assert gradient[inside].any(dim=-1).all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_with_pieces_as_long_as_the_window_the_gradients_are_whole(pooling):
    options = {"pooling": pooling, "num_heads": 5, "num_layers": 2}
    whole, pieces = made(**options), made(**options, tbptt_steps=11)
    for net in (whole, pieces):
        net(windows(), seeded()).square().sum().backward()
    for first, second in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, **ROUNDING)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_attention_comes_with_the_logits_of_the_forward_pass(pooling):
    net = made(pooling=pooling, num_heads=5, dropout=0.4)
    logits, attention = net.attend(windows(), seeded(), LENGTHS)
    assert torch.equal(logits, net(windows(), seeded(), LENGTHS))
    if pooling in ("last", "mean", "max"):
        assert attention is None
        return
    assert attention.shape == ((4, 5, 11) if pooling == "multihead" else (4, 11))
    assert ((attention_entropy(attention, LENGTHS) > 0.5) & (attention_entropy(attention, LENGTHS) <= 1.0)).all()


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_the_gates_of_a_layer_are_those_on_what_the_layers_below_put_out(cell):
    net = made(cell=cell, num_layers=2, bidirectional=True, residual=True)
    below, _ = made(cell=cell, bidirectional=True).encoder(windows())
    for direction in (0, 1):
        expected = gate_activations(net.encoder.layers[1], below, direction)
        found = net.gates(windows(), direction=direction)
        assert found.keys() == expected.keys()
        for name, gate in found.items():
            assert gate.shape == (4, 11, HIDDEN_SIZE)
            torch.testing.assert_close(gate, expected[name], **ROUNDING)


def test_the_gates_of_the_first_layer_see_the_input():
    net = made(num_layers=2)
    expected = gate_activations(net.encoder.layers[0], windows())
    assert torch.equal(net.gates(windows(), layer=0)["forget"], expected["forget"])


@each_cell_and_option
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_bfloat16_moves_the_logits_of_training_by_little_and_every_weight_is_trained(cell, options, lengths):
    net = made(cell=cell, pooling="additive", **options)
    exact = net(coded_windows(), seeded(), lengths)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(coded_windows(), seeded(), lengths)
    torch.testing.assert_close(logits.float(), exact, atol=0.03, rtol=0.0)
    logits.float().square().sum().backward()
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in net.parameters())


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"tbptt_steps": 5, "bidirectional": True}, "Set tbptt_steps=None or bidirectional=False"),
        ({"forget_bias": 1.0, "retention_steps": 5}, "forget_bias and retention_steps .* Give one of them"),
        ({"cell": "rnn", "forget_bias": 1.0}, "cell='rnn' has no gate .* use another cell"),
        ({"cell": "rnn", "retention_steps": 5}, "cell='rnn' has no gate .* use another cell"),
        ({"retention_steps": 0}, "retention_steps=0 came. Give a positive number"),
        ({"categories": ((3, 4),)}, r"channels \[3\] of 3. Name each once"),
        ({"categories": ((1, 4), (1, 2))}, r"channels \[1, 1\] of 3. Name each once"),
        ({"cell": "qrnn"}, "cell='qrnn' is none of"),
        ({"pooling": "median"}, "pooling='median' is none of"),
        ({"pooling": "multihead"}, "num_heads to a divisor of 5"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused_with_a_remedy(architecture, message):
    with pytest.raises(ValueError, match=message):
        made(**architecture)


@pytest.mark.parametrize("pooling", ["mean", "max", "additive", "luong", "multihead"])
def test_a_pooling_over_the_window_cannot_go_step_by_step(pooling):
    with pytest.raises(ValueError, match="mode='windows', or pooling='last'"):
        made(pooling=pooling, num_heads=5).forward_steps(windows())


def test_a_bidirectional_network_cannot_go_step_by_step():
    with pytest.raises(ValueError, match="mode='windows', or bidirectional=False"):
        made(bidirectional=True).forward_steps(windows())


def test_cross_entropy_is_the_negative_log_of_the_true_class_s_softmax():
    logits = torch.randn(4, 7, 3, generator=seeded())
    target = torch.randint(3, (4, 7), generator=seeded())
    by_hand = -logits.softmax(-1).gather(-1, target[..., None])[..., 0].log()
    torch.testing.assert_close(cross_entropy(logits, target), by_hand)
