"""What has happened so far, on disk before it matters: the memory of the runner."""
