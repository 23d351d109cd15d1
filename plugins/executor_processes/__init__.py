"""``--executor processes``: run the targets of each tenant in a process of its own.

For CPU-bound steps: the threads of one process share the interpreter lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spark_impex_runner import Registry, errors, hookimpl

if TYPE_CHECKING:
    from concurrent.futures import Executor


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the executor."""
    summary = "Processes on this machine; the address is their number, by default one per CPU."
    registry.executor("processes", summary, make)


def make(address: str) -> Executor:
    """Return a pool of ``address`` processes, which start on demand."""
    if address and not (address.isdecimal() and 0 < int(address) <= _max_workers()):
        raise errors.UsageError(
            f"--executor processes:{address}: expected a number from 1 to {_max_workers()}"
        )
    from .pool import Pool  # noqa: PLC0415

    return Pool(int(address) if address else min(os.cpu_count() or 1, _max_workers()))


def _max_workers() -> int:
    # Windows waits for at most 63 objects at a time; CPython's pool needs two for itself.
    return 61 if os.name == "nt" else 1024
