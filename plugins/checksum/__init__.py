"""The ``checksum`` step."""
