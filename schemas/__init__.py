"""JSON Schemas of the manifest, the report and the receipt."""
