"""Recipes: read, run, stored, repeated, reported."""
