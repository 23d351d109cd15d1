"""Signed records of what was delivered, approved and imported."""
