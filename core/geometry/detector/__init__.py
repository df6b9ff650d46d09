"""Telling perturbed images from clean ones by the curvature at them."""
