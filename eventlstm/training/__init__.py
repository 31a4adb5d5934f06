"""The one training loop, and what it takes: batches, optimizers, devices, threads and checkpoints."""

from .augmentation import Augmentation

__all__ = ["Augmentation"]
