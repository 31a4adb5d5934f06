"""Rare events in sensor logs, found by recurrent networks behind scikit-learn's interface."""

from . import datasets, losses, metrics, networks, plots, thresholds
from .alarms import AlarmPolicy, choose_threshold
from .archive import load, save
from .detectors import AnomalyDetector, EventBlend, EventClassifier
from .evaluation import refit_nanmean, report
from .logs import (
    EventTimeSplit,
    FlattenWindows,
    ForwardFill,
    LogWindows,
    RunKFold,
    RunTimeSplit,
    forecast_windows,
    horizon_labels,
    read_log,
    suggest_window_size,
    to_events,
    to_labels,
)
from .recurrent import BalancedBaggingLSTMClassifier, LSTMAutoencoder, LSTMClassifier, LSTMForecaster
from .sampling import TemporalOversampler, WindowSampler
from .training import Augmentation

__all__ = [
    "AlarmPolicy",
    "AnomalyDetector",
    "Augmentation",
    "BalancedBaggingLSTMClassifier",
    "EventBlend",
    "EventClassifier",
    "EventTimeSplit",
    "FlattenWindows",
    "ForwardFill",
    "LSTMAutoencoder",
    "LSTMClassifier",
    "LSTMForecaster",
    "LogWindows",
    "RunKFold",
    "RunTimeSplit",
    "TemporalOversampler",
    "WindowSampler",
    "choose_threshold",
    "datasets",
    "forecast_windows",
    "horizon_labels",
    "load",
    "losses",
    "metrics",
    "networks",
    "plots",
    "read_log",
    "refit_nanmean",
    "report",
    "save",
    "suggest_window_size",
    "thresholds",
    "to_events",
    "to_labels",
]
