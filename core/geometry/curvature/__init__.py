"""Principal curvatures of the boundary, and how far they can be trusted."""
