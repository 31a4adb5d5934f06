"""What a detector of rare events is worth, with intervals and beside baselines, on runs it has not seen.

    python pipelines/evaluate.py
    python pipelines/evaluate.py --data train_FD001.txt --plots figures
    python pipelines/evaluate.py --smoke

Without data, the log is a made one of twelve pumps (`eventlstm.datasets.make_sensor_log`), an event being the hours
before a failure. `--data` takes the engines of C-MAPSS FD001 as `rare_failures.py` does (NASA's file or a table): an
event is the last ten cycles of an engine, an alarm up to five cycles before counts, and a cycle stands for a day.

Every row is scored by a model that was fitted on other runs (`RunKFold`). The operating point of each fold is chosen on
the scores of the other folds, as the threshold that finds most rows of events within a budget of false alarms a day.
The table then tells, beside gradient boosting, logistic regression, random scores and an alarm that never ends:

* average precision of rows, and its difference to gradient boosting, paired by event; 95 % intervals of both from
  events and machines drawn anew;
* events found, of how many, and false alarms in a day of a machine's quiet time, with exact 95 % intervals for counts;
* F of events at beta = .5, with an interval as the first, the median delay of the alarm (missed events included: "-"
  where more than half are missed), and the share of quiet time under alarm.

`--plots FOLDER` writes the figures: precision and recall, the alarm curve, the timeline and the calibration. A run on
the made log takes a minute or two on one core; `--smoke` a few seconds, on a smaller one with small networks.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rare_failures import BASELINE_WINDOWS, read_engines
from sklearn.metrics import average_precision_score

import eventlstm as el
from eventlstm import metrics, plots
from eventlstm.evaluation.baselines import baselines
from eventlstm.evaluation.held_out import held_out_scores
from eventlstm.logs.whole_files import open_whole
from eventlstm.metrics.matching import read_match

N_FOLDS = 4
N_DRAWN_RUNS = 12  # of the timeline
OURS, BOOSTING, ALWAYS = "EventClassifier", "gradient boosting", "an alarm that never ends"
FIRST_DAY = pd.Timestamp("2000-01-01")


class Task(NamedTuple):
    """A log, and what is asked of alarms on it."""

    X: pd.DataFrame
    y: pd.Series
    model: el.EventClassifier
    budget: float  # false alarms in a day of a machine
    early: str  # how long before an event an alarm for it may come
    unit: str  # of delays
    align: bool = False  # whether runs count their own time


def main(arguments=None):
    options = read_options(arguments)
    try:
        evaluate(read_task(options), options)
    except (OSError, ValueError, KeyError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the engines of C-MAPSS FD001; see the head of this script")
    parser.add_argument("--budget", type=float, help="false alarms in a day of a machine; default .1, engines .001")
    parser.add_argument("--plots", type=Path, help="folder for the figures")
    parser.add_argument("--resamples", type=int, default=200, help="draws behind an interval")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a smaller made log and small networks")
    return parser.parse_args(arguments)


def read_task(options):
    model = el.EventClassifier(random_state=options.seed)
    if options.data:
        X, y = (in_days(part) for part in read_engines(options.data))
        return Task(X, y, model, 0.001 if options.budget is None else options.budget, "5D", "D", align=True)
    size = {}
    if options.smoke:
        size = {"n_machines": 6, "n_days": 6, "failures_per_machine": 2}
        model.set_params(estimator=el.LSTMClassifier(hidden_size=8, max_epochs=10, lr=0.01), n_estimators=1)
    X, y = el.datasets.make_sensor_log(**size, random_state=0)
    return Task(X, y, model, 0.1 if options.budget is None else options.budget, "0h", "h")


def in_days(part):
    """Return rows of engines with a day for a cycle, as budgets a day want date-times."""
    days = FIRST_DAY + pd.to_timedelta(part.index.get_level_values("cycle"), unit="D")
    return part.set_axis(pd.MultiIndex.from_arrays([part.index.get_level_values("run_id"), days], names=["run", "day"]))


def evaluate(task, options):
    n_events = len(el.to_events(task.y))
    print(
        f"{len(task.y):,} rows of {task.y.index.droplevel(-1).nunique()} machines, {task.y.mean():.1%} of them of one "
        f"of {n_events} events; at most {task.budget:g} false alarms a day are asked for.\n"
    )
    scores, fold_of_row = score_out_of_fold(task, options.seed)
    alarms = {name: alarms_of_folds(task, score, fold_of_row) for name, score in scores.items()}
    alarms[ALWAYS] = pd.Series(1, index=task.y.index)
    scores[ALWAYS] = pd.Series(1.0, index=task.y.index)
    table = pd.DataFrame({name: measure(task, scores, alarms[name], name, options) for name in scores}).T
    print(as_markdown(table))
    if options.plots:
        draw(task, scores, alarms, options)


def score_out_of_fold(task, seed):
    """Return scores of every row by each model, from runs it has not seen, and the fold of each row."""
    short, long = BASELINE_WINDOWS
    models = {
        OURS: task.model,
        BOOSTING: baselines(short, seed)[BOOSTING],
        "logistic regression": baselines(long, seed)["logistic regression"],
    }
    splitter, scores = el.RunKFold(N_FOLDS), {}
    for name, model in models.items():
        values, fold_of_row = held_out_scores(model, task.X, task.y, splitter)
        scores[name] = pd.Series(values, index=task.y.index)
        print(f"scored: {name}", file=sys.stderr)
    rng = np.random.default_rng(seed)
    scores["random scores"] = pd.Series(rng.random(len(task.y)), index=task.y.index)
    return scores, fold_of_row


def alarms_of_folds(task, score, fold_of_row):
    """Return the rows under alarm, each fold at the threshold that the other folds call for."""
    alarms = pd.Series(0, index=task.y.index)
    for fold in range(fold_of_row.max() + 1):
        own, others = fold_of_row == fold, fold_of_row != fold
        try:
            threshold = el.choose_threshold(
                task.y[others], score[others], objective="recall", max_false_alarms_per_day=task.budget
            )
        except ValueError as error:  # the score keeps the budget nowhere: no alarm is the best that it can do
            print(f"no alarms in fold {fold}: {error}", file=sys.stderr)
            threshold = np.inf
        alarms[own] = (score[own] > threshold).astype(int)
    return alarms


def measure(task, scores, alarms, name, options):
    """Return the row of the table that a model has."""
    draws = {"n_resamples": options.resamples, "random_state": options.seed}
    score, how = scores[name], {"early": task.early}
    precision = metrics.bootstrap_interval(average_precision_score, task.y, score, **draws)
    row = {"average precision": told(precision), f"less {BOOSTING}": "-"}
    if name != BOOSTING:
        difference = metrics.bootstrap_interval(
            average_precision_score, task.y, score, paired_with=scores[BOOSTING], **draws
        )
        row[f"less {BOOSTING}"] = told(difference, "+.3f")
    recall, rate = count_alarms(task, alarms)
    f_score = metrics.bootstrap_interval(partial(metrics.event_fbeta_score, **how), task.y, alarms, **draws)
    delay = metrics.delay_quantile(task.y, alarms, **how) / pd.Timedelta(1, task.unit).total_seconds()
    return row | {
        "events found": told(recall, ".0%"),
        "false alarms a day": told(rate, ".3g"),
        "F 0.5 of events": told(f_score),
        f"median delay ({task.unit})": "-" if np.isnan(delay) else f"{delay:.1f}",
        "time under alarm": f"{metrics.alarm_duty(task.y, alarms, **how):.2%}",
    }


def draw(task, scores, alarms, options):
    """Write the figures of the model and of gradient boosting."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    options.plots.mkdir(parents=True, exist_ok=True)
    draws = {"n_resamples": options.resamples, "random_state": options.seed}

    def figure(name, size, *displays):
        _, ax = plt.subplots(figsize=size, layout="constrained")
        for display in displays:
            display(ax=ax)
        with open_whole(options.plots / f"{name}.png") as file:
            ax.figure.savefig(file, dpi=120)
        plt.close(ax.figure)
        print(f"written: {options.plots / name}.png", file=sys.stderr)

    both = [(name, scores[name]) for name in (OURS, BOOSTING)]
    precision_recall, calibration = plots.PrecisionRecallDisplay, plots.CalibrationDisplay
    drawn = [partial(precision_recall.from_predictions, task.y, score, name=name, **draws) for name, score in both]
    figure("precision_recall", (6, 4.5), *drawn)
    drawn = [partial(calibration.from_predictions, task.y, score, name=name, **draws) for name, score in both]
    figure("calibration", (5, 5), *drawn)
    figure("alarm_curve", (6, 4.5), *(alarm_curve(task, name, score, alarms[name]) for name, score in both))
    figure("timeline", (11, 6), timeline(task, scores[OURS], alarms[OURS]))


def alarm_curve(task, name, score, alarms):
    """Return what draws the curve of a score, with the alarms of all folds as its operating point."""
    curve = metrics.alarm_curve(task.y, score, early=task.early)
    recall, rate = count_alarms(task, alarms)
    display = plots.AlarmCurveDisplay(
        curve["false_alarm_rate"], curve["event_recall"], operating_point=(rate, recall), name=name
    )
    return display.plot


def timeline(task, score, alarms):
    """Return what draws the first runs with an event."""
    with_event = task.y.groupby(level=0).max()
    shown = with_event.index[with_event == 1][:N_DRAWN_RUNS]
    rows = task.y.index.get_level_values(0).isin(shown)
    matched = read_match(task.y[rows], alarms[rows], task.early, 0, "onset", None)
    display = plots.EventTimelineDisplay(
        score[rows],
        events=el.to_events(task.y[rows]).assign(found=matched.found_at >= 0),
        alarms=el.to_events(alarms[rows]).assign(false=matched.event_of_alarm < 0),
        align=task.align,
    )
    return display.plot


def count_alarms(task, alarms):
    """Return the share of events found, and the rate of false alarms a day, with exact intervals."""
    matched = read_match(task.y, alarms, task.early, 0, "onset", None)
    found, days = matched.found_at >= 0, matched.events.total_quiet_time / pd.Timedelta("1D").value
    return metrics.binomial_interval(int(found.sum()), len(found)), metrics.poisson_interval(
        matched.n_false_alarms, days
    )


def told(interval, form=".3f"):
    return f"{interval.estimate:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def as_markdown(table):
    lines = ["| | " + " | ".join(table.columns) + " |", "|---" * (1 + len(table.columns)) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(row) + " |" for name, row in table.iterrows())])


if __name__ == "__main__":
    sys.exit(main())
