"""What can be asked of a classifier: the analyses, their settings, and what prepares their arguments."""
