"""What is said of an estimator that cannot be exported."""

from __future__ import annotations

from typing import Any, NoReturn


def refuse(estimator: Any, why: str) -> NoReturn:
    """Raise a ValueError that names an estimator and says why it cannot be exported, and what to do."""
    raise ValueError(f"{type(estimator).__name__} cannot be exported to ONNX: {why}")
