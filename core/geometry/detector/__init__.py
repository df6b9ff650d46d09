"""Detection of perturbed images by the curvature of the boundary near them."""
