"""Whether a recipe carries over: labelled problems side by side, beside baselines that fit in seconds.

    python pipelines/battery.py
    python pipelines/battery.py --data FOLDER --keep scores
    python pipelines/battery.py --data FOLDER --keep scores --recipe "EventClassifier(inputs='level')"

A default that is chosen on one log is chosen for one log. Here each recipe is fitted to eight problems by their written
protocols, three seeds each, and measured on parts that nothing was chosen on:

* **C-MAPSS FD001, FD002** (turbofan engines, NASA Prognostics Center of Excellence, data.nasa.gov): the last ten
  cycles of an engine. FD002 runs under six operating conditions. Files: cmapss_fd001.parquet, cmapss_fd002.parquet.
* **ASD** (application servers; Li et al., KDD 2021, github.com/zhhlee/InterFusion), four folds of servers left out,
  each server scaled by its own unlabelled part; average precision is the mean of the folds. File: asd.parquet.
* **UR3** (a robot's joints at 1 Hz; UCI 963, "UR3 CobotOps"): protective stops, and lost grips. File: ur3.parquet.
* **air quality** (hourly air at stations of Beijing; UCI 501): PM2.5 reaches 250 within six hours. File:
  air_quality.parquet.
* **gait** (accelerometers on patients; Daphnet, UCI 245): the gait freezes. File: freezing_of_gait.parquet.
* **occupancy** (an office by the minute; UCI 357): occupied. File: occupancy.parquet.

`--data` is the folder of these tables, each with run_id, the time, sensors, a label, and `part` (train, val, test)
where the protocol does not follow from the run (the head of `rare_failures.py` tells of the first and the third).
Without it, three made logs stand in, each hard for one kind of model: a season that shifts all levels, machines with
other noise than those learnt from, and operating conditions that move all sensors at once.

The table gives, as mean and deviation over seeds, the average precision of each recipe on each problem, and then:

* **over the bar**: the geometric mean over problems of average precision over that of the better of logistic regression
  and boosted trees, both on ten flattened rows; the spread is over seeds;
* **ahead**: on how many problems a recipe is above both, by the mean over seeds;
* MCC at the threshold that the validation part calls for (on ASD, the other folds), and the share of events with a row
  above the threshold that flags 1 % of the quiet rows of the test part, as means over problems.

`--keep FOLDER` leaves the scores of each fit there and goes on from them. The eight problems take some hours on two
cores.
"""

import argparse
import ast
import hashlib
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rare_failures import read_engines, read_servers, split_engines
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, matthews_corrcoef
from threadpoolctl import threadpool_limits

import eventlstm as el
from eventlstm.evaluation.baselines import baselines
from eventlstm.logs.events import event_onsets
from eventlstm.logs.index import read_index
from eventlstm.logs.whole_files import open_whole

N_FOLDS = 4  # of servers
FLAGGED = 0.01  # of quiet rows, where events found are counted
LINEAR, BOOSTING = "LogisticRegression, 10 rows", "HistGradientBoosting, 10 rows"
BAR = LINEAR, BOOSTING
# Estimators of scikit-learn that recipes may name beside those of eventlstm.
INNER = {kind.__name__: kind for kind in (ExtraTreesClassifier, HistGradientBoostingClassifier, LogisticRegression)}


class Split(NamedTuple):
    """Parts of a problem, each (X, y)."""

    train: tuple
    val: tuple | None  # none where other folds choose the threshold
    test: tuple


def main(arguments=None):
    options = read_options(arguments)
    try:
        with threadpool_limits(1):  # OpenMP's threads wait by spinning, slow beside a busy neighbour
            run(options)
    except (OSError, ValueError, KeyError) as error:
        print(f"battery: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the tables; see the head of this script")
    parser.add_argument("--keep", type=Path, help="folder for the scores of each fit, to go on from")
    parser.add_argument("--recipe", action="append", default=[], help="another estimator, as Python writes it")
    parser.add_argument("--only", nargs="+", help="names of problems (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true", help="baselines and small networks on small made logs")
    return parser.parse_args(arguments)


def run(options):
    problems = made_problems(options.smoke) if options.data is None or options.smoke else real_problems(options.data)
    unknown = set(options.only or ()) - set(problems)
    if unknown:
        raise ValueError(f"--only names {sorted(unknown)[0]!r}, which is none of {', '.join(problems)}.")
    problems = {name: folds for name, folds in problems.items() if not options.only or name in options.only}
    recipes = known_recipes(options.smoke) | {text: read_recipe(text) for text in options.recipe}
    measured = {
        (name, problem, seed): measure(name, make, problem, folds, seed, options.keep)
        for problem, folds in problems.items()
        for name, make in recipes.items()
        for seed in options.seeds
    }
    results = pd.DataFrame(measured).T
    results.index.names = ["recipe", "problem", "seed"]
    print(as_markdown(results, list(recipes), list(problems)))


def known_recipes(smoke):
    """Return what makes each estimator from a seed, by name."""
    windows = {10: {LINEAR: "logistic regression", BOOSTING: "gradient boosting"}}
    windows[1] = {"HistGradientBoosting, 1 row": "gradient boosting"}
    recipes = {
        name: partial(lambda n_rows, kind, seed: baselines(n_rows, seed)[kind], n_rows, kind)
        for n_rows, kinds in windows.items()
        for name, kind in kinds.items()
    }
    if smoke:
        small = el.LSTMClassifier(hidden_size=8, max_epochs=4, lr=0.01)
        return recipes | {"EventClassifier, small": lambda seed: el.EventClassifier(small, random_state=seed)}
    return recipes | {name: partial(make_estimator, name, {}) for name in ("EventClassifier", "EventBlend")}


def read_recipe(text):
    """Return what makes the estimator that a text such as "EventBlend(weights=[1, 1, 0, 0])" describes."""
    try:
        name, parameters = read_call(ast.parse(text, mode="eval").body)
        make_estimator(name, parameters)
        return partial(make_estimator, name, parameters)
    except (SyntaxError, TypeError, ValueError):
        raise ValueError(
            f"--recipe {text!r} is no estimator. Write it as in Python, with values only: "
            "\"EventClassifier(LSTMClassifier(hidden_size=64), inputs='level')\"."
        ) from None


def read_call(node):
    """Return the name and the parameters of a call, in which values are literals or calls."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or len(node.args) > 1:
        raise ValueError
    parameters = {} if not node.args else {"estimator": read_value(node.args[0])}
    return node.func.id, parameters | {argument.arg: read_value(argument.value) for argument in node.keywords}


def read_value(node):
    if isinstance(node, ast.Tuple | ast.List):
        values = map(read_value, node.elts)
        return tuple(values) if isinstance(node, ast.Tuple) else list(values)
    return make_estimator(*read_call(node)) if isinstance(node, ast.Call) else ast.literal_eval(node)


def make_estimator(name, parameters, seed=None):
    kind = INNER.get(name) or getattr(el, name if name in el.__all__ else "", None)
    if not hasattr(kind, "get_params"):
        raise ValueError(f"{name} is no estimator.")
    estimator = clone(kind(**parameters))
    return estimator if seed is None else estimator.set_params(random_state=seed)


def measure(name, make, problem, folds, seed, keep):
    """Return the measures of a recipe on a problem."""
    scores = [score(name, make, f"{problem} {fold}", split, seed, keep) for fold, split in enumerate(folds)]
    y = [np.asarray(split.test[1]) for split in folds]
    flagged = [test > threshold_for(folds, scores, fold) for fold, (test, _) in enumerate(scores)]
    precision = np.mean([average_precision_score(*part) for part in zip(y, (test for test, _ in scores), strict=True)])
    found = [found_events(*split.test, test) for split, (test, _) in zip(folds, scores, strict=True)]
    print(f"{problem}, seed {seed}: {name} {precision:.3f}", file=sys.stderr)
    return {
        "prevalence": np.concatenate(y).mean(),
        "AP": precision,
        "MCC": matthews_corrcoef(np.concatenate(y), np.concatenate(flagged)),
        "found": np.concatenate(found).mean(),
    }


def score(name, make, part, split, seed, keep):
    """Return the scores of the test and of the validation part, from an earlier run where there is one."""
    digest = hashlib.sha256(f"{name}|{part}|{seed}".encode()).hexdigest()[:16]
    path = None if keep is None else keep / f"{digest}.npz"
    if path is not None and path.exists():
        with np.load(path) as kept:
            return kept["test"], kept["val"]
    model = make(seed=seed).fit(*split.train)
    test = model.predict_proba(split.test[0])[:, 1]
    val = np.empty(0) if split.val is None else model.predict_proba(split.val[0])[:, 1]
    if path is not None:
        keep.mkdir(parents=True, exist_ok=True)
        with open_whole(path) as file:
            np.savez(file, test=test, val=val)
    return test, val


def threshold_for(folds, scores, fold):
    """Return the threshold that the validation part calls for, or the test parts of all other folds."""
    if folds[fold].val is not None:
        return el.choose_threshold(folds[fold].val[1], scores[fold][1])
    others = [k for k in range(len(folds)) if k != fold]
    y = pd.concat([folds[k].test[1] for k in others])
    return el.choose_threshold(y, np.concatenate([scores[k][0] for k in others]))


def found_events(X, y, test):
    """Say of each event whether a row of it is above the threshold that flags 1 % of the quiet rows."""
    event = np.asarray(y) == 1
    threshold = np.quantile(test[~event], 1 - FLAGGED, method="higher")
    number = np.cumsum(event_onsets(event, read_index(X).runs))[event]
    return np.bincount(number, weights=test[event] > threshold)[1:] > 0


def as_markdown(results, recipes, problems):
    """Return the table of measures: a row a recipe, a column a problem, and what sums it up."""
    precision = results["AP"].unstack("problem")  # by recipe and seed
    bar = np.maximum(*(precision.xs(name, level="recipe") for name in BAR))
    over = np.exp(np.log(precision / bar).mean(axis=1))
    mean = precision.groupby("recipe").mean()
    ahead = (mean > np.maximum(*(mean.loc[name] for name in BAR))).sum(axis=1)
    of_all = results[["MCC", "found"]].groupby("recipe").mean()
    prevalence = results["prevalence"].groupby("problem").first()
    lines = [
        f"| | {' | '.join(problems)} | over the bar | ahead | MCC | events found |",
        "|---" * (len(problems) + 5) + "|",
        f"| prevalence | {' | '.join(f'{prevalence[name]:.3f}' for name in problems)} | | | | |",
    ]
    for name in recipes:
        by_seed = precision.xs(name, level="recipe")
        cells = [told(by_seed[problem]) for problem in problems] + [told(over.xs(name, level="recipe"), ".2f")]
        of = of_all.loc[name]
        lines.append(f"| {name} | {' | '.join(cells)} | {ahead[name]} | {of['MCC']:.2f} | {of['found']:.0%} |")
    return "\n".join(lines)


def told(values, form=".3f"):
    return f"{values.mean():{form}} ± {values.std(ddof=0):{form}}"


def real_problems(folder):
    """Return the folds of each problem, read from a folder."""
    engines = split_engines(*read_engines(folder / "cmapss_fd001.parquet"))
    X, y, server = read_servers(folder / "asd.parquet")
    left_out = [np.isin(server, np.arange(k + 1, server.max() + 1, N_FOLDS)) for k in range(N_FOLDS)]
    robot = partial(read_parts, folder / "ur3.parquet", "timestamp", labels=["protective_stop", "grip_lost"])
    return {
        "FD001": [Split(*engines)],
        "FD002": [read_parts(folder / "cmapss_fd002.parquet", "t")],
        "ASD": [Split((X[~test], y[~test]), None, (X[test], y[test])) for test in left_out],
        "UR3 stop": [robot(target="protective_stop")],
        "UR3 grip": [robot(target="grip_lost")],
        "air": [read_parts(folder / "air_quality.parquet", "timestamp")],
        "gait": [read_parts(folder / "freezing_of_gait.parquet", "t")],
        "occupancy": [read_parts(folder / "occupancy.parquet", "timestamp")],
    }


def read_parts(path, time, labels=("label",), target="label"):
    """Return the parts that a column of the table names; labels are no sensors of each other."""
    table = pd.read_parquet(path).set_index(["run_id", time]).sort_index()
    sensors = [name for name in table.columns if name not in {*labels, "part"}]
    of = dict(list(table.groupby("part")))
    return Split(
        *((of[part][sensors].astype(float), of[part][target].astype(int)) for part in ("train", "val", "test"))
    )


def made_problems(smoke):
    """Return three made logs, each hard for one kind of model."""
    size = {"n_machines": 6, "n_days": 6, "failures_per_machine": 2} if smoke else {}
    make = partial(el.datasets.make_sensor_log, **size, random_state=0)
    return {
        "season": [by_time(make(season=3.0))],
        "other machines": [by_machine(make(noise_spread=1.0))],
        "conditions": [by_machine(make(n_conditions=6))],
    }


def by_machine(log):
    """Split a log by machines, half of them to fit and a quarter each to choose and to test."""
    number = pd.factorize(log.X.index.get_level_values("machine"))[0] / log.X.index.unique("machine").size
    return Split(
        *((log.X[rows], log.y[rows]) for rows in (number < 0.5, (number >= 0.5) & (number < 0.75), number >= 0.75))
    )


def by_time(log):
    """Split a log by time, at two borders for all machines."""
    time = log.X.index.get_level_values("time")
    first, length = time.min(), time.max() - time.min()
    share = (time - first) / length
    return Split(*((log.X[rows], log.y[rows]) for rows in (share < 0.5, (share >= 0.5) & (share < 0.7), share >= 0.7)))


if __name__ == "__main__":
    sys.exit(main())
