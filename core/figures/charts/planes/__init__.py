"""Charts of planes and of the boundary in them."""
