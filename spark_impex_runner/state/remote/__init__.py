"""The state in an object store: one small object a target and run, written conditionally."""

from spark_impex_runner.state.remote.storage import ObjectStorage

__all__ = ["ObjectStorage"]
