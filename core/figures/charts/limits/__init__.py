"""Charts of bounds that hold for every classifier."""
