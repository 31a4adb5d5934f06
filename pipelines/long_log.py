"""A log that is longer than memory, scored and reported on piece by piece: what it costs, and that scores are the same.

Makes a log of 8 sensors with rare events in pieces, fits a small classifier on its first rows, and runs ``eventlstm
score`` and ``eventlstm report`` on it, each in a process of its own, whose highest memory it prints. The scores of the
first rows are compared with those of a log that holds them alone.

    python pipelines/long_log.py --rows 20000000

Smoke form: ``python pipelines/long_log.py --rows 150000 --compared 100000``.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import eventlstm as el

N_SENSORS, PIECE, FITTED = 8, 100_000, 100_000
EVERY, LENGTH, RISE = 20_000, 60, 1.5  # rows from one event to the next, of an event, and how far sensors then move
MEMORY = """
import os, sys
from eventlstm.cli import main, process
os.environ.update(process.LIBRARIES)
import eventlstm.cli.report, eventlstm.cli.score
told = lambda: next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
begun = told()
done = main(sys.argv[1:])
print(f"VmHWM {told()} MiB, {begun} of it before it began")
sys.exit(done)
"""


def main(arguments=None):
    """Print what a long log costs."""
    options = read_options(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder)
        log, model = folder / "log.parquet", folder / "model.eventlstm"
        write_log(log, options.rows, options.machines)
        fit(log, model)
        run("score", model, log, "-o", folder / "scores.csv")
        run("report", model, log, "--label", "event", "-o", folder / "report.html")
        print(f"page: {(folder / 'report.html').stat().st_size / 1e6:.1f} MB")
        if options.machines == 1:
            print(f"scores of the first {options.compared} rows: {compare(log, model, folder, options.compared)}")


def read_options(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows of the log (default: 20 million)")
    parser.add_argument("--machines", type=int, default=1, help="machines that take turns, row by row (default: 1)")
    parser.add_argument("--compared", type=int, default=1_000_000, help="first rows whose scores are compared")
    parser.add_argument("--folder", type=Path, help="where to put the log meanwhile (default: that of the system)")
    return parser.parse_args(arguments)


def write_log(path, n_rows, n_machines=1, seed=0):
    """Write a log a minute a row, in pieces; several machines take turns."""
    import pyarrow
    import pyarrow.parquet

    rng, writer, begin = np.random.default_rng(seed), None, pd.Timestamp("1990-01-01")
    for first in range(0, n_rows, PIECE):
        rows = np.arange(first, min(first + PIECE, n_rows))
        events = (rows % EVERY >= EVERY - LENGTH).astype(int)
        values = rng.normal(size=(len(rows), N_SENSORS)) + np.sin(rows / 200)[:, None]
        values[:, :3] += RISE * events[:, None]
        table = pd.DataFrame(values.astype(np.float32), columns=[f"sensor {k}" for k in range(N_SENSORS)])
        table.insert(0, "time", begin + pd.to_timedelta(rows // n_machines, unit="min"))
        if n_machines > 1:
            table.insert(0, "machine", [f"m{row % n_machines:04d}" for row in rows])
        part = pyarrow.Table.from_pandas(table.assign(event=events), preserve_index=False)
        writer = writer or pyarrow.parquet.ParquetWriter(path, part.schema)
        writer.write_table(part)
    writer.close()


def fit(log, path):
    """Fit a small classifier on the first rows of a log, and save it."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(log) as file:
        table = next(file.iter_batches(batch_size=FITTED)).to_pandas()
    keys = [name for name in ("machine", "time") if name in table]
    table = table.set_index(keys).sort_index()
    network = el.LSTMClassifier(hidden_size=8, max_epochs=3)
    model = el.EventClassifier(network, window_size=16, n_estimators=1, random_state=0)
    el.save(model.fit(table.drop(columns="event"), table["event"]), path)


def run(*command):
    """Run a command of eventlstm in a process of its own, and print its time and highest memory."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEMORY, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    print(f"{command[0]}: {time.perf_counter() - begin:.0f} s, {done.stdout.splitlines()[-1]}", flush=True)
    return done.stdout


def compare(log, model, folder, n_rows):
    """Return how far the scores of the first rows are from those of these rows in memory."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(log) as file:
        first = pd.concat([batch.to_pandas() for batch in _batches(file, n_rows)]).set_index("time")
    whole = el.load(model).predict_proba(first.drop(columns="event"))[:, 1]
    scores = pd.read_csv(folder / "scores.csv", nrows=n_rows)["score"].to_numpy()
    far = np.abs(whole - scores).max()
    return "the same bits" if not far else f"{far:.1g} apart at most"


def _batches(file, n_rows):
    for batch in file.iter_batches(batch_size=PIECE):
        if n_rows <= 0:
            return
        yield batch[:n_rows]
        n_rows -= len(batch)


if __name__ == "__main__":
    main()
