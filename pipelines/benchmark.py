"""How fast the networks train and score, each beside what a good engineer would write or install instead.

    python pipelines/benchmark.py -o speed.md
    python pipelines/benchmark.py --quick

What is compared runs in turn, round after round, in this process, so that a busy neighbour slows both. A ratio is that
of the two times of one round: the table gives the median over the rounds, the best, and the spread, (max - min) /
median. Ours is always the whole call of `fit` or `predict_proba`, checks and all; both sides take as many steps of
batches of the same size, with one torch thread each. The bare loop is an LSTM and a Linear under AdamW as torch sets it
up, gradients clipped, on windows that lie ready in memory. Windows have 64 steps of 8 sensors.

`--quick` takes less than a minute and is too short to judge by. Rows beside skorch (Tietz et al., "skorch: A
scikit-learn compatible neural network library that wraps PyTorch", 2017) need `pip install -c constraints.txt skorch`.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from timeit import timeit

import numpy as np
import pandas as pd
import torch
from imblearn.ensemble import BalancedBaggingClassifier
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits
from torch import nn

import eventlstm as el
from eventlstm.detectors.event_blend import default_parts
from eventlstm.evaluation.baselines import baselines
from eventlstm.logs.whole_files import open_whole
from eventlstm.serving.cells import LSTMCell
from eventlstm.serving.networks import NetworkSteps
from eventlstm.serving.stream_model import StreamModel
from eventlstm.training.crew import side_by_side
from eventlstm.training.devices import computes_in_bfloat16
from eventlstm.training.threads import one_thread

try:
    import resource
except ImportError:  # not on Windows
    resource = None

N_STEPS, N_CHANNELS = 64, 8
BATCH, PIECE = 64, 32  # two threads share a batch in pieces of 32
LR = 0.003
N_MEMBERS = 10
EVERY = 500  # rows at most from event to event of a made log, a twentieth of them in one
EVERY_RARE = 20_000  # where events are few
RARE, RARE_EPOCHS = 0.05, 5  # share of positive windows before they are balanced
MAX_BYTES_PER_ROW = 20
MACHINES = 1000
BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
FOOT = """
At most: a share of the other's time. At least: times faster. The rows "cores" tell how much of its core one thread got,
and what a second core gives plain torch here, ideally 0.5: where these are poor, so is what needs two threads."""


@dataclass(frozen=True)
class Sizes:
    """How much each measurement computes."""

    repeats: int = 7
    windows: int = 2048
    epochs: int = 2
    log_rows: int = 1_000_000
    machines: int = 12
    seeds: int = 3
    budgets: tuple[int, ...] = (2, 4, 8, 12, 16)  # epochs of stateful training; on windows half of them


QUICK = Sizes(3, windows=512, epochs=1, log_rows=20_000, machines=4, seeds=1, budgets=(4, 8))


@dataclass(frozen=True)
class Row:
    """A measurement: a ratio for each round, and what it is asked to be."""

    what: str
    ratios: np.ndarray | tuple[float, ...] = ()
    bar: float | None = None
    at_least: bool = False  # a speed-up, not a share of time
    note: str = ""  # the result, where there is no ratio

    def __str__(self):
        if not len(self.ratios):
            return f"| {self.what} | | | | | {self.note} |"
        median, low, high = float(np.median(self.ratios)), min(self.ratios), max(self.ratios)
        row = f"| {self.what} | {median:.3g} | {high if self.at_least else low:.3g} | {(high - low) / median:.0%}"
        if self.bar is None:
            return f"{row} | | |"
        met = median >= self.bar if self.at_least else median <= self.bar
        return f"{row} | at {'least' if self.at_least else 'most'} {self.bar:.3g} | {'yes' if met else '**no**'} |"


def main(arguments=None, sizes=None):
    options, rows = read_options(arguments), []
    if options.peak is not None:
        print(peak_of_fit(options.peak))
        return 0
    sizes = sizes or (QUICK if options.quick else Sizes())
    sizes = replace(sizes, repeats=options.repeats or sizes.repeats)
    with one_thread():
        for name in options.only:
            if name in ("balanced", "skorch") and find_spec("skorch") is None:
                rows.append(Row(f"{name}, beside skorch", note="needs skorch: `pip install -c constraints.txt skorch`"))
            else:
                rows += GROUPS[name](sizes)
            print(f"measured: {name}", file=sys.stderr)
    print(page := as_markdown(rows))
    if options.output is not None:
        with open_whole(options.output) as file:
            file.write(page.encode())
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="everything small, less than a minute on two cores")
    parser.add_argument("--repeats", type=int, help="rounds (default: 7, or 3 with --quick)")
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=list(GROUPS), help="some of the measurements")
    parser.add_argument("--peak", type=int, metavar="ROWS", help=argparse.SUPPRESS)  # of the process that is asked
    parser.add_argument("-o", "--output", type=Path, help="a file for the table too")
    return parser.parse_args(arguments)


def as_markdown(rows):
    versions = ", ".join(f"{name} {version(name)}" for name in ("eventlstm", "torch", "scikit-learn", "numpy"))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    machine = f"{processor()}, {os.cpu_count()} cores, load {load}; Python {platform.python_version()}, {versions}"
    head = f"| {machine} | median | best | spread | bar | met |\n|---|---|---|---|---|---|"
    notes = [f"\n{row.what}: {row.note}" for row in rows if len(row.ratios) and row.note]
    return "\n".join([head, *map(str, rows), FOOT, *notes, ""])


def processor():
    """Return the processor's name, which Python does not know on Linux."""
    table = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", table.read_text(encoding="utf-8") if table.exists() else "")
    return named[1] if named else platform.processor() or platform.machine()


def share(what, ours, theirs, sizes, bar=None, **more):
    """Return a row of the time of ours as a share of theirs, the two run in turn after a round to warm up."""
    seconds = np.array([[timeit(f, number=1) for f in (ours, theirs)] for _ in range(sizes.repeats + 1)])
    return Row(what, seconds[1:, 0] / seconds[1:, 1], bar, **more)


def speed_up(what, ours, theirs, sizes, bar=None):
    """Return a row of how many times faster ours is than theirs."""
    return share(what, theirs, ours, sizes, bar, at_least=True)


class Net(nn.Module):
    """What the bare loop and skorch train; windows may come flattened, as imbalanced-learn takes them."""

    def __init__(self, hidden_size):
        super().__init__()
        self.lstm = nn.LSTM(N_CHANNELS, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 2)

    def forward(self, x):  # noqa: D102
        return self.head(self.lstm(x.reshape(len(x), N_STEPS, N_CHANNELS))[0][:, -1])


def bare_loop(windows, labels, hidden_size, batch_size, epochs):
    net, generator = Net(hidden_size), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR)
    for _ in range(epochs):
        for items in torch.randperm(len(windows), generator=generator).split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(windows[items]), labels[items]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()


def skorch_net(hidden_size, epochs):
    from skorch import NeuralNetClassifier  # the other measurements do without it
    from skorch.callbacks import GradientNormClipping

    size = {"module__hidden_size": hidden_size, "max_epochs": epochs, "batch_size": BATCH, "lr": LR}
    how = {"optimizer": torch.optim.AdamW, "iterator_train__shuffle": True, "train_split": None, "verbose": 0}
    how["callbacks"] = [("clip", GradientNormClipping(1.0))]
    return NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, **size, **how)


def our_net(hidden_size=32, epochs=1, **changes):
    settings = {"batch_size": BATCH, "n_jobs": 1, "dropout": 0.0, "random_state": 0} | changes
    return el.LSTMClassifier(hidden_size=hidden_size, max_epochs=epochs, lr=LR, schedule="constant", **settings)


def draw_windows(n_windows, positive=0.5):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_windows, N_STEPS, N_CHANNELS)).astype(np.float32)
    return X, (rng.permutation(n_windows) < positive * n_windows).astype(np.int64)


def cores(sizes):
    """Measure what a second thread gains for plain torch when the two wait for each other after every piece."""
    x = torch.from_numpy(draw_windows(PIECE)[0])

    def turn(net):
        torch.autograd.grad(net(x).sum(), list(net.parameters()))

    def run(each, nets):
        for _ in range(sizes.epochs * sizes.windows // PIECE):
            list(each(turn, nets))

    for hidden in (32, 64):
        nets, what = (Net(hidden), Net(hidden)), f"cores: two threads of plain torch beside one, hidden {hidden}"
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pair:
            yield share(what, partial(run, pair.map, nets), partial(run, map, nets), sizes)
    before = time.process_time()
    clock = timeit(partial(run, map, nets), number=1)
    yield Row("cores: share of its core that one thread got", ((time.process_time() - before) / clock,))


def fit(sizes):
    """Compare training with the bare loop; one worker cuts a batch into pieces of the default size."""
    X, y = draw_windows(sizes.windows)
    for hidden, batch, bar_one, bar_two in ((32, 64, 1.05, 0.80), (64, 64, 1.05, 0.65), (64, 256, 0.65, 0.40)):
        size = {"hidden_size": hidden, "batch_size": batch, "epochs": sizes.epochs}
        bare = partial(bare_loop, torch.from_numpy(X), torch.from_numpy(y), **size)
        one, two = our_net(**size), our_net(**size, n_jobs=2, micro_batch_size=PIECE)
        what = f"fit beside the bare loop, hidden {hidden}, batch {batch}"
        yield share(f"{what}, one worker", partial(one.fit, X, y), bare, sizes, bar_one)
        yield share(f"{what}, two workers", partial(two.fit, X, y), bare, sizes, bar_two)


def cells(sizes):
    """Compare fits of layers that torch has no kernel for with those of torch's LSTM, all by the same estimator.

    A fit with any dropout sets the intercept right at the end: beside recurrent dropout stands an LSTM that drops, too.
    """
    X, y = draw_windows(sizes.windows)
    for hidden in (32, 64):
        for name, bar, changes, of_both in (
            ("GRU", 1.3, {"cell": "gru"}, {}),
            ("peephole", 1.6, {"cell": "peephole"}, {}),
            ("recurrent dropout", 1.6, {"recurrent_dropout": 0.2}, {"dropout": 0.2}),
            ("layer norm", 2.0, {"layer_norm": True}, {}),
            ("gate_penalty", 2.2, {"gate_penalty": 0.1}, {}),
        ):
            ours, lstm = (our_net(hidden, sizes.epochs, **of_both, **more) for more in (changes, {}))
            what = f"fit of {name} beside torch's LSTM, hidden {hidden}, batch {BATCH}"
            yield share(what, partial(ours.fit, X, y), partial(lstm.fit, X, y), sizes, bar)


def members(sizes):
    """Compare ten members with one, each a whole fit that shares nothing with the others."""
    X, y = draw_windows(sizes.windows)

    def fit_crew(n_members, n_jobs):
        crew = [our_net(epochs=sizes.epochs, random_state=seed) for seed in range(n_members)]
        side_by_side(lambda member: member.fit(X, y), n_jobs, crew)

    one, what = partial(fit_crew, 1, 1), f"fit of {N_MEMBERS} members beside one"
    yield share(f"{what}, two cores", partial(fit_crew, N_MEMBERS, 2), one, sizes, 5.7)
    yield share(f"{what}, one core", partial(fit_crew, N_MEMBERS, 1), one, sizes, 10.3)


def balanced(sizes):
    """Compare our balanced bagging with one member of it, and with imbalanced-learn's around skorch nets."""
    X, y = draw_windows(4 * sizes.windows, RARE)
    flat = X.reshape(len(X), -1)
    ten, one = (
        el.BalancedBaggingLSTMClassifier(our_net(epochs=RARE_EPOCHS), n_estimators=n, n_jobs=2, random_state=0)
        for n in (N_MEMBERS, 1)
    )
    net = skorch_net(32, RARE_EPOCHS)
    theirs, what = (
        BalancedBaggingClassifier(net, n_estimators=N_MEMBERS, random_state=0),
        "over BalancedBagging(skorch)",
    )
    yield share(
        f"balanced fit of {N_MEMBERS} beside one, two cores", partial(ten.fit, X, y), partial(one.fit, X, y), sizes, 5.7
    )
    yield speed_up(f"balanced fit {what}, two cores", partial(ten.fit, X, y), partial(theirs.fit, flat, y), sizes, 2.0)
    scores = partial(ten.predict_proba, X), partial(theirs.predict_proba, flat)
    yield speed_up(f"predict_proba {what}, two cores", *scores, sizes, 3.5)


def skorch(sizes):
    """Compare training, and scoring in batches of the size trained with, as skorch does it."""
    X, y = draw_windows(sizes.windows)
    for hidden, bar in ((32, 1.6), (64, 1.25)):
        ours, theirs, what = our_net(hidden, sizes.epochs), skorch_net(hidden, sizes.epochs), f"skorch, hidden {hidden}"
        yield speed_up(f"fit over {what}", partial(ours.fit, X, y), partial(theirs.fit, X, y), sizes)
        scores = partial(ours.predict_proba, X), partial(theirs.predict_proba, X)
        yield speed_up(f"predict_proba over {what}", *scores, sizes, bar)


def memory(sizes):
    """Measure what seeing a log as windows holds at most besides the log, through a pass over all of them."""
    log = np.zeros((sizes.log_rows, N_CHANNELS), dtype=np.float32)
    tracemalloc.start()
    windows = el.LogWindows(log, N_STEPS)
    for start in range(0, len(windows), BATCH):
        windows[np.arange(start, min(start + BATCH, len(windows)))]
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    what = f"MB besides a log of {sizes.log_rows:,} rows, seen as windows"
    yield Row(what, (megabytes,), MAX_BYTES_PER_ROW * sizes.log_rows / 1e6)


def stateful(sizes):
    """Compare scores of every row from a state that is carried along with those from windows, and row by row."""
    X, y = draw_windows(sizes.windows // 8)
    log, model = X.reshape(-1, N_CHANNELS), our_net().fit(X, y)
    steps, windows = partial(model.predict_proba_steps, log), partial(model.predict_proba, el.LogWindows(log, N_STEPS))

    lanes = partial(model.predict_proba_steps, log.reshape(-1, sizes.windows // 2, N_CHANNELS))
    yield speed_up("stateful scoring over that of windows, one run", steps, windows, sizes, 15.0)
    yield speed_up("stateful scoring over that of windows, 16 runs side by side", lanes, windows, sizes)


def serving(sizes):
    """Compare a step of a network with torch's cell, and measure streams of the default models, beside their graphs."""
    log, labels = draw_log(max(sizes.log_rows // 50, 2000))
    rows, names = log.to_numpy()[: sizes.windows], [f"m{k}" for k in range(MACHINES)]
    network = our_net().fit(*draw_windows(256)).module_
    ours, cell = NetworkSteps([network]), nn.LSTMCell(N_CHANNELS, 32)

    def step_by_row():
        for row in rows[:, None]:
            ours.step(slice(0, 1), row)

    @torch.inference_mode()
    def cell_by_row(state=None):
        for row in rows[:, None]:
            state = cell(torch.from_numpy(row.astype(np.float32)), state)

    yield share("a step of a network and its head beside torch's LSTMCell, hidden 32", step_by_row, cell_by_row, sizes)
    layer, x, memory = LSTMCell(network.encoder.layers), rows[None, :1].astype(np.float32), np.zeros((2, 1, 1, 32))
    start = tuple(memory.astype(np.float32))
    tensor, state = torch.from_numpy(x[0]), tuple(torch.from_numpy(part[0]) for part in start)
    own = partial(timeit, partial(layer.step, x, start), number=len(rows))
    theirs = torch.inference_mode()(partial(timeit, partial(cell, tensor, state), number=len(rows)))
    yield share("a step of its cell alone beside torch's LSTMCell", own, theirs, sizes, 0.35)
    for model, bar in (
        (el.EventClassifier(random_state=0), 50.0),
        (el.EventBlend(random_state=0), None),
        (el.AnomalyDetector(threshold=1.0, random_state=0), None),
    ):
        name, fitted = type(model).__name__, model.fit(log, labels)
        stream = el.StreamingDetector(fitted)
        took = [timeit(partial(stream.update, row, time=time), number=1) for time, row in enumerate(rows)]
        kept = sum(array.nbytes for array in StreamModel(fitted).snapshot(slice(0, 1)))
        yield Row(f"{name} row by row, one machine: microseconds", note=f"{told(took)}; {kept:,} bytes a machine")
        together = el.StreamingDetector(fitted)
        frames = [frame_of(row, time, names, log.columns) for time, row in enumerate(rows[: sizes.repeats + 2])]
        took = [timeit(partial(together.update_many, frame), number=1) for frame in frames][2:]
        what = f"{name}, {MACHINES:,} machines in a call: thousand rows a second"
        yield Row(what, MACHINES / np.array(took) / 1000, bar, at_least=True)
        yield from graphs(name, fitted, rows, sizes)


def graphs(name, model, rows, sizes):
    """Measure ONNX Runtime on the graph of a model, one machine and many."""
    if find_spec("onnxruntime") is None or find_spec("skl2onnx") is None:
        yield Row(f"{name} in ONNX Runtime", note="needs onnxruntime: `pip install -c constraints.txt -e .[onnx]`")
        return
    import onnxruntime

    one = onnxruntime.SessionOptions()
    one.intra_op_num_threads = one.inter_op_num_threads = 1
    with TemporaryDirectory() as folder:
        el.save(model, Path(folder, "model.onnx"))
        session = onnxruntime.InferenceSession(str(Path(folder, "model.onnx")), one)
    given = [value for value in session.get_inputs() if value.name not in ("row", "begins")]
    types = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(int64)": np.int64}

    def steps(n_machines):
        state = {value.name: np.zeros((n_machines, *value.shape[1:]), types[value.type]) for value in given}
        outputs = [value.name for value in session.get_outputs()]
        for k, row in enumerate(rows):
            inputs = {"row": np.repeat(row[None], n_machines, axis=0), "begins": np.full(n_machines, k == 0)}
            start = time.perf_counter()
            out = dict(zip(outputs, session.run(None, inputs | state), strict=True))
            yield time.perf_counter() - start
            state = {value: out[f"new_{value}"] for value in state}

    yield Row(f"{name} in ONNX Runtime, one machine: microseconds", note=told(list(steps(1))))
    took = np.array(list(islice(steps(MACHINES), sizes.repeats + 2)))[2:]
    what = f"{name} in ONNX Runtime, {MACHINES:,} machines in a call: thousand rows a second"
    yield Row(what, MACHINES / took / 1000, at_least=True)


def told(seconds):
    """Return the median and the 99 % quantile of some times, without those of the first calls."""
    half, most = np.percentile(np.array(seconds[len(seconds) // 10 :]) * 1e6, [50, 99])
    return f"median {half:.0f}, 99 % of rows {most:.0f}"


def frame_of(row, time, machines, columns):
    """Return the rows of many machines at one time."""
    index = pd.MultiIndex.from_product([machines, [time]], names=["machine", "t"])
    return pd.DataFrame(np.repeat(row[None], len(machines), axis=0), index=index, columns=columns)


def learning(sizes):
    """Compare the times that stateful mode and windows take to the same average precision on machines held out."""
    log = el.datasets.make_sensor_log(n_machines=sizes.machines, random_state=0)
    names = log.X.index.unique("machine")
    test = log.X.index.get_level_values("machine").isin(names[len(names) // 2 :])

    def learn(mode, n_epochs, seed):
        net = el.LSTMClassifier(max_epochs=n_epochs, n_jobs=1)
        model = el.EventClassifier(net, mode=mode, n_estimators=1, inputs="relative", n_jobs=1, random_state=seed)
        seconds = timeit(partial(model.fit, log.X[~test], log.y[~test]), number=1)
        return seconds, average_precision_score(log.y[test], model.predict_proba(log.X[test])[:, 1])

    curves = {"stateful": {}, "windows": {}}
    for budget in sizes.budgets:
        for mode, n_epochs in (("stateful", budget), ("windows", budget // 2)):
            points = [learn(mode, n_epochs, seed) for seed in range(sizes.seeds)]
            curves[mode][n_epochs] = np.median(points, axis=0)
    aim = min(max(precision for _, precision in curve.values()) for curve in curves.values())
    seconds = {mode: min(taken for taken, reached in curves[mode].values() if reached >= aim) for mode in curves}
    told = {m: ", ".join(f"{n}: {s:.2f} s {ap:.3f}" for n, (s, ap) in curve.items()) for m, curve in curves.items()}
    note = f"epochs, seconds, average precision. Stateful {told['stateful']}. Windows {told['windows']}."
    what = f"stateful training over that on windows, to an average precision of {aim:.2f}"
    yield Row(what, (seconds["windows"] / seconds["stateful"],), 2.0, at_least=True, note=note)


def threads(sizes):
    """Say whether a second thread changes a bit of the results, dropout included."""
    X, y = draw_windows(sizes.windows)
    fits = [our_net(n_jobs=n, micro_batch_size=PIECE, dropout=0.2).fit(X, y).predict_proba(X) for n in (1, 2)]
    crew = [our_net(random_state=seed, dropout=0.2) for seed in range(4)]
    crews = [side_by_side(lambda member: member.fit(X, y).predict_proba(X), n, crew) for n in (1, 2)]
    for name, pair in (("a fit", fits), ("members", crews)):
        yield Row(f"{name}: bitwise the same on one thread and two", note="yes" if np.array_equal(*pair) else "**no**")


def bfloat16(sizes):
    (X, y), what = draw_windows(sizes.windows), "fit in bfloat16 beside float32"
    if not computes_in_bfloat16(torch.device("cpu")):
        yield Row(what, note="not on this processor, which has no instructions for it")
        return
    for hidden in (32, 64):
        ours, theirs = (our_net(hidden, sizes.epochs, precision=name).fit for name in ("bfloat16", "float32"))
        yield share(f"{what}, hidden {hidden}", partial(ours, X, y), partial(theirs, X, y), sizes)


def draw_log(n_rows, n_sensors=N_CHANNELS, seed=0, every=EVERY):
    """Return a log of up to ten machines, in which a sensor climbs during each event, one in `every` rows at least."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_sensors))
    every = min(every, n_rows // 8)
    event = max(1, every // 20)
    lag = np.arange(n_rows) % every - (every - event)
    y = (lag >= 0).astype(int)
    X[:, 0] += y * (0.2 + lag / event)
    n_machines = max(1, min(10, n_rows // EVERY))
    index = pd.MultiIndex.from_product([range(n_machines), range(n_rows // n_machines)], names=["machine", "t"])
    return pd.DataFrame(X, index=index), pd.Series(y, index=index)


def peak_of_fit(n_rows):
    """Return by how many bytes a fit of the default classifier raises the most memory that this process ever had."""
    log = draw_log(n_rows)
    before = most_memory()
    el.EventClassifier(random_state=0).fit(*log)
    return 1024 * (1 + most_memory() - before)  # counted in whole kilobytes


def most_memory():
    """Return the most kilobytes that this program has held; `ru_maxrss` of Linux counts the one that began it, too."""
    status = Path("/proc/self/status")
    told = re.search(r"VmHWM:\s*(\d+)", status.read_text(encoding="utf-8") if status.exists() else "")
    return int(told[1]) if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def logs(sizes):
    """Compare fits of the defaults on a log with fits on a tenth of it, and with boosted trees; each is run once."""
    long, short = draw_log(sizes.log_rows), draw_log(sizes.log_rows // 10)
    held_out = draw_log(sizes.log_rows // 10, seed=1)
    for model, bar in (
        (el.EventClassifier(random_state=0), 4.0),
        (el.AnomalyDetector(threshold=1.0, random_state=0), None),
    ):
        seconds, precision = [], []
        for X, y in (short, long):
            seconds.append(timeit(partial(model.fit, X, y), number=1))
            score = model.anomaly_score if hasattr(model, "anomaly_score") else model.predict_proba
            found = np.asarray(score(held_out[0])).reshape(len(held_out[1]), -1)[:, -1]
            precision.append(average_precision_score(held_out[1], found))
        what = f"fit of {type(model).__name__} on {sizes.log_rows:,} rows beside a tenth of them"
        note = f"average precision on another log: {precision[1]:.3f}, of the tenth {precision[0]:.3f}"
        yield Row(what, (seconds[1] / seconds[0],), bar, note=note)
    if resource is not None:
        command = [sys.executable, __file__, "--peak", str(sizes.log_rows)]  # a process that held nothing else
        peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        times = int(peak) / (8 * sizes.log_rows * N_CHANNELS)
        yield Row(
            f"memory of that fit of EventClassifier besides the log of {8 * N_CHANNELS} bytes a row, in logs",
            (times,),
            10.0,
        )
    wide = draw_log(sizes.log_rows // 10, 20)
    boosting = baselines(10, 0)["gradient boosting"]
    with threadpool_limits(os.cpu_count(), user_api="openmp"):  # all cores, as the parts of the blend have them
        theirs = timeit(partial(boosting.fit, *wide), number=1)
    blend = el.EventBlend(random_state=0)
    seconds = {"EventBlend": timeit(partial(blend.fit, *wide), number=1)}
    seconds |= {name: timeit(partial(clone(part).fit, *wide), number=1) for name, part in default_parts()}
    for name, taken in seconds.items():
        what = f"fit of {name} beside boosted trees on ten rows, {len(wide[0]):,} rows of 20 sensors"
        yield Row(what, (taken / theirs,), 5.0 if name == "EventBlend" else None)


def report(sizes):
    """Tell how long a report is written and opened; the browser's start is taken off the latter."""
    network = el.LSTMClassifier(hidden_size=8, max_epochs=1, max_steps=50)
    model = el.EventClassifier(network, n_estimators=1, random_state=0).fit(*draw_log(20_000, seed=1))
    with TemporaryDirectory() as folder:
        page, empty = Path(folder, "report.html"), Path(folder, "empty.html")
        empty.write_text("<title>empty</title>", encoding="utf-8")
        for every, bar in ((EVERY, None), (EVERY_RARE, 10.0)):
            X, y = draw_log(sizes.log_rows, every=every)
            write = partial(el.report, model, X, y, page, baselines=False)
            seconds = [timeit(write, number=1) for _ in range(min(3, sizes.repeats))]
            what = f"{len(X):,} rows, an event in every {every:,}, is written, scores among it"
            yield Row(f"seconds in which the report of {what}", seconds, bar)
        what = f"seconds in which that page of {page.stat().st_size / 1e6:.1f} MB opens"
        browser = next(filter(None, map(which, BROWSERS)), None)
        if browser is None:
            yield Row(what, note="needs a Chromium on the path")
            return
        both = [
            [timeit(partial(show, browser, path), number=1) for path in (page, empty)] for _ in range(sizes.repeats)
        ]
        yield Row(what, [max(full - start, 1e-3) for full, start in both], 2.0)


def show(browser, path):
    """Open a page until its scripts have run."""
    asked = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom", path.as_uri()]
    subprocess.run([browser, *asked], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


ALL = (
    cores,
    fit,
    cells,
    members,
    balanced,
    skorch,
    memory,
    stateful,
    serving,
    learning,
    threads,
    bfloat16,
    logs,
    report,
)
GROUPS = {group.__name__: group for group in ALL}

if __name__ == "__main__":
    sys.exit(main())
