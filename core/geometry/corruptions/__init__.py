"""Corruptions, their primitives and mixtures, and what they do to a decision."""
