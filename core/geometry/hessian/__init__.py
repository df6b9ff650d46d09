"""Second derivatives of a margin: products, matrices, the shape operator and its spectrum."""
