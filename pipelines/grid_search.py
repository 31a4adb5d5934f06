"""Choose window length and hidden size by cross-validation over whole runs, then test once on runs left out.

    python pipelines/grid_search.py --data log.csv --time time --run machine --label failure
    python pipelines/grid_search.py            (on a made log)
    python pipelines/grid_search.py --smoke    (the same, tiny)

The scaler, the network and everything it learns stand in one Pipeline, so that no fold sees another. `RunKFold` keeps
runs whole; `set_output(transform="pandas")` keeps the index, which carries run and time. The candidates are trained
with two members and the best one with four.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el

GRID = {"eventclassifier__window_size": [16, 32, 64], "eventclassifier__estimator__hidden_size": [16, 32]}
SMOKE_GRID = {"eventclassifier__window_size": [8, 16], "eventclassifier__estimator__hidden_size": [4]}


def main(arguments=None):
    options = read_options(arguments)
    try:
        run(options)
    except (OSError, ValueError) as error:
        print(f"grid_search: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a log for read_log: CSV, CSV.gz or Parquet")
    parser.add_argument("--time", default="time", help="column of the time (default: time)")
    parser.add_argument("--run", default="machine", help="column of the machine (default: machine)")
    parser.add_argument("--label", default="failure", help="column of the labels 0 and 1 (default: failure)")
    parser.add_argument("--n-jobs", type=int, default=2, help="candidates fitted side by side")
    parser.add_argument("--smoke", action="store_true", help="a tiny grid on a tiny made log")
    return parser.parse_args(arguments)


def run(options):
    log = read(options)
    train, test = next(el.RunKFold(4, shuffle=True, random_state=0).split(log.X, log.y))
    X, y = log.X.iloc[train], log.y.iloc[train]
    network = el.LSTMClassifier(max_epochs=2) if options.smoke else el.LSTMClassifier()
    model = make_pipeline(
        SimpleImputer(), StandardScaler(), el.EventClassifier(network, n_estimators=2, random_state=0)
    )
    search = GridSearchCV(
        model.set_output(transform="pandas"),
        SMOKE_GRID if options.smoke else GRID,
        cv=el.RunKFold(3),
        scoring="average_precision",
        n_jobs=options.n_jobs,
        refit=False,
    ).fit(X, y)
    print(results_table(search).to_string(index=False))
    best = model.set_params(**search.best_params_, eventclassifier__n_estimators=4).fit(X, y)
    score = best.predict_proba(log.X.iloc[test])[:, 1]
    precision = average_precision_score(log.y.iloc[test], score)
    print(f"Best: {search.best_params_}")
    print(f"Average precision on runs left out of the search: {precision:.3f} (random: {log.y.iloc[test].mean():.3f})")


def read(options):
    if options.data is not None:
        return el.read_log(options.data, time=options.time, run=options.run, label=options.label)
    if options.smoke:
        return el.datasets.make_sensor_log(n_machines=4, n_days=4, failures_per_machine=1, random_state=0)
    return el.datasets.make_sensor_log(random_state=0)


def results_table(search):
    """Return a row per candidate, the best first."""
    results = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
    table = pd.DataFrame(list(results["params"])).rename(columns=lambda name: name.split("__")[-1])
    table["average precision"] = results["mean_test_score"].round(3).to_numpy()
    table["spread over folds"] = results["std_test_score"].round(3).to_numpy()
    return table


if __name__ == "__main__":
    sys.exit(main())
