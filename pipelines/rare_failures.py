"""Rare failures in real logs, by written protocols: fit, choose a threshold on other runs, test once.

    python pipelines/rare_failures.py --data cmapss_fd001.parquet
    python pipelines/rare_failures.py --protocol asd --data asd.parquet
    python pipelines/rare_failures.py --smoke

**C-MAPSS FD001** (turbofan engines run to failure; NASA Prognostics Center of Excellence, "Turbofan Engine Degradation
Simulation", data.nasa.gov): positive are the last ten cycles of an engine. Engines 1-70 are fitted on, 71-85 choose
the threshold, 86-100 test. An engine counts as warned when it has an alarm in its last 15 cycles, at least one cycle
ahead, and none earlier. `--data` takes NASA's `train_FD001.txt`, or a table (CSV, Parquet) with the columns run_id
(engine_001, ...), cycle, set1-set3, s1-s21 and fail_in_10.

**ASD** (application servers; Li et al., "Multivariate time series anomaly detection and interpretation using
hierarchical inter-metric and temporal embedding", KDD 2021; github.com/zhhlee/InterFusion): the labelled parts of 12
servers, four folds of three servers left out, each server scaled by its own unlabelled part. `--data` takes a table
with the columns run_id (omi-1, ...), split (train, test), t, s00-s18 and label.

`--smoke` runs the first protocol on a small made log, in seconds and without any file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

import eventlstm as el
from eventlstm.evaluation.baselines import baselines
from eventlstm.metrics import detection_report

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = {"cmapss": "cmapss_fd001.parquet", "asd": "asd.parquet"}
WARNING_CYCLES = 10  # rows before the end of a run that are positive
EARLIEST_CYCLES = 15  # an alarm longer before the end than this is a false one
BASELINE_WINDOWS = 10, 30  # rows flattened for trees; the linear model takes the longer
N_FOLDS = 4


def main(arguments=None):
    options = read_options(arguments)
    try:
        with threadpool_limits(1):  # OpenMP's threads wait by spinning, slow beside a busy neighbour
            run(options)
    except (OSError, ValueError, KeyError) as error:
        print(f"rare_failures: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="file of the data set; see the head of this script")
    parser.add_argument("--protocol", choices=sorted(FILES), default="cmapss")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true", help="a small made log instead of data")
    return parser.parse_args(arguments)


def run(options):
    if options.smoke:
        parts = split_made_log()
        small = el.LSTMClassifier(hidden_size=16, max_epochs=40, lr=0.01)
        models = {"EventClassifier, small": lambda seed: el.EventClassifier(small, n_estimators=2, random_state=seed)}
        print_table(models, options.seeds[:1], lambda model: score_held_out(model, *parts)[0])
        return
    path = options.data or DATA / FILES[options.protocol]
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there. Pass --data PATH (the head of this script says what), or --smoke."
        )
    short, long = BASELINE_WINDOWS
    models = {
        "EventClassifier, defaults": lambda seed: el.EventClassifier(random_state=seed),
        f"HistGradientBoosting, {long} rows": lambda seed: baselines(long, seed)["gradient boosting"],
        f"HistGradientBoosting, {short} rows": lambda seed: baselines(short, seed)["gradient boosting"],
        f"LogisticRegression, {long} rows": lambda seed: baselines(long, seed)["logistic regression"],
    }
    if options.protocol == "asd":
        X, y, server = read_servers(path)
        print_table(models, options.seeds, lambda model: leave_servers_out(model, X, y, server))
    else:
        parts = split_engines(*read_engines(path))
        print_table(models, options.seeds, lambda model: score_engines(model, *parts))


def print_table(models, seeds, measure):
    """Measure each model with each seed, and print mean and standard deviation over seeds."""
    rows = {}
    for name, make in models.items():
        results = pd.DataFrame([measure(make(seed)) for seed in seeds])
        spread = results.std(ddof=0)
        rows[name] = {column: f"{results[column].mean():.3f} ± {spread[column]:.3f}" for column in results}
        print(f"measured: {name}", file=sys.stderr)
    table = pd.DataFrame(rows).T
    print(f"| seeds {' '.join(map(str, seeds))} | " + " | ".join(table.columns) + " |")
    print("|---" * (1 + len(table.columns)) + "|")
    for name, row in table.iterrows():
        print(f"| {name} | " + " | ".join(row) + " |")


def score_held_out(model, fit, choose, test):
    """Fit on some runs, choose the threshold on others, and measure on the rest."""
    model.fit(*fit)
    threshold = el.choose_threshold(choose[1], model.predict_proba(choose[0])[:, 1])
    score = model.predict_proba(test[0])[:, 1]
    report = detection_report(test[1], score, threshold)
    alarm = pd.Series(score > threshold, index=test[0].index)
    return {"average precision": report["average_precision"], "MCC": report["mcc"], "F1": report["f1"]}, alarm


def score_engines(model, *parts):
    """Measure, and count the engines warned in time."""
    results, alarm = score_held_out(model, *parts)
    warned = runs_warned(alarm)
    return results | {f"warned of {len(warned)}": float(warned.sum())}


def runs_warned(alarm):
    """Say of each run to failure whether it is warned in its last cycles but one, with no alarm earlier."""

    def is_warned(run):
        to_end = len(run) - 1 - np.arange(len(run))
        early = run[to_end > EARLIEST_CYCLES].any()
        return bool(run[(to_end >= 1) & (to_end <= EARLIEST_CYCLES)].any() and not early)

    return alarm.groupby(level=0).apply(lambda run: is_warned(run.to_numpy()))


def leave_servers_out(model, X, y, server):
    """Score each server by a model of the others, three left out at a time."""
    score = np.zeros(len(y))
    folds = [np.isin(server, np.arange(fold + 1, server.max() + 1, N_FOLDS)) for fold in range(N_FOLDS)]
    for test in folds:
        score[test] = model.fit(X[~test], y[~test]).predict_proba(X[test])[:, 1]
    by_fold = [average_precision_score(y[test], score[test]) for test in folds]
    return {"average precision, pooled": average_precision_score(y, score), "mean of folds": np.mean(by_fold)}


def read_table(path, columns):
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing[:5])}. The head of this script says what is wanted.")
    return table


def read_engines(path):
    """Return sensors and labels of the engines, indexed by engine and cycle."""
    settings, sensors = [f"set{k}" for k in (1, 2, 3)], [f"s{k}" for k in range(1, 22)]
    if path.suffix == ".txt":
        table = pd.read_csv(path, sep=r"\s+", header=None, names=["run_id", "cycle", *settings, *sensors])
        table["run_id"] = table["run_id"].map("engine_{:03d}".format)
        to_end = table.groupby("run_id")["cycle"].transform("max") - table["cycle"]
        table["fail_in_10"] = (to_end < WARNING_CYCLES).astype(int)
    else:
        table = read_table(path, ["run_id", "cycle", *settings, *sensors, "fail_in_10"])
    table = table.set_index(["run_id", "cycle"]).sort_index()
    return table[settings + sensors].astype(float), table["fail_in_10"]


def split_engines(X, y):
    number = X.index.get_level_values("run_id").str[-3:].astype(int)
    parts = number <= 70, (number > 70) & (number <= 85), number > 85
    return [(X[part], y[part]) for part in parts]


def read_servers(path):
    """Return sensors, labels and the number of the server, each server scaled by its own unlabelled part."""
    sensors = [f"s{k:02d}" for k in range(19)]
    table = read_table(path, ["run_id", "split", "t", *sensors, "label"])
    parts = []
    for _, rows in table.groupby("run_id"):
        train, test = (rows[rows["split"] == split] for split in ("train", "test"))
        spread = train[sensors].std()
        scaled = (test[sensors] - train[sensors].mean()) / spread.where(spread > 1e-8, 1.0)
        parts.append(test[["run_id", "t", "label"]].join(scaled))
    log = pd.concat(parts).set_index(["run_id", "t"])
    server = log.index.get_level_values("run_id").str.split("-").str[1].astype(int).to_numpy()
    return log[sensors].astype(float), log["label"].astype(int), server


def split_made_log():
    """Return three parts of a made log, two machines each."""
    X, y = el.datasets.make_sensor_log(n_machines=6, n_days=6, failures_per_machine=2, random_state=0)
    names = X.index.unique("machine")
    parts = [X.index.get_level_values("machine").isin(names[k : k + 2]) for k in (0, 2, 4)]
    return [(X[part], y[part]) for part in parts]


if __name__ == "__main__":
    sys.exit(main())
