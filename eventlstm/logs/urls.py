"""Addresses of databases, as SQLAlchemy writes them, and what of them may be told: never a password.

`${NAME}` in a URL stands for a variable of the environment, whose value is taken as it is, without %-escapes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote

# A drive of Windows, such as C:/, has one letter.
URL = re.compile(r"([A-Za-z][\w+.-]+)://")
PATH_OF_URL = re.compile(r"[A-Za-z][\w+.-]+:[/\\]")
SERVER = re.compile(r"[^:/]*(:\d+)?(/[^:]*)?")
IN_FILES = ("duckdb", "sqlite")
SQLITE_URI = "/file:"  # a name with options of SQLite's own
VARIABLE = re.compile(r"\$\{(\w+)\}")
DUCKDB = "duckdb"
IN_MEMORY = ":memory:"
HIDDEN = "***"
SHORTEST_HIDDEN = 2  # a password of one letter would blacken a message, and is none
PASSWORD_VARIABLE = "PGPASSWORD"


def is_url(path: Any) -> bool:
    """Return whether a path is the URL of a database, as text."""
    if isinstance(path, Path) and PATH_OF_URL.match(str(path)):  # Path has made one slash of two
        raise ValueError("A URL is passed as a Path, which breaks it. Pass it as text.")
    return isinstance(path, str) and URL.match(path) is not None


def is_duckdb(url: str) -> bool:
    """Return whether a URL is that of a DuckDB database."""
    return url.split("://")[0].lower() == DUCKDB


def show(url: str) -> str:
    """Return a URL without the user, the password and the options, which may hold another.

    Examples
    --------
    >>> show("postgresql://ann:secret@db.example/plant?sslmode=require")
    'postgresql://***@db.example/plant'
    """
    scheme, _, rest = url.partition("://")
    _, at, place = rest.rpartition("@")  # the last one: a password may hold others
    place = place.split("?")[0]
    if not (at or SERVER.fullmatch(place) or scheme.lower().startswith(IN_FILES)):  # a password may be what was meant
        return f"{scheme}://{HIDDEN}"
    return f"{scheme}://{HIDDEN * bool(at)}{at}{place}"


def name_source(path: str | Path) -> str:
    """Return a short name of a log: of its file, or of its database."""
    shown = show(str(path)).split("://")[1] if is_url(path) else str(path)
    return Path(shown).name or "database"


def duckdb_file(url: str) -> Path | None:
    """Return the file of a DuckDB database, None for one in memory; ``duckdb:////`` begins an absolute path."""
    place = fill_in(url.partition("://")[2].split("?")[0].removeprefix("/"))
    return None if place in ("", IN_MEMORY) else Path(place)


def database_file(url: str) -> Path | None:
    """Return the file that holds a database, None where none does or it is not known."""
    scheme, _, place = url.partition("://")
    is_file = scheme.lower().split("+")[0] in IN_FILES and not place.startswith(SQLITE_URI)
    return duckdb_file(url) if is_file else None


def fill_in(text: str) -> str:
    """Return a part of a URL with the variables of the environment that it names.

    Raises
    ------
    ValueError
        If the environment has no such variable.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"The URL names the environment variable {found[1]!r}, which is not set. Export it.")
        return os.environ[found[1]]

    return VARIABLE.sub(value, text)


def find_secrets(url: str) -> set[str]:
    """Return what must not be told of a URL, in the ways in which it may be written."""
    userinfo = url.partition("://")[2].rpartition("@")[0]
    told = {userinfo.partition(":")[2], *re.findall(r"(?i)(?:password|passwd|secret|token)=([^&]*)", url)}
    told |= {os.environ.get(name, "") for name in (*VARIABLE.findall(url), PASSWORD_VARIABLE)}
    told |= {unquote(secret) for secret in told}
    return {secret for secret in told | {quote_plus(secret) for secret in told} if len(secret) >= SHORTEST_HIDDEN}


def hide(text: str, url: str) -> str:
    """Return a message on one line without what is secret in a URL."""
    for secret in sorted(find_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return " ".join(text.split())
