"""The state directory: what earlier runs did, written to disk before a request depends on it."""
