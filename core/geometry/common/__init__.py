"""Samples, intervals, streams of random numbers, and inference with fused layers."""
