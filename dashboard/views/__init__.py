"""One thin file for each question."""
