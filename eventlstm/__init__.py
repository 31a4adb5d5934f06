"""Rare events in sensor logs, found by recurrent networks behind scikit-learn's interface."""

from __future__ import annotations

import importlib

# Type checkers take it for true. To import it from typing would take longer than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import datasets, losses, metrics, networks, plots, thresholds
    from .alarms import AlarmPolicy, choose_threshold
    from .archive import load, save
    from .detectors import AnomalyDetector, EventBlend, EventClassifier
    from .evaluation import refit_nanmean, report
    from .fleets import read_excerpt, score_logs
    from .logs import (
        CausalFeatures,
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
    from .recurrent import BalancedBaggingLSTMClassifier, LSTMAutoencoder, LSTMClassifier, LSTMForecaster, LSTMTagger
    from .sampling import TemporalOversampler, WindowSampler
    from .serving import StreamingDetector
    from .training import Augmentation

# Modules of their own address, and the names that the root offers by the package they come from. They are loaded when
# they are first asked for: `import eventlstm` and `eventlstm --help` wait neither for torch nor for pandas.
MODULES = ("datasets", "losses", "metrics", "networks", "plots", "thresholds")
ROOMS = {
    "alarms": "AlarmPolicy choose_threshold",
    "archive": "load save",
    "detectors": "AnomalyDetector EventBlend EventClassifier",
    "evaluation": "refit_nanmean report",
    "fleets": "read_excerpt score_logs",
    "logs": "CausalFeatures EventTimeSplit FlattenWindows ForwardFill LogWindows RunKFold RunTimeSplit "
    "forecast_windows horizon_labels read_log suggest_window_size to_events to_labels",
    "recurrent": "BalancedBaggingLSTMClassifier LSTMAutoencoder LSTMClassifier LSTMForecaster LSTMTagger",
    "sampling": "TemporalOversampler WindowSampler",
    "serving": "StreamingDetector",
    "training": "Augmentation",
}
PACKAGE_OF = {name: package for package, names in ROOMS.items() for name in names.split()}

__all__ = sorted([*MODULES, *PACKAGE_OF])


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for (PEP 562)."""
    if name in MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in PACKAGE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{PACKAGE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
