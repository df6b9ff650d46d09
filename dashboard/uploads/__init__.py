"""What visitors bring: files, and the room they may take."""
