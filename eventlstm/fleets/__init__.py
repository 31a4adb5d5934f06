"""Fitted models over many logs, and over logs that are longer than memory."""

from .fleet import score_logs

__all__ = ["score_logs"]
