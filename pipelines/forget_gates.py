"""What forget gates need where memory is long, patterns are short, or data is noisy: their bias, and `gate_penalty`.

    python pipelines/forget_gates.py
    python pipelines/forget_gates.py --smoke

Three made cases, each windows of two classes:

* **long memory**: one value, a hundred steps before the end of 120, is the class; noise around it is low;
* **short patterns**: 40 steps of low noise; in the event, three steps somewhere among the last ten rise, in the others
  they rise in another order;
* **noisy data**: 40 steps; in the event the mean is higher by half a standard deviation of the noise.

What is compared, each as mean and deviation over seeds on fresh windows: the share of right answers, and the share of
forget gates beyond .05 or .95 in the last epoch of training (a penalty of 1e-9 stands for none, so that they are told).
"""

import argparse
import sys

import numpy as np
from threadpoolctl import threadpool_limits

from eventlstm import LSTMClassifier

DELAY = 100
UNTOLD = 1e-9  # a penalty that changes nothing, and has the gates told
PENALTIES = UNTOLD, 0.01, 0.1, 1.0
BIASES = {"drawn": {}, "forget_bias=1": {"forget_bias": 1.0}}
N_TRAIN, N_FRESH, FRESH_SEED = 512, 2000, 10_000


def main(arguments=None):
    options = read_options(arguments)
    with threadpool_limits(1):  # OpenMP's threads wait by spinning, slow beside a busy neighbour
        run(options)
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--cell", choices=["lstm", "gru", "peephole"], default="lstm", help="default: lstm")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="default: all")
    parser.add_argument("--smoke", action="store_true", help="a minute's worth of training, to see that it runs")
    return parser.parse_args(arguments)


def run(options):
    print("| case | start of the bias | gate_penalty | right | gates at their ends |")
    print("|---|---|---:|---:|---:|")
    for case in options.cases:
        make, long = CASES[case]
        biases = {**BIASES, long: {"retention_steps": int(long.split("=")[1])}}
        for bias, setting in biases.items():
            for penalty in PENALTIES:
                results = [measure(make, penalty, seed, options, **setting) for seed in options.seeds]
                right, at_ends = (tell(values) for values in zip(*results, strict=True))
                print(
                    f"| {case} | {bias} | {0 if penalty == UNTOLD else penalty:g} | {right} | {at_ends} |", flush=True
                )


def measure(make, penalty, seed, options, **setting):
    """Return the share of right answers of a network, and of its gates at their ends."""
    n_windows, max_epochs = (64, 1) if options.smoke else (N_TRAIN, 30)
    X, y = make(n_windows, seed)
    model = LSTMClassifier(
        cell=options.cell,
        hidden_size=16,
        gate_penalty=penalty,
        lr=0.01,
        batch_size=32,
        max_epochs=max_epochs,
        n_jobs=1,
        random_state=seed,
        **setting,
    ).fit(X, y)
    fresh = make(100 if options.smoke else N_FRESH, FRESH_SEED + seed)
    return model.score(*fresh), model.history_[-1]["gates_at_ends"]


def tell(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def long_memory(n_windows, seed):
    """Return windows of noise with a bit `DELAY` steps before the last, and the bits."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(0.0, 0.1, (n_windows, DELAY + 20, 1)), rng.integers(0, 2, n_windows)
    X[:, -1 - DELAY, 0] = 2 * y - 1
    return X, y


def short_patterns(n_windows, seed):
    """Return windows with three high steps somewhere near the end: rising in the event, falling in the others."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(0.0, 0.3, (n_windows, 40, 1)), rng.integers(0, 2, n_windows)
    at = rng.integers(30, 38, n_windows)
    for step in range(3):
        X[np.arange(n_windows), at + step, 0] += np.where(y == 1, step + 1, 3 - step) / 2
    return X, y


def noisy_data(n_windows, seed):
    """Return windows of noise, whose mean is higher by half a standard deviation in the event."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n_windows)
    return rng.normal(0.0, 1.0, (n_windows, 40, 1)) + 0.5 * y[:, None, None], y


# How each is made, and the memory that a network may be told of.
CASES = {
    "long memory": (long_memory, f"retention_steps={DELAY}"),
    "short patterns": (short_patterns, "retention_steps=3"),
    "noisy data": (noisy_data, "retention_steps=40"),
}

if __name__ == "__main__":
    sys.exit(main())
