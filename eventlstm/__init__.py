"""Rare events in sensor logs, found by recurrent networks behind scikit-learn's interface."""

from . import datasets, losses, metrics, networks, plots
from .augmentation import Augmentation
from .classifier import LSTMClassifier
from .detector import EventClassifier
from .log_files import read_log
from .model_selection import RunKFold, RunTimeSplit, choose_threshold
from .persistence import load, save
from .windows import LogWindows, horizon_labels

__all__ = [
    "Augmentation",
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
    "plots",
    "read_log",
    "save",
]
