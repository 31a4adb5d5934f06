"""Fitted models in files without pickle."""

from .files import load, save

__all__ = ["load", "save"]
