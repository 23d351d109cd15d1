"""Files of a tenant: resumed, verified, and in place only when whole."""
