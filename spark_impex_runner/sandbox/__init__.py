"""An emulated Spark tenant on loopback, for rehearsals and tests. Standard library only."""
