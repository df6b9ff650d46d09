"""Directions in which the boundary is curved at many images."""
