"""Compare what two packages, delivered folders or tenants hold."""
