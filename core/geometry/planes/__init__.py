"""Planes through image space, and what a classifier decides on them."""
