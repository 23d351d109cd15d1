"""Plugins: their hooks, what they offer, and how the runner finds, loads and calls them."""
