"""What a sensor log is: its index, stretches without a gap, windows, events, and the files it comes from."""

from .causal_features import CausalFeatures
from .events import to_events, to_labels
from .files import read_log
from .flatten_windows import FlattenWindows
from .forward_fill import ForwardFill
from .horizons import forecast_windows, horizon_labels
from .log_windows import LogWindows
from .splitters import EventTimeSplit, RunKFold, RunTimeSplit
from .window_size import suggest_window_size

__all__ = [
    "CausalFeatures",
    "EventTimeSplit",
    "FlattenWindows",
    "ForwardFill",
    "LogWindows",
    "RunKFold",
    "RunTimeSplit",
    "forecast_windows",
    "horizon_labels",
    "read_log",
    "suggest_window_size",
    "to_events",
    "to_labels",
]
