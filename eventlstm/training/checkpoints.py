"""A training's state in a file that is whole or absent, and that says which training it is of.

A checkpoint is one line that names the format, the SHA-256 of what follows, and what follows: tensors and plain values
in torch's format, read without running code.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..logs.whole_files import check_outputs, open_whole

HEAD = b"eventlstm checkpoint 1\n"
N_DIGEST_BYTES = hashlib.sha256().digest_size


class Checkpoint:
    """A file that one training, known by its fingerprint, leaves its state in and goes on from.

    Parameters
    ----------
    path : str or path-like
        The file. Its folder must exist.
    fingerprint : str
        What `fingerprint` returns for everything that decides about the training.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from eventlstm.training.checkpoints import Checkpoint, fingerprint
    >>> with TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(f"{folder}/model.checkpoint", fingerprint("lr", 0.01))
    ...     checkpoint.save({"epoch": 3})
    ...     checkpoint.load()
    {'epoch': 3}
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(path)
        self.fingerprint = fingerprint

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by one of this state; whoever is killed meanwhile leaves the last one."""
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        content = buffer.getvalue()
        with open_whole(self.path) as file:
            file.write(HEAD + hashlib.sha256(content).digest() + content)

    def load(self) -> dict[str, Any] | None:
        """Return the last state, or None where there is no file.

        Raises
        ------
        ValueError
            If the file is damaged, no checkpoint, or that of another training, or if there can be none.
        OSError
            If it could not be written.
        """
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise ValueError(f"{self.path} cannot be a file. Make its folder, or name another path as checkpoint.")
        check_outputs([self.path])
        if not self.path.exists():
            return None
        head, digest, content = self._read()
        if head != HEAD:
            raise ValueError(f"{self.path} is no checkpoint of this version. {REMEDY}")
        if hashlib.sha256(content).digest() != digest:
            raise ValueError(f"{self.path} is damaged. {REMEDY}")
        document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if document["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{self.path} is the checkpoint of another fit: data, parameters or random_state differ. To go on with "
                "that one, pass the same as then, with an int as random_state; to start anew, delete the file."
            )
        state: dict[str, Any] = document["state"]
        return state

    def remove(self) -> None:
        """Delete the file, not a link to it."""
        Path(os.path.realpath(self.path)).unlink(missing_ok=True)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        with self.path.open("rb") as file:
            return file.read(len(HEAD)), file.read(N_DIGEST_BYTES), file.read()


REMEDY = "Delete the file to start anew, or name another as checkpoint."


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256 of tensors, arrays, plain values, functions and parameters, nested or not.

    Parameters
    ----------
    *parts : object
        Tensors and arrays count with their bytes, estimators with their parameters, modules with their weights and
        settings, functions with their names.

    Returns
    -------
    str
        The digest as hexadecimal digits.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.training.checkpoints import fingerprint
    >>> fingerprint(torch.zeros(2)) == fingerprint(torch.zeros(2))
    True
    >>> fingerprint(torch.zeros(2)) == fingerprint(torch.zeros(1, 2))
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: Any, part: Any) -> None:
    """Add a part to a digest, opened by its type and size so that no two sequences of parts read the same."""
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().numpy()
    if isinstance(part, np.ndarray):
        digest.update(f"array {part.dtype.str} {part.shape}\n".encode())
        digest.update(np.ascontiguousarray(part).data)
    elif isinstance(part, Mapping):
        _add(digest, sorted(part.items()))
    elif isinstance(part, (list, tuple)):
        digest.update(f"list {len(part)}\n".encode())
        for item in part:
            _add(digest, item)
    elif isinstance(part, partial):
        _add(digest, [part.func, part.args, part.keywords])
    elif hasattr(part, "get_params"):
        _add(digest, [type(part).__qualname__, part.get_params()])
    elif isinstance(part, torch.nn.Module):
        settings = {name: value for name, value in vars(part).items() if not name.startswith("_")}
        _add(digest, [type(part).__qualname__, part.state_dict(), settings])
    elif callable(part):
        _add(digest, getattr(part, "__qualname__", type(part).__qualname__))
    else:
        text = repr(part).encode()
        digest.update(f"value {len(text)}\n".encode() + text)
