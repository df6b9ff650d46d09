"""Perturbations of few pixels, and what their supports tell."""
