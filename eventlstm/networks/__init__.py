"""The recurrent networks: ``forward`` and nothing of devices or training."""

from .forecast_net import ForecastNet
from .reconstruction_net import ReconstructionNet
from .recurrent_encoder import RecurrentEncoder
from .recurrent_net import RecurrentNet

__all__ = ["ForecastNet", "ReconstructionNet", "RecurrentEncoder", "RecurrentNet"]
