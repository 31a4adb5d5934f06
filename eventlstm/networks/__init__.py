"""The recurrent networks: ``forward`` and nothing of devices or training."""

from .forecast_net import ForecastNet
from .linear_chain_crf import LinearChainCRF
from .reconstruction_net import ReconstructionNet
from .recurrent_encoder import RecurrentEncoder
from .recurrent_net import RecurrentNet
from .tagging_net import TaggingNet

__all__ = ["ForecastNet", "LinearChainCRF", "ReconstructionNet", "RecurrentEncoder", "RecurrentNet", "TaggingNet"]
