"""Sets of equal confidence: traversals, triangles, star-likeness and widths."""
