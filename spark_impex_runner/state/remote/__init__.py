"""The state in an object store: one small object a target and run, with conditional writes."""
