"""A watch of a topic: every row arrives, over a restart of the broker, a kill of the watch, and either broker."""

import itertools
import json
import threading

import numpy as np
import pandas as pd
import pytest

from tests.watching.brokers import KINDS, NO_BROKER, LocalBroker

from .watching import expect_alarms, expect_scores, lines_of, make_watched, n_lines, run, run_meanwhile, wait_until

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.skipif(not KINDS, reason=NO_BROKER),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_watched(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=KINDS)
def broker(request, tmp_path):
    local = LocalBroker(request.param, tmp_path)
    yield local
    local.stop()


@pytest.fixture
def client(broker):
    """Makes clients of the broker that deliver each message at least once, and are gone at the end."""
    paho, enums = pytest.importorskip("paho.mqtt.client"), pytest.importorskip("paho.mqtt.enums")
    made, numbers = [], itertools.count()

    def connect():
        name = f"test-{next(numbers)}"
        one = paho.Client(enums.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        one.reconnect_delay_set(1, 1)
        one.connect("127.0.0.1", broker.port)
        one.loop_start()
        made.append(one)
        return one

    yield connect
    for one in made:
        one.disconnect()
        one.loop_stop()


def rows_of(folder):
    return pd.read_csv(folder / "rows.csv").to_dict("records")


def send(one, rows):
    for row in rows:
        one.publish("plant/rows/1", json.dumps(row), qos=1)


def hear(one, topic):
    """The messages of a topic from now on."""
    heard, is_there = [], threading.Event()
    one.on_message = lambda _client, _data, message: heard.append(message.payload.decode())
    one.on_subscribe = lambda *_: is_there.set()
    one.subscribe(topic, qos=1)
    assert is_there.wait(30)
    return heard


def test_rows_of_a_topic_are_scored_as_the_batch_does_and_alarms_published(made, tmp_path, broker, client, capsys):
    folder, score, events = made
    rows, scores, one = rows_of(folder), tmp_path / "scores.csv", client()
    heard = hear(client(), "plant/alarms")

    def act():
        send_until_it_arrives(one, rows[0], scores, 2)
        one.publish("plant/rows/1", b"{broken", qos=1)
        send(one, rows[1:])
        wait_until(lambda: n_lines(scores) == 1 + len(rows))

    words = ["--scores", scores, "--alarms", broker.address("plant/alarms")]
    assert run_meanwhile(act, folder / "model", broker.address("plant/rows/#"), *words) == 0
    expect_scores(scores, score)
    out, err = capsys.readouterr()
    expect_alarms(lines_of(out), events)
    wait_until(lambda: len(heard) == out.count("\n"))
    assert heard == out.splitlines()
    assert "left out" in err


def send_until_it_arrives(one, row, scores, n_then):
    """Send a row again and again: the watch may not have subscribed yet, and leaves out what it knows."""

    def is_there():
        send(one, [row])
        return n_lines(scores) == n_then

    wait_until(is_there)


def test_no_row_is_lost_while_the_watch_or_the_broker_is_away(made, tmp_path, broker, client, capsys):
    folder, score, events = made
    rows, scores, state, one = rows_of(folder), tmp_path / "scores.csv", tmp_path / "state", client()
    words = [folder / "model", broker.address("plant/rows/1"), "--scores", scores, "--state", state, "--every", 100]

    def see_the_broker_go():
        send_until_it_arrives(one, rows[0], scores, 2)
        send(one, rows[1:200])
        wait_until(lambda: n_lines(scores) == 201)
        broker.stop()
        if broker.keeps_sessions:
            send(one, rows[200:400])
        threading.Event().wait(1.5)
        broker.start()
        if not broker.keeps_sessions:
            send_until_it_arrives(one, rows[200], scores, 202)
            send(one, rows[201:400])
        wait_until(lambda: n_lines(scores) == 401)

    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventlstm.cli.watch.Watch.tell", lambda _, text: told.append(text))
        assert run_meanwhile(see_the_broker_go, *words) == 0
    assert any("is gone" in text for text in told) and any("is back" in text for text in told)
    if broker.keeps_sessions:
        send(one, rows[390:])  # some are delivered again, and the broker keeps all while the watch is away

    def see_the_rest():
        if not broker.keeps_sessions:
            send_until_it_arrives(one, rows[400], scores, 402)
            send(one, rows[390:])
        wait_until(lambda: n_lines(scores) == 1 + len(rows))

    assert run_meanwhile(see_the_rest, *words) == 0
    expect_scores(scores, score)
    expect_alarms(lines_of(capsys.readouterr().out), events)
    assert not np.isnan(score).any()


def test_no_password_is_kept_or_told(made, tmp_path, broker, client, capsys):
    folder, *_ = made
    scores, state, one = tmp_path / "scores.csv", tmp_path / "state", client()
    address = broker.address("plant/rows/1").replace("mqtt://", "mqtt://me:s3cret@")
    words = [folder / "model", address, "--scores", scores, "--state", state, "-v"]
    assert run_meanwhile(lambda: send_until_it_arrives(one, rows_of(folder)[0], scores, 2), *words) == 0
    broker.stop()
    assert run_meanwhile(lambda: threading.Event().wait(1.0), *words) == 0
    broker.start()
    out, err = capsys.readouterr()
    assert "is not there; trying again" in err
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(("state", "scores")))
    assert "s3cret" not in out + err and b"s3cret" not in kept


def test_an_address_without_a_topic_ends_the_watch(made, capsys):
    folder, *_ = made
    assert run(folder / "model", "mqtt://127.0.0.1:1") == 2
    assert "no address of a topic" in capsys.readouterr().err
