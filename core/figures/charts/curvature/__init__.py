"""Charts of curvature and of what is made from it."""
