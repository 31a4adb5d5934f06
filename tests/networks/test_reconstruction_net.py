"""The network of the autoencoder writes a window backwards from its latent vector, and from nothing else."""

import pytest
import torch
from torch import nn

from eventlstm.networks.cells import turn
from eventlstm.networks.reconstruction_net import ReconstructionNet

N_WINDOWS, N_STEPS, N_CHANNELS = 6, 7, 3
LENGTHS = torch.tensor([7, 1, 4, 6, 2, 5])
ROUNDING = {"atol": 1e-12, "rtol": 0.0}
CATEGORIES = ((1, 5),)
OPTIONS = {
    "plain": {},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "peephole": {"cell": "peephole"},
    "on a grid": {"cell": "convlstm", "grid": (1, 3)},
    "on a grid, told": {
        "cell": "convlstm",
        "grid": (1, 3),
        "num_layers": 2,
        "layer_norm": True,
        "teacher_forcing": 0.5,
    },
    "both ways": {"bidirectional": True},
    "layers": {"num_layers": 3, "residual": True, "layer_norm": True},
    "told": {"teacher_forcing": 1.0},
    "told by half": {"teacher_forcing": 0.5, "num_layers": 2},
    "codes": {"categories": CATEGORIES, "teacher_forcing": 0.0},
}

pytestmark = pytest.mark.usefixtures("one_torch_thread")
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(**options):
    net = ReconstructionNet(N_CHANNELS, **{"hidden_size": 4, "latent_size": 2, **options})
    net.initialize(seeded())
    return net.double()


def windows(seed=1):
    x = torch.randn(N_WINDOWS, N_STEPS, N_CHANNELS, generator=seeded(seed), dtype=torch.float64)
    x[..., 1] = x[..., 1].abs().round().clamp(max=4)  # codes, where they are taken for such
    return x


def run(layer, x):
    return layer(x)[0]


def test_the_network_is_what_torch_s_layers_make_one_after_the_other():
    net, x = made(num_layers=2), windows()
    h = run(net.encoder.layers[1], run(net.encoder.layers[0], x))
    z = net.to_latent(h[:, -1])  # the output of the last layer, not of the first
    states = zip(net.to_h(z).tanh()[None].chunk(2, -1), net.to_c(z)[None].chunk(2, -1), strict=True)
    first, second = ((h.contiguous(), c.contiguous()) for h, c in states)
    h, _ = net.decoder.layers[0](z[:, None].expand(-1, N_STEPS, -1), first)
    h, _ = net.decoder.layers[1](h, second)
    torch.testing.assert_close(net.encode(x), z)
    torch.testing.assert_close(net(x), net.head(h).flip(1))


@each_option
def test_the_last_step_by_itself_is_the_last_step_of_the_whole(options):
    net, x = made(**options), windows()
    torch.testing.assert_close(net.write_last(x), net(x)[:, -1], **ROUNDING)
    of_ragged = net(x, lengths=LENGTHS)[torch.arange(N_WINDOWS), LENGTHS - 1]
    torch.testing.assert_close(net.write_last(x, LENGTHS), of_ragged, **ROUNDING)


@each_option
def test_a_padded_window_is_written_as_the_window_without_its_padding(options):
    net, x = made(**options), windows()
    whole = net(x, lengths=LENGTHS)
    for k, length in enumerate(LENGTHS):
        torch.testing.assert_close(whole[k, :length], net(x[k : k + 1, :length])[0], **ROUNDING)
        assert (whole[k, length:] == 0).all()
    other = torch.where(torch.arange(N_STEPS)[:, None] < LENGTHS[:, None, None], x, x.flip(0))
    torch.testing.assert_close(net(other, lengths=LENGTHS), whole, **ROUNDING)


@each_option
def test_every_weight_learns(options):
    net = made(**options)
    net(windows(), seeded()).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in net.parameters())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_scoring_tells_the_decoder_nothing_true(share):
    net, x = made(teacher_forcing=share), windows()
    z = net.encode(x)
    torch.testing.assert_close(net._write(z, x, None), net._write(z, -x, None), **ROUNDING)


def test_the_decoder_is_told_the_step_it_has_written_last():
    net, x = made(teacher_forcing=1.0), windows()
    z = net.encode(x)
    step, written = torch.zeros(N_WINDOWS, N_CHANNELS, dtype=x.dtype), []
    state = net.to_h(z).tanh()[None], net.to_c(z)[None]
    for true in x.flip(1).unbind(1):
        h, state = net.decoder.layers[0](torch.cat([z, step], dim=1)[:, None], state)
        written.append(net.head(h[:, 0]))
        step = true
    torch.testing.assert_close(net(x, seeded()), torch.stack(written, dim=1).flip(1), **ROUNDING)


def test_a_share_of_forced_steps_lies_between_none_and_all():
    x = windows()
    free, some, forced = (made(teacher_forcing=share)(x, seeded(3)) for share in (0.0, 0.5, 1.0))
    torch.testing.assert_close(free, made(teacher_forcing=0.0)(x), **ROUNDING)
    assert not torch.allclose(some, free) and not torch.allclose(some, forced)
    torch.testing.assert_close(some, made(teacher_forcing=0.5)(x, seeded(3)), **ROUNDING)
    torch.testing.assert_close(made(teacher_forcing=1.0 - 1e-12)(x, seeded()), forced, **ROUNDING)


def test_codes_are_read_and_not_written():
    net, x = made(categories=CATEGORIES), windows()
    assert net(x).shape == (N_WINDOWS, N_STEPS, 2)
    assert torch.equal(net.targets(x), x[..., [0, 2]])
    other = x.clone()
    other[..., 1] = 4 - other[..., 1]
    assert not torch.allclose(net(other), net(x))
    with pytest.raises(ValueError, match=r"All 1 channels hold codes.*at least one channel that is not in categories"):
        ReconstructionNet(1, categories=((0, 3),))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_turning_twice_changes_nothing(lengths):
    x = windows()
    assert torch.equal(turn(turn(x, lengths), lengths), x)
    turned = turn(x, lengths)
    for k, length in enumerate(LENGTHS if lengths is not None else [N_STEPS] * N_WINDOWS):
        assert torch.equal(turned[k, :length], x[k, :length].flip(0))


def test_dropout_hides_what_is_read_and_only_in_training():
    net, x = made(dropout=0.5), windows()
    assert torch.equal(net(x), made(dropout=0.0)(x))
    assert torch.equal(net(x, seeded(1)), net(x, seeded(1)))
    assert not torch.allclose(net(x, seeded(1)), net(x, seeded(2)))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    made(dropout=0.3, recurrent_dropout=0.3, teacher_forcing=0.5)(windows(), seeded())
    assert torch.equal(torch.get_rng_state(), before)


@each_option
def test_a_network_comes_back_from_its_weights(options):
    net = made(**options)
    twin = ReconstructionNet.from_weights(net.architecture, net.state_dict())
    assert torch.equal(twin(windows()), net(windows()))


@pytest.mark.parametrize("change", [{"latent_size": 3}, {"num_layers": 2}, {"teacher_forcing": 0.5}], ids=str)
def test_weights_of_another_network_are_refused(change):
    net = made()
    with pytest.raises(ValueError, match="do not fit the architecture"):
        ReconstructionNet.from_weights({**net.architecture, **change}, net.state_dict())


def test_a_new_network_takes_no_memory():
    assert all(weight.is_meta for weight in ReconstructionNet(3, hidden_size=10**5, latent_size=10**5).parameters())
    assert isinstance(made().to_latent, nn.Linear)
