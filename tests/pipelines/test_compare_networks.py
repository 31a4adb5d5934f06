"""The comparison of networks: its Transformer, that it goes on from what was measured, and runs without data."""

import numpy as np
import pandas as pd
import pytest
import torch

from .loading import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("compare_networks")


@pytest.fixture
def transformer(script):
    net = script.TransformerNet(3, 2, hidden_size=8, dropout=0.5)
    net.initialize(torch.Generator().manual_seed(0))
    return net


def test_it_runs_without_data_and_goes_on(script, capsys, tmp_path):
    asked = ["--smoke", "--keep", str(tmp_path), "--only", "precision", "costs"]
    assert script.main(asked) == 0
    first = capsys.readouterr()
    assert "| Transformer | 0." in first.out and "memory, MiB, 16" in first.out
    assert script.main([*asked, "claims"]) == 0
    second = capsys.readouterr()
    assert second.out.startswith(first.out) and second.err == ""
    assert "| x[t - 100] is told exactly | R² " in second.out


def test_what_is_not_there_is_told_in_one_line(script, capsys):
    assert script.main(["--data", "nowhere", "--only", "precision"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert script.main(["--problems", "unheard of", "--only", "precision"]) == 2
    assert "--problems names 'unheard of', which is none of season" in capsys.readouterr().err


@pytest.mark.parametrize("n_channels", [8, 40, 120])
def test_the_transformer_is_as_large_as_the_lstm(script, n_channels):
    import eventlstm as el

    X, y = np.zeros((4, 5, n_channels), np.float32), [0, 1, 0, 1]
    sizes = [
        sum(weight.numel() for weight in kind(max_epochs=1).fit(X, y).module_.parameters())
        for kind in (el.LSTMClassifier, script.TransformerClassifier)
    ]
    assert 0.85 < sizes[1] / sizes[0] < 1.15


def test_the_transformer_draws_from_its_generator_alone(transformer):
    x, before = torch.ones(4, 6, 3), torch.get_rng_state()
    drawn = [transformer(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_transformer_reads_the_order_and_no_padding(transformer):
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    alone, turned = transformer(x[:, :4]), transformer(x[:, :4].flip(1))
    assert not torch.allclose(alone, turned, atol=1e-4)
    torch.testing.assert_close(transformer(x, lengths=torch.tensor([4, 4])), alone)


def test_windows_longer_than_runs_are_left_out(script):
    runs = pd.MultiIndex.from_arrays([np.repeat([1, 2, 3], [5, 10, 40]), np.arange(55)])
    assert script.usual_run(pd.DataFrame(index=runs)) == 10


def test_a_gain_is_over_what_both_were_measured_on(script):
    names = ["length", "network", "problem", "seed"]
    values = {(50, "LSTM", "a", 0): 0.4, (50, "GRU", "a", 0): 0.5, (50, "GRU", "b", 0): 0.9}
    precision = pd.Series(values.values(), pd.MultiIndex.from_tuples(values, names=names))
    assert script.gain(precision, "GRU") == pytest.approx(0.1)
    assert script.gain(precision, "GRU", relative=True) == pytest.approx(0.25)
