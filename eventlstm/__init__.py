"""Rare events in sensor logs, found by recurrent networks behind scikit-learn's interface."""

from . import datasets, losses, metrics, networks, plots
from .augmentation import Augmentation
from .blend import EventBlend
from .classifier import LSTMClassifier
from .detector import EventClassifier
from .ensemble import BalancedBaggingLSTMClassifier
from .flattening import FlattenWindows
from .log_files import read_log
from .model_selection import RunKFold, RunTimeSplit, choose_threshold
from .persistence import load, save
from .temporal_oversampling import TemporalOversampler
from .window_sampler import WindowSampler
from .windows import LogWindows, horizon_labels

__all__ = [
    "Augmentation",
    "BalancedBaggingLSTMClassifier",
    "EventBlend",
    "EventClassifier",
    "FlattenWindows",
    "LSTMClassifier",
    "LogWindows",
    "RunKFold",
    "RunTimeSplit",
    "TemporalOversampler",
    "WindowSampler",
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
