"""The remote API, knowing nothing of manifests or hooks."""
