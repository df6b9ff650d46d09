"""Charts of corruptions and of augmentations."""
