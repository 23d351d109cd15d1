"""Pytest takes the fixtures of the runner's kit for authors from here."""

pytest_plugins = ["spark_impex_runner.testing"]
