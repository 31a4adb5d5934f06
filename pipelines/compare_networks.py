"""LSTM or Transformer: networks on the same windows of eight problems, what they find, and what they cost by length.

    python pipelines/compare_networks.py --data FOLDER --keep networks
    python pipelines/compare_networks.py --only costs claims
    python pipelines/compare_networks.py            (three made logs in place of the problems)
    python pipelines/compare_networks.py --smoke    (the same, tiny)

Three tables:

* **precision**: average precision on the test parts of the problems of `battery.py`, whose head tells of the data
  (`--data` is their folder; of the servers, the first fold). One recipe for all: one member on relative inputs, at most
  4,096 windows, 800 steps of 64 of them, by the training loop of the toolkit, so that what differs is the network.
* **costs**: of a fit and of scoring, for each step of a window, on made windows of eight channels and one thread, the
  best of some rounds in turn; and the memory that a fit takes on top, in a process of its own.
* **claims**: what founding papers and handbooks say of these networks, beside what was measured here.

Networks: LSTM, GRU and LSTM in both directions, 32 units each, with the last output and with additive attention; a
Transformer encoder of torch's (Vaswani et al., "Attention is all you need", 2017; two layers, four heads, layer norm
first, sinusoidal positions, the mean over steps), as wide as gives it the parameters of the LSTM; and MiniRocket
(Dempster, Schmidt and Webb, "MiniRocket", KDD 2021) before a logistic regression, where sktime and numba are installed:
``pip install sktime numba`` in an environment of their own, as sktime 1.2 wants pandas below 3.1.

`--keep FOLDER` leaves each figure there and goes on from them. The eight problems take some hours on two cores.
"""

import argparse
import importlib.util
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from battery import made_problems, real_problems, told
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn

import eventlstm as el
from eventlstm.logs.whole_files import open_whole
from eventlstm.networks.cells import valid_steps
from eventlstm.networks.layers import drop

LENGTHS, SEEDS = (50, 100, 200, 500), (0, 1, 2)
MOST_WINDOWS, N_STEPS, BATCH_SIZE = 4096, 800, 64
N_CHANNELS, N_WINDOWS, COST_STEPS, ROUNDS = 8, 512, 16, 3  # of the made windows that costs are measured on
PLAIN, TRANSFORMER, ROCKET = "LSTM", "Transformer", "MiniRocket"
RECURRENT = {
    PLAIN: {},
    "GRU": {"cell": "gru"},
    "BiLSTM": {"bidirectional": True},
    "LSTM, attention": {"pooling": "additive"},
    "GRU, attention": {"cell": "gru", "pooling": "additive"},
    "BiLSTM, attention": {"bidirectional": True, "pooling": "additive"},
}
NETWORKS = [*RECURRENT, TRANSFORMER, ROCKET]
MIB = 2**10  # in KiB, in which Linux counts


def main(arguments=None):
    options = read_options(arguments)
    if options.memory_of:
        print(memory_of(options.memory_of, options.lengths[0]))
        return 0
    try:
        with threadpool_limits(1):  # OpenMP's threads wait by spinning, slow beside a busy neighbour
            run(options)
    except (OSError, ValueError, KeyError) as error:
        print(f"compare_networks: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the problems' tables; see the head of battery.py")
    parser.add_argument("--keep", type=Path, help="folder for what was measured, to go on from")
    parser.add_argument("--only", nargs="+", choices=["precision", "costs", "claims"], help="tables (default: all)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, help="networks (default: all)")
    parser.add_argument("--problems", nargs="+", help="names of problems (default: all)")
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS, help="steps of a window")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--smoke", action="store_true", help="one small network of each kind, on small made logs")
    parser.add_argument("--memory-of", choices=NETWORKS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(options):
    if options.smoke:
        options.lengths, options.seeds, options.problems = (16,), (0,), ["season"]
    wanted = options.only or ["precision", "costs", "claims"]
    names = options.networks or ([PLAIN, TRANSFORMER] if options.smoke else NETWORKS)
    names = [name for name in names if name != ROCKET or has_rocket()]
    precision = costs = None
    if "precision" in wanted:
        precision = measure_precision(names, options)
        print(precision_as_markdown(precision), end="\n\n")
    if "costs" in wanted:
        costs = measure_costs(names, options)
        print(costs_as_markdown(costs), end="\n\n")
    if "claims" in wanted:
        print(claims_as_markdown(precision, costs, smoke=options.smoke))


def has_rocket():
    return all(importlib.util.find_spec(name) for name in ("sktime", "numba"))


def make_network(name, n_steps=N_STEPS):
    """Return a classifier of windows."""
    if name == ROCKET:
        return MiniRocketClassifier()
    kind = TransformerClassifier if name == TRANSFORMER else el.LSTMClassifier
    return kind(**RECURRENT.get(name, {}), batch_size=BATCH_SIZE, min_steps=n_steps, max_steps=n_steps, n_jobs=1)


def make_model(name, length, n_rows, seed, n_steps=N_STEPS):
    """Return an estimator of logs that learns from some of their windows."""
    stride = -(-n_rows // MOST_WINDOWS)
    recipe = {"mode": "windows", "window_size": length, "stride": stride, "inputs": "relative", "n_estimators": 1}
    return el.EventClassifier(make_network(name, n_steps), **recipe, n_jobs=1, random_state=seed)


def measure_precision(names, options):
    """Return average precision by length, network, problem and seed."""
    problems = made_problems(options.smoke) if options.data is None or options.smoke else real_problems(options.data)
    unknown = set(options.problems or ()) - set(problems)
    if unknown:
        raise ValueError(f"--problems names {sorted(unknown)[0]!r}, which is none of {', '.join(problems)}.")
    kept = Kept(options.keep, "precision")
    for seed in options.seeds:
        for length in options.lengths:
            for problem in options.problems or problems:
                split = problems[problem][0]
                for name in names if usual_run(split.train[0]) >= length else ():
                    kept.measure((length, name, problem, seed), find, name, split, length, seed, options.smoke)
    return kept.table(["length", "network", "problem", "seed"])


def usual_run(X):
    """Return how many rows half of all runs have at least: longer windows would hold copies of their first rows."""
    return X.groupby(level=0).size().median()


def find(name, split, length, seed, smoke=False):
    """Return the average precision of a network on the test part."""
    model = make_model(name, length, len(split.train[0]), seed, 2 if smoke else N_STEPS).fit(*split.train)
    return average_precision_score(split.test[1], model.predict_proba(split.test[0])[:, 1])


class Kept:
    """Figures by what they are of, in a file that a run goes on from."""

    def __init__(self, folder, name):
        self.path = None if folder is None else folder / f"{name}.csv"
        self.values = {}
        if self.path is not None and self.path.exists():
            read = pd.read_csv(self.path, header=None, index_col=False)
            self.values = {tuple(row[:-1]): row[-1] for row in read.itertuples(index=False, name=None)}

    def measure(self, key, function, *arguments):
        """Measure what was not."""
        if key in self.values:
            return
        self.values[key] = function(*arguments)
        print(*key, f"{self.values[key]:.4g}", file=sys.stderr, flush=True)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open_whole(self.path) as file:
                file.write(self.table().to_csv(header=False).encode())

    def table(self, names=None):
        """Return all that was measured."""
        index = pd.MultiIndex.from_tuples(list(self.values), names=names)
        return pd.Series(list(self.values.values()), index, name="value")


class MiniRocketClassifier(ClassifierMixin, BaseEstimator):
    """sktime's MiniRocket of windows (n_windows, n_timesteps, n_channels) before a logistic regression."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        """Learn features and weights."""
        from sktime.transformations.panel.rocket import MiniRocketMultivariate

        self.features_ = MiniRocketMultivariate(random_state=self.random_state).fit(turn(X))
        self.linear_ = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
        self.linear_.fit(self._transform(X), y)
        self.classes_ = self.linear_.classes_
        return self

    def predict_proba(self, X):
        """Return the probability of each class."""
        return self.linear_.predict_proba(self._transform(X))

    def _transform(self, X):
        return np.asarray(self.features_.transform(turn(X)), np.float32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def turn(X):
    """Return windows as sktime takes them, (n_windows, n_channels, n_timesteps)."""
    return np.ascontiguousarray(np.swapaxes(np.asarray(X, np.float32), 1, 2))


class TransformerNet(nn.Module):
    """A Transformer encoder in the place of a recurrent network, about as large."""

    def __init__(self, n_channels, n_outputs, *, hidden_size, dropout, **others):
        super().__init__()
        self.architecture = {"n_channels": n_channels, "n_outputs": n_outputs, "hidden_size": hidden_size, **others}
        self.dropout, width = dropout, equal_width(n_channels, hidden_size)
        self.embed = nn.Linear(n_channels, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, n_outputs)

    def initialize(self, generator):
        """Draw weights as torch does."""
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            for part in self.modules():
                if hasattr(part, "_reset_parameters"):
                    part._reset_parameters()
                elif isinstance(part, nn.Linear):
                    part.reset_parameters()

    def forward(self, x, generator=None, lengths=None):
        """Return logits of windows (batch, time, channels), by the mean over their steps."""
        training = generator is not None
        self.layers.train(training)
        valid = valid_steps(x, lengths)
        with torch.random.fork_rng(enabled=training):  # its dropout draws from torch's own generator
            if training:
                torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            h = self.embed(drop(x, self.dropout, generator))
            h = self.layers(h + positions(h), src_key_padding_mask=None if valid is None else ~valid)
        z = h.mean(1) if valid is None else (h * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
        return self.head(drop(z, self.dropout, generator))


def equal_width(n_channels, hidden_size):
    """Return the width of the encoder whose weights are about as many as an LSTM's."""
    wanted = 4 * hidden_size * (n_channels + hidden_size + 2)
    widths = np.arange(4, 8 * hidden_size + 1, 4)
    return int(widths[np.abs(16 * widths**2 + (n_channels + 25) * widths - wanted).argmin()])


def positions(h):
    """Return sines and cosines of each step, (time, width), from fast to slow."""
    n_steps, width = h.shape[1:]
    rate = torch.exp(torch.arange(0, width, 2, device=h.device) * (-np.log(10_000.0) / width))
    angle = torch.arange(n_steps, device=h.device)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(h.dtype)


@dataclass(eq=False, repr=False, match_args=False)
class TransformerClassifier(el.LSTMClassifier):
    """`LSTMClassifier` with another network inside: the same batches, loss, optimizer and schedule."""

    network_class: ClassVar[Any] = TransformerNet


def measure_costs(names, options):
    """Return what a step of a window costs in a fit and in scoring, and the memory of a fit, by network and length."""
    kept = Kept(options.keep, "costs")
    for length in options.lengths:
        missing = [name for name in names if ("score", name, length) not in kept.values]
        seconds = {name: [] for name in missing}
        for _ in range(1 if options.smoke else ROUNDS):
            for name in missing:  # in turn, so that a busy neighbour slows all of them
                seconds[name].append(time_once(name, length))
        for name in missing:
            fit, score = np.min(seconds[name], axis=0)
            kept.measure(("fit", name, length), float, fit)
            kept.measure(("memory", name, length), measure_memory, name, length)
            kept.measure(("score", name, length), float, score)
    return kept.table(["what", "network", "length"])


def made_windows(length):
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_WINDOWS, length, N_CHANNELS)), np.arange(N_WINDOWS) % 2


def time_once(name, length):
    """Return the nanoseconds of a fit and of scoring, for each step of each window that it saw."""
    (X, y), network = made_windows(length), make_network(name, COST_STEPS)
    begin = time.perf_counter()
    network.fit(X, y)
    middle = time.perf_counter()
    network.predict_proba(X)
    end = time.perf_counter()
    seen = N_WINDOWS if name == ROCKET else COST_STEPS * BATCH_SIZE
    return (middle - begin) / (seen * length) * 1e9, (end - middle) / (N_WINDOWS * length) * 1e9


def measure_memory(name, length):
    """Return what a fit takes on top, in MiB, in a process of its own."""
    asked = ["--memory-of", name, "--lengths", str(length)]
    done = subprocess.run([sys.executable, __file__, *asked], capture_output=True, text=True, check=True)
    return float(done.stdout)


def memory_of(name, length):
    """Return what a fit takes on top of a small one."""
    status = Path("/proc/self/status")
    X, y = made_windows(length)
    make_network(name, 1).fit(X[:8, : min(length, 10)], y[:8])
    before = _peak(status)
    make_network(name, COST_STEPS).fit(X, y)
    return _peak(status) - before


def _peak(status):
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / MIB if status.exists() else np.nan


def precision_as_markdown(precision):
    """Return a table of average precision for each length: a row a network, a column a problem, and what sums it up."""
    parts = []
    for length, of_length in precision.groupby("length", sort=False):
        by_seed = of_length.droplevel("length").unstack("problem", sort=False)
        measured = by_seed.index.unique("network")
        beside = PLAIN if PLAIN in measured else measured[0]
        over = np.exp(np.log(by_seed / by_seed.xs(beside, level="network")).mean(axis=1))
        problems, n_seeds = list(by_seed.columns), by_seed.index.unique("seed").size
        parts += [f"Windows of {length} steps, {n_seeds} seed{'s' * (n_seeds > 1)}:", ""]
        parts += [f"| | {' | '.join(problems)} | over {beside} |", "|---" * (len(problems) + 2) + "|"]
        for name in measured:
            cells = [told(by_seed.xs(name, level="network")[problem]) for problem in problems]
            parts.append(f"| {name} | {' | '.join(cells)} | {told(over.xs(name, level='network'), '.2f')} |")
        parts.append("")
    return "\n".join(parts[:-1])


def costs_as_markdown(costs):
    """Return a table of costs: a row a network, a column a length."""
    table = costs.unstack("length", sort=False)
    titles = [
        f"{what}, {length}"
        for what in ("fit, ns a step", "score, ns a step", "memory, MiB")
        for length in table.columns
    ]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name in table.index.unique("network"):
        cells = [f"{table.loc[(what, name), length]:.0f}" for what in ("fit", "score", "memory") for length in table]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claims_as_markdown(precision, costs, *, smoke):
    """Return what is said of these networks beside what was measured."""
    rows = [*claims_on_precision(precision), *claims_on_costs(costs), *claims_on_memory(2 if smoke else None)]
    lines = ["| what is said | measured | |", "|---|---|---|"]
    lines += [
        f"| {said} | {measured} | {'holds' if holds else 'does not hold'} here |" for said, measured, holds in rows
    ]
    return "\n".join(lines)


def claims_on_precision(precision):
    """Yield claims on what networks find."""
    if precision is None:
        return
    measured = set(precision.index.unique("network"))
    if PLAIN not in measured:
        return
    if "BiLSTM" in measured:
        both = gain(precision, "BiLSTM")
        yield "two directions bring .06 of average precision", f"{both:+.3f}", both >= 0.05
    longer = precision[precision.index.get_level_values("length") > 50]
    if "LSTM, attention" in measured and len(longer):
        more = gain(longer, "LSTM, attention", relative=True)
        yield "attention brings 3 to 10 % beyond 50 steps", f"{more:+.1%}", more >= 0.03
    for name in (name for name in (TRANSFORMER, ROCKET) if name in measured):
        more = gain(precision, name, relative=True)
        yield f"{name} finds more than the LSTM", f"{more:+.1%}", more > 0


def gain(precision, name, *, relative=False):
    """Return how much more a network finds than the LSTM, as the mean over all that both were measured on."""
    of = precision.unstack("network")[[name, PLAIN]].dropna()
    if relative:
        return float(np.exp(np.log(of[name] / of[PLAIN]).mean()) - 1)
    return float((of[name] - of[PLAIN]).mean())


def claims_on_costs(costs):
    """Yield claims on time."""
    if costs is None:
        return
    fit = costs.xs("fit").unstack("length", sort=False)
    first, last = fit.columns[0], fit.columns[-1]
    times = np.exp(np.log(fit / fit.loc[PLAIN]).mean(axis=1))  # those of the LSTM
    if "BiLSTM" in times:
        twice = times["BiLSTM"]
        yield "two directions take 1.8 to 2 times the time", f"{twice:.2f} times", 1.7 <= twice <= 2.1
    if "GRU" in times:
        yield "a GRU is 10 to 15 % faster", f"{times['GRU']:.2f} times the time of the LSTM", times["GRU"] <= 0.92
    for name in (PLAIN, TRANSFORMER) if last > first else ():
        growth = fit.loc[name, last] / fit.loc[name, first]
        linear = f"{growth:.2f} times a step's time at {last} steps as at {first}"
        yield f"time is linear in the length ({name})", linear, growth <= 1.25


def claims_on_memory(n_steps):
    """Yield claims on how far back networks learn, and how exactly; `n_steps` of training, or as many as it takes."""
    for name, said, expected in (
        ("rnn", "gradient at step 0 over that at step 99, plain RNN: 1e-6", (1e-8, 1e-4)),
        ("lstm", "the same, LSTM: .85", (0.5, np.inf)),
        (
            "lstm, retention_steps=100",
            "the same, LSTM that is told to retain (`retention_steps=100`): .85",
            (0.5, np.inf),
        ),
    ):
        share = gradient_share(name)
        yield said, f"{share:.1e}", expected[0] <= share <= expected[1]
    error = sine_error(n_steps or 6000)
    yield "a sine is forecast to 1e-6 (mean squared error)", f"{error:.1e}", error <= 1e-6
    for retention in (None, 100):
        told_so = "" if retention is None else ", `retention_steps=100`"
        exact = recall(retention, n_steps or 3000)
        yield f"x[t - 100] is told exactly{told_so}", f"R² {exact:.3f}", exact > 0.99


def gradient_share(name):
    """Return the gradient of the loss at the first of 100 steps over that at the last, before any training."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(256, 100, 1)), np.arange(256) % 2
    told = {"cell": name.split(",")[0], "retention_steps": 100 if "," in name else None}
    fresh = el.LSTMClassifier(dropout=0, prior_bias=False, lr=1e-9, max_epochs=1, precision="float64", random_state=0)
    norms = fresh.set_params(**told).fit(X, y).gradient_flow(X, y)
    return float(norms[0] / norms[-1])


def sine_error(n_steps):
    """Return the mean squared error of the next value of sines of other phases than those in training."""
    rng = np.random.default_rng(0)
    waves = [np.sin(rng.uniform(0, 2 * np.pi, (n, 1)) + 0.2 * np.arange(41)) for n in (512, 256)]
    exact = {"dropout": 0, "weight_decay": 0, "precision": "float64", "lr": 0.01, "random_state": 0}
    steps = {"batch_size": BATCH_SIZE, "min_steps": n_steps, "max_steps": n_steps}
    model = el.LSTMForecaster(**exact, **steps).fit(waves[0][:, :-1, None], waves[0][:, -1])
    return float(np.mean((model.predict(waves[1][:, :-1, None]).ravel() - waves[1][:, -1]) ** 2))


def recall(retention_steps, n_steps):
    """Return R² of the value of 100 steps ago, in noise."""
    X = np.random.default_rng(0).normal(size=(4096, 101, 1))
    settings = {"dropout": 0, "weight_decay": 0, "lr": 0.01, "retention_steps": retention_steps, "random_state": 0}
    steps = {"batch_size": BATCH_SIZE, "min_steps": n_steps, "max_steps": n_steps}
    model = el.LSTMForecaster(**settings, **steps).fit(X[:2048], X[:2048, 0, 0])
    return r2_score(X[2048:, 0, 0], model.predict(X[2048:]).ravel())


if __name__ == "__main__":
    sys.exit(main())
