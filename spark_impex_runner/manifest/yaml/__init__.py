"""Text to data, with the position of each value."""
