"""Fitted models over many logs, and over logs that are longer than memory."""

from .excerpt import read_excerpt
from .fleet import score_logs

__all__ = ["read_excerpt", "score_logs"]
