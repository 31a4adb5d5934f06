"""What options and tables call the models that are fitted to labels."""

BLEND, NETWORKS = "blend", "LSTM"
# The parts of the blend, by the names it has for them.
NETWORK_PARTS, TREE_PARTS = ("relative", "whitened"), ("forest", "boosting")
MODELS = (BLEND, NETWORKS.lower(), *NETWORK_PARTS, *TREE_PARTS)
