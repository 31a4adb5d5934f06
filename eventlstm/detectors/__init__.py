"""Estimators of logs: a score at every row, with labels or without."""

from .anomaly_detector import AnomalyDetector
from .event_blend import EventBlend
from .event_classifier import EventClassifier

__all__ = ["AnomalyDetector", "EventBlend", "EventClassifier"]
