"""Clients of object stores, as the runner itself opens them; loads obstore: import it on use."""

from __future__ import annotations

from spark_impex_runner.object_store.clients import Bucket, bucket, one_line

__all__ = ["Bucket", "bucket", "one_line"]
