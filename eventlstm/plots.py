"""Plots of a log, of a network and of what a model is worth: numbers in, and matplotlib only when one is drawn.

Every display has builders, ``from_predictions`` or ``from_estimator`` as a rule, and ``plot(ax=None)``, which returns
the display with `ax_` and `figure_`.
"""

from .alarm_displays import AlarmCurveDisplay
from .evaluation_displays import CalibrationDisplay, PrecisionRecallDisplay
from .log_displays import AttributionDisplay, WindowSizeDisplay
from .network_displays import AttentionDisplay, GatesDisplay, GradientFlowDisplay, TrainingHistoryDisplay
from .timeline_displays import EventTimelineDisplay

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
