"""What the pages' workers do, and how they keep out of the way."""
