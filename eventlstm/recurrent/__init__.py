"""Estimators of windows ``(n_windows, n_timesteps, n_channels)`` around recurrent networks."""

from .balanced_bagging_lstm_classifier import BalancedBaggingLSTMClassifier
from .lstm_autoencoder import LSTMAutoencoder
from .lstm_classifier import LSTMClassifier
from .lstm_forecaster import LSTMForecaster
from .lstm_tagger import LSTMTagger

__all__ = ["BalancedBaggingLSTMClassifier", "LSTMAutoencoder", "LSTMClassifier", "LSTMForecaster", "LSTMTagger"]
