"""Built-in plugins: what can be switched off and the runner still runs."""
