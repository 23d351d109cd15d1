"""What the state knows of the work on a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.models import Request, ServiceVersion


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be asked of a tenant; ``fingerprint`` stands for the whole request.

    ``size`` is the same for requests that ask for as much: their jobs may take as long.
    ``part_of`` is the attempt whose request had to be divided.
    """

    run_id: str
    target: str
    tenant: str
    fingerprint: str
    correlation_id: str
    size: str | None = None
    part_of: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a request that was divided: ``2.1`` is the first half of the second."""

    name: str
    request: Request


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a target, as far as it came.

    ``job_id`` is empty until the tenant has answered. ``services`` and ``service_versions`` are
    what the tenant said it delivered; ``delivered`` tells whether the packages were named.
    ``work`` stands for all that was to be done with them, once it was done without a warning.
    ``held`` is the name that it waits for, or waited for, with ``--approve``.
    """

    id: int
    target: str
    tenant: str
    fingerprint: str
    correlation_id: str
    run_id: str
    intended: datetime
    job_id: str = ""
    delivered: bool = False
    services: tuple[ServiceVersion, ...] = ()
    service_versions: tuple[ServiceVersion, ...] = ()
    finished: datetime | None = None
    outcome: str = ""
    error: str = ""
    work: str = ""
    part_of: int | None = None
    held: str = ""


def part_key(target: str, part: str) -> str:
    """Return what the state calls a part of a target; ``#`` is in no target's name."""
    return f"{target}#{part}"
