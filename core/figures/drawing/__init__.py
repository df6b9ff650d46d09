"""A chart, its renderers on screen and on paper, and what they share."""
