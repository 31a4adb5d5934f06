"""The gates that keep the memory come out of every way to run a layer, with their gradients."""

import pytest
import torch

from eventlstm.networks import RecurrentEncoder
from eventlstm.networks.cells import gate_activations, run_steps
from eventlstm.networks.forget_gates import FORGETTING, watch_gates
from eventlstm.networks.layers import run_truncated
from eventlstm.networks.scans import scan_layer

from .test_cells import LENGTHS, N_CHANNELS, expect_equal, first_state, leaves, made, normal, values_and_gradients
from .test_scans import EXACT, drawn_masks, each_cell, each_direction

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def telling(run, *further, **named):
    """Return a way to run a layer that tells its gates behind its output, (batch, time, 2 * directions * hidden)."""

    def told(*given):
        gates = []
        h, state = run(*given, *further, **named, gates=gates)
        return torch.cat([h, *gates], dim=-1), state

    return told


@each_cell
@each_direction
@pytest.mark.parametrize("has_state", [False, True], ids=["cold", "state"])
@pytest.mark.parametrize("has_masks", [False, True], ids=["whole", "dropped"])
def test_gates_of_scans_are_those_of_plain_steps(cell, bidirectional, has_state, has_masks):
    layer, x = made(cell, bidirectional), normal(3, 7, N_CHANNELS)
    state = first_state(layer, 3) if has_state else None
    masks = drawn_masks(layer, 3) if has_masks else None
    by_scan, by_step = (
        values_and_gradients(telling(run, None, masks), layer, x, state) for run in (scan_layer, run_steps)
    )
    expect_equal(by_scan, by_step, **EXACT)


@each_cell
@each_direction
def test_gates_are_the_activations_before_the_padding(cell, bidirectional):
    layer, x = made(cell, bidirectional), normal(3, 7, N_CHANNELS)
    name = "update" if cell == "gru" else "forget"
    wanted = torch.cat([gate_activations(layer, x, d, LENGTHS)[name] for d in range(1 + bidirectional)], dim=-1)
    for run in (scan_layer, run_steps):
        found = []
        run(layer, x, None, LENGTHS, gates=found)
        for gate, right, length in zip(found[0], wanted, LENGTHS, strict=True):
            torch.testing.assert_close(gate[:length], right[:length], **EXACT)


@each_cell
@pytest.mark.parametrize("has_masks", [False, True], ids=["whole", "dropped"])
def test_the_gradients_of_gates_are_those_of_finite_differences(cell, has_masks):
    layer = made(cell, n_channels=2, hidden_size=3)
    x, state = normal(2, 4, 2).requires_grad_(), first_state(layer, 2)
    masks = drawn_masks(layer, 2) if has_masks else None

    def run(*_):  # the inputs are moved in place
        told, after = telling(scan_layer, None, masks)(layer, x, state)
        return told, *leaves(after)

    assert torch.autograd.gradcheck(run, (x, *leaves(state), *layer.parameters()))


@each_cell
def test_telling_the_gates_changes_no_bit_of_the_rest(cell):
    layer, x = made(cell), normal(3, 7, N_CHANNELS)
    quiet = values_and_gradients(scan_layer, layer, x, None)
    telling_it = values_and_gradients(lambda *given: scan_layer(*given, gates=[]), layer, x, None)
    expect_equal(quiet, telling_it, atol=0.0, rtol=0.0)


@each_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "padded"])
def test_truncated_layers_tell_the_same_gates(cell, lengths):
    layer, x, gates, pieces = made(cell), normal(3, 7, N_CHANNELS), [], []
    scan_layer(layer, x, None, lengths, gates=gates)
    run_truncated(layer, x, None, lengths, None, n_steps=3, last_only=True, gates=pieces)
    inside = torch.ones(3, 7, dtype=torch.bool) if lengths is None else torch.arange(7) < lengths[:, None]
    torch.testing.assert_close(torch.cat(pieces, dim=1)[inside], gates[0][inside], **EXACT)


@pytest.mark.parametrize("cell", FORGETTING)
def test_a_watch_sees_all_layers_and_directions_of_an_encoder(cell):
    shape = {"hidden_size": 4, "num_layers": 2, "bidirectional": True, "layer_norm": True}
    grid = (1, N_CHANNELS) if cell == "convlstm" else None
    encoder = RecurrentEncoder(N_CHANNELS, cell=cell, grid=grid, **shape)
    encoder.initialize(torch.Generator().manual_seed(0))
    x, name = normal(3, 7, N_CHANNELS, dtype=torch.float32), "update" if cell == "gru" else "forget"
    with watch_gates(True) as watch:
        encoder(x)
    f = torch.stack([encoder.gates(x, layer, d)[name] for layer in (0, 1) for d in (0, 1)], dim=-1)
    charges, at_ends = watch.measure()
    torch.testing.assert_close(charges, (2 * f - 1).square().mean(dim=(2, 3)))
    ends = ((f < 0.05) | (f > 0.95)).float().mean(dim=(2, 3))
    torch.testing.assert_close(at_ends, ends)


def test_nothing_is_watched_outside_and_the_outer_watch_comes_back():
    encoder = RecurrentEncoder(N_CHANNELS, hidden_size=4)
    encoder.initialize(torch.Generator().manual_seed(0))
    x = normal(3, 7, N_CHANNELS, dtype=torch.float32)
    with watch_gates(False) as nothing, watch_gates(True) as outer:
        with watch_gates(True):
            encoder(x)
        assert nothing is None
        assert not outer._pieces
        encoder(x)
        assert outer.measure()[0].shape == (3, 7)


def test_gates_far_out_are_at_their_ends():
    layer, x = made("lstm"), normal(3, 7, N_CHANNELS)
    with torch.no_grad():
        layer.bias_ih_l0[layer.hidden_size : 2 * layer.hidden_size] = 50.0
    with watch_gates(True) as watch:
        gates = []
        scan_layer(layer, x, gates=gates)
        watch.add(layer, gates)
    charges, at_ends = watch.measure()
    assert (at_ends == 1).all()
    torch.testing.assert_close(charges, torch.ones(3, 7, dtype=torch.float64))
