"""Rows from an MQTT broker, a JSON object each, and lines published to one; both outlive the broker's absence.

Needs paho-mqtt. Names and passwords are never told: what is shown of an address leaves them out.
"""

from __future__ import annotations

import os
import queue
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

SCHEMES = {"mqtt": 1883, "mqtts": 8883}
EXAMPLE = "mqtt://host:1883/plant/pumps"
PASSWORD_VARIABLE = "EVENTLSTM_MQTT_PASSWORD"  # of the environment, for a password that no list of processes shows
# Messages that wait to be read or sent: beyond them, the broker waits, or whoever publishes.
MOST_WAITING = 10_000
BACK_OFF_SECONDS = 1, 30  # between two tries to connect
TOLD_EVERY_SECONDS = 60.0
LOOK_SECONDS = 0.2  # how often a wait looks whether it is to end
REFUSALS = {"Bad user name or password", "Not authorized", "Client identifier not valid", "Banned"}


class BrokerAddress(NamedTuple):
    """Where messages come from or go to."""

    host: str
    port: int
    topic: str
    user: str | None
    password: str | None
    is_secure: bool

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what an address such as ``mqtt://user:password@host:1883/topic`` says."""
        plain = text.replace("#", "%23")  # which stands for all topics below
        try:
            parts = urlsplit(plain)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or parts.scheme not in SCHEMES or len(parts.path) < 2:
            shown = text.rpartition("@")[2]
            raise ValueError(f"{shown!r} is no address of a topic at a broker. Write it like {EXAMPLE}.")
        topic = unquote(parts.path[1:] + (f"?{parts.query}" if parts.query else ""))
        user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        if user is not None and password is None:
            password = os.environ.get(PASSWORD_VARIABLE)
        return cls(host, port or SCHEMES[parts.scheme], topic, user, password, parts.scheme == "mqtts")

    def __repr__(self) -> str:
        return self.shown

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return f"{self.host}:{self.port}/{self.topic}"


class BrokerRows:
    """The messages of a topic as lines, each delivered at least once.

    The session is persistent: under the same `client_id`, the broker keeps what it receives while this is away. A
    message is acknowledged by `accept`, after it was read.

    Parameters
    ----------
    address : BrokerAddress
        The topic, which may hold wildcards.
    client_id : str
        A name that no other client of the broker has.
    tell : callable
        Takes a line for whoever looks after the watch.
    say : callable, optional
        Takes a line for whoever asked to be told more.

    Raises
    ------
    ImportError
        If paho-mqtt is not installed.
    """

    ended = False
    position = None  # the broker knows what was accepted

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        tell: Callable[[str], None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.address, self._say = address, say
        self._queue: queue.Queue[tuple[int, int, bytes]] = queue.Queue(MOST_WAITING)
        self._unaccepted: list[tuple[int, int]] = []
        self._connection = 0  # their number; a message is acknowledged on the one that it came by
        self._is_closed = False
        self._link = Link(address, tell, self._subscribe, client_id=client_id, clean_session=False, manual_ack=True)
        self._client = self._link.client
        self._client.on_message = self._take
        self._client.on_subscribe = self._check_subscription
        self._link.start()

    def read(self, most: int, timeout: float) -> list[bytes]:
        """Return up to `most` messages that are at hand, waiting for the first no longer than `timeout` seconds.

        Raises
        ------
        ConnectionError
            If the broker refuses the client.
        """
        self._link.raise_refusal()
        lines: list[bytes] = []
        try:
            while len(lines) < most:
                connection, mid, payload = self._queue.get(not lines, timeout)
                lines.append(payload)
                self._unaccepted.append((connection, mid))
        except queue.Empty:
            pass
        return lines

    def accept(self) -> None:
        """Tell the broker that the messages read so far need not be sent again."""
        for connection, mid in self._unaccepted:
            if connection == self._connection:  # else it is sent again, under a number of its own
                self._client.ack(mid, 1)
        self._unaccepted.clear()

    def close(self) -> None:
        """Leave; the broker keeps what comes from now on."""
        self._is_closed = True
        self._link.stop()

    def _subscribe(self) -> None:
        self._connection += 1
        self._client.subscribe(self.address.topic, qos=1)

    def _check_subscription(self, client: Any, userdata: Any, mid: int, codes: Any, properties: Any) -> None:
        if codes[0].is_failure:
            self._link.refuse(f"the subscription ({codes[0]})")
        else:
            self._say(f"listening to {self.address.shown}.")

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        """Put a message into the queue, waiting while it is full: so the broker waits, too."""
        line = message.payload.replace(b"\n", b" ")
        while not self._is_closed:
            try:
                self._queue.put((self._connection, message.mid if message.qos else 0, line), timeout=LOOK_SECONDS)
                return
            except queue.Full:
                continue


class BrokerLines:
    """Lines published to a topic, each delivered at least once.

    Parameters
    ----------
    address : BrokerAddress
        The topic.
    tell : callable
        Takes a line for whoever looks after the watch.
    """

    def __init__(self, address: BrokerAddress, tell: Callable[[str], None]) -> None:
        self.address = address
        self._n_sent = self._n_delivered = 0
        self._link = Link(address, tell, lambda: None)
        self._link.client.max_queued_messages_set(0)  # it waits here instead
        self._link.client.on_publish = self._count
        self._link.start()

    @property
    def n_pending(self) -> int:
        """How many lines the broker has not confirmed."""
        return self._n_sent - self._n_delivered

    def send(self, line: str, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Send a line, waiting while too many are pending."""
        self._link.raise_refusal()
        while self.n_pending >= MOST_WAITING and not is_stopped():
            time.sleep(LOOK_SECONDS)
        self._n_sent += 1
        self._link.client.publish(self.address.topic, line, qos=1)

    def wait(self, timeout: float) -> bool:
        """Return whether all lines are delivered, within so many seconds."""
        until = time.monotonic() + timeout
        while self.n_pending and time.monotonic() < until:
            time.sleep(LOOK_SECONDS / 10)
        return not self.n_pending

    def close(self) -> None:
        """Leave the broker."""
        self._link.stop()

    def _count(self, *_: Any) -> None:
        self._n_delivered += 1


class Link:
    """A client of paho that connects again, with a pause that grows, whenever the broker goes away."""

    def __init__(
        self, address: BrokerAddress, tell: Callable[[str], None], on_connected: Callable[[], None], **settings: Any
    ) -> None:
        self.address, self._tell, self._on_connected = address, tell, on_connected
        self._was_connected = threading.Event()
        self._refusal: str | None = None
        self._told_at = -TOLD_EVERY_SECONDS
        self._is_away = False
        self.client = self._make(settings)

    def start(self) -> None:
        """Connect in a thread of paho's, however long it takes."""
        self.client.connect_async(self.address.host, self.address.port)
        self.client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()

    def refuse(self, what: str) -> None:
        """Take note that the broker refuses something."""
        self._refusal = f"The broker at {self.address.shown} refuses {what}. Check user, password and their rights."

    def raise_refusal(self) -> None:
        """Raise ConnectionError if the broker has refused this client."""
        if self._refusal is not None:
            raise ConnectionError(self._refusal)

    def _make(self, settings: dict[str, Any]) -> Any:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise ImportError('MQTT needs paho-mqtt. Run: pip install "eventlstm[mqtt]"') from error
        client = Client(CallbackAPIVersion.VERSION2, **settings)
        if self.address.user is not None:
            client.username_pw_set(self.address.user, self.address.password)
        if self.address.is_secure:
            client.tls_set_context(ssl.create_default_context())
        client.reconnect_delay_set(*BACK_OFF_SECONDS)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_connect_fail = self._failed
        return client

    def _connected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            if str(code) in REFUSALS and not self._was_connected.is_set():
                self.refuse(f"the connection ({code})")
            return
        if self._is_away:
            self._tell(f"the broker at {self.address.shown} is back.")
        self._is_away = False
        self._was_connected.set()
        self._on_connected()

    def _disconnected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._tell_away("gone")

    def _failed(self, client: Any, userdata: Any) -> None:
        self._tell_away("not there")

    def _tell_away(self, how: str) -> None:
        self._is_away = True
        if time.monotonic() - self._told_at >= TOLD_EVERY_SECONDS:
            self._told_at = time.monotonic()
            self._tell(f"the broker at {self.address.shown} is {how}; trying again until it is back.")
