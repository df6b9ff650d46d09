"""How the demo models are trained, and what is measured of them."""
