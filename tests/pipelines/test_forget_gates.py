"""The measurement of forget gates: what its cases hold, and that it runs."""

import numpy as np
import pytest

from .loading import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("forget_gates")


def test_it_runs(script, capsys):
    assert script.main(["--smoke", "--seeds", "0", "--cases", "short patterns"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + 3 * len(script.PENALTIES)
    assert all(line.startswith("| short patterns | ") and line.endswith(" ± 0.000 |") for line in printed[2:])


def test_the_class_of_each_case_is_where_it_says(script):
    X, y = script.long_memory(200, 0)
    assert ((X[:, -101, 0] > 0) == y).all()
    X, y = script.short_patterns(400, 0)
    rising, falling = (
        np.max([X[:, t : t + 3, 0] @ shape for t in range(30, 38)], axis=0) for shape in ([1, 2, 3], [3, 2, 1])
    )
    assert ((rising > falling) == y).mean() > 0.8
    X, y = script.noisy_data(400, 0)
    assert ((X.mean(axis=(1, 2)) > 0.25) == y).mean() > 0.9


def test_the_classes_of_noisy_data_are_told_by_their_means_only(script):
    X, y = script.noisy_data(2000, 0)
    assert X[y == 1].mean() - X[y == 0].mean() == pytest.approx(0.5, abs=0.02)
