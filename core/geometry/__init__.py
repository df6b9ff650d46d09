"""The mathematics: pure functions over batches of images, one package for each topic, one module for each term."""
