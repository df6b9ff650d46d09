"""Subspaces of image space, and how far the boundary lies within each."""
