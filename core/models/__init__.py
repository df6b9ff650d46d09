"""Classifiers: our own format, other people's checkpoints, registries, exported graphs, models known on paper."""
