"""Rows, planes and picked points, resolved into the arguments of the mathematics."""
