"""Plugins: the hooks, what plugins offer, and who takes part."""
