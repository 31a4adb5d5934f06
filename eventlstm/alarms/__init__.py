"""From scores to alarms: thresholds from held-out scores, and the rules by which flagged rows become an alarm."""

from .alarm_policy import AlarmPolicy
from .dynamic_threshold import DynamicThreshold
from .labelled import LabelledThreshold, choose_threshold
from .streaming_tail_threshold import StreamingTailThreshold
from .unlabelled import AutoThreshold, QuantileThreshold, TailThreshold, effective_rows

__all__ = [
    "AlarmPolicy",
    "AutoThreshold",
    "DynamicThreshold",
    "LabelledThreshold",
    "QuantileThreshold",
    "StreamingTailThreshold",
    "TailThreshold",
    "choose_threshold",
    "effective_rows",
]
