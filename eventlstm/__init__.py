"""Rare events in sensor logs, found by recurrent networks behind scikit-learn's interface."""

from . import datasets, losses, metrics, networks
from .classifier import LSTMClassifier
from .detector import EventClassifier
from .log_files import read_log
from .model_selection import RunKFold, RunTimeSplit, choose_threshold
from .persistence import load, save
from .windows import LogWindows, horizon_labels

__all__ = [
    "EventClassifier",
    "LSTMClassifier",
    "LogWindows",
    "RunKFold",
    "RunTimeSplit",
    "choose_threshold",
    "datasets",
    "horizon_labels",
    "load",
    "losses",
    "metrics",
    "networks",
    "read_log",
    "save",
]
