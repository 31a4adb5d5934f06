"""Score many made logs, and one that is long, and print the throughput and the memory that it takes.

Run it with::

    python pipelines/score_fleet.py --logs 1000 --rows 10000 --jobs 1 2
    python pipelines/score_fleet.py --logs 0 --long 1000000 5000000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from joblib import parallel_config

import eventlstm as el

N_SENSORS, RUN_ROWS = 8, 500_000
MIB = 2**10  # in KiB, in which Linux counts


def make_table(n_rows: int, name: str, seed: int) -> pd.DataFrame:
    """Return a log of one machine, a row a minute."""
    values = np.random.default_rng(seed).normal(size=(n_rows, N_SENSORS)).astype(np.float32)
    table = pd.DataFrame(values, columns=[f"s{k}" for k in range(N_SENSORS)])
    times = pd.date_range("2024-01-01", periods=n_rows, freq="min")
    return table.assign(machine=name, time=times)


def make_model(kind: str) -> el.EventClassifier:
    """Return a small model, fitted on noise: what it says does not matter here."""
    log = make_table(4000, "m", 0).set_index(["machine", "time"])
    y = pd.Series((np.arange(len(log)) % 100 > 95).astype(int), log.index)
    if kind == "blend":
        return el.EventBlend(random_state=0).fit(log, y)
    network = el.LSTMClassifier(hidden_size=16, max_epochs=1, random_state=0)
    return el.EventClassifier(network, n_estimators=1, random_state=0).fit(log, y)


def write_long(path: Path, n_rows: int) -> None:
    """Write a log of several machines, one row group after the other."""
    import pyarrow
    import pyarrow.parquet

    writer = None
    for k, begin in enumerate(range(0, n_rows, RUN_ROWS)):
        table = pyarrow.Table.from_pandas(make_table(min(RUN_ROWS, n_rows - begin), f"m{k:04d}", k))
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=RUN_ROWS // 4)
    writer.close()


def peak_mib() -> float:
    """Return the most memory that this process has taken; `ru_maxrss` would count the one that began it, too."""
    told = Path("/proc/self/status")
    if told.exists():
        return int(told.read_text().split("VmHWM:")[1].split()[0]) / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def score(model: Path, logs: Path, out: Path, n_jobs: int) -> None:
    """Score logs, and print how fast; in a process of its own, so that the peak is its own."""
    loaded, before = el.load(model), peak_mib()
    begin = time.perf_counter()
    with parallel_config("loky" if n_jobs > 1 else "sequential", n_jobs=n_jobs):
        outcomes = el.score_logs(loaded, logs, out, progress=False)
    took, rows = time.perf_counter() - begin, int(outcomes["rows"].sum())
    failed = int((outcomes["error"] != "").sum())
    print(
        f"{len(outcomes)} logs, {rows} rows, {n_jobs} workers: {took:.1f} s, {rows / took:.0f} rows/s, "
        f"peak {peak_mib():.0f} MiB ({before:.0f} before), {failed} failed",
        flush=True,
    )


def main() -> None:
    """Make the logs and score them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--long", type=int, nargs="*", default=[], help="rows of long logs, each scored by itself")
    parser.add_argument("--model", choices=("network", "blend"), default="network")
    parser.add_argument("--score", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.score:
        model, logs, out, n_jobs = options.score
        return score(Path(model), Path(logs), Path(out), int(n_jobs))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        el.save(make_model(options.model), root / "model")
        (root / "logs").mkdir()
        for k in range(options.logs):
            make_table(options.rows, f"m{k}", k).to_parquet(root / "logs" / f"m{k:04d}.parquet", index=False)
        work = [(root / "logs", jobs) for jobs in options.jobs if options.logs]
        for n_rows in options.long:
            write_long(root / f"{n_rows}.parquet", n_rows)
            work.append((root / f"{n_rows}.parquet", 1))
        for k, (logs, jobs) in enumerate(work):
            asked = [str(root / "model"), str(logs), str(root / f"out{k}"), str(jobs)]
            subprocess.run([sys.executable, __file__, "--score", *asked], check=True)


if __name__ == "__main__":
    main()
