"""What options and tables call the models that are fitted to labels."""

BLEND, NETWORKS = "blend", "LSTM"
