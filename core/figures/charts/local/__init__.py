"""Charts of the geometry near an image."""
