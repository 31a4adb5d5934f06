"""Anomalies in logs without labels: the detector beside simple baselines, and what its alarms are worth.

    python pipelines/detect_anomalies.py
    python pipelines/detect_anomalies.py --protocol asd --data asd.parquet -o servers.md
    python pipelines/detect_anomalies.py --protocol temperature --data machine_temperature.csv
    python pipelines/detect_anomalies.py --protocol nab --data nab.parquet

Labels only measure. Thresholds come from quiet rows held out from training, the last fifth of those to fit on, or from
all of those where that makes them higher.

**made**, the default, needs no data: four fleets of four pumps each, made by `make_sensor_log`; the first two fifths of
their time are fitted on, failures included, the rest is scored.

**asd** (application servers, a row each five minutes; Li et al., "Multivariate time series anomaly detection and
interpretation using hierarchical inter-metric and temporal embedding", KDD 2021; github.com/zhhlee/InterFusion, MIT
licence): of each of 12 servers the part without anomalies is fitted on, the labelled part scored. `--data` takes a
table (CSV, Parquet) with the columns run_id (omi-1, ...), split (train, test), t (number of the row), s00-s18, label.

**temperature** (a machine with four failures in three months; Numenta Anomaly Benchmark, Lavin and Ahmad, "Evaluating
real-time anomaly detection algorithms", 2015; github.com/numenta/NAB, whose licence, first AGPL and now MIT, is told
there): the first 15 % of the rows are fitted on, the first failure among them, the rest is scored. `--data` takes
machine_temperature_system_failure.csv with labels, a table with the columns timestamp, value and label. NAB labels a
window of two days around each failure, which begins a day before its peak: an alarm counts if it begins in the window,
and its delay counts from the window's start.

**nab** (24 logs of one sensor each from the same benchmark, its folders realKnownCause and realAWSCloudwatch, one of
them the machine of **temperature**): each log by itself as there. `--data` takes a table (CSV, Parquet) with the
columns run_id (name of the log), timestamp, value and label, 1 in the windows of labels/combined_windows.json, a tenth
of a log in all. One log has none: average precision and VUS-PR are means over the others.

Three kinds of tables are printed. *Scores*: average precision and VUS-PR (a tolerance of up to 100 rows, the 250
thresholds that published values are made with), each the mean over servers (or fleets), mean ± standard deviation over
seeds; then how far the detector is ahead of each baseline, paired by server, with a 95 % interval from servers drawn
anew. *Alarms* by the defaults of `AlarmPolicy` at the threshold for a budget of false alarms a day: events found and
false alarms with exact 95 % intervals, delays in hours (the median counts missed events, and is none where half are
missed), and the share of quiet time under alarm; in brackets, the same of as many alarms of the same lengths at random
times. Models have a row a seed where seeds differ. *Thresholds*: what came on quiet rows of the scored part, over what
was asked of the threshold: the median over servers and seeds, quartiles, and how often it was more than twice as much.

`--autoencoder` adds `LSTMAutoencoder`. `--smoothing 15` takes one span for all instead of what each learns.
`--max-false-alarms-per-day` takes one budget or several. `--folds 5` shows the detector also with a threshold from all
rows to fit on, each scored by a detector fitted to the other folds in time: five more fits, for logs whose last quiet
rows do not show all that is quiet.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

import eventlstm as el
from eventlstm.alarms.alarm_policy import MERGE_ROWS
from eventlstm.evaluation.baselines import unlabelled_baselines
from eventlstm.evaluation.held_out import cross_fitted_scores
from eventlstm.logs.whole_files import open_whole
from eventlstm.metrics import false_alarm_rate, vus_pr_score
from eventlstm.metrics.alarm_summary import report_alarms, report_random_alarms
from eventlstm.metrics.intervals import paired_difference
from eventlstm.thresholds import AutoThreshold

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = {"asd": "asd.parquet", "temperature": "machine_temperature.csv", "nab": "nab.parquet"}
OURS, BY_FOLDS = "AnomalyDetector", "AnomalyDetector, threshold by folds"
BUFFER = 100  # rows, of VUS-PR
FITTED_SHARE = {"nab": 0.15, "made": 0.4}
MADE, N_FLEETS = {"n_machines": 4, "n_days": 12, "failures_per_machine": 3}, 4
ROW_RATES = 1e-2, 1e-3
MINUTES = 5  # from row to row of the servers' logs
FIRST_DAY = pd.Timestamp("2020-01-01")  # they tell no dates; alarms a day need some
SECONDS = 3600  # in an hour
TWICE = 2  # what comes may be so many times what was asked
FEW_EVENTS = 5  # up to which every delay is shown


class Part(NamedTuple):
    """A log that a model of its own is fitted to and that is scored."""

    name: str
    quiet: pd.DataFrame
    X: pd.DataFrame
    y: pd.Series


class Scored(NamedTuple):
    """What a model says of a part."""

    score: pd.Series  # of the rows of X
    held_out: pd.Series  # of the quiet rows held out
    quiet: pd.Series  # of all quiet rows fitted on
    average_precision: float
    vus_pr: float


def main(arguments=None):
    options = read_options(arguments)
    try:
        # OpenMP's threads wait by spinning, slow beside a busy neighbour.
        with threadpool_limits(1), warnings.catch_warnings():
            # How often a threshold is a guess is told beneath the alarms, and in the tables what comes of it.
            warnings.filterwarnings("ignore", message=".*the threshold is a guess|.*quiet rows are above the threshold")
            text = run(options)
    except (OSError, ValueError, KeyError) as error:
        print(f"detect_anomalies: {error}", file=sys.stderr)
        return 2
    print(text)
    if options.output:
        with open_whole(options.output) as file:
            file.write(f"{text}\n".encode())
    return 0


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="file of the data set; see the head of this script")
    parser.add_argument("--protocol", choices=[*sorted(FILES), "made"], default="made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-false-alarms-per-day", type=float, nargs="+", default=[1.0], metavar="BUDGET")
    parser.add_argument(
        "--smoothing", type=read_span, default="auto", metavar="ROWS", help="span of all smoothed scores"
    )
    parser.add_argument("--autoencoder", action="store_true", help="LSTMAutoencoder among the baselines")
    parser.add_argument("--folds", type=int, help="also take the detector's threshold from so many folds in time")
    parser.add_argument("-o", "--output", type=Path, help="file for the tables")
    return parser.parse_args(arguments)


def read_span(text):
    return text if text == "auto" else float(text)


def run(options):
    parts = read_parts(options)
    found = {OURS: {}} | ({BY_FOLDS: {}} if options.folds else {})
    for seed in options.seeds:
        models = {OURS: el.AnomalyDetector(random_state=seed)}
        models |= unlabelled_baselines(seed, autoencoder=options.autoencoder)
        for name, model in models.items():
            if model.smoothing == "auto":
                model.set_params(smoothing=options.smoothing)
            found.setdefault(name, {})[seed] = [score_part(model, part) for part in parts]
            print(f"measured: {name}, seed {seed}", file=sys.stderr, flush=True)
        if options.folds:
            of_folds = [cross_fitted_scores(models[OURS], part.quiet, options.folds) for part in parts]
            pairs = zip(found[OURS][seed], of_folds, strict=True)
            found[BY_FOLDS][seed] = [one._replace(held_out=score, quiet=score) for one, score in pairs]
    tables = [tell_parts(parts), table_of_scores(found)]
    for budget in options.max_false_alarms_per_day:
        tables += [f"At most {budget:g} false alarms a day:", table_of_alarms(found, parts, budget)]
    tables += ["What came on quiet rows over what was asked:"]
    tables += [table_of_thresholds(found, parts, options.max_false_alarms_per_day)]
    return "\n\n".join(tables)


def score_part(model, part):
    """Fit a model to the quiet rows of a part and score the others."""
    model.fit(part.quiet)
    score = pd.Series(model.anomaly_score(part.X), index=part.X.index)
    ranking = np.nan, np.nan  # of a log without events
    if part.y.any():
        ranking = average_precision_score(part.y, score), vus_pr_score(part.y, score, buffer=BUFFER)
    return Scored(score, model.held_out_scores_, model.quiet_scores_, *ranking)


def tell_parts(parts):
    """Say what is fitted on and what is scored."""
    events = sum(len(el.to_events(part.y)) for part in parts)
    share = np.concatenate([part.y for part in parts]).mean()
    fitted, scored = (sum(len(getattr(part, name)) for part in parts) for name in ("quiet", "X"))
    return (
        f"Logs with a model of their own: {len(parts)}. Rows to fit on: {fitted:,}. Rows scored: {scored:,}, "
        f"{share:.1%} of them in {events} events; that share is the average precision of random scores."
    )


def table_of_scores(found):
    """Return the table of average precision and VUS-PR, and of the differences to ours."""
    rows = []
    for name, by_seed in found.items():
        if name == BY_FOLDS:  # the scores are ours
            continue
        row = {"scores": name}
        for title, measure in (("average precision", "average_precision"), ("VUS-PR", "vus_pr")):
            own, ours = (by_part(one, measure) for one in (by_seed, found[OURS]))
            of_seeds = own.mean(axis=1)
            row[title] = f"{of_seeds.mean():.3f} ± {of_seeds.std():.3f}"
            row[f"{OURS} ahead by, {title}"] = tell_difference(ours, own) if name != OURS else "–"
        rows.append(row)
    return to_markdown(rows)


def by_part(by_seed, measure):
    """Return a measure of the parts with events, (n_seeds, n_parts)."""
    measured = np.array([[getattr(scored, measure) for scored in parts] for parts in by_seed.values()])
    return measured[:, np.isfinite(measured[0])]


def tell_difference(ours, theirs):
    """Say by how much ours is ahead, over seeds, paired by part where there are several."""
    ours, theirs = ours.mean(axis=0), theirs.mean(axis=0)
    if len(ours) == 1:
        return f"{float(ours[0] - theirs[0]):+.3f}"
    difference, n_ahead = paired_difference(ours, theirs, random_state=0)
    low_high = f"[{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"{difference.estimate:+.3f} {low_high}, on {n_ahead} of {len(ours)}"


def table_of_alarms(found, parts, budget):
    """Return the table of alarms; seeds that agree share a row."""
    rows, y = [], join([part.y for part in parts], parts)
    for name, by_seed in found.items():
        told = {}
        for seed, scored in by_seed.items():
            alarms = [raise_alarms(one, budget) for one in scored]
            told.setdefault(tuple(tell_alarms(y, join(alarms, parts)).items()), []).append(str(seed))
        for cells, seeds in told.items():
            rows.append({"alarms": name if len(told) == 1 else f"{name}, seed {' '.join(seeds)}", **dict(cells)})
    guesses = ", ".join(str(sum(is_guess(one, budget) for one in scored)) for scored in found[OURS].values())
    return f"{to_markdown(rows)}\n\n{OURS} had too few rows held out for this budget in {guesses} of {len(parts)} fits."


def raise_alarms(scored, budget):
    """Return the alarms of the policy's defaults, 0 or 1 a row, at the threshold for a budget a day."""
    return el.AlarmPolicy(find_threshold(scored, rule_of(budget))).flag(scored.score)


def is_guess(scored, budget):
    """Return whether less than one alarm is to be expected among the rows held out."""
    return rule_of(budget).fit(scored.held_out).n_expected_ < 1


def rule_of(budget):
    return AutoThreshold(budget, merge_gap=MERGE_ROWS)


def find_threshold(scored, rule):
    """Return the threshold as the detector takes it: by the rows held out, or by all quiet ones where it is higher."""
    return max(clone(rule).fit(scores).threshold_ for scores in (scored.held_out, scored.quiet))


def join(columns, parts):
    """Return one column of all parts, each with runs of its own."""
    return columns[0] if len(parts) == 1 else pd.concat(columns, keys=[part.name for part in parts])


def tell_alarms(y, alarms):
    """Return the cells of a row of the table of alarms, chance in brackets."""
    report, chance = report_alarms(y, alarms), report_random_alarms(y, alarms, random_state=0)
    by_chance = "–" if np.isnan(chance["median_delay"]) else f"{chance['median_delay'] / SECONDS:.1f}"
    found, rate = report.recall, report.false_alarm_rate
    return {
        "found": f"{report.n_found} of {report.n_events} [{found.low:.2f}, {found.high:.2f}] "
        f"({chance['recall'] * report.n_events:.1f})",
        "chance finds as many": f"{chance['as_many']:.0%}",
        "false alarms a day": f"{rate.estimate:.2f} [{rate.low:.2f}, {rate.high:.2f}] "
        f"({chance['false_alarm_rate']:.2f})",
        "delay, h": f"{tell_delays(report.delays)} ({by_chance})",
        "quiet time under alarm": f"{report.duty:.1%} ({chance['duty']:.1%})",
    }


def tell_delays(delays):
    """Return every delay where events are few, else the median with missed events as never found; in hours."""
    hours = (delays / pd.Timedelta("1h")).to_numpy()
    if len(hours) <= FEW_EVENTS:
        return ", ".join("missed" if np.isnan(hour) else f"{hour:.1f}" for hour in hours)
    median = np.median(np.nan_to_num(hours, nan=np.inf))
    return f"{median:.1f}" if np.isfinite(median) else "–"


def table_of_thresholds(found, parts, budgets):
    """Return what comes over what was asked, over parts and seeds."""
    rows = []
    for name, by_seed in found.items():
        row = {"came over asked": name}
        pairs = [(scored, part) for of_parts in by_seed.values() for scored, part in zip(of_parts, parts, strict=True)]
        for budget in budgets:
            row[f"alarms, {budget:g} a day"] = tell_ratios([came_alarms(*pair, budget) / budget for pair in pairs])
        for rate in ROW_RATES:
            row[f"rows, {rate:g} of all"] = tell_ratios([came_rows(*pair, rate) / rate for pair in pairs])
        rows.append(row)
    return to_markdown(rows)


def came_alarms(scored, part, budget):
    """Return the false alarms a day that come at the threshold for a budget."""
    return false_alarm_rate(part.y, raise_alarms(scored, budget))


def came_rows(scored, part, rate):
    """Return the share of quiet rows that is flagged at the threshold for a share of them."""
    threshold = find_threshold(scored, AutoThreshold(false_alarm_rate=rate))
    return (scored.score > threshold)[part.y.to_numpy() == 0].mean()


def tell_ratios(ratios):
    low, median, high = np.percentile(ratios, [25, 50, 75])
    if min(ratios) == max(ratios):
        return f"{median:.2g}"
    return f"{median:.2g} [{low:.2g}, {high:.2g}], over {TWICE} in {np.sum(np.array(ratios) > TWICE)} of {len(ratios)}"


def to_markdown(rows):
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row.values()) + " |" for row in rows])


def read_parts(options):
    if options.protocol == "made":
        return read_made_logs()
    path = options.data or DATA / FILES[options.protocol]
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there. Pass --data PATH, or --protocol made, which needs none.")
    return {"asd": read_servers, "temperature": read_temperature, "nab": read_nab}[options.protocol](path)


def read_made_logs():
    logs = [el.datasets.make_sensor_log(**MADE, random_state=fleet) for fleet in range(N_FLEETS)]
    return [cut_in_time(f"fleet-{fleet}", *log, FITTED_SHARE["made"]) for fleet, log in enumerate(logs)]


def read_temperature(path):
    return [cut_in_rows("machine", read_table(path, ["timestamp", "value", "label"]))]


def read_nab(path):
    """Return a part for each log."""
    table = read_table(path, ["run_id", "timestamp", "value", "label"])
    return [cut_in_rows(name, rows) for name, rows in table.groupby("run_id")]


def cut_in_rows(name, table):
    """Return a part that is fitted on the first rows; times that come twice, as clocks were set back, become one."""
    times = pd.to_datetime(table["timestamp"]).rename("time")
    log = table[["value", "label"]].astype(float).groupby(times).mean()
    y = (log["label"] > 0).astype(int)
    first = round(FITTED_SHARE["nab"] * len(log))
    return Part(name, log[["value"]].iloc[:first], log[["value"]].iloc[first:], y.iloc[first:])


def cut_in_time(name, X, y, share):
    """Return a part that is fitted on the first share of the time."""
    times = X.index.get_level_values(-1)
    early = times < times.min() + share * (times.max() - times.min())
    return Part(name, X[early], X[~early], y[~early])


def read_servers(path):
    """Return a part for each server."""
    sensors = [f"s{k:02d}" for k in range(19)]
    table = read_table(path, ["run_id", "split", "t", *sensors, "label"])
    table.index = pd.DatetimeIndex(FIRST_DAY + pd.to_timedelta(MINUTES * table["t"], unit="min"), name="time")
    parts = []
    for name, rows in table.groupby("run_id"):
        train, test = (rows[rows["split"] == split].sort_index() for split in ("train", "test"))
        parts.append(Part(name, train[sensors].astype(float), test[sensors].astype(float), test["label"].astype(int)))
    return parts


def read_table(path, columns):
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing[:5])}. The head of this script says what is wanted.")
    return table


if __name__ == "__main__":
    sys.exit(main())
