"""One line of text and what it names, with its options: models and images."""
