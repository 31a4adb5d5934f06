"""From which score on a row is flagged: thresholds learned from held-out scores.

All are estimators with ``fit(score, y=None)``, ``threshold_`` and ``flag(score)``, for scores that are high where
abnormal, with run and time in the index.
"""

from .alarms import (
    AutoThreshold,
    DynamicThreshold,
    LabelledThreshold,
    QuantileThreshold,
    StreamingTailThreshold,
    TailThreshold,
    effective_rows,
)

__all__ = [
    "AutoThreshold",
    "DynamicThreshold",
    "LabelledThreshold",
    "QuantileThreshold",
    "StreamingTailThreshold",
    "TailThreshold",
    "effective_rows",
]
