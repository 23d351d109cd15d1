"""Data to problems: everything that a manifest's schema says about it."""
