"""The file of a report: one page of HTML that holds its data, its code and plotly.js, and asks no host for anything."""

from __future__ import annotations

import base64
import gzip
import json
import math
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

# Between size and time: level 9 takes four times as long for 2 % less.
COMPRESSION = 6
SCRIPTS = ("alarms.js", "draw.js", "page.js")


def make_page(texts: dict[str, str], data: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    texts : dict of str to str
        What takes the place of each ``@@NAME@@`` of the template, as HTML.
    data : dict
        The numbers of the page.
    arrays : dict of str to ndarray
        Long columns, kept packed.

    Returns
    -------
    str
        The page.
    """
    parts = {
        **texts,
        "CSS": _read("page.css"),
        "JS": "\n".join(_read(name) for name in SCRIPTS),
        "DATA": to_json(data),
        "ARRAYS": "\n".join(_script(name, values) for name, values in arrays.items()),
        "PLOTLY": _packed_plotly(),
    }
    pieces = _read("page.html").split("@@")  # texts between two marks are names: nothing put in is read again
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def to_json(data: Any) -> str:
    """Return numbers and texts as JSON that may stand in HTML, undefined and infinite numbers as null."""
    text = json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def read_page(page: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the numbers that a page holds, and its arrays; the inverse of `make_page`."""
    data = page.split('<script type="application/json" id="page">')[1].split("</script>")[0]
    arrays = {}
    for piece in page.split('<script type="text/plain" id="')[1:]:
        name, rest = piece.split('"', 1)
        if rest.startswith(' data-type="'):
            of_type, content = rest.removeprefix(' data-type="').split('">', 1)
            packed = content.split("</script>")[0]
            arrays[name] = np.frombuffer(gzip.decompress(base64.b64decode(packed)), dtype=of_type)
    return json.loads(data), arrays


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _script(name: str, values: npt.NDArray[Any]) -> str:
    return f'<script type="text/plain" id="{name}" data-type="{values.dtype.name}">{_pack(values.tobytes())}</script>'


@lru_cache(maxsize=1)
def _packed_plotly() -> str:
    """Return the code of plotly.js, packed."""
    from plotly.offline import get_plotlyjs

    return _pack(get_plotlyjs().encode())


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, COMPRESSION, mtime=0)).decode("ascii")


def _plain(value: Any) -> Any:
    """Return a value of the types that JSON has."""
    if isinstance(value, dict):
        return {str(name): _plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(own) for own in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
