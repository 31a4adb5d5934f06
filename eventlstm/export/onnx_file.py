"""Fitted models in files that any ONNX runtime runs."""

from __future__ import annotations

import os
from typing import Any

from ..logs.whole_files import open_whole
from .models import to_model

NO_ONNX = "Models are exported with onnx and skl2onnx. Install them: pip install 'eventlstm[onnx]'."


def export_onnx(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model as a graph that ONNX Runtime runs, without this package."""
    try:
        import onnx  # noqa: F401
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(NO_ONNX) from error
    content = to_model(model).SerializeToString()
    with open_whole(path) as file:
        file.write(content)
