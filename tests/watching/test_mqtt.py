"""Addresses of brokers: read whole, shown without what is secret."""

import pytest

from eventlstm.watching.mqtt import BrokerAddress


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("mqtt://host/plant", ("host", 1883, "plant", None, None, False)),
        ("mqtts://host/a/b", ("host", 8883, "a/b", None, None, True)),
        ("mqtt://me:p%40ss@host:99/a/+/b", ("host", 99, "a/+/b", "me", "p@ss", False)),
        ("mqtt://me@[::1]:99/a/#", ("::1", 99, "a/#", "me", None, False)),
        ("mqtt://host//a b", ("host", 1883, "/a b", None, None, False)),
    ],
)
def test_an_address_says_host_port_topic_and_who_asks(text, fields):
    assert BrokerAddress.read(text) == fields


@pytest.mark.parametrize(
    "text",
    ["", "host", "mqtt://", "mqtt:///a", "mqtt://me:s3cret@host", "http://me:s3cret@host/a", "mqtt://a:s3cret@b:x/y"],
)
def test_what_is_no_address_is_told_without_the_password(text):
    with pytest.raises(ValueError, match=r"is no address of a topic at a broker\. Write it like mqtt://") as error:
        BrokerAddress.read(text)
    assert "s3cret" not in str(error.value)


def test_a_shown_address_holds_neither_user_nor_password():
    assert BrokerAddress.read("mqtt://me:s3cret@host/a").shown == "host:1883/a"
    assert "s3cret" not in repr(BrokerAddress.read("mqtt://me:s3cret@host/a"))


def test_a_password_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("EVENTLSTM_MQTT_PASSWORD", "s3cret")
    assert BrokerAddress.read("mqtt://me@host/a").password == "s3cret"
    assert BrokerAddress.read("mqtt://me:own@host/a").password == "own"
    assert BrokerAddress.read("mqtt://host/a").password is None
