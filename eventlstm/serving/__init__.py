"""Fitted models at work: row by row beside the machines, equal to batch scoring, and over many logs."""

from .fleet import score_logs
from .streaming_detector import StreamingDetector

__all__ = ["StreamingDetector", "score_logs"]
