"""A real MQTT broker in a process of its own: mosquitto where it is installed, else amqtt."""

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
HAS_AMQTT = importlib.util.find_spec("amqtt") is not None
KINDS = [name for name, is_there in (("mosquitto", MOSQUITTO), ("amqtt", HAS_AMQTT)) if is_there]
NO_BROKER = "neither mosquitto nor amqtt is installed"
PATIENCE = 30.0  # seconds for a broker to start on a busy machine
OF_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages 100000
user root
"""
OF_AMQTT = """\
import asyncio
from amqtt.broker import Broker
plugins = {{"amqtt.plugins.authentication.AnonymousAuthPlugin": {{"allow_anonymous": True}}}}
config = {{"listeners": {{"default": {{"type": "tcp", "bind": "127.0.0.1:{port}"}}}}, "plugins": plugins}}
async def serve():
    await Broker(config).start()
    await asyncio.Event().wait()
asyncio.run(serve())
"""


class LocalBroker:
    """A broker at a free port of this machine; only mosquitto keeps what comes while a client is away."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.keeps_sessions = kind == "mosquitto"
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = folder / f"{kind}.settings"
        text = OF_MOSQUITTO if kind == "mosquitto" else OF_AMQTT
        settings.write_text(text.format(port=self.port, folder=folder), encoding="utf-8")
        self._command = [MOSQUITTO, "-c", settings] if kind == "mosquitto" else [sys.executable, settings]
        self._process = None
        self.start()

    def address(self, topic: str) -> str:
        return f"mqtt://127.0.0.1:{self.port}/{topic}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not self._is_there():
            assert time.monotonic() < until and self._process.poll() is None, f"{self._command[0]} does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _is_there(self) -> bool:
        with closing(socket.socket()) as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0
