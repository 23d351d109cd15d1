"""An emulated Spark tenant on loopback, made of the standard library only."""
