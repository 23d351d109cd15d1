"""The differences between two packages, delivered folders or tenants, for people and programs."""
