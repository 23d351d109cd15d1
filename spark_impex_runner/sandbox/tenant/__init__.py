"""The emulated tenant: its services, jobs, packages and API endpoints."""
