"""Search the settings of EventClassifier by what alarms find, on runs held out; killed, it goes on where it was.

    python pipelines/search.py --data cmapss_fd001.parquet --protocol cmapss --storage study.db
    python pipelines/search.py --data log.csv --time time --run machine --label failure --storage study.db --jobs 2
    python pipelines/search.py                 (on a made log)
    python pipelines/search.py --halving       (scikit-learn's HalvingRandomSearchCV instead of Optuna)
    python pipelines/search.py --smoke         (the same, tiny)

Wants `pip install -c constraints.txt -e ".[optuna]"`, but for `--halving`. C-MAPSS is of NASA's Prognostics Center of
Excellence (data.nasa.gov); `rare_failures.py` says what file it takes.

**What is searched**: spans of settings that go by the rows there are to learn from (`SPANS`). **What is best**: the
share of events found on whole runs held out (`RunKFold`), as the mean over thresholds that bring a false alarm for
every ten events, for every three, one and three for each (`found_at_budgets`). **Pruning by epochs**: a trial is
fitted with few epochs, and with more only while it is among the better third (Li et al., "Hyperband", JMLR 2018). The
defaults are the first trial, so that the best is no worse on the folds. What runs left out of the search say is
printed for both.

Trials stand in the SQLite file `--storage`: the same command goes on from there until there are `--trials` of them,
also after a kill, whose trial is done again once it has shown no sign of life for 15 seconds. Several processes
(`--jobs`) work on the same file.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rare_failures import read_engines, split_engines
from scipy.stats import loguniform, uniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import average_precision_score, make_scorer
from sklearn.model_selection import HalvingRandomSearchCV
from threadpoolctl import threadpool_limits

import eventlstm as el
from eventlstm.alarms.policy_choice import suit_policy

BUDGETS = 0.1, 1 / 3, 1.0, 3.0  # false alarms for each event
EPOCHS = 2, 5, 15
FEW_ROWS = 20_000
# Units, the largest window, the highest dropout: wide networks and long windows are learnt by heart from few rows.
SPANS = {"few rows": ([8, 16, 32, 64], 64, 0.5), "many rows": ([16, 32, 64, 128], 128, 0.4)}
VIEWS = {"relative": ("relative",), "whitened": ("whitened",), "both": ("relative", "whitened")}
DEFAULTS = {"hidden_size": 32, "dropout": 0.2, "lr": 0.003, "weight_decay": 0.01, "window_size": 32, "views": "both"}
N_MEMBERS = 2  # of a trial; the best is fitted with all
HEARTBEAT = 5  # seconds between the signs of life of a trial


def main(arguments=None):
    options = read_options(arguments)
    try:
        with threadpool_limits(1):  # OpenMP's threads wait by spinning, slow beside a busy neighbour
            run(options)
    except (OSError, ValueError, KeyError, ModuleNotFoundError) as error:
        print(f"search: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a log for read_log, or the file of the engines")
    parser.add_argument("--protocol", choices=["log", "cmapss"], default="log")
    parser.add_argument("--time", default="time", help="column of the time (default: time)")
    parser.add_argument("--run", default="machine", help="column of the machine (default: machine)")
    parser.add_argument("--label", default="failure", help="column of the labels 0 and 1 (default: failure)")
    parser.add_argument("--storage", type=Path, help="SQLite file of the trials, to go on from")
    parser.add_argument("--trials", type=int, help="trials in all (default: 20)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that try settings side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--halving", action="store_true", help="scikit-learn's search instead of Optuna's")
    parser.add_argument("--smoke", action="store_true", help="two tiny trials on a tiny made log")
    return parser.parse_args(arguments)


def run(options):
    (X, y), test = read(options)
    epochs, n_trials = (1,) if options.smoke else EPOCHS, options.trials or (2 if options.smoke else 20)
    if options.halving:
        best = halve(X, y, epochs[-1], n_trials, options)
    else:
        with TemporaryDirectory() as folder:
            storage = options.storage or Path(folder, "study.db")
            best = study(X, y, epochs, n_trials, storage, options)
    n_members = 1 if options.smoke else 5
    table = {
        name: measure(make_model(settings, epochs[-1], n_members, options.seed).fit(X, y), *test)
        for name, settings in (("defaults", DEFAULTS), ("best of the search", best))
    }
    print("On runs left out of the search:")
    print(pd.DataFrame(table).T.round(3).to_string())


def read(options):
    """Return the log to search on, and one that is left out."""
    if options.protocol == "cmapss":
        if options.data is None:
            raise ValueError("--protocol cmapss wants --data FILE; rare_failures.py says which.")
        fit, choose, test = split_engines(*read_engines(options.data))
        return tuple(pd.concat(parts) for parts in zip(fit, choose, strict=True)), test
    if options.data is not None:
        log = el.read_log(options.data, time=options.time, run=options.run, label=options.label)
    else:
        size = {"n_machines": 4, "n_days": 4, "failures_per_machine": 1} if options.smoke else {}
        log = el.datasets.make_sensor_log(**size, random_state=0)
    X = el.ForwardFill().set_output(transform="pandas").fit_transform(log.X)
    train, test = next(el.RunKFold(4, shuffle=True, random_state=0).split(X, log.y))
    return (X.iloc[train], log.y.iloc[train]), (X.iloc[test], log.y.iloc[test])


def spans_for(n_rows):
    """Return the units, the largest window and the highest dropout to look among."""
    return SPANS["few rows" if n_rows < FEW_ROWS else "many rows"]


def make_model(settings, epochs, n_members, seed):
    network = {name: settings[name] for name in ("hidden_size", "dropout", "lr", "weight_decay")}
    return el.EventClassifier(
        el.LSTMClassifier(**network, max_epochs=epochs),
        window_size=settings["window_size"],
        inputs=VIEWS[settings["views"]],
        n_estimators=n_members,
        n_jobs=1,
        random_state=seed,
    )


def found_at_budgets(y_true, y_score):
    """Return the share of events that alarms find, as the mean over some numbers of false alarms for each event."""
    score = np.asarray(y_score)[:, -1] if np.ndim(y_score) == 2 else np.asarray(y_score)
    curve = el.metrics.alarm_curve(y_true, pd.Series(score, y_true.index), policy=suit_policy(y_true))
    n_events = len(el.to_events(y_true))
    n_found = (curve["event_recall"] * n_events).round()
    n_false = curve["n_alarms"] * (1 - curve["event_precision"].fillna(1.0))
    within = [n_false.cummax() <= budget * n_events for budget in BUDGETS]
    return float(np.mean([n_found[few].max() if few.any() else 0 for few in within]) / n_events)


def measure(model, X, y):
    score = model.predict_proba(X)[:, 1]
    return {"events found": found_at_budgets(y, score), "average precision": average_precision_score(y, score)}


def study(X, y, epochs, n_trials, storage, options):
    """Return the best settings of a study by Optuna, which earlier calls may have begun."""
    found = open_study(storage, options.seed, epochs)
    if not found.trials:
        found.enqueue_trial(DEFAULTS)
    work = partial(try_settings, X, y, epochs, n_trials, storage)
    Parallel(n_jobs=options.jobs)(delayed(work)(options.seed + 1000 * worker) for worker in range(options.jobs))
    table = found.trials_dataframe(attrs=("number", "value", "params", "state"))
    table.columns = [name.removeprefix("params_") for name in table]
    print(table.sort_values("value", ascending=False).to_string(index=False, float_format="{:.3f}".format))
    told = f"The defaults find {found.trials[0].value:.3f} of the events on the folds, the best {found.best_value:.3f}"
    print(f"{told}: {found.best_params}")
    return found.best_params


def open_study(storage, seed, epochs):
    """Return a study in a SQLite file; trials of a process that was killed are done again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of the heartbeat
    again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3)
    return optuna.create_study(
        study_name="EventClassifier",
        storage=optuna.storages.RDBStorage(
            f"sqlite:///{storage}",
            heartbeat_interval=HEARTBEAT,
            grace_period=3 * HEARTBEAT,
            heartbeat_stale_trial_callback=again,
        ),
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=epochs[0], reduction_factor=3),
        direction="maximize",
        load_if_exists=True,
    )


def try_settings(X, y, epochs, n_trials, storage, seed):
    """Try settings until the study has so many trials, those that were pruned counted."""
    import optuna

    done = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
    n_before = len(open_study(storage, seed, epochs).trials)
    found = open_study(storage, seed + n_before, epochs)  # other draws than those of an earlier call
    if len(found.get_trials(deepcopy=False, states=done)) < n_trials:
        stop = optuna.study.MaxTrialsCallback(n_trials, states=done)
        found.optimize(partial(objective, X=X, y=y, epochs=epochs), callbacks=[stop])


def objective(trial, X, y, epochs):
    import optuna

    settings = suggest(trial, len(X))
    for n_epochs in epochs:
        model = make_model(settings, n_epochs, N_MEMBERS, 0)
        value = np.mean([score_fold(model, X, y, *fold) for fold in el.RunKFold(3).split(X, y)])
        trial.report(value, n_epochs)
        if n_epochs < epochs[-1] and trial.number and trial.should_prune():  # the defaults are what others beat
            raise optuna.TrialPruned
    return value


def suggest(trial, n_rows):
    units, largest_window, most_dropout = spans_for(n_rows)
    return {
        "hidden_size": trial.suggest_categorical("hidden_size", units),
        "dropout": trial.suggest_float("dropout", 0.0, most_dropout),
        "lr": trial.suggest_float("lr", 1e-3, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
        "window_size": trial.suggest_int("window_size", 8, largest_window),
        "views": trial.suggest_categorical("views", list(VIEWS)),
    }


def score_fold(model, X, y, train, test):
    fitted = model.fit(X.iloc[train], y.iloc[train])
    return found_at_budgets(y.iloc[test], fitted.predict_proba(X.iloc[test])[:, 1])


def halve(X, y, most_epochs, n_trials, options):
    """Return the best settings of scikit-learn's search, in which epochs are what candidates are given more of."""
    units, largest_window, most_dropout = spans_for(len(X))
    spans = {
        "estimator__hidden_size": units,
        "estimator__dropout": uniform(0.0, most_dropout),
        "estimator__lr": loguniform(1e-3, 1e-2),
        "estimator__weight_decay": loguniform(1e-4, 1e-1),
        "window_size": range(8, largest_window + 1),
        "inputs": list(VIEWS.values()),
    }
    search = HalvingRandomSearchCV(
        make_model(DEFAULTS, most_epochs, N_MEMBERS, 0),
        spans,
        n_candidates=n_trials,
        resource="estimator__max_epochs",
        min_resources=min(2, most_epochs),
        max_resources=most_epochs,
        cv=el.RunKFold(3),
        scoring=make_scorer(found_at_budgets, response_method="predict_proba"),
        refit=False,
        random_state=options.seed,
        n_jobs=options.jobs,
    ).fit(X, y)
    views = {inputs: name for name, inputs in VIEWS.items()}
    best = {name.removeprefix("estimator__"): value for name, value in search.best_params_.items()}
    best = {**best, "views": views[best.pop("inputs")]}
    print(f"The best finds {search.best_score_:.3f} of the events on the folds: {best}")
    return {name: best[name] for name in DEFAULTS}


if __name__ == "__main__":
    sys.exit(main())
