"""Rare events in sensor logs, found by recurrent networks behind scikit-learn's interface."""

from . import datasets, losses, metrics, networks, plots, thresholds
from .alarms import AlarmPolicy
from .anomaly import AnomalyDetector
from .augmentation import Augmentation
from .autoencoder import LSTMAutoencoder
from .blend import EventBlend
from .classifier import LSTMClassifier
from .detector import EventClassifier
from .ensemble import BalancedBaggingLSTMClassifier
from .events import to_events, to_labels
from .filling import ForwardFill
from .flattening import FlattenWindows
from .forecast_targets import forecast_windows
from .forecaster import LSTMForecaster
from .log_files import read_log
from .model_selection import EventTimeSplit, RunKFold, RunTimeSplit, refit_nanmean
from .persistence import load, save
from .report import report
from .temporal_oversampling import TemporalOversampler
from .threshold_choice import choose_threshold
from .window_choice import suggest_window_size
from .window_sampler import WindowSampler
from .windows import LogWindows, horizon_labels

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
