"""A model, its log and what the batch says of it, and watches run in this process."""

import json
import os
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pandas as pd
from sklearn.model_selection import FixedThresholdClassifier

import eventlstm as el
from eventlstm.alarms.model_scores import as_reached, policy_of
from eventlstm.cli.labels import FLAGS, keep_reading
from eventlstm.cli.parser import main, make_parser

PATIENCE = 60.0  # seconds; a busy machine takes ten times as long as an idle one


def make_watched(folder):
    """Return a folder with a model, its log, the rows in the order of time, and their scores and alarms at once."""
    log = el.datasets.make_sensor_log(n_machines=3, n_days=3, failures_per_machine=2, random_state=0)
    small = el.LSTMClassifier(hidden_size=4, max_epochs=3, lr=0.05, random_state=0)
    model = el.EventClassifier(small, n_estimators=1, random_state=0).fit(log.X, log.y)
    score = pd.Series(model.predict_proba(log.X)[:, 1], index=log.X.index)
    threshold = float(np.quantile(score, 0.9))
    model = FixedThresholdClassifier(model, threshold=as_reached(threshold), pos_label=1).fit(log.X, log.y)
    model.alarm_policy_ = el.AlarmPolicy(threshold=threshold, merge_gap=3)
    keep_reading(model, log.X.index, FLAGS, make_parser().parse_args(["fit", "x", "--time", "time", "-o", "y"]))
    el.save(model, folder / "model")
    rows = log.X.reset_index().sort_values(["time", "machine"], kind="stable")
    rows.to_csv(folder / "rows.csv", index=False)
    log.X.assign(failure=log.y).reset_index().to_csv(folder / "past.csv", index=False)
    return folder, score, policy_of(model).to_events(score)


def run(*words):
    return main(["watch", *map(str, words)])


def run_on_stdin(text, *words):
    """Run a watch of a text on standard input, of this very process."""
    kept, (reader, writer) = os.dup(0), os.pipe()
    os.dup2(reader, 0)
    os.close(reader)

    def feed():
        with suppress(BrokenPipeError), os.fdopen(writer, "wb") as file:
            file.write(text)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        return run(*words)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        feeder.join()


def run_meanwhile(act, *words):
    """Run a watch while `act` does something in a thread, at whose end SIGTERM is sent."""

    def act_and_end():
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    actor = threading.Thread(target=act_and_end)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # one that comes after the end is nobody's
    try:
        actor.start()
        return run(*words)
    finally:
        actor.join()
        signal.signal(signal.SIGTERM, before)


def wait_until(is_so):
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.02)


def n_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def expect_scores(path, score):
    """Each row once, with the score and the alarm of the batch."""
    found = pd.read_csv(path, parse_dates=["time"]).set_index(["machine", "time"])
    assert not found.index.duplicated().any() and len(found) == len(score)
    np.testing.assert_allclose(found["score"].loc[score.index], score, atol=1e-6)


def expect_alarms(lines, events):
    """The alarms of the batch, each under an id of its own."""
    last = {line["id"]: line for line in lines if line["kind"] in ("opened", "updated", "closed")}
    found = pd.DataFrame(last.values()).sort_values(["machine", "since"])
    for told, column in (("since", "start"), ("until", "end"), ("peak", "peak")):
        assert list(pd.to_datetime(found[told])) == list(events[column]), told
    assert list(found["machine"]) == list(events["run"])
    np.testing.assert_allclose(found["peak_score"], events["peak_score"], atol=1e-6)
