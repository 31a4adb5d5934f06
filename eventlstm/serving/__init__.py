"""Fitted models beside the machines: row by row, with the scores and alarms of the whole log."""

from .streaming_detector import StreamingDetector

__all__ = ["StreamingDetector"]
