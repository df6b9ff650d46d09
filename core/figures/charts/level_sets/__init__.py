"""Charts of sets of equal confidence."""
