"""Networks of NumPy say row by row what torch says of the whole."""

from itertools import product

import numpy as np
import pytest
import torch

from eventlstm.networks.forecast_net import ForecastNet
from eventlstm.networks.recurrent_net import RecurrentNet
from eventlstm.serving.networks import NetworkSteps, by_architecture

CELLS = ("lstm", "peephole", "gru", "rnn")
ON_GRID = ({"grid": (2, 2)}, {"grid": (1, 2), "num_layers": 3, "residual": True, "layer_norm": True})
OPTIONS = (
    {},
    {"num_layers": 2},
    {"num_layers": 3, "residual": True, "layer_norm": True},
    {"categories": ((1, 4), (3, 3))},
)


def draw(kind, seed, **architecture):
    network = kind(n_channels=4, n_outputs=4, hidden_size=5, **architecture)
    network.initialize(torch.Generator().manual_seed(seed))
    return network


def channels(n_machines, n_rows):
    x = np.random.default_rng(0).normal(size=(n_machines, n_rows, 4)).astype(np.float32)
    x[..., [1, 3]] = np.random.default_rng(1).integers(-1, 6, (n_machines, n_rows, 2))  # among them codes not known
    return x


def by_torch(network, x):
    with torch.inference_mode():
        return network.forward_steps(torch.from_numpy(x))[0].numpy()


@pytest.mark.parametrize(
    ("cell", "options"), [*product(CELLS, OPTIONS), *(("convlstm", options) for options in ON_GRID)], ids=str
)
def test_a_step_after_the_other_is_what_torch_says_of_all(cell, options):
    networks = [draw(RecurrentNet, seed, cell=cell, **options) for seed in range(3)]
    steps, x = NetworkSteps(networks), channels(4, 30)
    said = np.stack([steps.step(slice(0, 4), x[:, k]) for k in range(30)], axis=2)  # (n_networks, n, n_rows, n_outputs)
    for network, own in zip(networks, said, strict=True):
        # normalising a layer of few units magnifies the rounding of float32
        np.testing.assert_allclose(own, by_torch(network, x), atol=1e-5 if "layer_norm" in options else 1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_the_first_step_ahead_is_that_of_a_forecaster(cell, decoder):
    network, x = draw(ForecastNet, 0, cell=cell, decoder=decoder, horizon=2), channels(2, 20)
    steps = NetworkSteps([network])
    said = np.stack([steps.step(slice(0, 2), x[:, k])[0] for k in range(20)], axis=1)
    np.testing.assert_allclose(said[..., :2], by_torch(network, x)[..., :2], atol=1e-6)


def test_the_first_step_ahead_is_that_of_a_forecaster_on_a_grid():
    network, x = draw(ForecastNet, 0, cell="convlstm", grid=(2, 2), horizon=2), channels(2, 20)
    steps = NetworkSteps([network])
    said = np.stack([steps.step(slice(0, 2), x[:, k])[0] for k in range(20)], axis=1)
    np.testing.assert_allclose(said, by_torch(network, x), atol=1e-6)


def test_each_machine_goes_on_from_where_it_is():
    network, x = draw(RecurrentNet, 0), channels(3, 12)
    steps, said = NetworkSteps([network]), np.full((3, 12, 4), np.nan, np.float32)
    rng, rows = np.random.default_rng(0), [0, 0, 0]
    while min(rows) < 12:
        some = rng.permutation([machine for machine in range(3) if rows[machine] < 12])
        some = some[: rng.integers(1, len(some) + 1)]
        out = steps.step(some, np.stack([x[machine, rows[machine]] for machine in some]))[0]
        for machine, values in zip(some, out, strict=True):
            said[machine, rows[machine]] = values
            rows[machine] += 1
    np.testing.assert_allclose(said, by_torch(network, x), atol=1e-6)


def test_a_long_run_does_not_drift_away():
    network, x = draw(RecurrentNet, 0), channels(1, 3000)
    steps = NetworkSteps([network])
    said = np.stack([steps.step(slice(0, 1), x[:, k])[0, 0] for k in range(3000)])
    np.testing.assert_allclose(said, by_torch(network, x)[0], atol=1e-6)


def test_networks_of_other_architectures_go_apart():
    networks = [draw(RecurrentNet, 0), draw(RecurrentNet, 1, cell="gru"), draw(RecurrentNet, 2)]
    networks.append(draw(RecurrentNet, 3).double())
    assert by_architecture(networks, range(4)) == [[0, 2], [1], [3]]
    assert by_architecture(networks, [1, 2]) == [[1], [2]]
