"""The mathematics: pure functions over batches of images, one module for each term of the field."""
