"""HTTP: servers, messages, routes, bodies and credentials."""
