"""Random samples of images, confidence intervals and streams of random numbers."""
