"""Scans are the plain steps of cells in value and gradient, and training takes them where torch has no kernel."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm.networks.cells import run_steps
from eventlstm.networks.layers import run_layer
from eventlstm.networks.scans import scan_layer

from .test_cells import (
    HIDDEN_SIZE,
    LENGTHS,
    N_CHANNELS,
    TOLERANCES,
    expect_equal,
    first_state,
    leaves,
    made,
    normal,
    values_and_gradients,
)

CELLS = ("lstm", "peephole", "gru")
EXACT = TOLERANCES[torch.float64]

each_cell = pytest.mark.parametrize("cell", CELLS)
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def drawn_masks(layer, n_sequences, dtype=torch.float64):
    """Return masks of recurrent dropout, in which units are dropped and others raised."""
    shape = (n_sequences, layer.hidden_size)
    return [2.0 * (normal(*shape, seed=7 + d, dtype=dtype) > 0) for d in range(1 + layer.bidirectional)]


@each_cell
@each_direction
@pytest.mark.parametrize("has_state", [False, True], ids=["cold", "state"])
@pytest.mark.parametrize("has_masks", [False, True], ids=["whole", "dropped"])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_scans_equal_plain_steps_in_value_and_gradient(cell, bidirectional, has_state, has_masks, dtype):
    layer, x = made(cell, bidirectional, dtype), normal(3, 7, N_CHANNELS, dtype=dtype)
    state = first_state(layer, 3) if has_state else None
    masks = [mask.to(dtype) for mask in drawn_masks(layer, 3)] if has_masks else None
    by_scan = values_and_gradients(lambda *given: scan_layer(*given, masks=masks), layer, x, state)
    by_step = values_and_gradients(lambda *given: run_steps(*given, masks=masks), layer, x, state)
    expect_equal(by_scan, by_step, **TOLERANCES[dtype])


@settings(max_examples=15, deadline=None)
@given(cell=st.sampled_from(CELLS), sizes=st.tuples(*[st.integers(1, 5)] * 4), bidirectional=st.booleans())
def test_scans_equal_plain_steps_for_all_sizes(cell, sizes, bidirectional):
    n_sequences, n_steps, n_channels, hidden_size = sizes
    layer = made(cell, bidirectional, n_channels=n_channels, hidden_size=hidden_size)
    x = normal(n_sequences, n_steps, n_channels)
    expect_equal(*(values_and_gradients(run, layer, x, None) for run in (scan_layer, run_steps)), **EXACT)


def test_scans_of_a_usual_size_equal_plain_steps_to_a_millionth():
    layer, x = made("peephole", dtype=torch.float32, hidden_size=32), normal(16, 64, N_CHANNELS, dtype=torch.float32)
    with torch.no_grad():
        layer.weight_hh_l0 *= 0.25
    by_scan, by_step = (run(layer, x)[0] for run in (scan_layer, run_steps))
    torch.testing.assert_close(by_scan, by_step, atol=1e-6, rtol=0.0)
    gradients = [torch.autograd.grad(h[:, -1].mean(), list(layer.parameters())) for h in (by_scan, by_step)]
    expect_equal(*gradients, atol=1e-6, rtol=0.0)


@each_cell
@each_direction
def test_scans_equal_plain_steps_where_sequences_are_padded(cell, bidirectional):
    layer, x = made(cell, bidirectional), normal(3, 7, N_CHANNELS)
    masks = drawn_masks(layer, 3)
    by_scan, by_step = (
        values_and_gradients(lambda *given, run=run: (run(*given, LENGTHS, masks)[0], ()), layer, x, None)
        for run in (scan_layer, run_steps)
    )
    expect_equal(by_scan, by_step, **EXACT)


@each_cell
@pytest.mark.parametrize("has_masks", [False, True], ids=["whole", "dropped"])
def test_the_gradients_of_scans_are_those_of_finite_differences(cell, has_masks):
    layer = made(cell, n_channels=2, hidden_size=3)
    x, state = normal(2, 4, 2).requires_grad_(), first_state(layer, 2)
    masks = drawn_masks(layer, 2) if has_masks else None

    def run(*_):  # the inputs are moved in place
        h, after = scan_layer(layer, x, state, masks=masks)
        return h, *leaves(after)

    assert torch.autograd.gradcheck(run, (x, *leaves(state), *layer.parameters()))


@each_cell
def test_a_graph_that_is_kept_gives_the_same_gradients_again(cell):
    layer, x = made(cell), normal(3, 7, N_CHANNELS)
    total, weights = scan_layer(layer, x)[0].square().sum(), list(layer.parameters())
    first = torch.autograd.grad(total, weights, retain_graph=True)
    expect_equal(first, torch.autograd.grad(total, weights), atol=0.0, rtol=0.0)


@each_cell
def test_gradients_of_gradients_are_refused(cell):
    layer, x = made(cell), normal(3, 7, N_CHANNELS)
    (gradient,) = torch.autograd.grad(scan_layer(layer, x)[0].square().sum(), layer.weight_hh_l0, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@each_cell
def test_threads_that_share_a_layer_get_the_same_bits(cell):
    layer, pieces = made(cell, dtype=torch.float32), normal(8, 16, 20, N_CHANNELS, dtype=torch.float32)

    def learn(x):
        return torch.autograd.grad(scan_layer(layer, x)[0].sum(), list(layer.parameters()))

    with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for alone, beside in zip(map(learn, pieces), pool.map(learn, pieces), strict=True):
            expect_equal(alone, beside, atol=0.0, rtol=0.0)


@pytest.mark.parametrize(("cell", "dropped"), [("gru", False), ("peephole", False), ("lstm", True)])
def test_training_takes_scans_and_scoring_what_it_always_took(cell, dropped):
    layer, x = made(cell, dtype=torch.float32), normal(3, 7, N_CHANNELS, dtype=torch.float32)
    masks = [torch.ones(3, HIDDEN_SIZE)] if dropped else None
    h, _ = run_layer(layer, x, masks=masks)
    assert torch.equal(h, scan_layer(layer, x, masks=masks)[0])
    assert "Scan" in str(h.grad_fn) or "Scan" in str(h.grad_fn.next_functions)
    with torch.inference_mode():
        before = layer(x)[0] if cell == "gru" else run_steps(layer, x, masks=masks)[0]
        assert torch.equal(run_layer(layer, x, masks=masks)[0], before)


@each_cell
def test_under_autocast_scans_compute_with_the_type_of_the_weights(cell):
    layer, x = made(cell, dtype=torch.float32), normal(3, 7, N_CHANNELS, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        h, _ = scan_layer(layer, x)
    assert torch.equal(h, scan_layer(layer, x)[0])
