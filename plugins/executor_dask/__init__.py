"""``--executor dask:ADDRESS``: run the targets of each tenant on the workers of a Dask cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner import Registry, errors, hookimpl

if TYPE_CHECKING:
    from concurrent.futures import Executor


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the executor."""
    summary = "The workers of a Dask cluster; the address is its scheduler's."
    registry.executor("dask", summary, make)


def make(address: str) -> Executor:
    """Return the executor of the cluster whose scheduler has this address."""
    if not address:
        raise errors.UsageError(
            "--executor dask: give the scheduler's address, such as dask:tcp://10.0.0.7:8786"
        )
    try:
        from .cluster import Cluster  # noqa: PLC0415 - an extra, which takes a second to import
    except ImportError as error:
        raise errors.PluginError(
            f"the executor dask needs {error.name}, which is not installed; "
            "pip install 'spark-impex-runner[dask]'"
        ) from error
    return Cluster(address)
