"""Play a log into `eventlstm watch`, and see the alarms as they come beside those of the whole log at once: equal.

    python pipelines/live.py                         # a made log, through a pipe, as fast as it goes
    python pipelines/live.py --speed 36000           # ten hours of the log a second
    python pipelines/live.py --broker                # through an MQTT broker: mosquitto, or amqtt
    python pipelines/live.py --data new.csv --model model.eventlstm

The first four machines of the made log are learnt, the others played. `--model` is a file of `eventlstm fit` or
`detect`, and `--data` a CSV with the columns that it was fitted on.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
from sklearn.model_selection import FixedThresholdClassifier

import eventlstm as el
from eventlstm.alarms.model_scores import as_reached, last_step, policy_of, score_rows, threshold_of

WATCH = [sys.executable, "-m", "eventlstm.cli", "watch"]
TOPIC = "plant/rows"
PATIENCE = 60.0  # seconds until a broker is there
OF_AMQTT = """
import asyncio
from amqtt.broker import Broker
config = {"listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:PORT"}},
          "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}}
async def serve():
    await Broker(config).start()
    await asyncio.Event().wait()
asyncio.run(serve())
"""


def main(arguments=None):
    options = read_options(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run(options, Path(folder))
    except (OSError, ValueError, ImportError) as error:
        print(f"live: {error}", file=sys.stderr)
        return 2


def read_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="CSV to play (default: a log made on the spot)")
    parser.add_argument("--model", type=Path, help="what scores it: a file of `eventlstm fit` or `detect`")
    parser.add_argument("--speed", type=float, help="seconds of the log a second (default: as fast as it goes)")
    parser.add_argument("--broker", action="store_true", help="through an MQTT broker instead of a pipe")
    return parser.parse_args(arguments)


def run(options, folder):
    """Watch a log while it is played, and return 0 if its alarms are those of the batch."""
    if (options.data is None) != (options.model is None):
        raise ValueError("--data and --model go together. Pass both, or none for a made log.")
    path, model, X = make(folder) if options.model is None else read(options.model, options.data)
    play = play_to_broker if options.broker else play_to_pipe
    lines = play(path, in_order_of_time(X), X.index.names[-1], options.speed, folder)
    watched, batch = fold(lines), alarms_at_once(model, X)
    print(f"\n{len(X)} rows; alarms of the watch: {len(watched)}, of the batch: {len(batch)}.")
    is_equal = watched == batch
    print("They are equal: machine, start, end and peak." if is_equal else f"They differ:\n{watched}\n{batch}")
    return 0 if is_equal else 1


def make(folder):
    """Fit a small model on some machines of a made log, and return its file, it, and the log of the others."""
    X, y = el.datasets.make_sensor_log(n_machines=6, n_days=6, failures_per_machine=2, random_state=0)
    is_new = X.index.get_level_values("machine") > "pump-04"
    small = el.LSTMClassifier(hidden_size=16, max_epochs=20, lr=0.01)
    model = el.EventClassifier(small, n_estimators=2, random_state=0).fit(X[~is_new], y[~is_new])
    score = pd.Series(model.predict_proba(X[~is_new])[:, 1], index=X.index[~is_new])
    threshold = el.choose_threshold(y[~is_new], score)
    model = FixedThresholdClassifier(model, threshold=as_reached(threshold), pos_label=1).fit(X[~is_new], y[~is_new])
    el.save(model, folder / "model.eventlstm")
    return folder / "model.eventlstm", model, X[is_new]


def read(path, data):
    """Return the file of a model, it, and a log read as that of its fit was."""
    model = el.load(path)
    *runs, time_name = getattr(model, "index_columns_", None) or last_step(model).index_names_
    log = el.read_log(data, time=time_name, run=runs or None, sensors=list(model.feature_names_in_))
    return path, model, log.X


def in_order_of_time(X):
    """Rows as they would come from the machines, with the names of machine and time as columns."""
    table = X.reset_index()
    return table.sort_values(X.index.names[-1], kind="stable")


def play_to_pipe(path, table, time_name, speed, _):
    """Write rows to the standard input of a watch, and return the lines of its alarms."""
    with subprocess.Popen([*WATCH, path, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watch:
        listener = Listener(watch.stdout)
        head, *rows = table.to_csv(index=False).splitlines(keepends=True)
        watch.stdin.write(head)
        for text in pace(table[time_name], rows, speed):
            watch.stdin.write(text)
            watch.stdin.flush()
        watch.stdin.close()
        return listener.lines()


def play_to_broker(path, table, time_name, speed, folder):
    """Publish rows as JSON to a topic that a watch listens to, and return the lines of its alarms."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    scores = folder / "scores.csv"
    with run_broker(folder) as port:
        command = [*WATCH, path, f"mqtt://127.0.0.1:{port}/{TOPIC}", "--scores", scores, "-v"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
            listener = Listener(watch.stdout)
            next(line for line in watch.stderr if "listening" in line)
            threading.Thread(target=watch.stderr.read).start()  # so that it can always be written to
            machines = Client(CallbackAPIVersion.VERSION2)
            machines.connect("127.0.0.1", port)
            machines.loop_start()
            rows = table.to_json(orient="records", lines=True, double_precision=15, date_format="iso").splitlines()
            for text in pace(table[time_name], rows, speed):
                machines.publish(TOPIC, text, qos=1)
            wait_until(lambda: scores.read_bytes().count(b"\n") > len(rows))
            machines.disconnect()
            machines.loop_stop()
            watch.terminate()  # which ends it in order, with what is to be said of alarms that are on
            return listener.lines()


class Listener(threading.Thread):
    """Prints alarms as they come, and keeps them."""

    def __init__(self, stream):
        super().__init__()
        self.stream, self.heard = stream, []
        self.start()

    def run(self):
        """Hear the stream to its end."""
        for text in self.stream:
            line = json.loads(text)
            self.heard.append(line)
            why = ", ".join(line.get("sensors", []))
            print(
                f"{line['until']}  {line['machine']}  {line['kind']:8} peak {line['peak_score']:.3f}  {why}", flush=True
            )

    def lines(self):
        """All lines, once there will be no more."""
        self.join()
        return self.heard


def pace(times, texts, speed):
    """Yield the texts of rows when their time has come; without a speed, at once."""
    since = times - times.min()
    seconds = since.dt.total_seconds() if hasattr(since, "dt") else since
    began = time.monotonic()
    for text, due in zip(texts, seconds / (speed or float("inf")), strict=True):
        time.sleep(max(began + due - time.monotonic(), 0.0))
        yield text


@contextmanager
def run_broker(folder):
    """Run a broker, and say its port."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    settings = folder / "broker"
    # by default, what is beyond 1,000 messages that wait is lost
    of_mosquitto = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    settings.write_text(of_mosquitto if program else OF_AMQTT.replace("PORT", str(port)))
    command = [program, "-c", settings] if program else [sys.executable, settings]
    broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_open(port))
        yield port
    finally:
        broker.terminate()
        broker.wait()


def is_open(port):
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_so):
    """Wait until something is so, or PATIENCE is over."""
    until = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError("the broker or the watch does not answer.")
        time.sleep(0.05)


def fold(lines):
    """The alarms that lines tell, each by its last line: machine, start, end and peak."""
    last = {line["id"]: line for line in lines}
    return sorted((line["machine"], line["since"], line["until"], line["peak"]) for line in last.values())


def alarms_at_once(model, X):
    """The alarms of a whole log."""
    threshold = threshold_of(model)
    policy = policy_of(model).set_params(threshold=0.5 if threshold is None else threshold)
    events = policy.to_events(pd.Series(score_rows(model, X), index=X.index))
    return sorted((row.run, str(row.start), str(row.end), str(row.peak)) for row in events.itertuples())


if __name__ == "__main__":
    sys.exit(main())
