"""How a watch bears a long file, many kills and a broker: minutes each, run by hand from the root of the repository.

    python -m tests.watching.endurance memory --rows 1000000
    python -m tests.watching.endurance kills --rows 300000 --kills 20
    python -m tests.watching.endurance mqtt --rows 10000

Each prints what it measured, and fails where a row is lost, scored twice, or scored otherwise than at once.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import eventlstm as el
from eventlstm.alarms.model_scores import policy_of
from tests.cli.watching import expect_alarms, expect_scores, lines_of, make_watched
from tests.watching.brokers import KINDS, LocalBroker

N_MACHINES = 20
LOOK_SECONDS = 0.05


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["memory", "kills", "mqtt"])
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_watched(folder)
        log = make_log(folder, options.rows, options.seed)
        {"memory": bear_a_long_file, "kills": bear_kills, "mqtt": bear_a_broker}[options.what](folder, log, options)


def make_log(folder, n_rows, seed):
    """Rows of the log of the model, drawn anew, for more machines and a longer time; in the order of time in a file."""
    draw, rows = np.random.default_rng(seed), pd.read_csv(folder / "rows.csv")
    n_times = n_rows // N_MACHINES
    times = pd.date_range("2025-01-01", periods=n_times, freq="10min", name="time")
    names = pd.Index([f"pump-{k:02d}" for k in range(1, N_MACHINES + 1)], name="machine")
    index = pd.MultiIndex.from_product([times, names])
    values = rows.drop(columns=["machine", "time"]).to_numpy()
    # stretches of the log as they were, so that scores rise and fall as they do there
    starts = draw.integers(0, len(values) - 100, size=(n_times // 100 + 1, N_MACHINES))
    chosen = (starts[:, None] + np.arange(100)[None, :, None]).reshape(-1, N_MACHINES)[:n_times]
    log = pd.DataFrame(values[chosen.reshape(-1)], index=index, columns=rows.columns[2:])
    log = log.round(4).reset_index()[[*rows.columns]]
    log.to_csv(folder / "long.csv", index=False)
    return log.set_index(["machine", "time"]).sort_index()


def start(folder, source, *words):
    command = [sys.executable, "-m", "eventlstm.cli", "watch", folder / "model", source, "--no-sensors"]
    files = ["--scores", folder / "scores.csv", "--state", folder / "state", *words]
    with open(folder / "out", "a") as out:
        return subprocess.Popen([*command, *files], stdout=out)


def n_scored(folder):
    path = folder / "scores.csv"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else -1


def resident_megabytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def finish(folder, process, log, n_seconds):
    """End a watch, and compare with scores and alarms at once."""
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    model = el.load(folder / "model")
    score = pd.Series(model.predict_proba(log)[:, 1], index=log.index)
    expect_scores(folder / "scores.csv", score)
    events = policy_of(model).to_events(score)
    expect_alarms(lines_of((folder / "out").read_text()), events)
    print(
        f"{len(log)} rows in {n_seconds:.0f} s ({len(log) / n_seconds:.0f} a second); {len(events)} alarms, all alike"
    )


def bear_a_long_file(folder, log, options):
    process = start(folder, folder / "long.csv")
    size, first, highest, began = 0, None, 0.0, None
    while size < len(log):
        time.sleep(1)
        size = n_scored(folder)
        if size > 0:
            now = resident_megabytes(process)
            first, began = (now, time.monotonic()) if first is None else (first, began)
            highest = max(highest, now)
    print(f"memory: {first:.0f} MB after the first rows, at most {highest:.0f} MB: {highest - first:+.1f} MB")
    finish(folder, process, log, time.monotonic() - began)


def bear_kills(folder, log, options):
    draw, began = random.Random(options.seed), time.monotonic()
    for k in range(options.kills):
        before, process = n_scored(folder), start(folder, folder / "long.csv")
        while n_scored(folder) <= max(before, 0):  # a restart first cuts what no state knows
            time.sleep(LOOK_SECONDS)
        time.sleep(draw.random())
        process.kill()
        process.wait()
        print(f"kill {k + 1} after {n_scored(folder)} rows", flush=True)
    process = start(folder, folder / "long.csv")
    while n_scored(folder) < len(log):
        time.sleep(LOOK_SECONDS)
    finish(folder, process, log, time.monotonic() - began)


def bear_a_broker(folder, log, options):
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    broker = LocalBroker(KINDS[0], folder)
    process = start(folder, broker.address("rows"))
    one = Client(CallbackAPIVersion.VERSION2, client_id="endurance", clean_session=False)
    one.reconnect_delay_set(1, 1)
    one.max_inflight_messages_set(1000)
    one.connect("127.0.0.1", broker.port)
    one.loop_start()
    rows = [json.dumps(row) for row in pd.read_csv(folder / "long.csv").to_dict("records")]
    while n_scored(folder) < 1:
        one.publish("rows", rows[0], qos=1)
        time.sleep(0.2)
    began, half = time.monotonic(), len(rows) // 2
    for row in rows[1:half]:
        one.publish("rows", row, qos=1)
    while n_scored(folder) < half // 2:
        time.sleep(LOOK_SECONDS)
    broker.stop()
    for row in rows[half:]:
        one.publish("rows", row, qos=1)
    time.sleep(5)
    print(f"{KINDS[0]} away for 5 s after {n_scored(folder)} rows")
    broker.start()
    while n_scored(folder) < len(rows):
        time.sleep(LOOK_SECONDS)
    finish(folder, process, log, time.monotonic() - began)
    one.loop_stop()
    broker.stop()


if __name__ == "__main__":
    main()
