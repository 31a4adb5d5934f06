"""Fitted models as ONNX graphs, for any runtime."""

from .onnx_file import export_onnx

__all__ = ["export_onnx"]
