"""Builds the models that `realtime` runs: corpora, features, training, scores, export."""
