"""Bounds on robustness that hold for every classifier, and classifiers that meet them."""
