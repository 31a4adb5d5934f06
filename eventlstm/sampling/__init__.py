"""Windows made or left out so that rare classes count: samplers of imbalanced-learn on windows, and bags of windows."""

from .temporal_oversampler import TemporalOversampler
from .window_sampler import WindowSampler

__all__ = ["TemporalOversampler", "WindowSampler"]
