"""Training of the demo models, and the measurements in their model cards."""
