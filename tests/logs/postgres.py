"""A PostgreSQL server of its own for a test, started from the distribution's package."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "ann", "s3cr/t@:w0rd %41"
SERVERS = "/usr/lib/postgresql"
TIMEOUT = 60  # seconds


def find_binaries() -> Path:
    """The folder of the newest server, or skip."""
    found = sorted(Path(SERVERS).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        pytest.skip(f"no PostgreSQL server under {SERVERS}: apt-get install postgresql")
    return found[-1].parent


@contextmanager
def running_server():
    """Yield the port of a server on this machine, which asks for a password."""
    binaries, folder = find_binaries(), Path(tempfile.mkdtemp(prefix="eventlstm-"))
    owner = "nobody" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, "-D", folder / "data", *arguments],
            user=owner, cwd=folder, check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    try:
        (folder / "password").write_text(PASSWORD)
        if owner is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, owner)
        run("initdb", f"--username={USER}", "--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8", "--no-sync")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield port
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
