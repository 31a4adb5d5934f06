"""Fitted models at work beside the machines: row by row, equal to batch scoring."""

from .streaming_detector import StreamingDetector

__all__ = ["StreamingDetector"]
