"""Charts of regions and of paths through them."""
