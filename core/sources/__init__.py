"""Sources: models and image sets named by one line of text, with options."""
