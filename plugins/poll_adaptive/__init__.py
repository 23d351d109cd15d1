"""The ``adaptive`` polling strategy."""
