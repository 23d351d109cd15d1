"""The one place where name and version of the distribution stand."""

DISTRIBUTION = "spark-impex-runner"
__version__ = "0.1.0"
