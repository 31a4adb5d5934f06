"""``eventlstm export``: a saved model as an ONNX graph, for runtimes beside the machines."""

from __future__ import annotations

import argparse
from typing import Any

from ..alarms.model_scores import threshold_of
from ..archive.files import load
from ..export.onnx_file import export_onnx
from .outputs import check_outputs


def run_export(options: argparse.Namespace) -> None:
    """Write a saved model as an ONNX graph."""
    check_outputs({}, [options.output], options.model)
    model = load(options.model, device="cpu")
    export_onnx(model, options.output)
    print(f"Wrote {options.output}.")
    print(_tell_threshold(model))


def _tell_threshold(model: Any) -> str:
    threshold = threshold_of(model)
    if threshold is None:
        return "The model knows no threshold to alarm above."
    return f"A row is flagged where its score is above {threshold:.4f}; the rest is told in the metadata of the file."
