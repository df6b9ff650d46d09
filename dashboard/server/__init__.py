"""The application that serves the pages, and who may ask it for what."""
