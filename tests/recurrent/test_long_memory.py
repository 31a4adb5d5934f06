"""One bit, a hundred steps before the end of a window: the task that Hochreiter and Bengio set recurrent networks."""

import numpy as np
import pytest

from eventlstm import LSTMClassifier

N_STEPS, DELAY = 150, 100


def remembered_bits(n_windows, seed):
    """Return windows of noise with a bit `DELAY` steps before the last, and the bits."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(0.0, 0.1, (n_windows, N_STEPS, 1)), rng.integers(0, 2, n_windows)
    X[:, N_STEPS - 1 - DELAY, 0] = 2 * y - 1
    return X, y


def trained(seed=0, **changes):
    """Return a network after 640 steps."""
    model = LSTMClassifier(
        hidden_size=16, dropout=0.0, lr=0.01, batch_size=32, max_epochs=20, n_jobs=1, random_state=seed, **changes
    )
    return model.fit(*remembered_bits(1024, seed))


FRESH = remembered_bits(500, 99)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_network_told_of_the_distance_remembers_a_bit_over_a_hundred_steps(seed):
    assert trained(seed, retention_steps=DELAY).score(*FRESH) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"cell": "rnn"}, {"forget_bias": 0.0}], ids=["rnn", "forget_bias=0"])
def test_a_network_that_forgets_guesses(changes):
    assert trained(**changes).score(*FRESH) < 0.6


def test_the_gradient_reaches_the_bit_where_the_memory_is_kept_and_dies_out_before_it_in_a_plain_network():
    X, y = remembered_bits(64, 0)

    def reach(**changes):
        untrained = LSTMClassifier(hidden_size=16, max_epochs=1, lr=1e-9, n_jobs=1, random_state=0, **changes)
        flow = untrained.fit(X, y).gradient_flow(X, y)
        return flow[N_STEPS - 1 - DELAY] / flow[-1]

    kept, plain = reach(retention_steps=DELAY), reach(cell="rnn")
    assert kept > 1e-2
    assert plain < 1e-6 * kept
