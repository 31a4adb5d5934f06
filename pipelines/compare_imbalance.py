"""What weights, losses, samplers and ensembles for rare events buy, beside a plain LSTM and simple baselines.

    python pipelines/compare_imbalance.py --protocol cmapss --data cmapss_fd001.parquet -o engines.md
    python pipelines/compare_imbalance.py --protocol asd --data asd.parquet --keep scores -o servers.md
    python pipelines/compare_imbalance.py --protocol made

The protocols and the data are those of `rare_failures.py`; "made" is a small made log with small networks, to see the
script run. The table has a row a method and mode of `EventClassifier`, on its default inputs:

* average precision, mean ± standard deviation over seeds, and a 95 % interval of that mean: whole runs (engines,
  servers) are drawn with replacement, 200 times, the same draws for all methods;
* its difference to the plain LSTM of the same mode and to EventBlend, paired by run and seed, with its interval;
* MCC at the threshold that the choosing engines, or the servers of the other folds, call for;
* Brier skill: 1 - Brier score / that of the constant share of events; and the same with `correct_prior=True`;
* seconds to fit, all folds together.

A full run takes hours, most of them in mode "windows". `--methods`, `--modes` and `--seeds` cut it in slices, `--keep`
keeps the scores of each slice in a folder and takes up again from there, and `--table` prints what the folder holds.
`--members` and `--stride` make mode "windows" cheaper; the table then names them.
"""

import argparse
import hashlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from imblearn.ensemble import BalancedRandomForestClassifier
from imblearn.over_sampling import ADASYN, SMOTE
from imblearn.under_sampling import RandomUnderSampler
from rare_failures import BASELINE_WINDOWS, DATA, FILES, N_FOLDS, read_engines, read_servers, split_engines
from sklearn.base import clone
from sklearn.metrics import d2_brier_score, matthews_corrcoef
from threadpoolctl import threadpool_limits

import eventlstm as el
from eventlstm.evaluation.baselines import baselines
from eventlstm.evaluation.held_out import cross_fitted_thresholds
from eventlstm.logs.whole_files import open_whole

SHORT, LONG = BASELINE_WINDOWS
N_DRAWS = 200
INTERVAL = 2.5, 97.5  # percentiles of the draws
N_BAGGED = 5  # networks in a bag; two bags, one a view of the inputs, unless --members says otherwise
MODES = "stateful", "windows"
ANY = "any"  # the seed of models that draw nothing
PLAIN, BLEND = ("plain", None), ("blend", "stateful")  # what others are compared with; None is their own mode


class Task(NamedTuple):
    """A log, and who is fitted, who chooses thresholds and who is tested."""

    X: pd.DataFrame
    y: np.ndarray  # (n_rows,)
    runs: np.ndarray  # (n_rows,) number of the run
    folds: list[tuple[np.ndarray, np.ndarray]]  # rows to fit on and rows to score, boolean
    choosing: np.ndarray | None  # rows that choose the threshold; None where other folds do
    network: el.LSTMClassifier | None  # None is the default

    def fold_of_row(self) -> np.ndarray:
        """Return the number of the fold that scores each row, -1 for none."""
        fold_of_row = np.full(len(self.y), -1)
        for fold, (_, scored) in enumerate(self.folds):
            fold_of_row[scored] = fold
        return fold_of_row

    def tested(self) -> np.ndarray:
        """Return which rows are tested."""
        scored = self.fold_of_row() >= 0
        return scored if self.choosing is None else scored & ~self.choosing


class Method(NamedTuple):
    """A model to compare: how it is called, made and in which modes."""

    label: str
    make: Callable  # of the network and the parameters of EventClassifier
    modes: tuple = MODES
    seeded: bool = True  # whether its scores depend on the seed


# What all networks see and how many they are: the defaults when the published table was made.
VIEWS = {"inputs": "both", "n_estimators": 4}


def lstm(**parameters):
    """Return a maker of an EventClassifier around a network with these parameters."""

    def make(network, **size):
        network = clone(network or el.LSTMClassifier()).set_params(**{"prior_bias": False} | parameters)
        return el.EventClassifier(network, **(VIEWS | size))

    return make


def make_blend(network, **size):
    size = size | ({} if network is None else {"estimator": network})
    return el.EventBlend().set_params(
        **{f"{part}__{key}": size[key] for part in ("relative", "whitened") for key in size}
    )


def make_bagging(network, n_estimators=2, **size):
    bag = el.BalancedBaggingLSTMClassifier(network, n_estimators=N_BAGGED)
    return el.EventClassifier(bag, n_estimators=n_estimators, **({"inputs": VIEWS["inputs"]} | size))


def baseline(name, n_rows):
    return lambda network, **size: baselines(n_rows, 0)[name]


def make_forest(network, **size):
    forest = BalancedRandomForestClassifier(sampling_strategy="all", replacement=True, bootstrap=False)
    return baselines(SHORT, 0)["gradient boosting"].set_params(estimator=forest)


METHODS = {
    "logistic": Method(f"LogisticRegression, {LONG} rows", baseline("logistic regression", LONG), (None,), False),
    "boosting": Method(f"HistGradientBoosting, {SHORT} rows", baseline("gradient boosting", SHORT), (None,), False),
    "boosting_long": Method(f"HistGradientBoosting, {LONG} rows", baseline("gradient boosting", LONG), (None,), False),
    "forest": Method(f"BalancedRandomForest, {SHORT} rows", make_forest, (None,)),
    "blend": Method("EventBlend", make_blend),
    "plain": Method("plain LSTM", lstm()),
    "prior_bias": Method("LSTM, prior bias", lstm(prior_bias=True)),
    "class_weights": Method("LSTM, class weights", lstm(class_weight="balanced")),
    "focal": Method("LSTM, focal loss", lstm(loss="focal")),
    "class_balanced": Method("LSTM, class-balanced loss", lstm(loss="class_balanced")),
    "logit_adjusted": Method("LSTM, logit-adjusted loss", lstm(loss="logit_adjusted")),
    "smote": Method("LSTM, SMOTE", lstm(sampler=SMOTE()), ("windows",)),
    "adasyn": Method("LSTM, ADASYN", lstm(sampler=ADASYN()), ("windows",)),
    "undersampling": Method("LSTM, undersampling", lstm(sampler=RandomUnderSampler()), ("windows",)),
    "temporal": Method("LSTM, TemporalOversampler", lstm(sampler=el.TemporalOversampler()), ("windows",)),
    "bagging": Method(f"balanced bagging, {N_BAGGED} LSTMs a member", make_bagging, ("windows",)),
}


def main(arguments=None):
    options = read_options(arguments)
    try:
        # OpenMP's threads wait by spinning, slow beside a busy neighbour.
        with threadpool_limits(1), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            # What comes of sampling overlapping windows is what the table shows.
            warnings.filterwarnings("ignore", message=".*windows that overlap")
            text = run(options, options.keep or Path(folder))
    except (OSError, ValueError, KeyError) as error:
        print(f"compare_imbalance: {error}", file=sys.stderr)
        return 2
    print(text)
    if options.output:
        with open_whole(options.output) as file:
            file.write(f"{text}\n".encode())
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="file of the data set; see the head of rare_failures.py")
    parser.add_argument("--protocol", choices=[*sorted(FILES), "made"], default="cmapss")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", choices=list(METHODS), nargs="+", default=list(METHODS), metavar="NAME")
    parser.add_argument("--modes", choices=MODES, nargs="+", default=list(MODES))
    parser.add_argument("--members", type=int, help='networks in mode "windows"')
    parser.add_argument("--stride", type=int, help='in mode "windows", train on every so-manyth window')
    parser.add_argument("--keep", type=Path, help="folder to keep scores in, and to take up again from")
    parser.add_argument("--table", action="store_true", help="fit nothing, print what --keep holds")
    parser.add_argument("-o", "--output", type=Path, help="file for the table")
    return parser.parse_args(arguments)


def run(options, folder):
    """Measure what is not measured yet, and return the table."""
    task = read_task(options)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, mode in product(options.methods, (None, *options.modes)):
        method = METHODS[name]
        if mode not in method.modes:
            continue
        if name == "bagging" and not hasattr(el, "BalancedBaggingLSTMClassifier"):
            print("left out: balanced bagging, this eventlstm has no BalancedBaggingLSTMClassifier", file=sys.stderr)
            continue
        size = read_size(options, name, mode)
        for seed in options.seeds if method.seeded else [ANY]:
            path = folder / file_name(options.protocol, name, size, seed)
            if not (path.exists() or options.table):
                model = method.make(task.network, **size).set_params(random_state=0 if seed == ANY else seed)
                save(path, measure(model, task))
                print(f"measured: {name} {size} seed {seed}", file=sys.stderr, flush=True)
            if path.exists():
                found.setdefault((name, mode), {})[seed] = load(path, task)
    if not found:
        raise ValueError("There is nothing to show. Fit first, without --table, or take other --methods and --modes.")
    return to_markdown(found, task, options)


def read_size(options, name, mode):
    """Return the parameters of EventClassifier that this run is asked to set."""
    size = {"mode": mode} if mode else {}
    if mode == "windows":
        size |= {"stride": options.stride} if options.stride else {}
        # The blend has two networks a part, as its trees are there besides.
        size |= {"n_estimators": options.members} if options.members and name != "blend" else {}
    return size


def file_name(protocol, name, size, seed):
    words = [protocol, name, *(f"{key}={value}" for key, value in size.items()), f"seed={seed}"]
    return "-".join(words) + ".npz"


def read_task(options):
    if options.protocol == "made":
        return read_made_log()
    path = options.data or DATA / FILES[options.protocol]
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there. Pass --data PATH, or --protocol made, which needs none.")
    if options.protocol == "asd":
        X, y, server = read_servers(path)
        tests = [np.isin(server, np.arange(fold + 1, server.max() + 1, N_FOLDS)) for fold in range(N_FOLDS)]
        return Task(X, y.to_numpy(), number(X), [(~test, test) for test in tests], None, None)
    X, y = read_engines(path)
    return held_out(X, y, [part.index for part, _ in split_engines(X, y)])


def read_made_log():
    X, y = el.datasets.make_sensor_log(n_machines=6, n_days=3, failures_per_machine=1, random_state=0)
    machines = X.index.get_level_values(0)
    parts = [X.index[machines.isin(machines.unique()[k : k + 2])] for k in (0, 2, 4)]
    return held_out(X, y, parts, el.LSTMClassifier(hidden_size=8, max_epochs=2, lr=0.02))


def held_out(X, y, parts, network=None):
    """Return a task of one fold: the first part is fitted on, the second chooses thresholds, the third is tested."""
    fitted, choosing, _ = (X.index.isin(part) for part in parts)
    return Task(X, y.to_numpy(), number(X), [(fitted, ~fitted)], choosing, network)


def number(X):
    return pd.factorize(X.index.get_level_values(0))[0]


def measure(model, task):
    """Return the score of each row as the model says it and with the prior corrected, and the seconds to fit."""
    score, corrected, seconds = np.full(len(task.y), np.nan), np.full(len(task.y), np.nan), 0.0
    y = pd.Series(task.y, index=task.X.index)
    for fitted, scored in task.folds:
        begin = time.perf_counter()
        model.fit(task.X[fitted], y[fitted])
        seconds += time.perf_counter() - begin
        rows = task.X[scored]
        score[scored] = model.predict_proba(rows)[:, 1]
        if all(hasattr(member, "class_factors_") for member in model.estimators_):
            for member in model.estimators_:
                member.set_params(correct_prior=True)
            corrected[scored] = model.predict_proba(rows)[:, 1]
    return {"score": score, "corrected": corrected, "seconds": seconds, "labels": digest(task.y)}


def digest(y):
    return hashlib.sha256(np.asarray(y, dtype=np.int8).tobytes()).hexdigest()


def save(path, result):
    """Write results whole or not at all."""
    with open_whole(path) as file:
        np.savez_compressed(file, **result)


def load(path, task):
    with np.load(path) as file:
        result = dict(file)
    if str(result.pop("labels")) != digest(task.y):
        raise ValueError(f"{path} holds scores of other data. Take another folder for --keep.")
    return result


def to_markdown(found, task, options):
    """Return the table of what was found: by method and mode, results by seed."""
    draws = draw_runs(task)
    tables = {key: {seed: rank(one, task, draws) for seed, one in by_seed.items()} for key, by_seed in found.items()}
    rows = []
    for (name, mode), by_seed in found.items():
        own = tables[name, mode]
        others = [tables.get((other, fixed or mode or "stateful")) for other, fixed in (PLAIN, BLEND)]
        quality = pd.DataFrame([judge(one, task) for one in by_seed.values()]).mean()
        rows.append(
            {
                "": f"{METHODS[name].label}{describe(read_size(options, name, mode))}",
                "seeds": " ".join(map(str, own)),
                "average precision": f"{mean_and_spread(own)} {interval(over_seeds(own))}",
                "to the plain LSTM": difference(own, others[0]),
                "to EventBlend": difference(own, others[1]),
                **{key: "–" if np.isnan(value) else f"{value:.3f}" for key, value in quality.items()},
                "fit, s": f"{np.mean([one['seconds'] for one in by_seed.values()]):.0f}",
            }
        )
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row.values()) + " |" for row in rows])


def describe(size):
    words = {"mode": "{}", "n_estimators": "{} members", "stride": "stride {}"}
    return "".join(", " + words[key].format(value) for key, value in size.items() if value != "stateful")


def draw_runs(task):
    """Return how often each run is in each draw, (n_draws, n_runs); the first draw is the runs themselves."""
    tested = np.unique(task.runs[task.tested()])
    draws = np.zeros((1 + N_DRAWS, task.runs.max() + 1))
    draws[0, tested] = 1
    equal = np.full(len(tested), 1 / len(tested))
    draws[1:, tested] = np.random.default_rng(0).multinomial(len(tested), equal, size=N_DRAWS)
    return draws


def rank(result, task, draws):
    """Return the average precision of each draw, (n_draws,); NaN where it holds no event."""
    rows = task.tested()
    return average_precisions(task.y[rows], result["score"][rows], draws[:, task.runs[rows]])


def average_precisions(y, score, weights):
    """Return the average precision under each of many weights (n_draws, n_rows); scikit-learn's would sort for each."""
    order = np.argsort(-score, kind="stable")
    is_last = np.append(np.diff(score[order]) < 0, True)  # of rows with the same score
    found = []
    for weight in weights:
        hits = np.cumsum((weight * y)[order])[is_last]
        flagged = np.cumsum(weight[order])[is_last]
        precision = hits / np.maximum(flagged, 1)  # whole numbers: none flagged has no hits
        found.append(np.diff(hits, prepend=0) @ precision / hits[-1] if hits[-1] else np.nan)
    return np.array(found)


def judge(result, task):
    """Return what one result is worth at a threshold, and as a probability."""
    rows, scored = task.tested(), task.fold_of_row() >= 0
    y, score = task.y, result["score"]
    if task.choosing is None:
        thresholds = cross_fitted_thresholds(y[scored], score[scored], task.fold_of_row()[scored])
    else:
        thresholds = el.choose_threshold(y[task.choosing], score[task.choosing])
    corrected = result["corrected"][rows]
    return {
        "MCC": matthews_corrcoef(y[rows], score[rows] > thresholds),
        "Brier skill": d2_brier_score(y[rows], score[rows]),
        "the same, corrected": np.nan if np.isnan(corrected).any() else d2_brier_score(y[rows], corrected),
    }


def over_seeds(by_seed):
    return np.mean(list(by_seed.values()), axis=0)


def mean_and_spread(by_seed):
    values = [drawn[0] for drawn in by_seed.values()]
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def interval(drawn, sign=""):
    low, high = np.nanpercentile(drawn[1:], INTERVAL)
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def difference(own, other):
    """Return the difference in average precision, paired by run and, where both have them, by seed."""
    if other is None or other is own:
        return "–"
    if ANY not in own.keys() | other.keys():
        common = own.keys() & other.keys()
        own, other = ({seed: by_seed[seed] for seed in common} for by_seed in (own, other))
    if not own:
        return "–"
    drawn = over_seeds(own) - over_seeds(other)
    return f"{drawn[0]:+.3f} {interval(drawn, '+')}"


if __name__ == "__main__":
    sys.exit(main())
