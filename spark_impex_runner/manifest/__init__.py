"""From the text of a manifest to validated models."""
