"""The command line: ``eventlstm demo``, ``eventlstm fit`` and ``eventlstm score``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from tqdm import tqdm

from .blend import EventBlend
from .classifier import LSTMClassifier
from .comparison import baselines, choose_splitter, compare, format_table, verdict
from .datasets import Log, make_sensor_log
from .detector import EventClassifier
from .log_files import read_log
from .log_index import read_index
from .metrics import detection_report
from .model_selection import RunKFold
from .persistence import load, save
from .windows import event_onsets, horizon_labels

BLEND, NETWORKS = "blend", "LSTM"
# The row of the networks inside the blend: they are fitted anyway, and scored once more without the trees.
VARIANTS = {BLEND: {NETWORKS: {"eventblend__weights": [1, 1, 0]}}}
BAD_INPUT = 2
MAX_NAMES_SHOWN = 5
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 after bad input, which is told in one line.
    """
    options = make_parser().parse_args(arguments)

    shown: set[str] = set()

    def show_warning(message: Any, *_: Any) -> None:
        text = " ".join(str(message).split())
        if text not in shown:  # once, however many fits say it
            print(f"eventlstm {options.command}: warning: {text}", file=sys.stderr)
        shown.add(text)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # type: ignore[assignment]
            options.run_command(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        message = " ".join(str(error).split())
        print(f"eventlstm {options.command}: {message}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"eventlstm {options.command}: interrupted, nothing was written.", file=sys.stderr)
        return INTERRUPTED
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="eventlstm", description="Find rare failures in sensor logs.")
    parser.add_argument("--version", action="version", version=f"eventlstm {metadata.version('eventlstm')}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train on a log made on the spot, and compare with baselines")
    demo.add_argument("--keep", metavar="FOLDER", type=Path, help="write the log and the model into this folder")
    demo.set_defaults(run_command=run_demo)
    fit = commands.add_parser("fit", help="train on a labelled log, measure on held-out runs, save the model")
    fit.add_argument("-o", "--output", metavar="MODEL", type=Path, required=True, help="file to save the model to")
    _add_log_options(fit)
    fit.add_argument("--drop", metavar="COLUMN", action="append", default=[], help="leave this column out (repeatable)")
    fit.add_argument("--horizon", default="0", help="rows (12) or time (6h) before an event to warn in (default: 0)")
    fit.add_argument("--threshold", type=float, help="score to alarm at: nothing is held out to choose and measure it")
    fit.add_argument("--no-baselines", action="store_true", help="fit nothing to compare with")
    fit.set_defaults(run_command=run_fit)
    score = commands.add_parser("score", help="score a log with a saved model")
    score.add_argument("model", metavar="MODEL", type=Path, help="file that `eventlstm fit` has saved")
    score.add_argument("-o", "--output", metavar="SCORES", type=Path, required=True, help="CSV file to write")
    _add_log_options(score)
    score.set_defaults(run_command=run_score)
    score.add_argument("--device", help="torch device to score on (default: the one in fit)")
    for command in (demo, fit):
        _add_training_options(command)
    return parser


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    scoring = parser.prog.endswith("score")
    default = "the one in fit" if scoring else "none"
    parser.add_argument("log", metavar="LOG", type=Path, help="CSV, CSV.gz or Parquet file, a row per time step")
    parser.add_argument(
        "--time", required=not scoring, help=f"column of the time{f' (default: {default})' if scoring else ''}"
    )
    parser.add_argument(
        "--run", action="append", help=f"column naming the machine or run (repeatable; default: {default})"
    )
    parser.add_argument("--label", help="column of the labels, 1 on rows of an event")
    parser.add_argument(
        "--events", metavar="FILE", type=Path, help="instead of --label: intervals, start and end columns"
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        choices=[BLEND, NETWORKS.lower()],
        default=BLEND,
        help="networks averaged with boosted trees, or networks alone (default: blend)",
    )
    parser.add_argument("--window-size", type=int, default=32, help="rows of history for a score (default: 32)")
    parser.add_argument("--members", type=int, default=4, help="networks whose scores are averaged (default: 4)")
    parser.add_argument("--max-epochs", type=int, help="passes over the log (default: 15, more on small logs)")
    parser.add_argument("--folds", type=int, default=3, help="folds to measure on (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default: 0)")
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")


def run_demo(options: argparse.Namespace) -> None:
    """Make a log, train and compare."""
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    log = make_sensor_log(random_state=options.seed)
    print("A made log of pumps; label: the hours before a failure. Real data: see `eventlstm fit --help`.")
    options.no_baselines = False
    table, model = _fit_and_measure(log, options)
    print(verdict(table, table.index[0]))
    if options.keep is not None:
        log.X.assign(failure=log.y).reset_index().to_csv(options.keep / "log.csv", index=False)
        save(model, options.keep / "model.eventlstm")
        print(f"Wrote {options.keep / 'log.csv'} and {options.keep / 'model.eventlstm'}.")


def run_fit(options: argparse.Namespace) -> None:
    """Train on a file and save the model."""
    if (options.label is None) == (options.events is None):
        raise ValueError("training needs labels: pass either --label COLUMN or --events FILE.")
    _check_output(options.output, options.log, options.events)
    log = read_log(
        options.log, time=options.time, run=options.run, label=options.label, events=options.events, drop=options.drop
    )
    event = _find_event(log.y)
    labelled = Log(log.X, _read_labels(log.y, event, options.horizon))
    if options.threshold is None:
        table, model = _fit_and_measure(labelled, options)
        if len(table) > 1:
            print(verdict(table, table.index[0]))
    else:
        model = _with_threshold(_with_imputer(_make_model(options)), options.threshold).fit(*labelled)
    model.event_label_, model.horizon_ = event, options.horizon  # so that `score` reads labels alike
    save(model, options.output)
    source = "from held-out rows" if options.threshold is None else "as given"
    print(f"Saved {options.output}, fitted on all runs, with the threshold {model.threshold:.4f} {source}.")


def run_score(options: argparse.Namespace) -> None:
    """Score a file with a saved model."""
    _check_output(options.output, options.log, options.events, options.model)
    if options.output.suffix in (".parquet", ".pq", ".gz"):
        raise ValueError(f"the scores are written as CSV. Name the output {options.output.with_suffix('.csv').name}.")
    model = load(options.model, device=options.device)
    names, sensors = _index_names(model), getattr(model, "feature_names_in_", None)
    if sensors is None or list(getattr(model, "classes_", ())) != [0, 1]:
        raise ValueError(
            f"{options.model} holds no detector that was fitted on a DataFrame with labels 0 and 1. Make one with "
            "`eventlstm fit`."
        )
    log = read_log(
        options.log,
        time=options.time or names[-1],
        run=options.run or names[:-1] or None,
        label=options.label,
        events=options.events,
        sensors=list(sensors),
    )
    score = model.predict_proba(log.X)[:, 1]
    threshold = getattr(model, "threshold", 0.5)
    scores = pd.DataFrame({"score": score, "alarm": (score >= threshold).astype(int)}, index=log.X.index)
    _write_whole(scores, options.output)
    n_alarms = int(scores["alarm"].sum())
    print(f"Wrote {len(scores)} scores to {options.output}; {n_alarms} rows at or above {threshold:.4f}.")
    if log.y is not None:
        event, horizon = getattr(model, "event_label_", 1), getattr(model, "horizon_", "0")
        labels = _read_labels(log.y, 1 if options.events else event, horizon)
        name = BLEND if isinstance(_last_step(model), EventBlend) else NETWORKS
        print(format_table(pd.DataFrame({name: detection_report(labels, score, threshold)}).T))


def _fit_and_measure(log: Log, options: argparse.Namespace) -> tuple[pd.DataFrame, FixedThresholdClassifier]:
    """Measure on held-out runs, then fit on all of them with the threshold found."""
    X, y = log.X, log.y
    splitter = choose_splitter(X, y, options.folds)
    _check_folds(splitter, X, y)
    _describe(X, y, splitter)
    others = {} if options.no_baselines else baselines(options.window_size, options.seed)
    ours = BLEND if options.model == BLEND else NETWORKS
    models = {name: _with_imputer(model) for name, model in {ours: _make_model(options), **others}.items()}
    n_fits = len(models) * splitter.get_n_splits() + 1
    with tqdm(total=n_fits, desc="fits", disable=not sys.stderr.isatty()) as bar:
        table, thresholds = compare(models, X, y, splitter, bar.update, VARIANTS)
        model = _with_threshold(models[ours], thresholds[ours]).fit(X, y)
        bar.update()
    print(format_table(table))
    return table, model


def _make_model(options: argparse.Namespace) -> EventBlend | EventClassifier:
    max_epochs = "auto" if options.max_epochs is None else options.max_epochs
    network = LSTMClassifier(device=options.device, max_epochs=max_epochs)
    settings = {"estimator": network, "window_size": options.window_size}
    seed, verbose = options.seed, int(sys.stderr.isatty())
    if options.model != BLEND:
        alone = EventClassifier(random_state=seed, verbose=verbose, n_estimators=options.members)
        return alone.set_params(**settings)
    if options.members < 2:
        raise ValueError(f"--members {options.members} is too few: the blend has two views. Pass 2, or --model lstm.")
    n_level = options.members // 2
    blend = EventBlend(random_state=seed, verbose=verbose)
    for view, n_members in {"level": n_level, "relative": options.members - n_level}.items():
        of_view = settings | {"n_estimators": n_members}
        blend.set_params(**{f"{view}__{name}": value for name, value in of_view.items()})
    return blend


def _with_threshold(model: Any, threshold: float) -> FixedThresholdClassifier:
    return FixedThresholdClassifier(model, threshold=threshold, pos_label=1, response_method="predict_proba")


def _check_folds(splitter: Any, X: pd.DataFrame, y: pd.Series) -> None:
    """Find out before any training whether each fold holds an event."""
    try:
        list(splitter.split(X, y))
    except ValueError as error:
        raise ValueError(
            f"{error} On the command line: fewer --folds, or --threshold 0.5 (say) to fit without measuring."
        ) from None


def _describe(X: pd.DataFrame, y: pd.Series, splitter: Any) -> None:
    """Print what the log holds and how it is split."""
    runs = read_index(X).runs
    n_events = int(event_onsets(np.asarray(y) == 1, runs).sum())
    held_out = "whole runs" if isinstance(splitter, RunKFold) else "later times"
    print(
        f"{len(X)} rows of {X.shape[1]} sensors ({_enumerate(X.columns)}).\n"
        f"Runs: {runs[-1] + 1}. Events: {n_events}, {np.mean(y):.2%} of the rows.\n"
        f"Measured on {held_out} held out, in {splitter.get_n_splits()} folds; thresholds come from the other folds.",
        flush=True,
    )


def _enumerate(names: Any) -> str:
    shown = ", ".join(map(str, names[:MAX_NAMES_SHOWN]))
    return f"{shown}, ..." if len(names) > MAX_NAMES_SHOWN else shown


def _with_imputer(model: Any) -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="median"), model).set_output(transform="pandas")


def _find_event(y: pd.Series) -> Any:
    """Return the class that marks events: 1 beside 0, else the rarer of two."""
    classes = y.value_counts()
    if len(classes) != 2:
        raise ValueError(
            f"the label has {len(classes)} classes ({', '.join(map(str, classes.index[:5]))}); two are wanted: quiet "
            "rows and rows of an event. Label at least one event, and mark all kinds of events alike."
        )
    return 1 if set(classes.index) == {0, 1} else classes.index[-1]


def _read_labels(y: pd.Series, event: Any, horizon: str) -> pd.Series:
    """Return 1 on rows of an event and within the horizon before one, else 0."""
    return horizon_labels((y == event).astype(int), _read_horizon(horizon))


def _read_horizon(text: str) -> int | float | str:
    """Return rows, a number in the unit of the time, or a length of time such as 6h."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text


def _index_names(model: Any) -> list[str]:
    """Return the index levels that the model was fitted on."""
    names = getattr(_last_step(model), "index_names_", None)
    return list(names) if names else ["time"]


def _last_step(model: Any) -> Any:
    """Return what a threshold and a pipeline are around."""
    fitted = getattr(model, "estimator_", model)
    return fitted[-1] if isinstance(fitted, Pipeline) else fitted


def _check_output(path: Path, *inputs: Path | None) -> None:
    """Refuse an output that cannot be written, or that would replace an input, before any work is done."""
    if path.exists() and any(given is not None and given.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"the output {str(path)!r} is also an input, and would be replaced. Name another file.")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {str(path.parent)!r} of the output does not exist. Make it first.")
    if path.is_dir():
        raise ValueError(f"the output {str(path)!r} is a folder. Pass the name of a file.")


def _write_whole(scores: pd.DataFrame, path: Path) -> None:
    """Write a CSV beside `path` and move it into place, so that nothing is left half-written."""
    part = path.with_name(path.name + ".part")
    try:
        scores.to_csv(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
