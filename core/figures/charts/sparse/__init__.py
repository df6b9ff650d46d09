"""Charts of sparse perturbations."""
