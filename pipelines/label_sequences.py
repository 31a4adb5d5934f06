"""Whether a label at every step gets clean borders: `LSTMTagger` in `EventClassifier`, causal and after the fact.

    python pipelines/label_sequences.py
    python pipelines/label_sequences.py --data occupancy.parquet
    python pipelines/label_sequences.py --data ur3.parquet --target protective_stop --leave-out grip_lost

Without data the log is made: batches that go through five phases, of which two look alike at each moment, seen through
noise that lasts. `--data` is a table with run_id, a time (`--time`), sensors, a label (`--target`) and `part` (train,
val, test); the head of `battery.py` tells where such tables come from.

Two recipes are causal: a row is judged by the rows up to it. The others label after the fact, when the run is known as
a whole. What is compared, as mean and deviation over seeds, on the test part:

* **AP** of the event (with two classes), or the share of rows that are right;
* **borders**: changes of the label, of which so many are found by a change to the same label at most `--near` rows
  away, each by one; those found are so many rows away in the mean;
* **false borders**: changes that no true one is near, in 1,000 rows;
* **events found** and **false alarms**: stretches of a label other than the commonest, of which a row was told so; and
  stretches told of which no row was one, in 1,000 rows.

With two classes the threshold is that of the best MCC on the validation part; with more, the most probable one is
taken. "mean around" is what costs nothing: log-odds averaged over the rows around, as many as suit the validation part.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from battery import Split, read_parts, told
from sklearn.metrics import average_precision_score, matthews_corrcoef
from threadpoolctl import threadpool_limits

import eventlstm as el

PLAIN, AROUND = "EventClassifier", "EventClassifier, mean around"
TAGGERS = {
    "tagger, field, filtered": {"crf": True, "decoding": "filtered"},
    "tagger, field, smoothed": {"crf": True},
    "tagger, both ways": {"bidirectional": True},
    "tagger, both ways, field": {"crf": True, "bidirectional": True},
}
CAUSAL = PLAIN, "tagger, field, filtered"
WIDTHS = 1, 3, 5, 9, 17, 33  # rows that the mean around may take
PHASES = {"idle": 30, "fill": 12, "heat": 25, "hold": 40, "drain": 12}  # rows in the mean
FLOOR = 1e-6


def main(arguments=None):
    options = read_options(arguments)
    try:
        with threadpool_limits(1):  # OpenMP's threads wait by spinning, slow beside a busy neighbour
            run(options)
    except (OSError, ValueError, KeyError) as error:
        print(f"label_sequences: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a table; see the head of this script")
    parser.add_argument("--time", default="timestamp", help="its column of time")
    parser.add_argument("--target", default="label", help="its column of the label")
    parser.add_argument("--leave-out", nargs="+", default=[], help="columns that are no sensors: other labels")
    parser.add_argument("--near", type=int, default=5, help="rows that a border may be away")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true", help="small networks on a small made log")
    return parser.parse_args(arguments)


def run(options):
    split = read_split(options)
    rows = {}
    for seed in options.seeds:
        for name, labels, score in label_all(split, seed, options.smoke):
            rows[name, seed] = measure(split.test[1], labels, score, options.near)
            print(f"seed {seed}: {name} {rows[name, seed]['right']:.3f}", file=sys.stderr)
    results = pd.DataFrame(rows).T.rename_axis(["recipe", "seed"])
    print(as_markdown(results))


def read_split(options):
    if options.data is None:
        return make_phases(*((2, 3) if options.smoke else (6, 12)))
    labels = [options.target, *options.leave_out]
    return read_parts(options.data, options.time, labels=labels, target=options.target)


def label_all(split, seed, smoke):
    """Yield the name of each recipe, its labels of the test part and its scores of the event."""
    size, members = ({"hidden_size": 8, "max_epochs": 2}, {"n_estimators": 1}) if smoke else ({}, {})
    for name, how in ({PLAIN: None} | TAGGERS).items():
        network = el.LSTMClassifier(**size) if how is None else el.LSTMTagger(**size, **how)
        model = el.EventClassifier(network, **members, random_state=seed).fit(*split.train)
        val, test = (model.predict_proba(part[0]) for part in (split.val, split.test))
        yield name, *decide(model.classes_, split, val, test)
        if how is None:
            yield AROUND, *decide(model.classes_, split, *average_around(model.classes_, split, val, test))


def decide(classes, split, val, test):
    """Return the labels of the test part, and with two classes the scores, else None."""
    if len(classes) > 2:
        return classes[test.argmax(axis=1)], None
    threshold = best_threshold(split.val[1] == classes[1], val[:, 1])
    return classes[(test[:, 1] > threshold).astype(int)], test[:, 1]


def average_around(classes, split, val, test):
    """Return the probabilities of both parts averaged over rows around, as many as suit the validation part."""
    worth = {width: quality(classes, split.val, mean_around(split.val[0], val, width)) for width in WIDTHS}
    width = max(worth, key=worth.get)
    return mean_around(split.val[0], val, width), mean_around(split.test[0], test, width)


def quality(classes, part, proba):
    if len(classes) > 2:
        return (classes[proba.argmax(axis=1)] == part[1]).mean()
    event = part[1] == classes[1]
    return matthews_corrcoef(event, proba[:, 1] > best_threshold(event, proba[:, 1]))


def mean_around(X, proba, width):
    """Return probabilities of the mean log-probabilities over rows around, within each run."""
    logs = pd.DataFrame(np.log(np.maximum(proba, FLOOR)), index=X.index)
    runs = logs.groupby(level=0, sort=False, group_keys=False)
    mean = runs.apply(lambda run: run.rolling(width, min_periods=1, center=True).mean())
    odds = np.exp(mean.to_numpy())
    return odds / odds.sum(axis=1, keepdims=True)


def best_threshold(event, score):
    """Return the threshold of the best MCC on some rows."""
    candidates = np.unique(np.quantile(score, np.linspace(0.5, 0.999, 200)))
    return max(candidates, key=lambda threshold: matthews_corrcoef(event, score > threshold))


def measure(y, labels, score, near):
    truth = pd.Series(np.asarray(y), index=y.index)
    found = pd.Series(labels, index=y.index)
    quiet = truth.mode()[0]
    away, n_borders, n_false = match_borders(truth, found, near)
    n_events, n_found, n_alarms = match_events(truth != quiet, found != quiet, truth, found)
    thousand = len(truth) / 1000
    return {
        "right": (truth == found).mean() if score is None else average_precision_score(truth != quiet, score),
        "borders found": len(away) / n_borders,
        "rows away": np.mean(away) if away else np.nan,
        "false borders": n_false / thousand,
        "events found": n_found / n_events,
        "false alarms": n_alarms / thousand,
    }


def match_borders(truth, found, near):
    """Return how far each border that is found is away, how many borders there are, and how many told are false."""
    away, n_borders, n_false = [], 0, 0
    for _, own in truth.groupby(level=0, sort=False):
        told_labels = found.loc[own.index].to_numpy()
        true_at, told_at = borders(own.to_numpy()), borders(told_labels)
        n_borders, taken = n_borders + len(true_at), set()
        for row, label in true_at:
            close = [k for k, (at, to) in enumerate(told_at) if to == label and abs(at - row) <= near]
            free = [k for k in close if k not in taken]
            if free:
                nearest = min(free, key=lambda k: abs(told_at[k][0] - row))
                taken.add(nearest)
                away.append(abs(told_at[nearest][0] - row))
        n_false += len(told_at) - len(taken)
    return away, n_borders, n_false


def borders(labels):
    """Return the rows where labels change, and to what."""
    rows = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    return [(row, labels[row]) for row in rows]


def match_events(is_event, is_told, truth, found):
    """Return how many events there are, how many have a row told as what it is, and how many told have no such row."""
    right = is_event & (truth == found)
    n_events, n_found = count_stretches(truth, is_event, right)
    n_told, n_right = count_stretches(found, is_told, right)
    return n_events, n_found, n_told - n_right


def count_stretches(labels, counted, right):
    """Return how many stretches of one label there are among the rows counted, and how many have a right row."""
    n_stretches = n_right = 0
    for _, own in labels.groupby(level=0, sort=False):
        values, marked = own.to_numpy(), right.loc[own.index].to_numpy()
        inside = counted.loc[own.index].to_numpy()
        starts = [0, *(row for row, _ in borders(values))]
        for start, stop in zip(starts, [*starts[1:], len(values)], strict=True):
            n_stretches += inside[start]
            n_right += inside[start] and marked[start:stop].any()
    return int(n_stretches), int(n_right)


def make_phases(n_runs, n_batches):
    """Return a made log of batches in three parts of runs: level, temperature and power of a vessel."""
    rng = np.random.default_rng(0)
    return Split(*(join_runs([make_run(n_batches, rng) for _ in range(n_runs)], part) for part in range(3)))


def join_runs(runs, part):
    names = [f"vessel_{part}_{k}" for k in range(len(runs))]
    X = pd.concat([values for values, _ in runs], keys=names, names=["run_id"])
    return X, pd.Series(np.concatenate([labels for _, labels in runs]), index=X.index)


def make_run(n_batches, rng):
    """Return the sensors and the phases of a vessel; heating and holding differ by their power, at first by little."""
    labels, levels = [], []
    for _ in range(n_batches):
        for phase, rows in PHASES.items():
            n = max(4, int(rng.gamma(6.0, rows / 6.0)))
            t = np.linspace(0, 1, n)
            level = {"idle": 0 * t, "fill": t, "heat": 1 + 0 * t, "hold": 1 + 0 * t, "drain": 1 - t}[phase]
            heat = {"idle": 0 * t, "fill": 0 * t, "heat": t, "hold": 1 + 0 * t, "drain": 1 - 0.5 * t}[phase]
            power = {"idle": 0 * t, "fill": 0.2 + 0 * t, "heat": 1 - 0.4 * t, "hold": 0.4 + 0 * t, "drain": 0 * t}[
                phase
            ]
            labels += [phase] * n
            levels.append(np.column_stack([level, heat, power]))
    clean = np.concatenate(levels)
    noise = pd.DataFrame(rng.normal(size=clean.shape)).ewm(alpha=0.5).mean().to_numpy()
    index = pd.date_range("2024-01-01", periods=len(clean), freq="min", name="time")
    return pd.DataFrame(clean + 0.35 * noise, index=index, columns=["level", "temperature", "power"]), np.array(labels)


def as_markdown(results):
    names = list(dict.fromkeys(results.index.get_level_values("recipe")))
    columns = list(results.columns)
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [told(results.loc[name, column], ".3f" if column == "right" else ".2f") for column in columns]
        lines.append(f"| {name}{', causal' if name in CAUSAL else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
