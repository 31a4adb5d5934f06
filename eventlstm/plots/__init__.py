"""Plots of a log, of a network and of what a model is worth: numbers in, and matplotlib only when one is drawn.

Every display has builders, ``from_predictions`` or ``from_estimator`` as a rule, and ``plot(ax=None)``, which returns
the display with `ax_` and `figure_`.
"""

from .alarm_curve_display import AlarmCurveDisplay
from .event_timeline_display import EventTimelineDisplay
from .networks import AttentionDisplay, GatesDisplay, GradientFlowDisplay, TrainingHistoryDisplay
from .scores import CalibrationDisplay, PrecisionRecallDisplay
from .sensors import AttributionDisplay, WindowSizeDisplay

__all__ = [
    "AlarmCurveDisplay",
    "AttentionDisplay",
    "AttributionDisplay",
    "CalibrationDisplay",
    "EventTimelineDisplay",
    "GatesDisplay",
    "GradientFlowDisplay",
    "PrecisionRecallDisplay",
    "TrainingHistoryDisplay",
    "WindowSizeDisplay",
]
