"""Planning: from a manifest and options to checked targets with their requests."""
