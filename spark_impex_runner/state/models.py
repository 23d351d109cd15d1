"""Intents, attempts and parts: what the state stores about the work on a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.state.storage import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.models import Request, ServiceVersion


@dataclass(frozen=True, slots=True)
class Intent:
    """An export that is about to be requested, stored before its request is sent.

    ``fingerprint`` identifies the whole request, ``size`` the class of requests whose jobs may take
    as long. ``part_of`` is the id of the attempt whose request was split. ``started_by`` is the
    name of the user who started the export.
    """

    run_id: str
    target: str
    tenant: str
    fingerprint: str
    correlation_id: str
    size: str | None = None
    part_of: int | None = None
    started_by: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a request that was split: ``2.1`` is the first half of the second."""

    name: str
    request: Request


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a target, as far as it came.

    ``job_id`` is empty until the tenant has answered. ``services`` and ``service_versions`` are
    what the tenant reported as delivered; ``delivered`` is True once the packages have their final
    names. ``work_digest`` is the digest of all that was done with them; it is empty unless every
    step succeeded. ``held`` is the connection to name in ``--approve``, also after its approval.
    ``started_by`` is empty if an older version of the runner began it.
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
    work_digest: str = ""
    part_of: int | None = None
    held: str = ""
    started_by: str = ""

    @property
    def scope(self) -> Scope:
        """The scope of its target."""
        return Scope.of_target(self.target)


def part_key(target: str, part: str) -> str:
    """Return the state's key of a part; the schema allows no ``#`` in a target's name."""
    return f"{target}#{part}"
