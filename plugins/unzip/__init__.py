"""The ``unzip`` step."""
