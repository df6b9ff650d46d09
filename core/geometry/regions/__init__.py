"""Whether two images of a class lie in one region, and the paths that connect them."""
