"""HTTP with the guarantees that every request to a tenant has."""
